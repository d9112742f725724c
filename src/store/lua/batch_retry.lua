#!lua
-- A batch that has ended runs again: what failed, was cancelled or never began, or all of it.
-- keys: {p:0}:sh
-- argv: actor id all('1' or '')
-- returns: 0, -3 (no such batch), -4 (it has not ended, or completed)
--#include "base.lua"
--#include "too_old.lua"
--#include "batch.lua"
--#include "audit.lua"
local b = batches().of(ARGV[2])
if not b then
  return -3
end
if b.status ~= BATCH_FAILED and b.status ~= BATCH_CANCELLED then
  return -4
end
call('ZREM', K .. 'bo', b.id)
call('HDEL', K .. 'bd:' .. b.id, 'why')
batches().queues_of(b, 1)
batches().again(b, ARGV[3] == '1')
b.most = math.max(b.most, b.attempt)
audit(ARGV[1], 'batch.retry', b.id, '')
batches().go()
return 0
