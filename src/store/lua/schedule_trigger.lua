#!lua
-- Occurrences by hand: one now, or those of a range (a backfill). The schedule's own go on as they are.
-- keys: {p:0}:sh
-- argv: actor policy(-1: the schedule's) id at_s...
--   no at_s: one, now
-- returns: { 0, n dispatched, id of the last job ('' none), n done of those asked for, and the rest is for another call }; -3 (no such schedule), -4 (it
--   has ended), or -10 and a reason of the records when one could not be dispatched, followed by the same
--#include "base.lua"
--#include "too_old.lua"
--#include "overlap.lua"
--#include "audit.lua"
local id = ARGV[3]
local s, packed = state_read(id), call('HGET', K .. 'sch:d', id)
if not s or not packed then
  return { -3 }
end
if state_has(s, SCHEDULE_ENDED) then
  return { -4 }
end
local edit = edit_read(id)
local d = definition_read(edit and edit.definition or packed)
local policy = tonumber(ARGV[2])
policy = policy < 0 and d.policy or policy
local reason = ARGV[4] and REASON_BACKFILL or REASON_TRIGGER
local n, last, done, why = 0, '', 0, nil
for i = 4, math.max(#ARGV, 4) do
  local job, goes_on
  job, why, goes_on = occurrence(id, s, d, tonumber(ARGV[i] or math.floor(now / 1000)), policy, reason, edit and K .. 'be:' .. id)
  if why or goes_on then
    break
  end
  done = done + 1
  if job then
    n, last = n + 1, job
  end
end
state_write(id, s)
if done > 0 or why then
  audit(ARGV[1], ARGV[4] and 'schedule.backfill' or 'schedule.trigger', id, tostring(n))
end
ended_all(ENDS.cancelled)
return { why and -10 or 0, n, last, done, why or 0 }
