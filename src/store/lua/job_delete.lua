#!lua flags=allow-oom
-- Forget ended jobs.
-- keys: {p:0}:sh
-- argv: actor operation(operation.lua) id...
-- returns: for each, or the first of them (list.lua), 0, -3 (no such job) or -4 (not ended, or too new for the operation)
--#include "base.lua"
--#include "too_old.lua"
--#include "list.lua"
--#include "locate.lua"
--#include "take_ended.lua"
--#include "audit.lua"
--#include "operation.lua"
local op = operation_read(ARGV[2])
local out = {}
for i = 3, #ARGV do
  local id = ARGV[i]
  local place, _, row, hkey, bucket = locate(id)
  if not place then
    out[i - 2] = -3
  elseif not operation_wants(op, id, place, row) then
    out[i - 2] = -4
  elseif place == places.schedule then
    schedule_drop(id)
    audit(ARGV[1], 'schedule.delete', id)
    out[i - 2] = 0
  elseif place.ended then
    ended_take(id, place, row, ended_read(row), hkey, bucket)
    side_drop(id)
    audit(ARGV[1], 'job.delete', id)
    out[i - 2] = 0
  else
    out[i - 2] = -4
  end
  if list_full(row) then
    break
  end
end
schedules_told()
operation_count(op, out)
return out
