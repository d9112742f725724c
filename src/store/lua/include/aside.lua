-- What no script can make anything of: whoever comes upon it would fail, with all that waits after it. It goes to K aside as it is, where the doctor
-- names it, and an operator looks at it. What a newer version wrote is none of that.
--#include "entry.lua"
--#include "envelope.lua"
--#include "records.lua"
local function set_aside(from, name, values)
  local kept = {}
  for i, v in ipairs(values) do
    kept[i] = #v .. ':' .. v
  end
  call('HSET', K .. 'aside', from .. ' ' .. name, pack('>I6', now) .. table.concat(kept))
end
local function parts_are_whole(m, j)
  if m and not moved_is_newer(m) then
    local _, fits = moved_recorded(m)
    if not moved_is_whole(m) or not fits then
      return false
    end
  end
  if string.byte(j) == 1 then
    envelope_read(j)
  end
  return #j > 0
end
-- m, j and id of a stream's entry; nil when it was set aside.
local function entry_read(stream, entry, of_shard, fields)
  local m, j, id
  local ok, whole = pcall(function()
    m, j = fields_of(fields)
    id = entry_id(entry, m, stream_lane(stream), of_shard)
    return parts_are_whole(m, j) and #id == ID_BYTES
  end)
  if ok and whole then
    return m, j, id
  end
  set_aside(stream, entry, fields)
end
-- m, j and lane of a record; nil when it was set aside.
local function record_read(set, id, rec)
  local m, j, lane, _
  local ok, whole = pcall(function()
    m, j = record_split(rec)
    _, _, lane = id_unpack(id)
    return parts_are_whole(m, j) and lane > 0 and lane <= call('LLEN', K .. 'lane')
  end)
  if ok and whole then
    return m, j, lane
  end
  set_aside(set, id, { rec })
end
