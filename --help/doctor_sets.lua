
-- One step through a set, hash or sorted set whose members are jobs or sessions.
-- keys: {p:0}:sh
-- argv: shard repair('1' or '') structure cursor('' from the start) limit; structure: 'loc' 'due' 'due:h' 'paused' 'paused:h' 'dead' 'dead:h' 'pg'
--   'wt' 's2s' 'ob' 'lease' 'run:<session>' 'idle:<lane>' 'ql:<queue>'
-- returns: as doctor_keys; more: 'o', key, id: a release in the outbox whose age cannot be known
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
local name = ARGV[3]
local key = K .. name
local family, rest = string.match(name, '^(%l+):(.*)$')
local function let_go(command, member)
  return function()
    call(command, key, member)
  end
end
-- Whether a job runs: under this session when one is given.
local function runs(id, session)
  local e, stream, entry = in_lane(id)
  if not e then
    e, stream, entry = in_front(id)
  end
  local p = e and ask('XPENDING', stream, 'g', entry, entry, 1)
  return p and p[1] and (not session or p[1][2] == session)
end

local look = {}
function look.loc(id, entry)
  local e = #id == 13 and in_front(id)
  local fields = e and e[2]
  if not fields or string.sub(fields_of(fields) or '', 2, 14) ~= id then
    fault('loc_stale', key, id, 'entry ' .. entry .. ' is not there, or of another job', let_go('HDEL', id))
  end
end

-- A sorted set and its records.
local function look_set(set, id, score)
  local wrong = id_wrong(id)
  if wrong then
    fault('misplaced', key, '', 'a member ' .. wrong)
    return
  end
  local rec = ask('HGET', K .. set .. ':h', id)
  if rec == false then
    fault('record_missing', key, id, 'has its place and no record', let_go('ZREM', id))
  end
  if set == 'due' and rec and #rec > 40 then
    local at = unpk('>I6', rec, 33)
    if at > 0 and math.abs(at - tonumber(score)) > due_slack_ms then
      fault('due_time', key, id, 'is due at ' .. score .. ', its record says ' .. string.format('%d', at))
    end
  end
end
local function lacks_score(set, id, at)
  if ask('ZSCORE', K .. set, id) == false then
    fault('score_missing', key, id, 'has its record and no place', function()
      call('ZADD', K .. set, at, id)
    end)
  end
end
-- Ids of the due set come from the shard's own counter, which must be ahead of them all.
local function look_ahead(id)
  local ms, seq = id_unpack(id)
  if seq < ID_SEQ_DUE then
    return
  end
  local s = call('HMGET', sh, 'ms', 'sq')
  local top_ms, top_seq = tonumber(s[1] or 0) or 0, tonumber(s[2] or 0) or 0
  if ms > top_ms or (ms == top_ms and seq - ID_SEQ_DUE > top_seq) then
    fault('id_ahead', key, id, 'is newer than the newest id that was given', function()
      call('HSET', sh, 'ms', ms, 'sq', seq - ID_SEQ_DUE + 1)
    end)
  end
end
local function look_record(set, id, rec)
  local wrong = id_wrong(id)
  if wrong then
    fault('misplaced', key, '', 'a field ' .. wrong)
    return
  end
  local ok, m, j = pcall(record_split, rec)
  if not ok or #m < 36 and (#m == 0 or string.byte(m) == 1) then
    fault('unreadable', key, id, 'its record cannot be read')
    return
  end
  examine(set, key, id, m, j)
  if string.byte(m) > 1 then
    return
  end
  local ready_at, due_at = unpk('>I6I6', m, 23)
  if set == 'due' then
    tally(unpk('>I2', m, 17) > 0 and 'retrying' or 'scheduled')
    look_ahead(id)
    lacks_score(set, id, due_at > 0 and due_at or ready_at > 0 and ready_at or now)
  else
    tally('paused')
    lacks_score(set, id, '+inf')
  end
end
for _, set in ipairs({ 'due', 'paused', 'dead' }) do
  look[set] = function(id, score)
    look_set(set, id, score)
  end
  look[set .. ':h'] = function(id, rec)
    look_record(set, id, rec)
  end
end
look['dead:h'] = function(id, row)
  local wrong = id_wrong(id)
  if wrong then
    fault('misplaced', key, '', 'a field ' .. wrong)
    return
  end
  local state, m, j = row_of(row)
  tally('dead')
  lacks_score('dead', id, now)
  if not state then
    fault('unreadable', key, id, 'its row cannot be read')
    return
  elseif state ~= 6 then
    fault('row_state', key, id, 'its row says state ' .. state)
  end
  examine('dead', key, id, m ~= '' and m or nil, j)
