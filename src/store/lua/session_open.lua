#!lua flags=allow-oom
-- Open a session for a node: its lease runs from now.
-- keys: {p:0}:sh {p:0}:lease
-- argv: node_id info(JSON) lease_ms version(of the scripts, that the node knows)
-- returns: { session number, now_ms, value of x:<session>, value of hv, identity of the data ('' unknown) }, or DQSCHEMA
--#include "base.lua"
--#include "clock.lua"
--#include "identity.lua"
--#include "stats.lua"
local version = tonumber(ARGV[4])
if version < tonumber(call('HGET', sh, 'mv') or 0) then
  return redis.error_reply('DQSCHEMA the prefix asks for a newer dureq than this node is')
end
-- Numbers begin with the time (4 ms each, from 2025 on): where all was deleted, those of sessions that do not know it yet must not come again.
if call('HEXISTS', sh, 'ss') == 0 then
  call('HSET', sh, 'ss', string.format('%d', math.max(math.floor((now - 1735689600000) / 4), 0)))
end
local session = tostring(call('HINCRBY', sh, 'ss', 1))
call('HSET', K .. 's:' .. session, 'st', 'live', 'node', ARGV[1], 'info', ARGV[2], 'at', now, 'hb', now, 'n', 0, 'a', '', 'ver', version)
call('SET', K .. 'x:' .. session, 1)
call('HSET', K .. 'sn', session, ARGV[1])
if session % 64 == 0 then
  local old = {}
  for i = 1, 64 do
    old[i] = tostring(session - 10000 - i)
  end
  call('HDEL', K .. 'sn', unpack(old))
end
call('ZADD', KEYS[2], served(tonumber(ARGV[3])) + ARGV[3], session)
event_with('N' .. pack('>I6', now) .. 'j' .. ARGV[1], pack('>I6', tonumber(session)))
return { tonumber(session), now, '1', call('GET', K .. 'hv') or '', identity() }
