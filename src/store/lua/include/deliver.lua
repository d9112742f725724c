-- Behind n jobs added to a lane: wake as many of the sessions that wait for its work. A few go out in the very message that wakes: the session
-- need not come back to read them. Its gate is asked here: is it alive, does it listen, is nothing paused. Whether it has a slot left
-- only it knows, and gives the job back if not.
local function deliver(lane, n)
  local idle = call('SPOP', K .. 'idle:' .. lane, n)
  local few = #idle > 0 and tonumber(n) <= 4 and call('EXISTS', K .. 'paused_queues') == 0
  for _, session in ipairs(idle) do
    local channel, job = K .. 'w:' .. session, nil
    if
      few
      and redis.acl_check_cmd('SPUBLISH', channel, '')
      and call('HGET', K .. 's:' .. session, 'st') == 'live'
      and call('PUBSUB', 'SHARDNUMSUB', channel)[2] == 1
    then
      local read = call('XREADGROUP', 'GROUP', 'g', session, 'COUNT', 1, 'STREAMS', K .. 'l:' .. lane, '>')
      job = read and read[1][2][1]
    end
    if job then
      local ms, seq = string.match(job[1], '(%d+)-(%d+)')
      redis.pcall('SPUBLISH', channel, 'J' .. pack('>I3I6I4', tonumber(lane), tonumber(ms), tonumber(seq)) .. job[2][2])
    else
      redis.pcall('SPUBLISH', channel, 'L' .. lane)
    end
  end
end