end

function look.pg(id)
  if #id ~= 13 or not runs(id) then
    fault('progress_stale', key, id, 'has progress and does not run', let_go('HDEL', id))
  end
end
function look.run(id)
  if #id ~= 13 or not runs(id, rest) then
    fault('run_stale', key, id, 'does not run under session ' .. rest, let_go('HDEL', id))
  end
end
function look.wt(id)
  if #id ~= 13 or not whereabouts(id) then
    fault('waiter_stale', key, id, 'is waited for and not alive', let_go('HDEL', id))
  end
end
-- Ids stay here when their job starts or ends early; at its time the ticker looks what became of each.
function look.s2s(id, at)
  local wrong = id_wrong(id)
  if wrong then
    fault('misplaced', key, '', 'a member ' .. wrong, let_go('ZREM', id))
  elseif tonumber(at) < now - late_ms and ticker_lives() then
    fault('limit_overdue', key, id, 'its limit to start is over and nobody looked')
  end
end

function look.idle(session)
  if not session_known(session) then
    fault('idle_stale', key, '', 'session ' .. session .. ' is not there', let_go('SREM', session))
  end
end
function look.lease(session)
  local known = ask('HGET', K .. 's:' .. session, 'st')
  if known ~= 'live' and known ~= 'reaping' then
    fault('lease_no_session', key, '', 'session ' .. session .. ' has a lease and no state', session_doom(session))
  elseif (tonumber(session) or 0) > (tonumber(call('HGET', sh, 'ss') or 0) or 0) then
    fault('small_state', K .. 'sh', '', 'ss is behind session ' .. session, function()
      call('HSET', sh, 'ss', session)
    end)
  end
end
function look.ql(lane)
  local lane_name = tonumber(lane) and tonumber(lane) > 0 and call('LINDEX', K .. 'lane', lane - 1)
  if not lane_name or string.match(lane_name, '^[^|]*') ~= rest then
    fault('lane_map', key, '', 'lane ' .. lane .. ' is not of this queue', let_go('SREM', lane))
  end
end

-- What waits to be told to other shards. Its rows have no time of their own: a confirmation is as old as its job, a release as the
-- job's end.
local function ended_ms(id)
  local place, row = whereabouts(id, nil, true)
  if place ~= 'dead' and place ~= 'history' then
    return nil
  end
  local ok, at = pcall(function()
    local _, p = varint_read(row, 1)
    local _, q = varint_read(row, p + 3)
    _, q = varint_read(row, q)
    return unpk('>I6', id) + varint_read(row, q)
  end)
  return ok and at or nil
end
function look.ob(field, value)
  local kind, ukey = string.sub(field, 1, 1), string.sub(field, 2)
  tally('outbox')
  local held_ms = kind == 'c' and tonumber(string.sub(value, 30))
  if not (held_ms or kind == 'r' and (#value == 13 or #value == 29)) then
    fault('unreadable', key, '', 'an outbox row cannot be read')
    return
  end
  local id = kind == 'c' and string.sub(value, 17, 29) or string.sub(value, -13)
  local since = kind == 'c' and unpk('>I6', id) or ended_ms(id)
  if not ticker_lives() then
    return
  elseif not since then
    more[#more + 1] = { 'o', ukey, id }
  elseif since < now - late_ms then
    fault('outbox_stale', key, id, (kind == 'c' and 'the confirmation' or 'the release') .. ' of its unique key does not go out')
  end
end

local scan = { due = 'ZSCAN', paused = 'ZSCAN', dead = 'ZSCAN', s2s = 'ZSCAN', lease = 'ZSCAN', idle = 'SSCAN', ql = 'SSCAN' }
local fn, command = look[name], scan[name] or 'HSCAN'
if not fn then
  fn, command = look[family], scan[family] or 'HSCAN'
end
local limit = command == 'HSCAN' and paced(key, call('HLEN', key), ARGV[5]) or ARGV[5]
local step = call(command, key, ARGV[4] == '' and '0' or ARGV[4], 'COUNT', limit)
local list, width = step[2], command == 'SSCAN' and 1 or 2
for i = 1, #list, width do
  fn(list[i], width == 2 and list[i + 1])
end
return answer(step[1] == '0' and '' or step[1])
