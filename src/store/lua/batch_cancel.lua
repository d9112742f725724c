#!lua flags=allow-oom
-- Cancel a batch, in bounded steps: from the first on no item of it is released.
-- keys: {p:0}:sh
-- argv: actor id reason first('1'; '' a later step) token(of this cancel, by which a repeat of its first call is known; '' none)
-- returns: 1 (call again), 0 (none of its items starts any more), -3 (no such batch), -4 (it has ended)
--#include "base.lua"
--#include "too_old.lua"
--#include "batch_cancel.lua"
--#include "audit.lua"
local b = batches().of(ARGV[2])
if not b then
  return -3
end
if b.status == BATCH_COMPLETED or b.status == BATCH_FAILED or b.status == BATCH_CANCELLED then
  local is_repeat = ARGV[5] ~= '' and call('HGET', K .. 'bd:' .. b.id, 'ct') == ARGV[5]
  return (ARGV[4] == '' or is_repeat) and 0 or -4
end
if b.status ~= BATCH_CANCELLING then
  if b.status == BATCH_LOADING then
    batches().forget_request(b)
    call('ZREM', K .. 'tm', 'l' .. b.id)
  end
  batches().set(b, BATCH_OPEN, false)
  batches().halt(b)
  call('HSET', K .. 'bd:' .. b.id, 'why', ARGV[3], 'ct', ARGV[5])
  audit(ARGV[1], 'batch.cancel', b.id, ARGV[3])
end
local done = batch_cancel_step(b)
ended_all(ENDS.cancelled)
batches().go()
return done and 0 or 1
