#!lua flags=no-writes
-- Which lanes have jobs that nobody was given yet: a page of all lanes.
-- keys: {p:0}:sh
-- argv: number of the first lane, how many to look at
-- returns: { number of the next page's first lane (0 at the end), then name and jobs of each lane where some wait }
--#include "base.lua"
--#include "undelivered.lua"
local from, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local names = call('LRANGE', K .. 'lane', from - 1, from + limit - 2)
local out = { #names == limit and from + limit or 0 }
for i, name in ipairs(names) do
  local waiting = 0
  for _, stream in ipairs({ 'f:', 'l:' }) do
    local key = K .. stream .. (from + i - 1)
    local n = call('XLEN', key)
    waiting = waiting + (n > 0 and math.max(n - group_of(key).pending, 0) or 0)
  end
  if waiting > 0 then
    out[#out + 1] = name
    out[#out + 1] = waiting
  end
end
return out
