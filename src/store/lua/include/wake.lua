-- How many jobs of this lane a session can begin, from what it last said of its free slots and of its handler's limit. One that is full, or of a
-- version that does not say, counts as one.
local function slots_of(free, most)
  return math.max(math.min(tonumber(free or 1), tonumber(most or free or 1)), 1)
end
-- Wake as many of the sessions that wait for work of this lane as n jobs need. Who finds no slot left passes it on with its next turn.
local function wake(lane, n)
  while n > 0 do
    local session = call('SPOP', K .. 'idle:' .. lane)
    if not session then
      return
    end
    local s = call('HMGET', K .. 's:' .. session, 'fs', 'c' .. lane)
    n = n - slots_of(s[1], s[2])
    redis.pcall('SPUBLISH', K .. 'w:' .. session, 'L' .. lane)
  end
end
