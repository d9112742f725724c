
-- Cancel jobs in whatever state; what a running handler returns afterwards no longer counts.
-- keys: {p:0}:sh
-- argv: actor reason id...
-- returns: for each, or the first of them (list.lua), 0, -3 (no such job) or -4 (ended already)
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
local function varint(v)
  local out = ''
  while v >= 128 do
    out = out .. string.char(v % 128 + 128)
    v = math.floor(v / 128)
  end
  return out .. string.char(v)
end
-- What scripts must know of an envelope `j` (docs/redis-keys.md "Packed parts"): the unique key with how long it is held and its home
-- shard (nil: this one), the retention class (nil: the queue's), the schedule-to-start limit (nil: none), whether the payload is a key
-- of its own.
local function bit_set(flags, bit)
  return math.floor(flags / 2 ^ bit) % 2 == 1
end
local function varint_read(s, at)
  local v, scale = 0, 1
  while true do
    local b = string.byte(s, at)
    at = at + 1
    if b < 128 then
      return v + b * scale, at
    end
    v = v + (b - 128) * scale
    scale = scale * 128
  end
end
local function envelope_read(j)
  local e = {}
  local flags, at = varint_read(j, 2)
  local n
  if bit_set(flags, 2) then
    n, at = varint_read(j, at)
    at = at + n
  end
  if bit_set(flags, 3) then
    at = at + 1
  end
  for bit = 4, 7 do
    if bit_set(flags, bit) then
      n, at = varint_read(j, at)
      if bit == 5 then
        e.s2s = n
      end
    end
  end
  if bit_set(flags, 8) then
    e.class, at = varint_read(j, at)
  end
  if bit_set(flags, 9) then
    n, at = varint_read(j, at)
    at = at + n
  end
  if bit_set(flags, 10) then
    n, at = varint_read(j, at)
    e.ukey = string.sub(j, at, at + n - 1)
    at = at + n
    e.ukey_ms, at = varint_read(j, at)
    local home = unpk('>I2', j, at)
    if home > 0 then
      e.ukey_home = home - 1
    end
  end
  e.blob = bit_set(flags, 15)
  return e
end
-- The retention class of a job: its own, else its queue's, else the default.
local function class_of(e, lane)
  if e.class then
    return e.class
  end
  local name = call('LINDEX', K .. 'lane', lane - 1)
  local q = name and call('HGET', K .. 'q', string.match(name, '^[^|]*'))
  return q and unpk('>I6', q, 8) or RETENTION_DEFAULT_MS
end
-- The release of a unique key that is at home on another shard. Rows of the outbox go out in no order: one that is yet to confirm the key for this
-- job is taken back, and the release is for its reservation too.
local function outbox_release(ukey, id)
  local confirm = call('HGET', K .. 'ob', 'c' .. ukey)
  local token = ''
  if confirm and string.sub(confirm, 17, 29) == id then
    call('HDEL', K .. 'ob', 'c' .. ukey)
    token = string.sub(confirm, 1, 16)
  end
  call('HSET', K .. 'ob', 'r' .. ukey, token .. id)
end
-- Whether a unique key lives on another shard than its job: the envelope names its home, the id the job's shard.
local function ukey_away(e, id)
  return e.ukey_home and e.ukey_home ~= unpk('>I3', id, 11) % 1024
end
-- Let go of a job's unique key, when the job ends: here, or through the outbox when its home is another shard.
local function ukey_release(e, id)
  if not e.ukey or e.ukey_ms > 0 then
    return
  end
  if ukey_away(e, id) then
    outbox_release(e.ukey, id)
  elseif call('GET', K .. 'u:' .. e.ukey) == id then
    call('DEL', K .. 'u:' .. e.ukey)
  end
end
local WIDTH_MAX_MS = 1073741824
-- The bucket that takes rows of this retention class now, and its part width. It rolls over by time (a quarter of the retention) and by
-- bytes (a quarter of the cap), so that what goes, goes whole; and when its width fits the rate no more: a part should hold some
-- thousands of rows, since adding to a hash of a hundred thousand costs twice as much. hx orders the buckets by when they go.
local function bucket_of(class)
  local hc = K .. 'hc:' .. class
  local cur = call('HMGET', hc, 'b', 's', 'w')
  local bucket, width = cur[1], tonumber(cur[3])
  if bucket then
    local cap = tonumber(call('HGET', sh, 'hm') or HISTORY_DEFAULT_BYTES)
    local age = math.max(now - cur[2], 1)
    local used = tonumber(call('HGET', K .. 'hz', bucket) or 0)
    local roll = age >= class / 4 or used >= cap / 4
    local fit = width
    if age > 60000 or roll then
      fit = 16
      local rows = tonumber(call('HGET', K .. 'hr', bucket) or 0)
      while fit < WIDTH_MAX_MS and fit * rows / age < 5000 do
        fit = fit * 2
      end
      roll = roll or fit >= width * 16 or fit * 16 <= width
    end
    if not roll then
      return bucket, width
    end
    call('ZADD', K .. 'hx', now + class, bucket .. ':' .. class .. ':' .. width)
    width = fit
  else
    width = 128
  end
  bucket = tostring(call('HINCRBY', sh, 'bn', 1))
  call('HSET', hc, 'b', bucket, 's', now, 'w', width)
  call('ZADD', K .. 'hx', now + class + math.floor(class / 4), bucket .. ':' .. class .. ':' .. width)
  call('INCR', K .. 'hv')
  local ticker = call('HGET', sh, 'tk')
  if ticker then -- there may be more now than is to be kept
    redis.pcall('SPUBLISH', K .. 'w:' .. ticker, 'H')
  end
  return bucket, width
end
-- Rows outside the node's usual path, one by one.
-- side: bytes kept beside it, nil when there are no such keys.
local function history_add(class, id, row, cancelled, side)
  if class <= 0 then
    return
  end
  local bucket, width = bucket_of(class)
  local part = math.floor(unpk('>I6', id) / width)
  call('HSET', K .. 'h:' .. bucket .. ':' .. string.format('%d', part), id, row)
  call('SADD', K .. 'hp:' .. bucket, string.format('%d', part))
  call('RPUSH', K .. 'ho:' .. bucket, id)
  call('HINCRBY', K .. 'hz', bucket, #row + ROW_OVERHEAD + (side or 0))
  call('HINCRBY', K .. 'hr', bucket, 1)
  if cancelled then
    call('HINCRBY', K .. 'hn', bucket, 1)
  end
  if side then
    call('RPUSH', K .. 'hk:' .. bucket, id)
  end
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
-- Rows written by scripts: of jobs that end without a worker's word. state: 6 dead, 7 cancelled.
local function row_make(state, id, started_ms, session, reason, m, j)
  local born = unpk('>I6', id)
  local since = function(ms)
    return varint(math.max(ms - born, 0))
  end
  local head = '\1' .. string.char(state) .. '\0' .. (started_ms > 0 and since(math.max(started_ms, born + 1)) or '\0')
    .. varint(started_ms > 0 and math.max(now - started_ms, 0) or 0) .. since(now) .. varint(session) .. '\0' .. '\0'
    .. varint(#reason) .. reason
  return varint(#head) .. head .. varint(#(m or '')) .. (m or '') .. j
end
-- Bytes of what a row keeps beside it: its payload when that is a key of its own, and log lines.
local function side_bytes(id, e, logged)
  return (e.blob and call('STRLEN', K .. 'b:' .. id) or 0) + (logged and call('STRLEN', K .. 'lg:' .. id) or 0)
end
-- Tell those who wait for the end of this job. `state` is said when nothing of it is left to look at: '\7' cancelled, '\0' purged.
local waited = call('EXISTS', K .. 'wt') == 1
local function tell(id, state)
  local who = waited and call('HGET', K .. 'wt', id)
  if who then
    call('HDEL', K .. 'wt', id)
    for channel in string.gmatch(who, '[^ ]+') do
      redis.pcall('SPUBLISH', K .. 'd:' .. channel, id .. (state or ''))
    end
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
local actor, reason = ARGV[1], ARGV[2]
local out, done, stats = {}, {}, {}
for i = 3, #ARGV do
  local id = ARGV[i]
  local place, m, j, key, entry, session = locate(id)
  if not place then
    out[i - 2] = -3
  elseif place == 'dead' or place == 'history' then
    out[i - 2] = -4
  else
    local _, _, lane = id_unpack(id)
    local started = 0
    if session then
      local run = call('HGET', K .. 'run:' .. session, id)
      started = run and unpk('>I6', run) or now
      -- with its entry: by the time the session hears of it the job may be retried, and be this session's again
      local what = id .. string.sub(place, 1, 1) .. entry
      call('SADD', K .. 'cx:' .. session, what)
      redis.pcall('SPUBLISH', K .. 'w:' .. session, 'C' .. what)
    end
    take(id, place, key, entry, session)
    local e = envelope_read(j)
    ukey_release(e, id)
    call('ZREM', K .. 's2s', id)
    local class = class_of(e, lane)
    local logged = m and math.floor(string.byte(m, 20) / 2) % 2 == 1
    if class > 0 then
      history_add(class, id, row_make(7, id, started, tonumber(session or 0), reason, m, j), true, (e.blob or logged) and side_bytes(id, e, logged))
    elseif e.blob or logged then
      call('UNLINK', K .. 'b:' .. id, K .. 'lg:' .. id)
    end
    tell(id, class <= 0 and '\7' or nil)
    stats[lane] = (stats[lane] or 0) + 1
    audit(actor, 'job.cancel', id, reason)
    done[#done + 1] = id
    out[i - 2] = 0
  end
  if list_full(j) then
    break
  end
end
for lane, n in pairs(stats) do
  count(lane .. ':x', n)
end
if #done > 0 then
  event('X' .. pack('>I6', now) .. table.concat(done))
end
return out
