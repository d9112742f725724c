#!lua flags=allow-oom
-- One step through the items of a batch: are its counters what the states of its items say, has each item in flight its job, and will it be topped up.
-- keys: {p:0}:sh
-- argv: shard repair('1' or '') structure('bs:' and the batch's id) cursor limit
-- returns: as doctor_keys
--#include "base.lua"
--#include "doctor.lua"
--#include "doctor_job.lua"
--#include "batch.lua"
local LOOKED = 16384 -- states in a step
local id = string.sub(ARGV[3], 4)
local key = K .. ARGV[3]
local b = batches().of(id)

local function todo(kind)
  for _, packed in ipairs(call('LRANGE', K .. 'wq', 0, -1)) do
    local of, k, epoch = unpk('>c13BI2', packed)
    if of == id and k == kind and epoch == b.epoch then
      return true
    end
  end
  return false
end
local function look_at_job(index, job, name)
  local place, j = whereabouts(job)
  local e = place and envelope_of(j)
  if not place then
    fault('batch_item', key, id, name .. ' waits for a job that is not alive')
  elseif e and (not e.item or string.sub(e.item, 2, 14) ~= id or unpk('>I2', e.item, 15) ~= b.epoch or unpk('>I4', e.item, 17) ~= index) then
    fault('batch_item', key, id, 'the job of ' .. name .. ' does not know of it')
  end
end
local function look_at_flight(cursor)
  local found = call('HSCAN', K .. 'bj:' .. id, cursor, 'COUNT', ARGV[5])
  for i = 1, #found[2], 2 do
    local index = tonumber(found[2][i])
    if call('GETRANGE', K .. 'bx:' .. id, index, index) ~= '\1' then
      fault('batch_item', key, id, 'item ' .. index .. ' has a job, and is not in flight')
    end
    look_at_job(index, found[2][i + 1], 'item ' .. index)
  end
  return found[1]
end
local function look_at_whole()
  local in_flight = call('HLEN', K .. 'bj:' .. id)
  if call('STRLEN', K .. 'bx:' .. id) ~= b.total then
    fault('unreadable', key, id, 'it has other states than items')
  elseif in_flight ~= b.running then
    fault('batch_counts', key, id, 'its header counts ' .. b.running .. ' in flight; they are ' .. in_flight)
  end
  if b.once == ONCE_RELEASED then
    look_at_job(BATCH_ONCE, call('HGET', K .. 'bd:' .. id, 'oj') or '', 'its one-time task')
  end
  if batches().has(b, BATCH_FILLING) and not todo(GO_ITEMS) then
    fault('batch_stuck', key, id, 'nobody tops it up', function()
      call('RPUSH', K .. 'wq', pack('>c13BI2I3BI4', id, GO_ITEMS, b.epoch, 0, 0, 0))
    end)
  end
  local halts = b.status == BATCH_CANCELLING or b.status == BATCH_RUNNING and batches().stops(b)
  if halts and (b.running > 0 or b.once == ONCE_RELEASED) and not todo(GO_ITEMS_CANCEL) then
    fault('batch_stuck', key, id, 'nobody cancels what is in flight', function()
      call('RPUSH', K .. 'wq', pack('>c13BI2I3BI4', id, GO_ITEMS_CANCEL, b.epoch, 0, 0, 0))
    end)
  end
  if b.status == BATCH_LOADING and not call('ZSCORE', K .. 'tm', 'l' .. id) or b.deadline > 0 and b.status == BATCH_RUNNING and not call('ZSCORE', K .. 'tm', 'x' .. id) then
    fault('batch_stuck', key, id, 'has no timer', function()
      call('ZADD', K .. 'tm', now, (b.status == BATCH_LOADING and 'l' or 'x') .. id)
    end)
  end
end

-- cursor: next item, then how many of each state there were so far, and the header when the walk began; then 'j' and the cursor of the jobs.
local function step(cursor)
  local at, n, head = 0, { 0, 0, 0, 0, 0, 0 }, batches().head(b)
  if string.sub(cursor, 1, 1) == 'j' then
    local next_one = look_at_flight(string.sub(cursor, 2))
    return next_one ~= '0' and 'j' .. next_one or ''
  end
  if cursor == '' then
    look_at_whole()
  else
    at, n[1], n[2], n[3], n[4], n[5], n[6] = unpk('>I4I4I4I4I4I4I4', cursor)
    head = string.sub(cursor, 29)
  end
  local states = call('GETRANGE', K .. 'bx:' .. id, at, at + LOOKED - 1)
  for i = 1, #states do
    local state = string.byte(states, i) + 1
    n[state] = (n[state] or 0) + 1
  end
  at = at + #states
  if at < b.total and #states > 0 then
    return pack('>I4I4I4I4I4I4I4', at, unpack(n, 1, 6)) .. head
  end
  if head == batches().head(b) and (n[2] ~= b.running or n[3] + n[4] ~= b.completed or (b.failed ~= n[5] or b.cancelled ~= n[6]) and not batches().has(b, BATCH_AGAIN)) then
    fault('batch_counts', key, id, 'its header counts ' .. b.running .. ' in flight, ' .. b.completed .. ' completed, ' .. b.failed .. ' failed; they are '
      .. n[2] .. ', ' .. n[3] + n[4] .. ', ' .. n[5])
  end
  return 'j0'
end

tally('batches', ARGV[4] == '' and b and 1 or 0)
local goes = b and tonumber(call('ZSCORE', K .. 'bo', id) or math.huge) <= now -- it is dropped, some keys in a step
return answer(b and not goes and step(ARGV[4]) or '')
