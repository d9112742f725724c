
-- How full queues are in one shard.
-- keys: {p:0}:sh
-- argv: queue...
-- returns: for each { pending, running, ms since when the longest waiting job could run (-1: none waits) }, then now_ms
-- Numbers that scripts share with each other or with C (model/job.h, model/id.h; a test compares). The build puts each where its name stands,
-- so a name costs nothing.
local ROW_OVERHEAD = 110 -- bytes that a history row costs beside itself
local ID_SEQ_DUE = 134217728 -- first sequence of jobs that start in the due set
local LIST_BYTES = 262144 -- of jobs that a call with a list moves
local RETENTION_DEFAULT_MS = 604800000
local HISTORY_DEFAULT_BYTES = 1073741824
local PRODUCER_KEPT_MS = 3600000 -- after its last call
local REQUEST_WINDOW_MS = 3600000
local MINUTE_KEPT_MS = 172800000 -- statistics of a minute that nobody has summed yet
local MINUTES_BACK = 2880 -- so many minutes, or hours, back there may be some that nobody has summed
local HOURS_BACK = 720
local sh = KEYS[1]
local K = string.sub(sh, 1, -3)
-- Messages go by redis.pcall: they are hints, and one that may not be sent must not break off a step.
local call, pack, unpk = redis.call, struct.pack, struct.unpack
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- Entries of a stream that nobody was given yet: those behind the group's last delivered id.
local function group_of(key)
  local found = redis.pcall('XINFO', 'GROUPS', key)
  local g = { pending = 0, last = '0-0' }
  if found.err or not found[1] then
    return g
  end
  for i = 1, #found[1], 2 do
    if found[1][i] == 'pending' then
      g.pending = found[1][i + 1]
    elseif found[1][i] == 'last-delivered-id' then
      g.last = found[1][i + 1]
    end
  end
  return g
end
local function undelivered(key, n)
  return call('XRANGE', key, '(' .. group_of(key).last, '+', 'COUNT', n)
end
local out = {}
for i = 1, #ARGV do
  local pending, running, oldest = 0, 0, -1
  for _, lane in ipairs(call('SMEMBERS', K .. 'ql:' .. ARGV[i])) do
    for _, stream in ipairs({ 'f:', 'l:' }) do
      local key = K .. stream .. lane
      local g = group_of(key)
      local waiting = math.max(call('XLEN', key) - g.pending, 0)
      pending = pending + waiting
      running = running + g.pending
      local first = waiting > 0 and call('XRANGE', key, '(' .. g.last, '+', 'COUNT', 1)[1]
      if first then
        local since = tonumber(string.match(first[1], '^%d+'))
        if first[2][1] == 'm' then
          since = unpk('>I6', first[2][2], 23)
        end
        if oldest < 0 or since < oldest then
          oldest = since
        end
      end
    end
  end
  out[i] = { pending, running, oldest }
end
out[#ARGV + 1] = now
return out
