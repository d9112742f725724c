#!lua flags=no-writes
-- The sessions of a shard.
-- keys: {p:0}:sh {p:0}:lease
-- argv: (none)
-- returns: for each { session, node id, info, dyn, opened ms, heartbeat ms, state, ticker(1|0), draining(1|0) }
--#include "base.lua"
local out = {}
local ticker = call('HGET', sh, 'tk')
for i, s in ipairs(call('ZRANGE', KEYS[2], 0, 999)) do
  local v = call('HMGET', K .. 's:' .. s, 'node', 'info', 'dyn', 'at', 'hb', 'st')
  out[i] = {
    s, v[1] or '', v[2] or '', v[3] or '', v[4] or '0', v[5] or '0', v[6] or '', ticker == s and 1 or 0,
    call('SISMEMBER', K .. 'nodes:drain', v[1] or ''),
  }
end
return out
