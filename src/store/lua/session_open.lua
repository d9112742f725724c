#!lua flags=allow-oom
-- Open a session for a node: its lease runs from now.
-- keys: {p:0}:sh {p:0}:lease
-- argv: node_id info(JSON) lease_ms
-- returns: { session number, now_ms, value of x:<session>, value of hv }
--#include "base.lua"
--#include "clock.lua"
--#include "stats.lua"
local session = tostring(call('HINCRBY', sh, 'ss', 1))
call('HSET', K .. 's:' .. session, 'st', 'live', 'node', ARGV[1], 'info', ARGV[2], 'at', now, 'hb', now, 'n', 0, 'a', '')
-- Not from 1: where all was deleted, the number of a session goes to another one, which must not look like it.
local x = string.format('%.0f', now * 1000)
call('SET', K .. 'x:' .. session, x)
call('HSET', K .. 'sn', session, ARGV[1])
if session % 64 == 0 then
  local old = {}
  for i = 1, 64 do
    old[i] = tostring(session - 10000 - i)
  end
  call('HDEL', K .. 'sn', unpack(old))
end
call('ZADD', KEYS[2], served(tonumber(ARGV[3])) + ARGV[3], session)
event('N' .. pack('>I6', now) .. 'j' .. ARGV[1])
return { tonumber(session), now, x, call('GET', K .. 'hv') or '' }
