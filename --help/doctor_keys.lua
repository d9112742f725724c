
-- One step through all keys of the server, for those of this shard (and, for shard 0, those of the prefix without a shard, and of shards
-- that there are not): is each one known, of its type, and held by something that lives.
-- keys: {p:0}:sh
-- argv: shard repair('1' or '') prefix shards cursor limit
-- returns: { cursor ('' at the end), { count, n... }, { { kind, key, id, text, repairable, repaired }... }, { more... } }; more: 'w', a structure
--   to be walked ('run:1', 'idle:1', 'ql:x'); 'x', key, shard, id: a unique key held by a job of another shard; 'u', bucket: its sums are wrong
--   because it lacks a part
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
local function record(m, j)
  return pack('>I4', #m) .. m .. j
end
local function record_split(rec)
  local n = unpk('>I4', rec)
  return string.sub(rec, 5, 4 + n), string.sub(rec, 5 + n)
end
local function logs_flag(flags)
  return math.floor(flags / 2) % 2 == 1
end
-- The parts of a row: state, m, j, and whether it has log lines.
local function row_split(row)
  local n, at = varint_read(row, 1)
  local state, flags = string.byte(row, at + 1, at + 2)
  local m
  at = at + n
  n, at = varint_read(row, at)
  m = string.sub(row, at, at + n - 1)
  return state, m, string.sub(row, at + n), logs_flag(flags) or #m >= 20 and logs_flag(string.byte(m, 20))
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
-- What the doctor's scripts share: how they count, how they report, and what they look up without stumbling over a key of a wrong type
-- (that is a fault of its own). Every fault is seen within one script, so nothing moves while it is looked at.
local shard, repair = tonumber(ARGV[1]), ARGV[2] == '1'
local counts, faults, more = {}, {}, {}
local function tally(name, n)
  counts[name] = (counts[name] or 0) + (n or 1)
end
-- fix: how it is mended; nil when no way is safe.
local function fault(kind, key, id, text, fix)
  if fix and repair then
    fix()
  end
  faults[#faults + 1] = { kind, key, id or '', text, fix and 1 or 0, fix and repair and 1 or 0 }
end
local function answer(cursor)
  local c = {}
  for name, n in pairs(counts) do
    c[#c + 1] = name
    c[#c + 1] = n
  end
  return { cursor, c, faults, more }
end
local function ask(...)
  local r = redis.pcall(...)
  if type(r) == 'table' and r.err then
    return nil
  end
  return r
end
local function ticker_lives()
  local t = call('HMGET', sh, 'tk', 'tu')
  return t[1] and (tonumber(t[2] or 0) or 0) > now
end
-- Bounds: what waits for the ticker is late after a minute; a record's due time is an estimate of the server's clock.
local late_ms, due_slack_ms = 60000, 60000
-- How many members of a key one step takes: fewer when they are large, since a step reads them whole.
local function paced(key, members, limit)
  local bytes = members > 0 and ask('MEMORY', 'USAGE', key) or 0
  return math.max(math.min(tonumber(limit), math.floor(262144 * members / math.max(bytes, 1))), 4)
end
-- A job under examination: is its id one of this shard, can its parts be read, is it in one structure only, has it its payload.
local n_lanes = call('LLEN', K .. 'lane')
local function id_wrong(id)
  if #id ~= 13 then
    return 'is not an id'
  end
  local _, _, lane = id_unpack(id)
  if unpk('>I3', id, 11) % 1024 ~= shard then
    return 'is the id of a job of another shard'
  end
  if lane < 1 or lane > n_lanes then
    return 'has lane ' .. lane .. ', of which there is none'
  end
end
local function moved_wrong(id, m)
  if string.byte(m) ~= 1 then
    return #m == 0 and 'its moved part is empty' or nil
  end
  if #m < 36 then
    return 'its moved part is too short'
  end
  if string.sub(m, 2, 14) ~= id then
    return 'its moved part is of another job'
  end
  local n, at = 0, 37
  while at + 1 <= #m do
    n, at = n + 1, at + 2 + unpk('>I2', m, at)
  end
  if at ~= #m + 1 or n ~= string.byte(m, 35) then
    return 'its attempts cannot be read'
  end
end
-- The envelope, or nil and what is wrong; false when a later version wrote it.
local function envelope_of(j)
  if not j or #j < 2 then
    return nil, 'its envelope is too short'
  end
  if string.byte(j) > 1 then
    return false
  end
  local ok, e = pcall(envelope_read, j)
  if not ok or string.byte(j) < 1 then
    return nil, 'its envelope cannot be read'
  end
  return e
end
-- state (nil: cannot be read), m, j, whether it has log lines
local function row_of(row)
  local whole, n, at = pcall(varint_read, row, 1)
  if not whole or at + n > #row or string.byte(row, at) ~= 1 then
    return nil
  end
  local ok, state, m, j, logged = pcall(row_split, row)
  if ok then
    return state, m, j, logged
  end
end

local function in_lane(id)
  local ms, seq, lane = id_unpack(id)
  if seq >= ID_SEQ_DUE then
    return nil
  end
  local entry = string.format('%d-%d', ms, seq)
  local e = ask('XRANGE', K .. 'l:' .. lane, entry, entry)
  return e and e[1], K .. 'l:' .. lane, entry
end
local function in_front(id)
  local _, _, lane = id_unpack(id)
  local entry = ask('HGET', K .. 'loc', id)
  local e = entry and ask('XRANGE', K .. 'f:' .. lane, entry, entry)
  return e and e[1], K .. 'f:' .. lane, entry
end
local buckets
local function in_history(id, than)
  if not buckets then
    buckets = {}
    for _, b in ipairs(call('ZRANGE', K .. 'hx', 0, -1)) do
      local no, width = string.match(b, '^(%d+):%d+:(%d+)$')
      if no then
        buckets[#buckets + 1] = { tonumber(no), tonumber(width) }
      end
    end
  end
  local ms = unpk('>I6', id)
  for _, b in ipairs(buckets) do
    if b[1] > than then
      local key = K .. 'h:' .. b[1] .. ':' .. string.format('%d', math.floor(ms / b[2]))
      local row = ask('HGET', key, id)
      if row then
        return row, b[1]
      end
    end
  end
end
local words = { lane = 'its lane', front = "its lane's front", due = 'the due set', paused = 'the paused', dead = 'the dead' }
-- Where a job is: name of the structure, j or row, its m. `but`: not looked for there. ended: also where ended jobs are.
local function whereabouts(id, but, ended)
  local e = but ~= 'lane' and in_lane(id)
  if e then
    return 'lane', e[2][2]
  end
  e = but ~= 'front' and in_front(id)
  if e then
    local m, j = fields_of(e[2])
    return 'front', j, m
  end
  for _, set in ipairs({ 'due', 'paused' }) do
    local rec = but ~= set and ask('HGET', K .. set .. ':h', id)
    if rec then
      local ok, m, j = pcall(record_split, rec)
      return set, ok and j or '', ok and m or nil
    end
  end
  if not ended then
    return nil
  end
  local row = but ~= 'dead' and ask('HGET', K .. 'dead:h', id)
  if row then
    return 'dead', row
  end
  local bucket
  row, bucket = in_history(id, 0)
  if row then
    return 'history', row, bucket
  end
end
-- All that must hold of a living job, or a dead one (then j is what its row holds), wherever it is. Returns its envelope.
local function examine(place, key, id, m, j)
  local wrong = m and moved_wrong(id, m)
  local e, why = envelope_of(j)
  if wrong or why then
    fault('unreadable', key, id, wrong or why)
  end
  local other = whereabouts(id, place, true)
  if other then
    fault('twice', key, id, 'is in ' .. words[place] .. ' and in ' .. (words[other] or 'the history'))
  end
  if e and e.blob and call('EXISTS', K .. 'b:' .. id) == 0 then
    fault('blob_missing', key, id, 'its payload is gone')
  end
  return e
end
-- Whether a session is known: by its hash, or its place among the leases. (That both are there is looked at by itself.)
local function session_known(session)
  return ask('EXISTS', K .. 's:' .. session) == 1 or (ask('ZSCORE', K .. 'lease', session) and true)
end
-- Makes a session that lost a part of itself, or all, one that the reaper takes next.
local function session_doom(session)
  return tonumber(session) and function()
    call('HSET', K .. 's:' .. session, 'st', 'reaping', 'lane', 1)
    call('ZADD', K .. 'lease', 0, session)
  end
end
local prefix, n_shards = ARGV[3], tonumber(ARGV[4])
local dropping = call('HGET', sh, 'hd')
local single = {
  sh = 'hash', q = 'hash', paused_queues = 'set', lane = 'list', lanes = 'hash', loc = 'hash', due = 'zset', ['due:h'] = 'hash',
  paused = 'zset', ['paused:h'] = 'hash', dead = 'zset', ['dead:h'] = 'hash', hx = 'zset', hz = 'hash', hn = 'hash', hr = 'hash', ks = 'hash',
  hv = 'string', ob = 'hash', pg = 'hash', wt = 'hash', s2s = 'zset', lease = 'zset', sn = 'hash', ['nodes:drain'] = 'set',
  ev = 'stream', au = 'stream',
}

local function expires(key, ms)
  if call('PTTL', key) < 0 then
    fault('no_expiry', key, '', 'would stay for ever', function()
      call('PEXPIRE', key, ms)
    end)
  end
end
local function of_lane(key, lane)
  if not tonumber(lane) or tonumber(lane) < 1 or tonumber(lane) > n_lanes then
    fault('misplaced', key, '', 'there is no such lane')
  end
end
local function of_session(key, session)
  if not session_known(session) then
    fault('session_key', key, '', 'belongs to a session that is not there', function()
      call('UNLINK', key)
    end)
    return false
  end
  return true
end
-- One fault for all keys of a bucket.
local function of_bucket(_, bucket)
  if bucket == dropping then
    return nil
  end
  for _, b in ipairs(call('ZRANGE', K .. 'hx', 0, -1)) do
    local no, width = string.match(b, '^(%d+):%d+:(%d+)$')
    if no == bucket then
      return width
    end
  end
  fault('bucket_orphan', K .. 'hp:' .. bucket, '', 'keys of a history bucket that is not there')
end
-- A payload or logs: of a job that is somewhere. While a bucket is dropped its side keys go in steps, behind their rows.
local function of_job(key, id, is_blob)
  tally(is_blob and 'payloads' or 'logs')
  local wrong = id_wrong(id)
  if wrong then
    fault('side_orphan', key, '', wrong)
    return
  end
  local place, j = whereabouts(id, nil, true)
  local why = not place and not dropping and 'its job is gone'
  if place == 'dead' or place == 'history' then
    local _
    _, _, j = row_of(j)
  end
  local e = place and is_blob and envelope_of(j)
  if e and not e.blob then
    why = 'its job has its payload elsewhere'
  end
  if why then
    fault('side_orphan', key, id, why, function()
      call('UNLINK', key)
    end)
  end
end

local function let_go(key)
  return function()
    call('DEL', key)
  end
end
-- A unique key: held for a time, by a living job that names it, or reserved for one.
local function unique(key, name)
  local v = call('GET', key)
  tally('unique_keys')
  if string.byte(v) == 82 and #v == 23 then
    if unpk('>I6', v, 2) < now - late_ms then
      fault('reservation_stale', key, '', 'is reserved beyond its deadline', let_go(key))
    end
  elseif string.byte(v) == 88 and #v == 16 then
    more[#more + 1] = { 'x', name, unpk('>I2', v, 2), string.sub(v, 4) }
  elseif #v ~= 13 or id_wrong(v) then
    fault('unreadable', key, '', 'its holder ' .. (id_wrong(v) or ''))
  elseif call('PTTL', key) < 0 then
    local place, j = whereabouts(v)
    local e = place and envelope_of(j)
    if not place then
      fault('key_stale', key, v, 'its holder is not alive', let_go(key))
    elseif e and e.ukey ~= name then
      fault('key_foreign', key, v, 'its holder does not know of it', let_go(key))
    end
  end
end
local function request(key)
  local id = call('GET', key)
  local wrong = id_wrong(id)
  tally('request_ids')
  expires(key, REQUEST_WINDOW_MS)
  if wrong then
    fault('unreadable', key, '', 'its job ' .. wrong)
  end
end

local families = {
  l = { 'stream', of_lane }, f = { 'stream', of_lane },
  ql = { 'set', function(key) more[#more + 1] = { 'w', string.sub(key, #K + 1) } end },
  hc = { 'hash', function(key, class)
    local c = call('HMGET', key, 'b', 's', 'w')
    local member = (c[1] or '') .. ':' .. class .. ':' .. (c[3] or '')
    if not call('ZSCORE', K .. 'hx', member) then
      local whole = tonumber(c[1]) and tonumber(c[2]) and tonumber(c[3]) and tonumber(class)
      fault('bucket_lost', key, '', 'takes rows into a bucket that nobody finds', whole and function()
        call('ZADD', K .. 'hx', c[2] + class + math.floor(class / 4), member)
        call('INCR', K .. 'hv')
      end)
    end
  end },
  hp = { 'set', of_bucket }, ho = { 'list', of_bucket }, hk = { 'list', of_bucket },
  h = { 'hash', function(key, rest)
    local bucket, part = string.match(rest, '^(%d+):(%d+)$')
    if not bucket then
      fault('unknown_key', key, '', 'is no key of dureq')
    elseif of_bucket(key, bucket) and call('SISMEMBER', K .. 'hp:' .. bucket, part) == 0 then
      fault('part_unlisted', key, '', 'is a part that its bucket does not know', function()
        call('SADD', K .. 'hp:' .. bucket, part)
      end)
      if not repair then
        more[#more + 1] = { 'u', bucket }
      end
    end
  end },
  u = { 'string', unique }, r = { 'string', request },
  b = { 'string', function(key, id) of_job(key, id, true) end },
  lg = { 'string', function(key, id) of_job(key, id, false) end },
  p = { 'hash', function(key) expires(key, PRODUCER_KEPT_MS) end },
  s = { 'hash', function(key, session)
    tally('sessions')
    if ask('ZSCORE', K .. 'lease', session) == false then
      -- A live one renews its lease soon; one that does not is reaped then.
      fault('session_no_lease', key, '', 'a session without a lease: nobody reaps it', tonumber(session) and function()
        call('ZADD', K .. 'lease', (tonumber(call('HGET', sh, 'ck') or 0) or 0) + 60000, session)
      end)
    end
  end },
  x = { 'string', of_session }, cx = { 'set', of_session },
  run = { 'hash', function(key, session)
    if of_session(key, session) then
      more[#more + 1] = { 'w', 'run:' .. session }
    end
  end },
  idle = { 'set', function(key, lane)
    of_lane(key, lane)
    more[#more + 1] = { 'w', 'idle:' .. lane }
  end },
  st = { 'hash', function(key) expires(key, MINUTE_KEPT_MS) end },
  sth = { 'hash', function(key) expires(key, 2592000000) end },
  std = { 'hash', function(key) expires(key, 34560000000) end },
}

local function wrong_type(key, is, want)
  fault('wrong_type', key, '', 'is a ' .. is .. ', must be a ' .. want)
end
local function look(key, name)
  local is = call('TYPE', key).ok
  local want = single[name]
  tally('keys')
  if is == 'none' then
    return -- it went since SCAN saw it, by expiry
  elseif want then
    if is ~= want then
      wrong_type(key, is, want)
    end
    return
  end
  local family, rest = string.match(name, '^(%l+):(.*)$')
  local f = families[family]
  if not f then
    fault('unknown_key', key, '', 'is no key of dureq')
  elseif is ~= f[1] then
    wrong_type(key, is, f[1])
  elseif f[2] then
    f[2](key, rest)
  end
end
-- Keys that belong to no shard of this prefix.
local function look_outside(key)
  local number = string.match(string.sub(key, #prefix + 3), '^(%d+)}:')
  if string.sub(key, 1, #prefix + 2) == '{' .. prefix .. ':' and tonumber(number) and tonumber(number) >= n_shards then
    fault('unknown_key', key, '', 'is of a shard that there is not')
  elseif string.sub(key, 1, #prefix + 1) == prefix .. ':' then
    local name = string.sub(key, #prefix + 2)
    tally('keys')
    if name ~= 'meta' and not string.find(name, '^config:') then
      fault('unknown_key', key, '', 'is no key of dureq')
    elseif call('TYPE', key).ok ~= 'hash' then
      wrong_type(key, call('TYPE', key).ok, 'hash')
    end
  end
end

local step = call('SCAN', ARGV[5], 'COUNT', ARGV[6])
for _, key in ipairs(step[2]) do
  if string.sub(key, 1, #K) == K then
    look(key, string.sub(key, #K + 1))
  elseif shard == 0 then
    look_outside(key)
  end
end
return answer(step[1] == '0' and '' or step[1])
