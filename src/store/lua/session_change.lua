#!lua flags=allow-oom
-- What a session serves has changed: what it tells of itself, and lanes whose jobs it does not wait for any more.
-- keys: {p:0}:sh {p:0}:s:SESSION
-- argv: session info(JSON) lane...
-- returns: 1, or DQFENCED
--#include "base.lua"
--#include "session.lua"
local err = fenced(call('HGET', KEYS[2], 'st'))
if err then
  return err
end
call('HSET', KEYS[2], 'info', ARGV[2])
for i = 3, #ARGV do
  call('SREM', K .. 'idle:' .. ARGV[i], ARGV[1])
  call('HDEL', KEYS[2], 'c' .. ARGV[i])
end
return 1
