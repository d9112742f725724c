
-- One bounded step of keeping a shard small: history beyond its time or its bytes, dead jobs beyond their time, jobs that waited too long
-- for their start, statistics, events, audit.
-- keys: {p:0}:sh {p:0}:dead {p:0}:dead:h {p:0}:s2s
-- argv: session epoch shards dead_retention_ms('0' for ever) full('1': memory is short, drop the oldest history)
--   audit_retention_ms('0' for ever), retention_ms of the statistics of minutes, of hours, of days
-- returns: { now_ms, more to do(1|0), n dead by schedule-to-start, ms of the next schedule-to-start limit or end of a history
--   bucket (-1 none) }, or DQFENCED
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
local function count(field, n)
  local minute = K .. 'st:' .. math.floor(now / 60000)
  if call('HINCRBY', minute, field, n) == tonumber(n) then
    call('PEXPIRE', minute, MINUTE_KEPT_MS)
  end
end
local function event(text)
  call('XADD', K .. 'ev', 'MAXLEN', '~', call('HGET', sh, 'en') or 16384, '*', 'e', text)
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
-- Refuse a ticker that was replaced. Evaluates to nil, or the error to return.
local function ticker_fenced(session, epoch)
  local t = call('HMGET', sh, 'tk', 'te')
  if t[1] ~= session or t[2] ~= epoch then
    return redis.error_reply('DQFENCED another session is the ticker of this shard')
  end
end
-- Drop of one history bucket in bounded steps. From the first step on nobody finds it; `hd` of the small state is its number until its
-- last key is gone.
local function drop_begin(member)
  local bucket, class = string.match(member, '^(%d+):(%d+):')
  call('ZREM', K .. 'hx', member)
  if call('HGET', K .. 'hc:' .. class, 'b') == bucket then
    call('DEL', K .. 'hc:' .. class)
  end
  call('INCR', K .. 'hv')
  call('HDEL', K .. 'hz', bucket)
  call('HDEL', K .. 'hn', bucket)
  call('HDEL', K .. 'hr', bucket)
  call('HSET', sh, 'hd', bucket)
  return bucket
