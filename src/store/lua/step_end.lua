#!lua flags=allow-oom
-- A step of a job is done: what it gave is kept, and given back to whoever runs the job again.
-- keys: {p:0}:sh {p:0}:s:SESSION
-- argv: session stream entry id run key result
-- returns: 0, or 1 when the results of all its steps would be too many bytes; or DQFENCED
--#include "base.lua"
--#include "session.lua"
--#include "steps.lua"
local id, key, result = ARGV[4], ARGV[6], ARGV[7]
local err = fenced(call('HGET', KEYS[2], 'st')) or step_lost(ARGV[1], ARGV[2], ARGV[3])
if err then
  return err
end
local steps = K .. 'sp:' .. id
local at = call('HMGET', steps, '', key)
local round, bytes = 0, 0
if at[1] then
  round, bytes = unpk('>I4I4', at[1])
end
local began = at[2] and unpk('>I6', at[2], 4) or now
bytes = bytes + STEP_HEAD_BYTES + #result - (at[2] and #at[2] or -#key)
if bytes > STEPS_BYTES_MAX then
  return 1
end
call('HSET', steps, '', pack('>I4I4', round, bytes), key, pack('>BI2I6I6', STEP_DONE, tonumber(ARGV[5]), began, now) .. result)
return 0
