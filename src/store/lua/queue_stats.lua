#!lua flags=no-writes
-- How full queues are in one shard.
-- keys: {p:0}:sh
-- argv: queue...
-- returns: for each { pending, running, ms since when the longest waiting job could run (-1: none waits) }, then now_ms
--#include "base.lua"
--#include "moved.lua"
--#include "undelivered.lua"
local out = {}
for i = 1, #ARGV do
  local pending, running, oldest = 0, 0, -1
  for _, lane in ipairs(call('SMEMBERS', K .. 'ql:' .. ARGV[i])) do
    for _, stream in ipairs({ 'f:', 'l:' }) do
      local key = K .. stream .. lane
      local g = group_of(key)
      local waiting = math.max(call('XLEN', key) - g.pending, 0)
      pending = pending + waiting
      running = running + g.pending
      local first = waiting > 0 and call('XRANGE', key, '(' .. g.last, '+', 'COUNT', 1)[1]
      if first then
        local since = tonumber(string.match(first[1], '^%d+'))
        if first[2][1] == 'm' then
          since = moved_fields(first[2][2]).ready
        end
        if oldest < 0 or since < oldest then
          oldest = since
        end
      end
    end
  end
  out[i] = { pending, running, oldest }
end
out[#ARGV + 1] = now
return out