end
-- What rows kept beside them; but a job that was taken out of a bucket to run again has it still.
local function drop_side(list)
  local ids, keys = {}, {}
  for at = 1, #list, 13 do
    ids[#ids + 1] = string.sub(list, at, at + 12)
  end
  local taken = call('HMGET', K .. 'ks', unpack(ids))
  for i, id in ipairs(ids) do
    if not taken[i] then
      keys[#keys + 1], keys[#keys + 2] = K .. 'lg:' .. id, K .. 'b:' .. id
    elseif call('HINCRBY', K .. 'ks', id, -1) < 1 then
      call('HDEL', K .. 'ks', id)
    end
  end
  if #keys > 0 then
    call('UNLINK', unpack(keys))
  end
end
local function drop_step(bucket)
  local parts = call('SPOP', K .. 'hp:' .. bucket, 100)
  if #parts > 0 then
    for i = 1, #parts do
      parts[i] = K .. 'h:' .. bucket .. ':' .. parts[i]
    end
    call('UNLINK', unpack(parts))
    return
  end
  local side, left = call('LPOP', K .. 'hk:' .. bucket), 100
  while side do
    drop_side(side)
    left = left - #side / 13
    if left <= 0 then
      return
    end
    side = call('LPOP', K .. 'hk:' .. bucket)
  end
  call('UNLINK', K .. 'ho:' .. bucket)
  call('HDEL', sh, 'hd')
end
-- The bucket that must go now: its time is over, or rows take more than the cap (then the oldest), or the caller says so.
local function drop_next(full)
  local over = call('ZRANGE', K .. 'hx', '-inf', now, 'BYSCORE', 'LIMIT', 0, 1)[1]
  if over then
    return over
  end
  local bytes = 0
  for _, n in ipairs(call('HVALS', K .. 'hz')) do
    bytes = bytes + n
  end
  if not full and bytes <= tonumber(call('HGET', sh, 'hm') or HISTORY_DEFAULT_BYTES) then
    return nil
  end
  local oldest, number
  for _, member in ipairs(call('ZRANGE', K .. 'hx', 0, -1)) do
    local b = tonumber(string.match(member, '^%d+'))
    if not number or b < number then
      oldest, number = member, b
    end
  end
  return oldest
end
-- Statistics of minutes summed into hours, and of hours into days, each once: what was summed last is remembered in the same step.
-- A budget of fields bounds a call. What was summed has its own end from then on.
local function roll_one(from, to, from_ms, to_ms)
  local all = call('HGETALL', from)
  for i = 1, #all, 2 do
    call('HINCRBY', to, all[i], all[i + 1])
  end
  if #all > 0 then
    call('PEXPIRE', to, to_ms)
    call('PEXPIRE', from, math.max(from_ms, 1))
  end
  return #all / 2
end
-- Sums finished units, up to number `last`, into units of n. what: field that remembers, prefixes of the two, n, how many units back it begins,
-- ms of a unit, ms that one is kept behind its end, ms that a sum is kept. Returns whether more is left.
local function roll(what, last)
  local field, from, to, n, back, unit_ms, from_ms, to_ms = unpack(what)
  local done = tonumber(call('HGET', sh, field) or last - back)
  local fields, start = 0, done
  while done < last and done - start < 600 and fields < 1000 do
    done = done + 1
    local left_ms = (done + 1) * unit_ms + from_ms - now
    fields = fields + roll_one(K .. from .. done, K .. to .. math.floor(done / n), left_ms, to_ms)
  end
  if done > start or not call('HGET', sh, field) then
    call('HSET', sh, field, done)
  end
  return done < last, done
end
local err = ticker_fenced(ARGV[1], ARGV[2])
if err then
  return err
end
local more = false

local dropping = call('HGET', sh, 'hd')
local next_drop = not dropping and drop_next(ARGV[5] == '1')
if next_drop then
  dropping = drop_begin(next_drop)
end
if dropping then
  drop_step(dropping)
  more = true
end

local keep_ms = tonumber(ARGV[4])
if keep_ms > 0 then
  local old = call('ZRANGE', KEYS[2], '-inf', now - keep_ms, 'BYSCORE', 'LIMIT', 0, 100)
  if #old > 0 then
    call('ZREM', KEYS[2], unpack(old))
    call('HDEL', KEYS[3], unpack(old))
    for i = 1, #old do
      call('UNLINK', K .. 'lg:' .. old[i], K .. 'b:' .. old[i])
    end
    more = more or #old == 100
  end
end

-- Dead when it still waits for its first start. A job whose start was put off by hand since has its limit from the new time.
local late = call('ZRANGE', KEYS[4], '-inf', now, 'BYSCORE', 'LIMIT', 0, 100)
local dead = {}
for _, id in ipairs(late) do
  local place, m, j, key, entry, session = locate(id)
  local started = m and unpk('>I2', m, 17) > 0
  local e = place and place ~= 'dead' and place ~= 'history' and not session and not started and envelope_read(j)
  local due = e and place == 'due' and tonumber(call('ZSCORE', K .. 'due', id)) or now
  if e and (place == 'paused' or due > now) and e.s2s then
    call('ZADD', KEYS[4], due + e.s2s, id)
  else
    call('ZREM', KEYS[4], id)
    if e then
      local _, _, lane = id_unpack(id)
      take(id, place, key, entry)
      call('ZADD', KEYS[2], now, id)
      call('HSET', KEYS[3], id, row_make(6, id, 0, 0, 'schedule_to_start_timeout', m, j))
      ukey_release(e, id)
      count(lane .. ':d', 1)
      tell(id)
      dead[#dead + 1] = id
    end
  end
end
if #dead > 0 then
  event('K' .. pack('>I6', now) .. table.concat(dead))
end
more = more or #late == 100

-- Sums before the sources end: a minute that is not summed yet lives two days, an hour at least one.
local minute = math.floor(now / 60000)
local minutes_ms, hours_ms, days_ms = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local minutes_left, minutes_done = roll({ 'rm', 'st:', 'sth:', 60, MINUTES_BACK, 60000, minutes_ms, hours_ms }, minute - 1)
local hours_left = roll({ 'rh', 'sth:', 'std:', 24, HOURS_BACK, 3600000, hours_ms, days_ms }, math.floor((minutes_done + 1) / 60) - 1)
more = more or minutes_left or hours_left

-- Events are capped by bytes: how many entries that is, is looked at once a minute.
if tonumber(call('HGET', sh, 'em') or 0) ~= minute then
  local len = call('XLEN', K .. 'ev')
  if len > 0 then
    local each = math.max(call('MEMORY', 'USAGE', K .. 'ev') / len, 16)
    call('HSET', sh, 'en', math.max(math.floor(67108864 / tonumber(ARGV[3]) / each), 1000))
  end
  if tonumber(ARGV[6]) > 0 then
    call('XTRIM', K .. 'au', 'MINID', '~', string.format('%d-0', math.max(now - tonumber(ARGV[6]), 0)))
  end
  call('HSET', sh, 'em', minute)
end
local function first(set)
  return tonumber(call('ZRANGE', set, 0, 0, 'WITHSCORES')[2]) or math.huge
end
local next_ms = math.min(first(KEYS[4]), first(K .. 'hx'))
return { now, more and 1 or 0, #dead, next_ms < math.huge and next_ms or -1 }
