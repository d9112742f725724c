-- What is in flight of a batch is cancelled, some of it in a step. True: that was all.
--#include "cancel.lua"
local BATCH_CANCEL_WHY = 'its batch was cancelled'
local function batch_cancel_one(b, index, job)
  if not cancel_job(job, BATCH_CANCEL_WHY) then -- it is not there: its data was lost
    batches().ended(job, '\3' .. b.id .. pack('>I2I4', b.epoch, index), 'x', 'its job is gone')
  end
end
local BATCH_CANCELLED_AT_ONCE = 128
local function batch_cancel_step(b)
  -- Any of them, and all when they are no more than that. An HSCAN may find nothing although there are some.
  local jobs = call('HRANDFIELD', K .. 'bj:' .. b.id, BATCH_CANCELLED_AT_ONCE, 'WITHVALUES')
  for i = 1, #jobs, 2 do
    batch_cancel_one(b, tonumber(jobs[i]), jobs[i + 1])
  end
  local once = b.once == ONCE_RELEASED and call('HGET', K .. 'bd:' .. b.id, 'oj')
  if once then
    batch_cancel_one(b, BATCH_ONCE, once)
  end
  return #jobs == 0
end
