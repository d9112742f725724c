#!lua flags=allow-oom
-- Go on with what workflows and batches left to do, and with their timers: one bounded step of it.
-- keys: {p:0}:sh {p:0}:wq {p:0}:tm
-- argv: session epoch
-- returns: { now_ms, n left, ms of the next timer (-1 none) }, or DQFENCED
--#include "base.lua"
--#include "leader.lua"
--#include "flow_cancel.lua"
--#include "flow_hold.lua"
--#include "batch_cancel.lua"
local err = leader_fenced(ARGV[1], ARGV[2])
if err then
  return err
end
local TIMERS = 16

-- One of a batch is all that a step does.
local function batch_step(id, kind, epoch)
  local b = batches().of(id)
  if not b or b.epoch ~= epoch then
    return false
  end
  if kind == GO_ITEMS then
    batches().set(b, BATCH_FILLING, false)
    b.changed = true
  elseif b.status == BATCH_CANCELLING or b.status == BATCH_RUNNING and batches().stops(b) then
    if not batch_cancel_step(b) then
      batches().left_to_do(b, kind)
    end
  end
  return true
end
local function batch_timed(b, kind)
  if kind == 'l' and b.status == BATCH_LOADING then
    call('HSET', K .. 'bd:' .. b.id, 'why', 'it was not sealed within a minute', 'keep', 0)
    batches().forget_request(b)
    batches().finish(b, BATCH_CANCELLED)
    b.changed = true
  elseif kind == 'x' and b.status == BATCH_RUNNING then
    call('HSET', K .. 'bd:' .. b.id, 'why', 'timed_out')
    batches().halt(b, BATCH_TIMED_OUT)
  end
end

local due = call('ZRANGE', KEYS[3], '-inf', now, 'BYSCORE', 'LIMIT', 0, TIMERS)
for _, timer in ipairs(due) do
  local kind, id = string.sub(timer, 1, 1), string.sub(timer, 2, 1 + ID_BYTES)
  local b = batches().of(id)
  call('ZREM', KEYS[3], timer)
  local f = not b and flow_of(id)
  if b then
    batch_timed(b, kind)
  elseif f and kind == 'x' and f.status == FLOW_RUNNING then
    f.status, f.flags, f.changed = FLOW_CANCELLING, f.flags + (bit_set(f.flags, FLOW_TIMED_OUT) and 0 or 4), true
    call('HSET', K .. 'wf:' .. id, 'why', 'timed_out')
    todo_add(f, GO_CANCEL, 0, 0, 0)
  end
end
local todo = call('LPOP', KEYS[2], 16) or {}
for i, packed in ipairs(todo) do
  local id, kind, epoch, task, mark, at = unpk(FLOW_TODO, packed)
  if kind == GO_ITEMS or kind == GO_ITEMS_CANCEL then
    if batch_step(id, kind, epoch) and i < #todo then
      call('RPUSH', KEYS[2], unpack(todo, i + 1))
      break
    end
  else
    local f = flow_of(id)
    if flow_wanted(f, kind) and f.epoch == epoch then
      todo_add(f, kind, task, mark, at)
    end
  end
end
flow_go(1200, go_cancel)
ended_all(ENDS.cancelled)
return { now, call('LLEN', KEYS[2]), #due == TIMERS and now or tonumber(call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')[2] or -1) }
