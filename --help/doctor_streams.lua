
-- One step through a lane's stream: its jobs, or what is pending in it.
-- keys: {p:0}:sh
-- argv: shard repair('1' or '') stream('l:<lane>' 'f:<lane>') pending('1' or '') cursor('' from the start) limit
-- returns: as doctor_keys
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
local stream, cursor, limit = ARGV[3], ARGV[5], tonumber(ARGV[6])
local key, lane, front = K .. stream, tonumber(string.sub(stream, 3)), string.sub(stream, 1, 1) == 'f'
local from = cursor == '' and '-' or '(' .. cursor

local function no_group()
  fault('no_group', key, '', 'has no group: nobody can take its jobs', function()
    call('XGROUP', 'CREATE', key, 'g', '0', 'MKSTREAM')
  end)
  return answer('')
end
-- Fields of an XINFO row.
local function field(row, name)
  for i = 1, #row, 2 do
    if row[i] == name then
      return row[i + 1]
    end
  end
end
if call('EXISTS', key) == 0 then
  return no_group()
end
local last
for _, g in ipairs(call('XINFO', 'GROUPS', key)) do
  if field(g, 'name') == 'g' then
    last = field(g, 'last-delivered-id')
  end
end
if not last then
  return no_group()
end

-- A session that takes part: known, or it holds nothing and is to be forgotten.
local function look_consumers()
  for _, c in ipairs(call('XINFO', 'CONSUMERS', key, 'g')) do
    local name, pending = field(c, 'name'), field(c, 'pending')
    if not session_known(name) then
      if pending > 0 then
        fault('pending_orphan', key, '', pending .. ' jobs run under session ' .. name .. ', which is not there', session_doom(name))
      else
        fault('consumer_stale', key, '', 'session ' .. name .. ' is not there', function()
          call('XGROUP', 'DELCONSUMER', key, 'g', name)
        end)
      end
    end
  end
end
if ARGV[4] == '1' then
  if cursor == '' then
    look_consumers()
  end
  local pending = call('XPENDING', key, 'g', from, '+', limit)
  for _, p in ipairs(pending) do
    if #call('XRANGE', key, p[1], p[1]) == 0 then
      fault('pending_gone', key, '', 'entry ' .. p[1] .. ' is pending and not there', function()
        call('XACK', key, 'g', p[1])
      end)
    end
  end
  return answer(#pending == limit and pending[limit][1] or '')
end

local function entry_parts(entry)
  local ms, seq = string.match(entry, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end
local last_ms, last_seq = entry_parts(last)
local function was_delivered(ms, seq)
  return ms < last_ms or (ms == last_ms and seq <= last_seq)
end
-- Delivered, and pending for nobody: it would lie there for ever. It goes to whoever is next, as suspect as what a reaper hands over.
local function free_stuck(entry, id, m, j)
  return function()
    m = m or moved_fresh(id, now)
    local flags = string.byte(m, 20)
    m = string.sub(m, 1, 19) .. string.char(flags % 2 == 0 and flags + 1 or flags) .. string.sub(m, 21)
    call('XDEL', key, entry)
    front_add(lane, m, j)
    wake(lane, 1)
  end
end
local function look_at_locator(entry, id)
  local known = call('HGET', K .. 'loc', id)
  if known == entry then
    return
  end
  local there = known and ask('XRANGE', key, known, known)
  if there and there[1] then
    fault('twice', key, id, "is two entries of its lane's front")
    return
  end
  fault('loc_missing', key, id, 'nobody can find it', function()
    call('HSET', K .. 'loc', id, entry)
  end)
end
local function look_at(entry, fields)
  local ms, seq = entry_parts(entry)
  local m, j
  local ok = pcall(function()
    m, j = fields_of(fields)
  end)
  if not ok or not j or front ~= (m ~= nil) then
    fault('unreadable', key, '', 'entry ' .. entry .. ' is not a job')
    return
  end
  if front and (#m < 36 or string.byte(m) ~= 1) then
    if string.byte(m) == 1 or #m == 0 then
      fault('unreadable', key, '', 'the moved part of entry ' .. entry .. ' cannot be read')
    end
    return
  end
  local id = front and string.sub(m, 2, 14) or seq < 268435456 and id_pack(ms, seq, lane, shard)
  local wrong = not id and 'is no id' or id_wrong(id)
  local _, _, own = id_unpack(id or string.rep('\0', 13))
  if wrong or own ~= lane or (not front and seq >= ID_SEQ_DUE) then
    fault('misplaced', key, '', 'entry ' .. entry .. ' ' .. (wrong or 'does not belong in this lane'))
    return
  end
  examine(front and 'front' or 'lane', key, id, m, j)
  if front then
    look_at_locator(entry, id)
  end
  if not was_delivered(ms, seq) then
    tally('pending')
    return
  end
  tally('running')
  if #call('XPENDING', key, 'g', entry, entry, 1) == 0 then
    fault('stuck', key, id, 'was delivered and is pending for nobody', free_stuck(entry, id, m, j))
  end
end
limit = paced(key, call('XLEN', key), limit)
local entries = call('XRANGE', key, from, '+', 'COUNT', limit)
for _, e in ipairs(entries) do
  look_at(e[1], e[2])
end
return answer(#entries == limit and entries[limit][1] or '')
