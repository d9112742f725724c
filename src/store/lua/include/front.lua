-- Hand a job over to whoever is next: a new entry of the lane's front stream, and its locator.
--   front_put   that, whatever else is
--   front_add   the way for all who make jobs ready: the task of a workflow that is suspended is held until that is resumed. Returns whether it is
-- A job that is held is among the paused, without a time, and in K wh of its workflow, by which a resumption tells it from one that was paused.
--#include "moved.lua"
--#include "envelope.lua"
--#include "records.lua"
--#include "sets.lua"
--#include "stats.lua"
--#include "flow_status.lua"
local function front_put(lane, m, j)
  local entry = call('XADD', K .. 'f:' .. lane, '*', 'm', m, 'j', j)
  call('HSET', K .. 'loc', moved_id(m), entry)
end
-- The suspended workflow of which this is a task; nil: there is none.
local function suspended_of(j)
  if string.byte(j) ~= 1 or not bit_set((varint_read(j, 2)), J_MORE) then
    return nil
  end
  local task = envelope_read(j).task
  local id = task and more_task(task)
  local flags = id and string.byte(call('GETRANGE', K .. 'ws:' .. id, 2, 2))
  return flags and bit_set(flags, FLOW_HOLDS) and id or nil
end
local held_ids = {}
local function job_hold(workflow, m, j)
  local id = moved_id(m)
  call('HDEL', K .. 'loc', id)
  set_put('paused', { '+inf', id }, { id, record(m, j) })
  call('SADD', K .. 'wh:' .. workflow, id)
  held_ids[#held_ids + 1] = id
end
local function held_tell()
  if #held_ids > 0 then
    event_with('M' .. pack('>I6', now) .. 'u' .. table.concat(held_ids), 'pause')
    held_ids = {}
  end
end
local function front_add(lane, m, j)
  local workflow = suspended_of(j)
  if workflow then
    job_hold(workflow, m, j)
    held_tell()
  else
    front_put(lane, m, j)
  end
  return workflow ~= nil
end
