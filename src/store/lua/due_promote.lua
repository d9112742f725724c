#!lua flags=allow-oom
-- Hand over jobs that are due, and paused ones whose pause is over, to the front streams of their lanes.
-- keys: {p:0}:sh {p:0}:due {p:0}:due:h {p:0}:paused {p:0}:paused:h
-- argv: session epoch limit bytes_max
-- returns: { now_ms, n moved, ms of the next due job (-1 none), ms of the next resume (-1 none) }, or DQFENCED
--#include "base.lua"
--#include "ids.lua"
--#include "records.lua"
--#include "front.lua"
--#include "stats.lua"
--#include "ticker.lua"
--#include "wake.lua"
local err = ticker_fenced(ARGV[1], ARGV[2])
if err then
  return err
end
local left, bytes = tonumber(ARGV[3]), tonumber(ARGV[4])
local moved, woken = {}, {}

local function promote(set, records, resumed)
  if left <= 0 or bytes <= 0 then
    return
  end
  local gone = {}
  for _, id in ipairs(call('ZRANGE', set, '-inf', now, 'BYSCORE', 'LIMIT', 0, left)) do
    local rec = call('HGET', records, id)
    if rec then
      local _, _, lane = id_unpack(id)
      local m, j = record_split(rec)
      if resumed then
        m = string.sub(m, 1, 20) .. '\0\0' .. string.sub(m, 23)
        redis.pcall('SPUBLISH', K .. 'w:' .. ARGV[1], 'U' .. id)
      end
      front_add(lane, moved_at(m, now, unpk('>I6', m, 29)), j)
      woken[lane] = (woken[lane] or 0) + 1
      moved[#moved + 1] = id
      bytes = bytes - #rec
    end
    gone[#gone + 1] = id
    left = left - 1
    if bytes <= 0 then
      break
    end
  end
  if #gone > 0 then
    call('ZREM', set, unpack(gone))
    call('HDEL', records, unpack(gone))
  end
end
promote(KEYS[2], KEYS[3], false)
promote(KEYS[4], KEYS[5], true)

if #moved > 0 then
  event('R' .. pack('>I6', now) .. table.concat(moved))
end
for lane, n in pairs(woken) do
  wake(lane, n)
end
local function first(set)
  local at = tonumber(call('ZRANGE', set, 0, 0, 'WITHSCORES')[2])
  return at and at < math.huge and at or -1
end
return { now, #moved, first(KEYS[2]), first(KEYS[4]) }
