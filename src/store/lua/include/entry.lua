-- Entries of a lane's streams: `l:<lane>` has jobs as they were enqueued, `f:<lane>` (its front) those that were handed over.
--#include "moved.lua"
local function stream_lane(stream)
  return tonumber(string.sub(stream, 3))
end
local function stream_is_front(stream)
  return string.byte(stream) == 102
end
-- m (nil in a lane) and j.
local function fields_of(e)
  local m, j
  for i = 1, #e, 2 do
    if e[i] == 'j' then
      j = e[i + 1]
    else
      m = e[i + 1]
    end
  end
  return m, j
end
local function entry_parts(entry)
  local ms, seq = string.match(entry, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end
-- A job that has not moved is named after its entry.
local function entry_id(entry, m, lane, of_shard)
  if m then
    return moved_id(m)
  end
  local ms, seq = entry_parts(entry)
  return id_pack(ms, seq, lane, of_shard)
end
