#!lua flags=allow-oom
-- Have the leader look at schedules whose time zone has other rules now than when they were computed, some in a call. Only when they come round next
-- changes by that: what was settled stays so.
-- keys: {p:0}:sh {p:0}:sch
-- argv: session epoch version('' not known) score('' from the beginning) id upto_ms limit zone...
--   version: of the time zone files of this leader. No zone: all schedules that have one, unless the last leader had that version, too
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
local version, limit = ARGV[3], tonumber(ARGV[7])
local zones = { unpack(ARGV, 8) }
if #zones == 0 and (version == '' or call('HGET', sh, 'zv') == version or call('EXISTS', KEYS[2]) == 0) then
  return { now, 0, '', '', 0 }
end
-- A name that is part of another one, or of something else, costs a look.
local function has_zone(calendar)
  if #zones == 0 then
    return string.find(calendar, '%u%a')
  end
  for _, zone in ipairs(zones) do
    if string.find(calendar, zone, 1, true) then
      return true
    end
  end
end
local function has_changed(id)
  local packed, edit, s = call('HGET', K .. 'sch:d', id), edit_read(id), state_read(id)
  return packed and s and not state_has(s, SCHEDULE_ENDED) and not state_has(s, SCHEDULE_PAUSED)
    and (has_zone(definition_read(packed).calendar) or edit and has_zone(definition_read(edit.definition).calendar))
end
local found = schedules_after(ARGV[4], ARGV[5], ARGV[6], limit)
local score, last, n = '', '', 0
for i = 1, #found, 2 do
  local id = found[i]
  if found[i + 1] ~= score then
    score, last = found[i + 1], ''
  end
  if tonumber(score) > now and has_changed(id) then
    call('ZADD', KEYS[2], now, id)
    n = n + 1
  else
    last = id
  end
end
local more = #found == 2 * limit
if not more and version ~= '' then
  call('HSET', sh, 'zv', version)
end
return { now, more and 1 or 0, score, last, n }
