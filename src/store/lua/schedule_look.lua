#!lua flags=allow-oom
-- Have the leader look at all schedules that have a time zone, some in a call: the rules of zones may be others than when they were computed. Only when
-- they come round next changes by that: what was settled stays so.
-- keys: {p:0}:sh {p:0}:sch
-- argv: session epoch version('' not known) changed('1' or '') score('' from the beginning) id upto_ms limit bytes_max
--   version: of the time zone files of this leader, when it began with this. Unless changed there is nothing to do when they were computed by that version
--   score, id: as the call before answered
--   upto_ms: each is looked at once a day, so it is due by then
-- returns: { now_ms, more(1|0), score, id, n that will be looked at }, or DQFENCED
--#include "base.lua"
--#include "schedule.lua"
--#include "leader.lua"
--#include "schedules_after.lua"
local err = leader_fenced(ARGV[1], ARGV[2])
if err then
  return err
end
local version, changed, score, last = ARGV[3], ARGV[4] == '1', ARGV[5], ARGV[6]
local limit, bytes = tonumber(ARGV[8]), tonumber(ARGV[9])
if score == '' then
  if call('EXISTS', KEYS[2]) == 0 or not changed and version ~= '' and call('HGET', sh, 'zv') == version then
    return { now, 0, '', '', 0 }
  end
  call('HDEL', sh, 'zv') -- until this is done with, some are computed by one version and some by another
end
local function has_zone(packed) -- what only looks like a name costs a look
  bytes = bytes - #packed
  return string.find(definition_read(packed).calendar, '%u%a')
end
local function is_wanted(id)
  local s = state_read(id)
  if not s or state_has(s, SCHEDULE_ENDED) or state_has(s, SCHEDULE_PAUSED) then
    return false
  end
  local packed = call('HGET', K .. 'sch:d', id)
  if packed and has_zone(packed) then
    return true
  end
  local edit = edit_read(id)
  return edit and has_zone(edit.definition)
end
local found = schedules_after(score, last, ARGV[7], limit)
local more, n = #found == 2 * limit, 0
for i = 1, #found, 2 do
  if bytes <= 0 then
    more = true
    break
  end
  last, score = found[i], found[i + 1]
  local whole, wanted = pcall(is_wanted, last) -- what cannot be read holds up no other
  if tonumber(score) > now and whole and wanted then
    call('ZADD', KEYS[2], now, last)
    n = n + 1
  end
end
if not more and version ~= '' then
  call('HSET', sh, 'zv', version)
end
return { now, more and 1 or 0, score, last, n }
