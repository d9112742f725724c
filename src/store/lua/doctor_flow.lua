#!lua flags=allow-oom
-- One step through the tasks of a workflow: is its state whole, are its counters what its cells say, has each task that is released its job, and do the
-- counters of edges agree with the tasks that ended.
-- keys: {p:0}:sh
-- argv: shard repair('1' or '') structure('ws:' and the workflow's id) cursor limit
-- returns: as doctor_keys
--#include "base.lua"
--#include "doctor.lua"
--#include "doctor_job.lua"
--#include "flow.lua"
local WHOLE = 512 -- tasks whose edges are counted in one step
local id = string.sub(ARGV[3], 4)
local key = K .. ARGV[3]
local limit = tonumber(ARGV[5])
local f = flow_of(id)
local function cell_of(cells, i)
  return unpk(FLOW_CELL, cells, 1 + CELL_BYTES * i)
end

local function look_at_job(task, inc, job)
  local place, j = whereabouts(job)
  local e = place and envelope_of(j)
  local wid, inc_of, no
  if e and e.task then
    wid, inc_of, no = more_task(e.task)
  end
  if not place then
    fault('workflow_task', key, id, 'task ' .. task .. ' waits for a job that is not alive')
  elseif e and (wid ~= id or inc_of ~= inc or no ~= task) then
    fault('workflow_task', key, id, 'the job of task ' .. task .. ' does not know of it')
  end
end

-- How many edges to each task count, by the tasks that ended; not while some are yet to be counted.
local function left_to_do()
  for _, packed in ipairs(call('LRANGE', K .. 'wq', 0, -1)) do
    if string.sub(packed, 1, ID_BYTES) == id then
      return true
    end
  end
  return false
end
local function look_at_edges(cells)
  local _, _, n_edges, _, _, edges_at = image_head(f.def)
  if n_edges > 8 * WHOLE or left_to_do() then
    return
  end
  local edges, met = image_read(f.def, edges_at, IMAGE_EDGE * n_edges), {}
  for task = 0, f.n - 1 do
    local _, _, _, outs_at, n_outs = task_read(f, task)
    if cell_of(cells, task) > CELL_RELEASED then
      for i = outs_at, outs_at + n_outs - 1 do
        local to = unpk('>I3', edges, 1 + IMAGE_EDGE * i)
        met[to] = (met[to] or 0) + 1
      end
    end
  end
  for task = 0, f.n - 1 do
    local state, _, _, counted = cell_of(cells, task)
    local _, _, _, _, _, n_deps = task_read(f, task)
    if state == CELL_WAITS and counted ~= (met[task] or 0) then -- of what began nobody counts any more: a retry may have set back what it had
      fault('workflow_edges', key, id, 'task ' .. task .. ' counts ' .. counted .. ' that ended, of which there are ' .. (met[task] or 0))
    elseif state == CELL_WAITS and counted == n_deps and not call('LPOS', K .. 'wm:' .. id, pack('>I3', task)) then
      fault('workflow_edges', key, id, 'task ' .. task .. ' waits, and all that it depends on has ended')
    end
  end
end

-- cursor: next task, how many are released, how many have ended, and the header when the walk began.
local function step(cursor)
  local at, active, ended, head = 0, 0, 0, flow_head(f)
  if cursor ~= '' then
    local head_at
    at, active, ended, head_at = unpk('>I4I4I4', cursor)
    head = string.sub(cursor, head_at)
  end
  if call('STRLEN', key) ~= cell_at(f.n) then
    fault('unreadable', key, id, 'its state has another length than its tasks take')
    return ''
  end
  local n = math.min(limit, f.n - at)
  local cells = call('GETRANGE', key, cell_at(at), cell_at(at + n) - 1)
  for i = 0, n - 1 do
    local state, _, inc, _, job = cell_of(cells, i)
    if state == CELL_RELEASED then
      active = active + 1
      look_at_job(at + i, inc, job)
    elseif state > CELL_RELEASED then
      ended = ended + 1
    end
  end
  at = at + n
  if at < f.n then
    return pack('>I4I4I4', at, active, ended) .. head
  end
  if head == flow_head(f) and not left_to_do() and (active ~= f.active or ended ~= f.ended) then
    fault('workflow_counts', key, id, 'its header counts ' .. f.active .. ' released and ' .. f.ended .. ' ended; they are ' .. active .. ' and ' .. ended)
  end
  if f.status == FLOW_RUNNING and f.n <= WHOLE then
    look_at_edges(call('GETRANGE', key, cell_at(0), cell_at(f.n) - 1))
  end
  return ''
end

tally('workflows', ARGV[4] == '' and f and 1 or 0)
return answer(f and step(ARGV[4]) or '')
