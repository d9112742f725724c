#!lua flags=allow-oom
-- Go on with what workflows left to do: one bounded step of it.
-- keys: {p:0}:sh {p:0}:wq
-- argv: session epoch
-- returns: { now_ms, n left }, or DQFENCED
--#include "base.lua"
--#include "leader.lua"
--#include "flow_cancel.lua"
local err = leader_fenced(ARGV[1], ARGV[2])
if err then
  return err
end
for _, packed in ipairs(call('LPOP', KEYS[2], 16) or {}) do
  local id, kind, epoch, task, mark, at = unpk(FLOW_TODO, packed)
  local f = flow_of(id)
  if flow_wanted(f, kind) and f.epoch == epoch then
    todo_add(f, kind, task, mark, at)
  end
end
flow_go(1200, go_cancel)
ended_all(ENDS.cancelled)
return { now, call('LLEN', KEYS[2]) }
