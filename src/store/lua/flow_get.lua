#!lua flags=no-writes
-- A workflow, with some of its tasks.
-- keys: {p:0}:sh
-- argv: id first n
-- returns: nil, or { header, { field, value... }, n tasks of this page, table, cells, names, edges ('' too many for one answer), { lane, name... },
--   { task, error... }, { task, state of its job... } }: bytes as they are kept, of the tasks from `first` on
--#include "base.lua"
--#include "flow.lua"
--#include "locate.lua"
local EDGE_BYTES = 262144 -- of one answer
local LOCATED = 200
local id, first = ARGV[1], tonumber(ARGV[2])
local f = flow_of(id)
if not f then
  return false
end
local about = call('HGETALL', K .. 'wf:' .. id)
local n_tasks, _, _, _, _, edges_at, _, _, lanes_at = image_head(f.def)
local n = math.max(math.min(tonumber(ARGV[3]), n_tasks - first), 0)
if n == 0 then
  return { flow_head(f), about, 0, '', '', '', '', {}, {}, {} }
end
local rows = image_read(f.def, IMAGE_HEAD + IMAGE_TASK * first, IMAGE_TASK * n)
local cells = call('GETRANGE', f.key, cell_at(first), cell_at(first + n) - 1)
local _, _, name_first, out_first = unpk(IMAGE_TASK_FORM, rows)
local out_end = out_first
local lanes, seen, asked, located = {}, {}, {}, {}
for i = 0, n - 1 do
  local _, _, _, outs_at, n_outs, _, lane = unpk(IMAGE_TASK_FORM, rows, 1 + IMAGE_TASK * i)
  out_end = outs_at + n_outs
  if not seen[lane] then
    seen[lane] = true
    lanes[#lanes + 1], lanes[#lanes + 2] = lane, call('LINDEX', K .. 'lane', flow_lane(f, lane) - 1) or ''
  end
  local state, _, _, _, job = unpk(FLOW_CELL, cells, 1 + CELL_BYTES * i)
  if state == CELL_RELEASED and #located < 2 * LOCATED then
    local place, m, _, _, _, session = locate(job)
    located[#located + 1] = first + i
    located[#located + 1] = not place and -1 or session and STATE_RUNNING or place.again and moved_runs(m) > 0 and place.again or place.state
  elseif state > CELL_RELEASED then
    asked[#asked + 1] = 'e' .. (first + i)
  end
end
local names_end = lanes_at
if first + n < n_tasks then
  local _
  _, _, names_end = task_read(f, first + n)
end
local errors = {}
for i, why in ipairs(#asked > 0 and call('HMGET', K .. 'wr:' .. id, unpack(asked)) or {}) do
  if why then
    errors[#errors + 1], errors[#errors + 2] = tonumber(string.sub(asked[i], 2)), why
  end
end
local edge_bytes = IMAGE_EDGE * (out_end - out_first)
local edges = edge_bytes <= EDGE_BYTES and edge_bytes > 0 and image_read(f.def, edges_at + IMAGE_EDGE * out_first, edge_bytes) or ''
return {
  flow_head(f), about, n, rows, cells, image_read(f.def, name_first, names_end - name_first), edges, lanes, errors, located,
}
