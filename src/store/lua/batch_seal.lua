#!lua
-- No more items come: a batch that was being loaded runs, and one that is open may end.
-- keys: {p:0}:sh
-- argv: id
-- returns: n of items, -3 (no such batch), -4 (it was not open)
--#include "base.lua"
--#include "too_old.lua"
--#include "batch.lua"
local b = batches().of(ARGV[1])
if not b then
  return -3
end
if b.status == BATCH_LOADING then
  call('ZREM', K .. 'tm', 'l' .. b.id)
  b.started = now
  batches().begin(b)
elseif batches().has(b, BATCH_OPEN) then
  b.changed = true -- whatever its state: a retry of one that failed while it was open is to end by itself
elseif b.status == BATCH_CANCELLING or b.status == BATCH_CANCELLED then
  return -4
else
  return b.total -- this call was made before, and its answer lost
end
batches().set(b, BATCH_OPEN, false)
batches().go()
return b.total
