#!lua
-- Ask a node to take no more work, or to take it again.
-- keys: {p:0}:sh
-- argv: actor node_id drain('1' or '')
-- returns: how many live sessions the node has here
--#include "base.lua"
--#include "stats.lua"
--#include "audit.lua"
local n = 0
for _, s in ipairs(call('ZRANGE', K .. 'lease', 0, -1)) do
  if call('HGET', K .. 's:' .. s, 'node') == ARGV[2] then
    n = n + 1
    redis.pcall('SPUBLISH', K .. 'w:' .. s, 'R' .. ARGV[3])
  end
end
if ARGV[3] == '1' then
  call('SADD', K .. 'nodes:drain', ARGV[2])
else
  call('SREM', K .. 'nodes:drain', ARGV[2])
end
audit(ARGV[1], ARGV[3] == '1' and 'node.drain' or 'node.undrain', ARGV[2])
return n
