-- After n jobs were added to a lane: wake as many of the sessions that wait for its work as the jobs need by their free slots. A few jobs go out in the
-- very message that wakes: the session need not come back to read them. Its gate is asked here: is it alive, does it listen, is nothing paused. Whether
-- it has a slot left only it knows for sure, and gives the job back if not.
--#include "wake.lua"
local function deliver(lane, n)
  local left, few = tonumber(n), nil
  while left > 0 do
    local session = call('SPOP', K .. 'idle:' .. lane)
    if not session then
      return
    end
    if few == nil then
      few = left <= 4 and call('EXISTS', K .. 'paused_queues') == 0
    end
    local channel, job = K .. 'w:' .. session, nil
    local s = call('HMGET', K .. 's:' .. session, 'st', 'fs', 'c' .. lane)
    if
      few
      and s[2] ~= '0'
      and redis.acl_check_cmd('SPUBLISH', channel, '')
      and s[1] == 'live'
      and call('PUBSUB', 'SHARDNUMSUB', channel)[2] == 1
    then
      local read = call('XREADGROUP', 'GROUP', 'g', session, 'COUNT', 1, 'STREAMS', K .. 'l:' .. lane, '>')
      job = read and read[1][2][1]
    end
    if job then
      local ms, seq = string.match(job[1], '(%d+)-(%d+)')
      redis.pcall('SPUBLISH', channel, 'J' .. pack('>I3I6I4', tonumber(lane), tonumber(ms), tonumber(seq)) .. job[2][2])
      left = left - 1
    else
      redis.pcall('SPUBLISH', channel, 'L' .. lane)
      left = left - slots_of(s[2], s[3])
    end
  end
end
