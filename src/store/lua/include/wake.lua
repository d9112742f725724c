-- Wake at most n of the sessions that wait for work of this lane.
local function wake(lane, n)
  local idle = call('SPOP', K .. 'idle:' .. lane, n)
  for i = 1, #idle do
    redis.pcall('SPUBLISH', K .. 'w:' .. idle[i], 'L' .. lane)
  end
end
