#!lua flags=allow-oom
-- End a session that has given everything back. Lanes it is still known in with something pending, or more lanes or late runs than a step
-- takes, are left to the reaper, which is told that the lease is over.
-- keys: {p:0}:sh {p:0}:s:SESSION {p:0}:lease
-- argv: session
-- returns: 1 when it is gone, 0 when the reaper does the rest
--#include "base.lua"
--#include "ids.lua"
--#include "late.lua"
--#include "stats.lua"
local LATE_DROPPED = 250
local session = ARGV[1]
local s = call('HMGET', KEYS[2], 'st', 'node')
if call('HGET', sh, 'tk') == session then
  call('HDEL', sh, 'tk', 'tu')
end
if s[1] ~= 'live' then
  return 0
end
local clean = true
local lanes = call('LLEN', K .. 'lane')
for lane = 1, math.min(lanes, 250) do
  call('SREM', K .. 'idle:' .. lane, session)
  for _, kind in ipairs({ 'l:', 'f:' }) do
    local key = K .. kind .. lane
    local pending = redis.pcall('XPENDING', key, 'g', '-', '+', 1, session)
    if not pending.err and #pending == 0 then
      call('XGROUP', 'DELCONSUMER', key, 'g', session)
    elseif not pending.err then
      clean = false
    end
  end
end
event_with('N' .. pack('>I6', now) .. 'c' .. (s[2] or ''), pack('>I6', tonumber(session)))
if clean and lanes <= 250 and late_drop(session, LATE_DROPPED) < LATE_DROPPED then
  call('UNLINK', KEYS[2], K .. 'x:' .. session, K .. 'run:' .. session, K .. 'cx:' .. session)
  call('ZREM', KEYS[3], session)
  return 1
end
call('HSET', KEYS[2], 'st', 'reaping', 'lane', 1)
call('UNLINK', K .. 'x:' .. session)
call('ZADD', KEYS[3], 0, session)
return 0
