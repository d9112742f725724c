#!lua flags=allow-oom
-- Forget a schedule, and what waits in its buffer. What it dispatched goes on.
-- keys: {p:0}:sh
-- argv: actor id
-- returns: { 0 or -3 (no such schedule), n of occurrences that waited in its buffer }
--#include "base.lua"
--#include "too_old.lua"
--#include "schedule.lua"
--#include "audit.lua"
local id = ARGV[2]
if call('HEXISTS', K .. 'sch:s', id) == 0 then
  return { -3, 0 }
end
local dropped = schedule_drop(id)
schedules_told()
audit(ARGV[1], 'schedule.delete', id, dropped > 0 and dropped .. ' buffered' or '')
return { 0, dropped }
