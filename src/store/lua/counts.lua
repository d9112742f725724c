#!lua flags=no-writes
-- How many jobs are in each state.
-- keys: {p:0}:sh
-- argv: (none)
-- returns: { pending, scheduled, running, retrying, paused, completed, dead, cancelled, sessions, history bytes }; scheduled counts the whole due
--   set, retrying is 0 when the set is larger than 1,000 (then it is not counted apart)
--#include "base.lua"
--#include "places.lua"
local n = {} -- by state
for state = STATE_PENDING, STATE_CANCELLED do
  n[state] = 0
end
for lane = 1, call('LLEN', K .. 'lane') do
  for _, stream in ipairs({ 'l:', 'f:' }) do
    local key = K .. stream .. lane
    local running = call('EXISTS', key) == 1 and call('XPENDING', key, 'g')[1] or 0
    n[STATE_RUNNING] = n[STATE_RUNNING] + running
    n[STATE_PENDING] = n[STATE_PENDING] + call('XLEN', key) - running
  end
end
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
local function sum(hash)
  local all = 0
  for _, some in ipairs(call('HVALS', K .. hash)) do
    all = all + some
  end
  return all
end
n[STATE_CANCELLED] = sum('hn')
n[STATE_COMPLETED] = sum('hr') - n[STATE_CANCELLED]
local out = {}
for state = STATE_PENDING, STATE_CANCELLED do
  out[#out + 1] = n[state]
end
out[#out + 1] = call('ZCARD', K .. 'lease')
out[#out + 1] = sum('hz')
return out
