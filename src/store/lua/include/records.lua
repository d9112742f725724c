-- A record: what is kept of a job that waits in a set.
--#include "moved.lua"
local function record(m, j)
  return pack('>I4', #m) .. m .. j
end
local function record_split(rec)
  local n = unpk('>I4', rec)
  return string.sub(rec, 5, 4 + n), string.sub(rec, 5 + n)
end
-- The same without taking it apart: its runs; itself, due at another time (a second more or less is the same).
local function record_runs(rec)
  return (unpk('>I2', rec, 21))
end
local function record_due(rec, at)
  if #rec > 4 + MOVED_BYTES and math.abs(unpk('>I6', rec, 33) - at) > 1000 then
    return string.sub(rec, 1, 32) .. pack('>I6', at) .. string.sub(rec, 39)
  end
  return rec
end
