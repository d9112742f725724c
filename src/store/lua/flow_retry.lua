#!lua
-- A workflow that failed or was cancelled runs again from where it failed: what completed stays.
-- keys: {p:0}:sh
-- argv: actor id
-- returns: 0, -3 (no such workflow), -4 (it has not failed, and was not cancelled)
--#include "base.lua"
--#include "too_old.lua"
--#include "flow.lua"
--#include "audit.lua"
local id = ARGV[2]
local f = flow_of(id)
if not f then
  return -3
end
if f.status ~= FLOW_FAILED and f.status ~= FLOW_CANCELLED then
  return -4
end
call('ZREM', K .. 'we', id)
call('HDEL', K .. 'wf:' .. id, 'why')
for queue in string.gmatch(call('HGET', K .. 'wd:' .. f.def, 'queues') or '', '[^|]+') do
  call('HINCRBY', K .. 'wn', queue, 1)
end
flow_again(f)
audit(ARGV[1], 'workflow.retry', id, '')
flow_go(1200)
return 0
