-- Where a job is. Returns its place (a row of places.lua, or nil), then m and j (of what ended: nil and the row); in a lane or its front also key,
-- entry and the session it was delivered to (nil: it waits); in the history key and bucket.
--#include "ids.lua"
--#include "places.lua"
--#include "entry.lua"
--#include "history_read.lua"
--#include "schedule.lua"
local function delivered(key, entry)
  local p = call('XPENDING', key, 'g', entry, entry, 1)
  return p[1] and p[1][2] or nil
end
local function stream_find(place, lane, entry)
  local key = K .. place.letter .. ':' .. lane
  local e = call('XRANGE', key, entry, entry)[1]
  if e then
    local m, j = fields_of(e[2])
    return { place, m, j, key, entry, delivered(key, entry) }
  end
end
local function locate_schedule(id)
  local definition = call('HGET', K .. 'sch:d', id)
  if definition then
    return places.schedule, nil, definition_read(definition).j
  end
end
local function locate(id)
  local ms, seq, lane = id_unpack(id)
  if lane == 0 then
    return locate_schedule(id)
  end
  local found = seq < ID_SEQ_DUE and stream_find(places.lane, lane, string.format('%d-%d', ms, seq))
  local entry = not found and call('HGET', K .. 'loc', id)
  found = found or entry and stream_find(places.front, lane, entry)
  if found then
    return unpack(found, 1, 6)
  end
  local set, kept = set_of(id)
  if set then
    return set, set_split(set, kept)
  end
  local key, row, bucket = history_find(id)
  if row then
    return places.history, nil, row, key, bucket
  end
end
