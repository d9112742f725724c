#!lua flags=no-writes
-- How many jobs are in each state: what waits and runs in a page of all lanes, and with the first page all the rest.
-- keys: {p:0}:sh
-- argv: number of the first lane, how many to look at
-- returns: { number of the next page's first lane (0 at the end), pending, scheduled, running, retrying, paused, completed, dead, cancelled, sessions,
--   history bytes }; scheduled counts the whole due set, retrying is 0 when the set is larger than 1,000 (then it is not counted apart)
--#include "base.lua"
--#include "places.lua"
local from, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local n = {} -- by state
for state = STATE_PENDING, STATE_CANCELLED do
  n[state] = 0
end
local lanes, streams = call('LLEN', K .. 'lane'), { 'l:', 'f:' }
local last = math.min(lanes, from + limit - 1)
for lane = from, last do
  for _, stream in ipairs(streams) do
    local key = K .. stream .. lane
    local all = call('XLEN', key)
    local running = all > 0 and call('XPENDING', key, 'g')[1] or 0
    n[STATE_RUNNING] = n[STATE_RUNNING] + running
    n[STATE_PENDING] = n[STATE_PENDING] + all - running
  end
end
local function sum(hash)
  local all = 0
  for _, some in ipairs(call('HVALS', K .. hash)) do
    all = all + some
  end
  return all
end
local out = { last < lanes and last + 1 or 0 }
local sessions, bytes = 0, 0
if from == 1 then
  for _, set in ipairs(sets) do
    local all, again = call('ZCARD', K .. set.name), 0
    for _, rec in ipairs(set.again and all <= 1000 and call('HVALS', K .. set.name .. ':h') or {}) do
      again = again + (record_runs(rec) > 0 and 1 or 0)
    end
    n[set.state] = n[set.state] + all - again
    if set.again then
      n[set.again] = n[set.again] + again
    end
  end
  n[STATE_CANCELLED] = sum('hn')
  n[STATE_COMPLETED] = sum('hr') - n[STATE_CANCELLED]
  sessions, bytes = call('ZCARD', K .. 'lease'), sum('hz')
end
for state = STATE_PENDING, STATE_CANCELLED do
  out[#out + 1] = n[state]
end
out[#out + 1] = sessions
out[#out + 1] = bytes
return out
