#!lua flags=allow-oom
-- Pause schedules, or resume them: what came round meanwhile is treated as what was missed.
-- keys: {p:0}:sh
-- argv: actor pause('1' or '') id
-- returns: { 0, 1 (it is so already), -3 (no such schedule) or -4 (it has ended) }
--#include "base.lua"
--#include "too_old.lua"
--#include "occurrence.lua"
--#include "audit.lua"
local id, pause = ARGV[3], ARGV[2] == '1'
local s = state_read(id)
if not s then
  return { -3 }
end
if state_has(s, SCHEDULE_ENDED) then
  return { -4 }
end
if state_has(s, SCHEDULE_PAUSED) == pause then
  return { 1 }
end
state_flag(s, SCHEDULE_PAUSED, pause)
state_flag(s, SCHEDULE_FAILED, false)
state_flag(s, SCHEDULE_HELD, false)
state_write(id, s)
if pause then
  call('ZADD', K .. 'sch', '+inf', id)
else
  schedule_due(id, now)
end
schedule_event(id, pause and EVENT_PAUSED or EVENT_RESUMED, REASON_NONE)
if not pause then
  occurrence_drain(id, s)
end
occurrences_done()
audit(ARGV[1], pause and 'schedule.pause' or 'schedule.resume', id)
return { 0 }
