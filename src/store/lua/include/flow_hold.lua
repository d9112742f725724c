-- A workflow is suspended: those of its jobs that wait in lanes are held, in bounded steps; or goes on: what was held is ready again. What becomes ready
-- meanwhile is held by front_add, and what is released by the list wm.
--#include "flow.lua"
--#include "front.lua"
--#include "locate.lua"
--#include "take.lua"
--#include "wake.lua"
local function go_hold(t, left)
  local f, at = t[1], t[5]
  if not bit_set(f.flags, FLOW_HOLDS) then
    return left, true
  end
  local cells = call('GETRANGE', f.key, cell_at(at), cell_at(math.min(f.n, at + 1024)) - 1)
  local n = #cells / CELL_BYTES
  local i = 0
  while i < n and left > 0 do
    local state, _, _, _, job = unpk(FLOW_CELL, cells, 1 + CELL_BYTES * i)
    if state == CELL_RELEASED then
      local place, m, j, key, entry, session = locate(job)
      if (place == places.lane or place == places.front) and not session then
        take(job, place, key, entry)
        job_hold(f.id, m or moved_fresh(job, now), j)
      end
      left = left - 12
    end
    i = i + 1
  end
  held_tell()
  t[5] = at + i
  return left - math.ceil(i / 16), t[5] >= f.n
end
-- One that was cancelled or deleted meanwhile is not among the paused any more.
local function go_resume(t, left)
  local f = t[1]
  if bit_set(f.flags, FLOW_HOLDS) then
    return left, true
  end
  local most, resumed, lanes = math.ceil(left / 6), {}, {}
  local ids = call('SPOP', K .. 'wh:' .. f.id, most)
  for _, id in ipairs(ids) do
    local kept = call('HGET', K .. 'paused:h', id)
    if kept then
      local _, _, lane = id_unpack(id)
      local whole, m, j, s2s = pcall(function()
        local m, j = record_split(kept)
        return m, j, envelope_read(j).s2s
      end)
      if whole then -- else it stays among the paused, and the others go on
        if s2s then
          call('ZADD', K .. 's2s', 'XX', now + s2s, id)
        end
        set_take('paused', id)
        front_put(lane, moved_ready(m, now), j)
        lanes[lane] = (lanes[lane] or 0) + 1
        resumed[#resumed + 1] = id
      end
    end
  end
  if #resumed > 0 then
    event_with('M' .. pack('>I6', now) .. 's' .. table.concat(resumed), 'resume')
  end
  for lane, n in pairs(lanes) do
    wake(lane, n)
  end
  return left - 6 * #ids, #ids < most
end
flow_goes[GO_HOLD], flow_goes[GO_RESUME] = go_hold, go_resume
