#!lua
-- A workflow that is suspended goes on: what became ready meanwhile starts, as many as one step may; the rest is left to the leader.
-- keys: {p:0}:sh
-- argv: actor id
-- returns: 0, -3 (no such workflow), -4 (it is not suspended)
--#include "base.lua"
--#include "too_old.lua"
--#include "flow_hold.lua"
--#include "audit.lua"
local f = flow_of(ARGV[2])
if not f then
  return -3
end
if f.status ~= FLOW_RUNNING or not bit_set(f.flags, FLOW_HOLDS) then
  return -4
end
flag_put(f, FLOW_HOLDS, false)
flow_told[1] = string.char(FLOW_RESUMED) .. f.id
audit(ARGV[1], 'workflow.resume', f.id, '')
todo_add(f, GO_RESUME, 0, 0, 0)
flow_go(1200)
return 0
