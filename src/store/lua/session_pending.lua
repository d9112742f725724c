#!lua flags=no-writes
-- What is pending for a session: to compare with what it holds, after its connection was lost.
-- keys: {p:0}:sh
-- argv: session limit lane...
-- returns: { stream, entry, stream, entry, ... }; no more than limit entries a stream
--#include "base.lua"
local out = {}
for i = 3, #ARGV do
  for _, kind in ipairs({ 'l:', 'f:' }) do
    local stream = kind .. ARGV[i]
    local pending = redis.pcall('XPENDING', K .. stream, 'g', '-', '+', ARGV[2], ARGV[1])
    if not pending.err then
      for _, p in ipairs(pending) do
        out[#out + 1] = stream
        out[#out + 1] = p[1]
      end
    end
  end
end
return out
