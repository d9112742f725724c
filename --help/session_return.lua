
-- Give jobs of a session back: those it read and did not start, or whose handler did not end in time at a shutdown. No attempt is spent.
-- keys: {p:0}:sh {p:0}:s:SESSION
-- argv: session shard (stream entry started('1' its handler ran))...
-- returns: { n given back, value of x:<session> behind it }; entries that are not this session's any more are left alone; or DQFENCED
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
-- Hand a job over to whoever is next: a new entry of the lane's front stream, and its locator. `m` is the moved part
-- (docs/redis-keys.md), whose bytes 2 to 14 are the job's id.
local function front_add(lane, m, j)
  local entry = call('XADD', K .. 'f:' .. lane, '*', 'm', m, 'j', j)
  call('HSET', K .. 'loc', string.sub(m, 2, 14), entry)
end
-- The moved part of a job that has none yet: it was enqueued to run at once and never left its lane.
local function moved_fresh(id, ready_ms)
  return '\1' .. id .. pack('>I2I2BBI2I6I6BB', 0, 0, 0, 0, 0, ready_ms, 0, 0, 0)
end
-- The same with other ready and due times.
local function moved_at(m, ready_ms, due_ms)
  return string.sub(m, 1, 22) .. pack('>I6I6', ready_ms, due_ms) .. string.sub(m, 35)
end
-- Refuse whoever lost its lease: the reaper's mark in the session's hash is the only truth about that. Evaluates to nil, or the
-- error to return.
local function fenced(state)
  if state ~= 'live' then
    return redis.error_reply('DQFENCED this session lost its lease')
  end
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
-- Wake at most n of the sessions that wait for work of this lane.
local function wake(lane, n)
  local idle = call('SPOP', K .. 'idle:' .. lane, n)
  for i = 1, #idle do
    redis.pcall('SPUBLISH', K .. 'w:' .. idle[i], 'L' .. lane)
  end
end
local session, shard = ARGV[1], tonumber(ARGV[2])
local err = fenced(call('HGET', KEYS[2], 'st'))
if err then
  return err
end

local done, woken = {}, {}
local function give_back(stream, entry, started)
  local key, lane = K .. stream, tonumber(string.sub(stream, 3))
  local mine = call('XPENDING', key, 'g', entry, entry, 1)[1]
  if not mine or mine[2] ~= session then
    return
  end
  local found = call('XRANGE', key, entry, entry)[1]
  call('XACK', key, 'g', entry)
  if not found then
    return
  end
  call('XDEL', key, entry)
  local m, j
  for i = 1, #found[2], 2 do
    if found[2][i] == 'j' then
      j = found[2][i + 1]
    else
      m = found[2][i + 1]
    end
  end
  if not m then
    local ms, seq = string.match(entry, '(%d+)-(%d+)')
    m = moved_fresh(id_pack(tonumber(ms), tonumber(seq), lane, shard), tonumber(ms))
  end
  if started then
    m = string.sub(m, 1, 16) .. pack('>I2', math.min(unpk('>I2', m, 17) + 1, 65535)) .. string.sub(m, 19)
  end
  local id = string.sub(m, 2, 14)
  call('HDEL', K .. 'run:' .. session, id)
  call('HDEL', K .. 'pg', id)
  front_add(lane, m, j)
  woken[lane] = (woken[lane] or 0) + 1
  done[#done + 1] = id
end
for i = 3, #ARGV, 3 do
  give_back(ARGV[i], ARGV[i + 1], ARGV[i + 2] == '1')
end
if #done > 0 then
  call('INCR', K .. 'x:' .. session)
  event('B' .. pack('>I6I6', now, tonumber(session)) .. table.concat(done))
end
for lane, n in pairs(woken) do
  wake(lane, n)
end
return { #done, tonumber(call('GET', K .. 'x:' .. session) or 0) }
