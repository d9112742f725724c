#!lua flags=no-writes
-- What happened in each of a row of minutes, hours or days, in all lanes or in those of a queue and a task type. What is not summed into its hour
-- or day yet is added here.
-- keys: {p:0}:sh
-- argv: unit('m' 'h' 'd') first(number of the unit, from 1970) n queue('' any) type(may end in '*'; '' any)
-- returns: for each unit, or for the first of them when they hold much, 53 numbers: enqueued, completed, failed attempts, dead, cancelled, then 24
--   buckets of how long jobs waited, and 24 of how long they ran; then the names of hashes (`st:<minute>` and so on) that belong to it, and hold too much
--   to be read in one step
--#include "base.lua"
local FIELDS_MAX = 3000 -- that a call looks at
local unit, first, n, queue, task = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5]
local prefix = string.match(task, '^(.*)%*$')
local plain, buckets = { e = 1, c = 2, f = 3, d = 4, x = 5 }, { w = 6, r = 30 }
local fields, known = 0, {}

local function is_wanted(lane)
  if queue == '' and task == '' then
    return true
  end
  if known[lane] == nil then
    local q, t = string.match(call('LINDEX', K .. 'lane', lane - 1) or '', '^([^|]*)|([^|]*)')
    local fits = task == '' or t == task or (prefix and t and string.sub(t, 1, #prefix) == prefix)
    known[lane] = (fits and (queue == '' or q == queue)) or false
  end
  return known[lane]
end
local function add(row, name)
  local n_all = call('HLEN', K .. name)
  if fields + n_all > FIELDS_MAX then
    row[#row + 1] = name
    return
  end
  fields = fields + n_all
  local all = n_all > 0 and call('HGETALL', K .. name) or {}
  for i = 1, #all, 2 do
    local lane, kind, bucket = string.match(all[i], '^(%d+):(%a)(%d*)$')
    local at = plain[kind] or (buckets[kind] and buckets[kind] + (tonumber(bucket) or 0))
    if at and at <= 53 and is_wanted(lane) then
      row[at] = row[at] + all[i + 1]
    end
  end
end

local minute = math.floor(now / 60000)
local hour = math.floor(minute / 60)
local done = call('HMGET', sh, 'rm', 'rh')
local minutes_done = math.max(tonumber(done[1] or 0), minute - MINUTES_BACK - 1)
local hours_done = math.max(tonumber(done[2] or 0), hour - HOURS_BACK - 1)
local function add_range(row, kind, from, to)
  for i = from, to do
    add(row, kind .. i)
  end
end
local out = {}
for i = first, first + n - 1 do
  local row = {}
  for k = 1, 53 do
    row[k] = 0
  end
  if unit == 'm' then
    add_range(row, 'st:', i, i)
  elseif unit == 'h' then
    add_range(row, 'sth:', i, i)
    add_range(row, 'st:', math.max(minutes_done + 1, i * 60), math.min(minute, i * 60 + 59))
  else
    add_range(row, 'std:', i, i)
    add_range(row, 'sth:', math.max(hours_done + 1, i * 24), math.min(hour, i * 24 + 23))
    add_range(row, 'st:', math.max(minutes_done + 1, i * 1440), math.min(minute, i * 1440 + 1439))
  end
  out[#out + 1] = row
  if fields > FIELDS_MAX / 2 then
    break
  end
end
return out
