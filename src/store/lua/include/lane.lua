-- Lanes are made when their first job comes; a queue with a limit has room for so many more.
--#include "undelivered.lua"
-- Room left in a queue with a limit: what waits is what is in its streams and not delivered.
local function room_of(queue, limit)
  local waiting = 0
  for _, no in ipairs(call('SMEMBERS', K .. 'ql:' .. queue)) do
    for _, key in ipairs({ K .. 'l:' .. no, K .. 'f:' .. no }) do
      waiting = waiting + call('XLEN', key) - group_of(key).pending
    end
  end
  return limit - waiting
end

-- nil: there are as many as an id can name, and none is ever given to another.
local function lane_make(name, queue)
  if call('LLEN', K .. 'lane') >= LANE_MAX then
    return nil
  end
  local no = call('RPUSH', K .. 'lane', name)
  call('HSET', K .. 'lanes', name, no)
  call('SADD', K .. 'ql:' .. queue, no)
  call('XGROUP', 'CREATE', K .. 'l:' .. no, 'g', '0', 'MKSTREAM')
  call('XGROUP', 'CREATE', K .. 'f:' .. no, 'g', '0', 'MKSTREAM')
  redis.pcall('SPUBLISH', K .. 'ctl', 'N' .. no)
  return no
end
