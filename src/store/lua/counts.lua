#!lua flags=no-writes
-- How many jobs are in each state.
-- keys: {p:0}:sh
-- argv: (none)
-- returns: { pending, scheduled, running, retrying, paused, completed, dead, cancelled, sessions, history bytes }; scheduled counts the whole due
--   set, retrying is 0 when the set is larger than 1,000 (then it is not counted apart)
--#include "base.lua"
local pending, running = 0, 0
for lane = 1, call('LLEN', K .. 'lane') do
  for _, stream in ipairs({ 'l:', 'f:' }) do
    local key = K .. stream .. lane
    local n = call('EXISTS', key) == 1 and call('XPENDING', key, 'g')[1] or 0
    running = running + n
    pending = pending + call('XLEN', key) - n
  end
end
local due = call('ZCARD', K .. 'due')
local retrying = 0
if due <= 1000 then
  for _, rec in ipairs(call('HVALS', K .. 'due:h')) do
    if unpk('>I2', rec, 21) > 0 then
      retrying = retrying + 1
    end
  end
end
local rows, cancelled, bytes = 0, 0, 0
for _, n in ipairs(call('HVALS', K .. 'hr')) do
  rows = rows + n
end
for _, n in ipairs(call('HVALS', K .. 'hn')) do
  cancelled = cancelled + n
end
for _, n in ipairs(call('HVALS', K .. 'hz')) do
  bytes = bytes + n
end
return {
  pending, due - retrying, running, retrying, call('ZCARD', K .. 'paused'), rows - cancelled, call('ZCARD', K .. 'dead'), cancelled,
  call('ZCARD', K .. 'lease'), bytes,
}
