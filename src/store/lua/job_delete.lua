#!lua flags=allow-oom
-- Forget ended jobs.
-- keys: {p:0}:sh
-- argv: actor id...
-- returns: for each, or the first of them (list.lua), 0, -3 (no such job) or -4 (not ended)
--#include "base.lua"
--#include "too_old.lua"
--#include "list.lua"
--#include "locate.lua"
--#include "take_ended.lua"
--#include "audit.lua"
local out = {}
for i = 2, #ARGV do
  local id = ARGV[i]
  local place, _, row, hkey, bucket = locate(id)
  if not place then
    out[i - 1] = -3
  elseif place == places.schedule then
    schedule_drop(id)
    audit(ARGV[1], 'schedule.delete', id)
    out[i - 1] = 0
  elseif place.ended then
    ended_take(id, place, row, ended_read(row), hkey, bucket)
    side_drop(id)
    audit(ARGV[1], 'job.delete', id)
    out[i - 1] = 0
  else
    out[i - 1] = -4
  end
  if list_full(row) then
    break
  end
end
schedules_told()
return out
