
-- Hand over jobs that are due, and paused ones whose pause is over, to the front streams of their lanes.
-- keys: {p:0}:sh {p:0}:due {p:0}:due:h {p:0}:paused {p:0}:paused:h
-- argv: session epoch limit bytes_max
-- returns: { now_ms, n moved, ms of the next due job (-1 none), ms of the next resume (-1 none) }, or DQFENCED
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
local function record(m, j)
  return pack('>I4', #m) .. m .. j
end
local function record_split(rec)
  local n = unpk('>I4', rec)
  return string.sub(rec, 5, 4 + n), string.sub(rec, 5 + n)
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
local function count(field, n)
  local minute = K .. 'st:' .. math.floor(now / 60000)
  if call('HINCRBY', minute, field, n) == tonumber(n) then
    call('PEXPIRE', minute, MINUTE_KEPT_MS)
  end
end
local function event(text)
  call('XADD', K .. 'ev', 'MAXLEN', '~', call('HGET', sh, 'en') or 16384, '*', 'e', text)
end
-- Refuse a ticker that was replaced. Evaluates to nil, or the error to return.
local function ticker_fenced(session, epoch)
  local t = call('HMGET', sh, 'tk', 'te')
  if t[1] ~= session or t[2] ~= epoch then
    return redis.error_reply('DQFENCED another session is the ticker of this shard')
  end
end
-- Wake at most n of the sessions that wait for work of this lane.
local function wake(lane, n)
  local idle = call('SPOP', K .. 'idle:' .. lane, n)
  for i = 1, #idle do
    redis.pcall('SPUBLISH', K .. 'w:' .. idle[i], 'L' .. lane)
  end
end
local err = ticker_fenced(ARGV[1], ARGV[2])
if err then
  return err
end
local left, bytes = tonumber(ARGV[3]), tonumber(ARGV[4])
local moved, woken = {}, {}

local function promote(set, records, resumed)
  if left <= 0 or bytes <= 0 then
    return
  end
  local gone = {}
  for _, id in ipairs(call('ZRANGE', set, '-inf', now, 'BYSCORE', 'LIMIT', 0, left)) do
    local rec = call('HGET', records, id)
    if rec then
      local _, _, lane = id_unpack(id)
      local m, j = record_split(rec)
      if resumed then
        m = string.sub(m, 1, 20) .. '\0\0' .. string.sub(m, 23)
        redis.pcall('SPUBLISH', K .. 'w:' .. ARGV[1], 'U' .. id)
      end
      front_add(lane, moved_at(m, now, unpk('>I6', m, 29)), j)
      woken[lane] = (woken[lane] or 0) + 1
      moved[#moved + 1] = id
      bytes = bytes - #rec
    end
    gone[#gone + 1] = id
    left = left - 1
    if bytes <= 0 then
      break
    end
  end
  if #gone > 0 then
    call('ZREM', set, unpack(gone))
    call('HDEL', records, unpack(gone))
  end
end
promote(KEYS[2], KEYS[3], false)
promote(KEYS[4], KEYS[5], true)

if #moved > 0 then
  event('R' .. pack('>I6', now) .. table.concat(moved))
end
for lane, n in pairs(woken) do
  wake(lane, n)
end
local function first(set)
  local at = tonumber(call('ZRANGE', set, 0, 0, 'WITHSCORES')[2])
  return at and at < math.huge and at or -1
end
return { now, #moved, first(KEYS[2]), first(KEYS[4]) }
