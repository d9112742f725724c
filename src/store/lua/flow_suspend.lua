#!lua flags=allow-oom
-- Suspend a workflow, in bounded steps: from the first on nothing of it becomes ready, after the last nothing of it waits in a lane.
-- keys: {p:0}:sh
-- argv: actor id version(of the scripts that all sessions must know) at(0; then where the answer says)
-- returns: where to go on (-1: no task of it starts any more), -3 (no such workflow), -4 (it has ended, or is cancelled), -29 (the version is not required
--   yet)
--#include "base.lua"
--#include "too_old.lua"
--#include "flow_hold.lua"
--#include "audit.lua"
local id, at = ARGV[2], tonumber(ARGV[4])
if tonumber(call('HGET', sh, 'mv') or 0) < tonumber(ARGV[3]) then
  return -29
end
local f = flow_of(id)
if not f then
  return -3
end
if f.status ~= FLOW_RUNNING or at > 0 and not bit_set(f.flags, FLOW_HOLDS) then
  return -4
end
if not bit_set(f.flags, FLOW_HOLDS) then
  flag_put(f, FLOW_HOLDS, true)
  call('RPUSH', K .. 'wq', pack(FLOW_TODO, id, GO_HOLD, f.epoch, 0, 0, 0)) -- should the caller not come again
  flow_told[1] = string.char(FLOW_SUSPENDED) .. id
  audit(ARGV[1], 'workflow.suspend', id, '')
end
local t = { f, GO_HOLD, 0, 0, at }
local _, done = go_hold(t, 1200)
flow_go(1200)
return done and -1 or t[5]
