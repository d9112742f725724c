#!lua flags=allow-oom
-- Cancel jobs in whatever state; what a running handler returns afterwards no longer counts.
-- keys: {p:0}:sh
-- argv: actor reason operation(operation.lua) id...
-- returns: for each, or the first of them (list.lua), 0, -3 (no such job) or -4 (ended already, or too new for the operation)
--#include "base.lua"
--#include "too_old.lua"
--#include "list.lua"
--#include "cancel.lua"
--#include "audit.lua"
--#include "operation.lua"
local actor, reason, op = ARGV[1], ARGV[2], operation_read(ARGV[3])
local out = {}
for i = 4, #ARGV do
  local id = ARGV[i]
  local place, m, j, key, entry, session = locate(id)
  if not place then
    out[i - 3] = -3
  elseif op and (place.ended or not operation_wants(op, id, place)) then
    out[i - 3] = -4
  elseif place == places.schedule then
    schedule_drop(id)
    audit(actor, 'schedule.delete', id, reason)
    out[i - 3] = 0
  elseif place.ended then
    out[i - 3] = -4
  else
    cancel_located(id, reason, place, m, j, key, entry, session)
    audit(actor, 'job.cancel', id, reason)
    out[i - 3] = 0
  end
  if list_full(j) then
    break
  end
end
ended_all(ENDS.cancelled)
operation_count(op, out)
return out
