-- The row of a job that ended.
--#include "places.lua"
--#include "sets.lua"
--#include "side.lua"
--#include "envelope.lua"
--#include "row_read.lua"
-- state, m, j, whether it has log lines, envelope.
local function ended_read(row)
  local r = {}
  r.state, r.m, r.j, r.logged = row_split(row)
  r.e = envelope_read(r.j)
  return r
end
-- Out of where it is; key and bucket: of one in the history.
local function ended_take(id, place, row, r, key, bucket)
  if place ~= places.history then
    set_take(place.name, id)
    return
  end
  call('HDEL', key, id)
  call('HINCRBY', K .. 'hz', bucket, -#row - ROW_OVERHEAD - side_bytes(id, r.e, r.logged))
  call('HINCRBY', K .. 'hr', bucket, -1)
  if r.state == STATE_CANCELLED then
    call('HINCRBY', K .. 'hn', bucket, -1)
  end
end
