#!lua
-- A handler is about to do a step of its job. Unless that was done, it is on record as begun from now on.
-- keys: {p:0}:sh {p:0}:s:SESSION
-- argv: session stream entry id run key version(of the scripts, that all sessions must know)
-- returns: { 0, round } it may, { 1, round, what it gave } it was done, { 2 } the version is not required yet, { 3 } there are as many as may be; or DQFENCED
--#include "base.lua"
--#include "session.lua"
--#include "steps.lua"
local id, key = ARGV[4], ARGV[6]
local err = fenced(call('HGET', KEYS[2], 'st')) or step_lost(ARGV[1], ARGV[2], ARGV[3])
if err then
  return err
end
if tonumber(call('HGET', sh, 'mv') or 0) < tonumber(ARGV[7]) then
  return { 2 }
end
local steps = K .. 'sp:' .. id
local at = call('HMGET', steps, '', key)
local round, bytes, step = 0, 0, at[2]
if at[1] then
  round, bytes = unpk('>I4I4', at[1])
end
if step and string.byte(step) == STEP_DONE then
  return { 1, round, string.sub(step, STEP_HEAD_BYTES + 1) }
end
if not step and call('HLEN', steps) > STEPS_MAX then -- the head is one of its fields
  return { 3 }
end
bytes = bytes + (step and 0 or #key + STEP_HEAD_BYTES)
call('HSET', steps, '', pack('>I4I4', round, bytes), key, pack('>BI2I6I6', STEP_BEGUN, tonumber(ARGV[5]), now, 0))
return { 0, round }
