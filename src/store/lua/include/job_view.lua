-- What readers get of one job.
--#include "locate.lua"
--#include "row_read.lua"
--#include "envelope.lua"
local lane_names = {}
local function lane_name(lane)
  if not lane_names[lane] then
    lane_names[lane] = call('LINDEX', K .. 'lane', lane - 1) or ''
  end
  return lane_names[lane]
end
-- A payload that is a key of its own, up to so many bytes.
local function blob_of(id, place, j, max)
  if place.ended then
    local _
    _, _, j = row_split(j)
  end
  local key = envelope_read(j).blob and K .. 'b:' .. id
  return key and call('STRLEN', key) <= max and call('GET', key) or ''
end
local function view_of(id, place, m, j, session, blob_max)
  local _, _, lane = id_unpack(id)
  local state, due, started = place.state, 0, 0
  local progress = ''
  if place.waits then
    due = call('ZSCORE', K .. place.name, id)
    due = due == 'inf' and '-1' or due
    state = place.again and moved_runs(m) > 0 and place.again or state
  elseif place == places.schedule then
    local s = state_read(id)
    due = s and s.next * 1000 or 0
  elseif session then
    state = STATE_RUNNING
    local run = call('HGET', K .. 'run:' .. session, id)
    started = run and unpk('>I6', run) or 0
    progress = call('HGET', K .. 'pg', id) or ''
  end
  return { id, state, lane_name(lane), m or '', j, blob_of(id, place, j, blob_max), type(due) == 'number' and string.format('%.0f', due) or due, session or '', started, progress }
end
local function job_view(id, blob_max)
  local place, m, j, _, _, session = locate(id)
  if place then
    return view_of(id, place, m, j, not place.ended and session or nil, blob_max)
  end
  return false
end
