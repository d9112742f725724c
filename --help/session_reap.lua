
-- One bounded step of taking away what sessions hold whose lease is over. Such a session is marked, which fences all it still sends; then
-- its pending entries are handed over lane by lane, and a lane's consumer goes when the same step has just seen that nothing is
-- pending for it; when the last lane is through, the session is forgotten.
-- keys: {p:0}:sh {p:0}:lease {p:0}:dead {p:0}:dead:h
-- argv: session epoch shard lease_ms max_crashes limit lanes_max
-- returns: { now_ms, session worked on (0 none), n handed over, n dead, more to do(1|0) }, or DQFENCED
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
-- The shard's served time: advances by what passed since the last look, but by at most a quarter of the lease, so that a stall
-- of Redis expires nobody.
local function served(lease)
  local c = call('HMGET', sh, 'ck', 'cw')
  local ck, cw = tonumber(c[1] or 0), tonumber(c[2] or now)
  local step = math.min(math.max(now - cw, 0), math.floor(lease / 4))
  call('HSET', sh, 'ck', ck + step, 'cw', now)
  return ck + step
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
-- The moved part with one attempt more (docs/redis-keys.md): 20 are kept, the first 2 and the last 18; details of the last 3.
local function attempt_bare(a)
  local n, at = varint_read(a, 3)
  at = at + 1
  for _ = 1, 4 do
    n, at = varint_read(a, at)
  end
  n, at = varint_read(a, at)
  at = at + n
  n = varint_read(a, at)
  if n == 0 then
    return a
  end
  local body = string.sub(a, 3, at - 1) .. '\0'
  return pack('>I2', #body) .. body
end
local function attempt_add(m, run, outcome, started_ms, ran_ms, session, text)
  local list, at = {}, 37
  while at <= #m do
    local n = unpk('>I2', m, at)
    list[#list + 1] = string.sub(m, at, at + 1 + n)
    at = at + 2 + n
  end
  local body = varint(run) .. string.char(outcome) .. varint(started_ms) .. varint(ran_ms) .. varint(session) .. '\0'
    .. varint(#text) .. text .. '\0'
  list[#list + 1] = pack('>I2', #body) .. body
  while #list > 20 do
    table.remove(list, 3)
  end
  local bare = #list - 3
  if bare > 0 then
    list[bare] = attempt_bare(list[bare])
  end
  return string.sub(m, 1, 34) .. string.char(#list) .. string.sub(m, 36, 36) .. table.concat(list)
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
local shard, max_crashes = tonumber(ARGV[3]), tonumber(ARGV[5])
local left, lanes_left = tonumber(ARGV[6]), tonumber(ARGV[7])
local clock = served(tonumber(ARGV[4]))

-- The ticker that calls this is alive, whatever its lease says.
local expired = {}
for _, s in ipairs(call('ZRANGE', KEYS[2], '-inf', clock, 'BYSCORE', 'LIMIT', 0, 3)) do
  if s ~= ARGV[1] then
    expired[#expired + 1] = s
  end
end
local victim = expired[1]
if not victim then
  return { now, 0, 0, 0, 0 }
end
local ss = K .. 's:' .. victim
local state = call('HMGET', ss, 'st', 'lane', 'node', 'bl')
local blamed = state[4] or ''
if state[1] ~= 'reaping' then
  call('HSET', ss, 'st', 'reaping', 'lane', 1)
  -- Not only touched but gone: who looks between two steps must not take it for a change of what it holds, and go on. What it read then
  -- would be in lanes that are done with.
  call('UNLINK', K .. 'x:' .. victim)
  event('N' .. pack('>I6', now) .. 'l' .. (state[3] or ''))
end

local handed, dead = {}, {}
local function die(id, lane, started, m, j, crashes)
  local row = row_make(6, id, started, tonumber(victim), 'its process crashed ' .. crashes .. ' times', m, j)
  call('ZADD', KEYS[3], now, id)
  call('HSET', KEYS[4], id, row)
  ukey_release(envelope_read(j), id)
  call('ZREM', K .. 's2s', id)
  count(lane .. ':d', 1)
  tell(id)
  dead[#dead + 1] = id
end

-- One pending entry to whoever is next, or to the dead.
local function hand_over(key, lane, entry, fields)
  local m, j
  for i = 1, #fields, 2 do
    if fields[i] == 'j' then
      j = fields[i + 1]
    else
      m = fields[i + 1]
    end
  end
  local ms, seq = string.match(entry, '(%d+)-(%d+)')
  local id = m and string.sub(m, 2, 14) or id_pack(tonumber(ms), tonumber(seq), lane, shard)
  local run = call('HGET', K .. 'run:' .. victim, id)
  local fresh = not m
  m = m or moved_fresh(id, tonumber(ms))
  local runs, crashes, flags = unpk('>I2BB', m, 17)
  local is_dead = false
  if run then
    local started = unpk('>I6', run)
    local charged = blamed == '' or blamed == id
    runs = math.min(runs + 1, 65535)
    if charged then
      crashes = math.min(crashes + 1, 255)
    end
    m = string.sub(m, 1, 16) .. pack('>I2BB', runs, crashes, flags) .. string.sub(m, 21)
    m = attempt_add(m, runs, 9, started, math.max(now - started, 0), tonumber(victim), 'its process crashed')
    m = moved_at(m, now, unpk('>I6', m, 29))
    call('HDEL', K .. 'run:' .. victim, id)
    call('HDEL', K .. 'pg', id)
    if charged and crashes >= max_crashes then
      die(id, lane, started, m, j, crashes)
      is_dead = true
    end
  else
    flags = flags % 2 == 0 and flags + 1 or flags
    m = string.sub(m, 1, 19) .. string.char(flags) .. string.sub(m, 21)
  end
  if is_dead then
    if not fresh then
      call('HDEL', K .. 'loc', id)
    end
  else
    front_add(lane, m, j)
    handed[#handed + 1] = id
  end
  call('XACK', key, 'g', entry)
  call('XDEL', key, entry)
end

-- Empties one stream as far as the limit goes; true: nothing of the session is left in it.
local function drain(key, lane)
  local pending = redis.pcall('XPENDING', key, 'g', '-', '+', left + 1, victim)
  if pending.err then
    return true
  end
  for i = 1, math.min(#pending, left) do
    local entry = pending[i][1]
    local found = call('XRANGE', key, entry, entry)
    if found[1] then
      hand_over(key, lane, entry, found[1][2])
    else
      call('XACK', key, 'g', entry)
    end
  end
  local empty = #pending <= left
  left = left - math.min(#pending, left)
  if empty then
    call('XGROUP', 'DELCONSUMER', key, 'g', victim)
  end
  return empty
end

local lane, last = tonumber(state[2] or 1), call('LLEN', K .. 'lane')
local at = lane
while lane <= last and lanes_left > 0 and left > 0 do
  local before = #handed
  call('SREM', K .. 'idle:' .. lane, victim) -- or it would be woken for its own jobs, in another's place
  local empty = drain(K .. 'l:' .. lane, lane)
  empty = drain(K .. 'f:' .. lane, lane) and empty
  if #handed > before then
    wake(lane, #handed - before)
  end
  if not empty then
    break
  end
  lane = lane + 1
  lanes_left = lanes_left - 1
end
if lane > last then
  call('UNLINK', ss, K .. 'x:' .. victim, K .. 'run:' .. victim, K .. 'cx:' .. victim)
  call('ZREM', KEYS[2], victim)
elseif lane > at then
  call('HSET', ss, 'lane', lane)
end

if #handed > 0 then
  event('B' .. pack('>I6I6', now, tonumber(victim)) .. table.concat(handed))
end
if #dead > 0 then
  event('K' .. pack('>I6', now) .. table.concat(dead))
end
return { now, tonumber(victim), #handed, #dead, (lane <= last or #expired > 1) and 1 or 0 }
