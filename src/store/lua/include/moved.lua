-- The moved part `m` of a job (docs/redis-keys.md), read and changed by the names of its fields. Where they are is known here only.
--#include "ids.lua"
local MOVED_BYTES = 36 -- before the runs that ended
local MOVED_FIELDS = '>I2I2BBI2I6I6BB'
local function moved_fields(m)
  local f = {}
  f.attempts, f.runs, f.crashes, f.flags, f.errors, f.ready, f.due, f.recorded, f.repeats = unpk(MOVED_FIELDS, m, 15)
  f.is_suspect = f.flags % 2 == 1
  return f
end
-- With other values of some fields. Counts stay at the highest number there is room for.
local function moved_with(m, new)
  local f = moved_fields(m)
  for name, value in pairs(new) do
    f[name] = value
  end
  return string.sub(m, 1, 14) .. pack(MOVED_FIELDS, f.attempts, math.min(f.runs, 65535), math.min(f.crashes, 255), f.flags, f.errors,
    f.ready, f.due, f.recorded, f.repeats) .. string.sub(m, 37)
end
-- Of a job that has none yet.
local function moved_fresh(id, ready_at, due_at)
  return '\1' .. id .. pack(MOVED_FIELDS, 0, 0, 0, 0, 0, ready_at, due_at or 0, 0, 0)
end
-- The same as moved_with for a step of many jobs: no other field is looked at.
local function moved_ready(m, at)
  return string.sub(m, 1, 22) .. pack('>I6', at) .. string.sub(m, 29)
end
local function moved_id(m)
  return string.sub(m, 2, 14)
end
local function moved_runs(m)
  return (unpk('>I2', m, 17))
end
-- Flags: 1 suspect, 2 has log lines, 4 repeated.
local MOVED_LOGGED = 2
local function logs_flag(flags)
  return math.floor(flags / 2) % 2 == 1
end
local function moved_logged(m)
  return logs_flag(string.byte(m, 20))
end
local function moved_suspect(m)
  local f = moved_fields(m)
  return moved_with(m, { flags = f.is_suspect and f.flags or f.flags + 1 })
end
-- Whether a later version wrote it, and whether it can be one at all.
local function moved_is_newer(m)
  return (string.byte(m) or 0) > 1
end
local function moved_is_whole(m)
  return #m >= MOVED_BYTES and string.byte(m) == 1
end
-- The runs that are recorded in it, each with its length before it; and whether they fill it.
local function moved_recorded(m)
  local list, at = {}, MOVED_BYTES + 1
  while at < #m do
    local n = unpk('>I2', m, at)
    list[#list + 1] = string.sub(m, at, at + 1 + n)
    at = at + 2 + n
  end
  return list, at == #m + 1
end
