#!lua flags=allow-oom
-- Cancel a workflow, in bounded steps: from the first on nothing of it is released.
-- keys: {p:0}:sh
-- argv: actor id reason at(0; then where the answer says) token(of this cancel, by which a repeat of its first call is known; '' none)
-- returns: where to go on (-1: no task of it starts any more), -3 (no such workflow), -4 (it has ended)
--#include "base.lua"
--#include "too_old.lua"
--#include "flow_cancel.lua"
--#include "audit.lua"
local id, at = ARGV[2], tonumber(ARGV[4])
local f = flow_of(id)
if not f then
  return -3
end
if f.status ~= FLOW_RUNNING and f.status ~= FLOW_CANCELLING then
  local is_repeat = ARGV[5] ~= '' and call('HGET', K .. 'wf:' .. id, 'ct') == ARGV[5]
  return (at > 0 or is_repeat) and -1 or -4
end
if f.status == FLOW_RUNNING then
  f.status, f.changed = FLOW_CANCELLING, true
  call('HSET', K .. 'wf:' .. id, 'why', ARGV[3], 'ct', ARGV[5])
  call('RPUSH', K .. 'wq', pack(FLOW_TODO, id, GO_CANCEL, f.epoch, 0, 0, 0)) -- should the caller not come again
  audit(ARGV[1], 'workflow.cancel', id, ARGV[3])
end
local t = { f, GO_CANCEL, 0, 0, at }
local _, done = go_cancel(t, 1200)
flow_go(1200)
ended_all(ENDS.cancelled)
return done and -1 or t[5]
