
-- The second half of a producer's plain call: in one MULTI behind the XADDs of jobs that run now and hold no keys. Checks that the
-- call is new and that lanes and queues are as the producer knew them; else takes the entries out again before anyone saw them.
-- Payloads too large for an entry were set under names of the call's own, in the same MULTI; they are renamed after the ids of their jobs.
-- keys: {p:0}:sh {p:0}:p:PRODUCER {p:0}:b:NAME ...
-- argv: call_no token shard n_lanes (lane n_added)... then for each payload key: lane and place of its job among those added to the lane, from 0
-- returns: 'N': accepted, the ids are those the XADDs gave; '' when token is out of date (nothing was added: use enqueue). For a repeat
--   (nothing was added) the answer that was kept: 'S' call_no I6, then for each run of ids: lane I3, ms I6, first seq I4, n I2, in the order
--   of the jobs of each lane; or enqueue's
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
-- A job's 13-byte id: ms 6 bytes, then sequence 28 bits, lane 18, shard 10.
local function id_pack(ms, seq, lane, shard)
  return pack('>I6I4I3', ms, seq * 16 + math.floor(lane / 16384), lane % 16384 * 1024 + shard)
end
local function id_unpack(id)
  local ms, a, b = unpk('>I6I4I3', id)
  return ms, math.floor(a / 16), a % 16 * 16384 + math.floor(b / 1024)
end
local function count(field, n)
  local minute = K .. 'st:' .. math.floor(now / 60000)
  if call('HINCRBY', minute, field, n) == tonumber(n) then
    call('PEXPIRE', minute, MINUTE_KEPT_MS)
  end
end
local function event(text)
  call('XADD', K .. 'ev', 'MAXLEN', '~', call('HGET', sh, 'en') or 16384, '*', 'e', text)
end
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
local call_no, shard = tonumber(ARGV[1]), tonumber(ARGV[3])
local lanes_end = 4 + 2 * ARGV[4]
local slot = call_no % 64
local seen = call('HMGET', KEYS[2], 'n', slot)
local stale = call('HGET', sh, 'v') ~= ARGV[2]
local repeated = seen[1] and call_no <= tonumber(seen[1])

if stale or repeated then
  if KEYS[3] then
    call('UNLINK', unpack(KEYS, 3))
  end
  for i = 5, lanes_end, 2 do
    local entries = call('XREVRANGE', K .. 'l:' .. ARGV[i], '+', '-', 'COUNT', ARGV[i + 1])
    for e = 1, #entries do
      call('XDEL', K .. 'l:' .. ARGV[i], entries[e][1])
    end
  end
  if not repeated then
    return ''
  end
  if seen[2] and unpk('>I6', seen[2], 2) == call_no then
    return seen[2]
  end
  return redis.error_reply('DQUNKNOWN this call is too old to know what became of it')
end

local runs, runs_of = {}, {}
for i = 5, lanes_end, 2 do
  local lane, left, upto = ARGV[i], tonumber(ARGV[i + 1]), '+'
  local of_lane, packed = {}, {}
  runs_of[lane] = of_lane
  while left > 0 do
    local last = call('XREVRANGE', K .. 'l:' .. lane, upto, '-', 'COUNT', 1)[1][1]
    local ms, seq = string.match(last, '(%d+)-(%d+)')
    local n = math.min(left, seq + 1)
    if n < left then
      upto = '(' .. ms .. '-0'
    end
    left = left - n
    table.insert(packed, 1, pack('>I3I6I4I2', tonumber(lane), tonumber(ms), seq - n + 1, n)) -- found last to first
    of_lane[#of_lane + 1] = { left, ms, seq - n + 1 }
  end
  runs[#runs + 1] = table.concat(packed)
  count(lane .. ':e', ARGV[i + 1])
end
for i = 3, #KEYS do
  local lane, place = ARGV[lanes_end + 2 * i - 5], tonumber(ARGV[lanes_end + 2 * i - 4])
  local r = 1
  while runs_of[lane][r][1] > place do -- runs are in reverse: the first that begins at this place or before
    r = r + 1
  end
  local first, ms, seq = unpack(runs_of[lane][r])
  call('RENAME', KEYS[i], K .. 'b:' .. id_pack(tonumber(ms), seq + place - first, tonumber(lane), shard))
end
local answer = 'S' .. pack('>I6', call_no) .. table.concat(runs)
call('HSET', KEYS[2], 'n', call_no, slot, answer)
call('PEXPIRE', KEYS[2], PRODUCER_KEPT_MS)
event('E' .. pack('>I6', now) .. string.sub(answer, 8))
for i = 5, lanes_end, 2 do
  deliver(ARGV[i], ARGV[i + 1])
end
return 'N'
