#!lua flags=no-writes
-- Sums of days by counter, all lanes together. Minutes and hours that are not summed into their day yet are added here: few, or all that there
-- are when no leader has been there for long.
-- keys: {p:0}:sh
-- argv: first_day n
-- returns: for each day { enqueued, completed, failed attempts, dead, cancelled }
--#include "base.lua"
local kinds = { e = 1, c = 2, f = 3, d = 4, x = 5 }
local first, n = tonumber(ARGV[1]), tonumber(ARGV[2])
local out = {}
for i = 1, n do
  out[i] = { 0, 0, 0, 0, 0 }
end
local function add(key, day)
  local row = out[day - first + 1]
  if not row then
    return
  end
  local all = call('HGETALL', key)
  for i = 1, #all, 2 do
    local k = kinds[string.match(all[i], ':(%a+)$')]
    if k then
      row[k] = row[k] + all[i + 1]
    end
  end
end
for day = first, first + n - 1 do
  add(K .. 'std:' .. day, day)
end
local minute = math.floor(now / 60000)
local done = call('HMGET', sh, 'rm', 'rh')
local minutes_done = math.max(tonumber(done[1] or 0), minute - MINUTES_BACK - 1)
local hours_done = math.max(tonumber(done[2] or 0), math.floor(minute / 60) - HOURS_BACK - 1)
for hour = hours_done + 1, math.floor(minute / 60) do
  add(K .. 'sth:' .. hour, math.floor(hour / 24))
end
for m = minutes_done + 1, minute do
  add(K .. 'st:' .. m, math.floor(m / 1440))
end
return out
