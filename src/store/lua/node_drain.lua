#!lua
-- Ask a node to take no more work, or to take it again: a note that each of its heartbeats reads, and a message to its sessions among some.
-- keys: {p:0}:sh
-- argv: actor node_id drain('1' or '') first('1' the note too) session...
-- returns: how many of these sessions are the node's
--#include "base.lua"
--#include "audit.lua"
if ARGV[4] == '1' then
  if ARGV[3] == '1' then
    call('SADD', K .. 'nodes:drain', ARGV[2])
  else
    call('SREM', K .. 'nodes:drain', ARGV[2])
  end
  audit(ARGV[1], ARGV[3] == '1' and 'node.drain' or 'node.undrain', ARGV[2])
end
local n = 0
for i = 5, #ARGV do
  if call('HGET', K .. 's:' .. ARGV[i], 'node') == ARGV[2] then
    n = n + 1
    redis.pcall('SPUBLISH', K .. 'w:' .. ARGV[i], 'R' .. ARGV[3])
  end
end
return n
