#!lua flags=no-writes
-- Sessions of a shard.
-- keys: {p:0}:sh {p:0}:lease
-- argv: session...; none: only the numbers of all are asked for
-- returns: { session... }, or for each that is still there { session, node id, info, dyn, opened ms, heartbeat ms, state, leader(1|0),
--   draining(1|0), too old(1|0) }
--#include "base.lua"
if #ARGV == 0 then
  return call('ZRANGE', KEYS[2], 0, -1)
end
local out = {}
local head = call('HMGET', sh, 'tk', 'mv')
local leader, least = head[1], tonumber(head[2] or 0)
for _, s in ipairs(ARGV) do
  local v = call('HMGET', K .. 's:' .. s, 'node', 'info', 'dyn', 'at', 'hb', 'st', 'ver')
  if v[1] then
    out[#out + 1] = {
      s, v[1], v[2] or '', v[3] or '', v[4] or '0', v[5] or '0', v[6] or '', leader == s and 1 or 0, call('SISMEMBER', K .. 'nodes:drain', v[1]),
      tonumber(v[7] or 0) < least and 1 or 0,
    }
  end
end
return out
