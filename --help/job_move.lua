
-- Run now, reschedule, pause or resume a job that does not run.
-- keys: {p:0}:sh
-- argv: actor verb('run' 'reschedule' 'pause' 'resume', or 'delay': reschedule to at_ms from now) at_ms shard id...
-- returns: for each, or the first of them (list.lua), 0, -3 (no such job) or -4 (running or ended; not paused, for resume; paused, for the others)
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
-- A call with a list does as much of it as keeps the call short, and answers for that much; its caller sends the rest again.
local list_room = LIST_BYTES
local function list_full(moved)
  list_room = list_room - #(moved or '')
  return list_room <= 0
end
-- A job's 13-byte id: ms 6 bytes, then sequence 28 bits, lane 18, shard 10.
local function id_pack(ms, seq, lane, shard)
  return pack('>I6I4I3', ms, seq * 16 + math.floor(lane / 16384), lane % 16384 * 1024 + shard)
end
local function id_unpack(id)
  local ms, a, b = unpk('>I6I4I3', id)
  return ms, math.floor(a / 16), a % 16 * 16384 + math.floor(b / 1024)
end
-- Where a row is: key, row, bucket; nil when there is none.
local function history_find(id)
  local ms = unpk('>I6', id)
  for _, b in ipairs(call('ZREVRANGE', K .. 'hx', 0, -1)) do
    local bucket, width = string.match(b, '^(%d+):%d+:(%d+)$')
    local key = K .. 'h:' .. bucket .. ':' .. string.format('%d', math.floor(ms / width))
    local row = call('HGET', key, id)
    if row then
      return key, row, bucket
    end
  end
end
local function record(m, j)
  return pack('>I4', #m) .. m .. j
end
local function record_split(rec)
  local n = unpk('>I4', rec)
  return string.sub(rec, 5, 4 + n), string.sub(rec, 5 + n)
end
-- Where a job is. Returns its place ('lane', 'front', 'due', 'paused', 'dead', 'history' or nil), then m and j (for dead and history: nil and
-- the row); for lane and front also key, entry and the session it was delivered to (nil: it waits); for history key and bucket.
local function delivered(key, entry)
  local p = call('XPENDING', key, 'g', entry, entry, 1)
  return p[1] and p[1][2] or nil
end
local function fields_of(e)
  local m, j
  for i = 1, #e, 2 do
    if e[i] == 'j' then
      j = e[i + 1]
    else
      m = e[i + 1]
    end
  end
  return m, j
end
local function locate(id)
  local ms, seq, lane = id_unpack(id)
  local entry, key
  if seq < ID_SEQ_DUE then
    entry, key = string.format('%d-%d', ms, seq), K .. 'l:' .. lane
    local e = call('XRANGE', key, entry, entry)
    if e[1] then
      local m, j = fields_of(e[1][2])
      return 'lane', m, j, key, entry, delivered(key, entry)
    end
  end
  entry = call('HGET', K .. 'loc', id)
  if entry then
    key = K .. 'f:' .. lane
    local e = call('XRANGE', key, entry, entry)
    if e[1] then
      local m, j = fields_of(e[1][2])
      return 'front', m, j, key, entry, delivered(key, entry)
    end
  end
  for _, place in ipairs({ 'due', 'paused' }) do
    local rec = call('HGET', K .. place .. ':h', id)
    if rec then
      local m, j = record_split(rec)
      return place, m, j
    end
  end
  local row = call('HGET', K .. 'dead:h', id)
  if row then
    return 'dead', nil, row
  end
  local hkey, hrow, bucket = history_find(id)
  if hrow then
    return 'history', nil, hrow, hkey, bucket
  end
end
-- Take a living job out of the structure it is in. `session` is whose it was when it ran: that session is told, and its watched key is
-- touched, so that what it still sends of this job is refused.
local function take(id, place, key, entry, session)
  if place == 'lane' or place == 'front' then
    if session then
      call('XACK', key, 'g', entry)
      if call('EXISTS', K .. 'x:' .. session) == 1 then -- else it is being reaped
        call('INCR', K .. 'x:' .. session)
      end
      call('HDEL', K .. 'run:' .. session, id)
      call('HDEL', K .. 'pg', id)
    end
    call('XDEL', key, entry)
    if place == 'front' then
      call('HDEL', K .. 'loc', id)
    end
  elseif place == 'due' or place == 'paused' then
    call('ZREM', K .. place, id)
    call('HDEL', K .. place .. ':h', id)
  end
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
-- Wake at most n of the sessions that wait for work of this lane.
local function wake(lane, n)
  local idle = call('SPOP', K .. 'idle:' .. lane, n)
  for i = 1, #idle do
    redis.pcall('SPUBLISH', K .. 'w:' .. idle[i], 'L' .. lane)
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
-- An operator's action, kept 30 days (housekeeping trims by time).
local function audit(actor, action, target, detail)
  call('XADD', K .. 'au', '*', 'at', now, 'actor', actor, 'action', action, 'target', target, 'detail', detail or '')
end
local actor, verb, at = ARGV[1], ARGV[2], tonumber(ARGV[3])
if verb == 'delay' then
  verb, at = 'reschedule', now + at
end
local at_text = string.format('%.0f', at)
local out, done, ready = {}, {}, {}
for i = 5, #ARGV do
  local id = ARGV[i]
  local place, m, j, key, entry, session = locate(id)
  local movable = place and place ~= 'dead' and place ~= 'history' and not session
  if movable and verb == 'resume' then
    movable = place == 'paused'
  elseif movable then
    movable = place ~= 'paused'
  end
  if not place then
    out[i - 4] = -3
  elseif not movable then
    out[i - 4] = -4
  else
    local _, _, lane = id_unpack(id)
    take(id, place, key, entry)
    m = m or moved_fresh(id, now)
    if verb == 'run' or verb == 'resume' then
      if verb == 'resume' then
        m = string.sub(m, 1, 20) .. '\0\0' .. string.sub(m, 23)
        local ticker = call('HGET', sh, 'tk')
        if ticker then
          redis.pcall('SPUBLISH', K .. 'w:' .. ticker, 'U' .. id)
        end
      end
      front_add(lane, moved_at(m, now, 0), j)
      ready[lane] = (ready[lane] or 0) + 1
    elseif verb == 'pause' then
      call('ZADD', K .. 'paused', '+inf', id)
      call('HSET', K .. 'paused:h', id, record(m, j))
    else
      local head = call('ZRANGE', K .. 'due', 0, 0, 'WITHSCORES')
      call('ZADD', K .. 'due', at, id)
      call('HSET', K .. 'due:h', id, record(moved_at(m, at, at), j))
      local ticker = call('HGET', sh, 'tk')
      if ticker and (not head[2] or at < tonumber(head[2])) then
        redis.pcall('SPUBLISH', K .. 'w:' .. ticker, 'D' .. at_text)
      end
    end
    audit(actor, 'job.' .. verb, id, at_text)
    done[#done + 1] = id
    out[i - 4] = 0
  end
  if list_full(j) then
    break
  end
end
for lane, n in pairs(ready) do
  wake(lane, n)
end
if #done > 0 then
  event('M' .. pack('>I6B', now, string.byte(verb, 3)) .. table.concat(done))
end
return out
