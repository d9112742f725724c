#!lua flags=allow-oom
-- Hand over jobs that are due, and paused ones whose pause is over, to the front streams of their lanes.
-- keys: {p:0}:sh {p:0}:due {p:0}:due:h {p:0}:paused {p:0}:paused:h
-- argv: session epoch limit bytes_max
-- returns: { now_ms, n moved, ms of the next due job (-1 none), ms of the next resume (-1 none) }, or DQFENCED
--#include "base.lua"
--#include "records.lua"
--#include "aside.lua"
--#include "front.lua"
--#include "sets.lua"
--#include "stats.lua"
--#include "leader.lua"
--#include "wake.lua"
local err = leader_fenced(ARGV[1], ARGV[2])
if err then
  return err
end
local left, bytes = tonumber(ARGV[3]), tonumber(ARGV[4])
local moved, woken = {}, {}

local function promote(set, resumed)
  if left <= 0 or bytes <= 0 then
    return
  end
  local gone = {}
  for _, id in ipairs(call('ZRANGE', K .. set, '-inf', now, 'BYSCORE', 'LIMIT', 0, left)) do
    local rec = call('HGET', K .. set .. ':h', id)
    local m, j, lane, held
    if rec then
      m, j, lane = record_read(set, id, rec)
    end
    if lane then
      if resumed then
        m = moved_with(m, { errors = 0 })
      end
      held = front_add(lane, moved_ready(m, now), j)
      if not held then
        if resumed then
          redis.pcall('SPUBLISH', K .. 'w:' .. ARGV[1], 'U' .. id)
        end
        woken[lane] = (woken[lane] or 0) + 1
        moved[#moved + 1] = id
      end
      bytes = bytes - #rec
    end
    if not held or set ~= 'paused' then
      gone[#gone + 1] = id
    end
    left = left - 1
    if bytes <= 0 then
      break
    end
  end
  if #gone > 0 then
    set_take(set, unpack(gone))
  end
end
promote('due', false)
local n_due = #moved
promote('paused', true)

if #moved > 0 then
  event_with('R' .. pack('>I6', now) .. table.concat(moved), 'd' .. pack('>I4', n_due))
end
for lane, n in pairs(woken) do
  wake(lane, n)
end
local function next_ms(set)
  local at = set_first(set)
  return at and at < math.huge and at or -1
end
return { now, #moved, next_ms('due'), next_ms('paused') }
