
-- One step through the history. What takes many steps (the sums over a bucket's rows, the order list) is put together by the caller, who
-- comes back with what does not fit.
-- keys: {p:0}:sh
-- argv: shard repair('1' or '') then
--   'buckets'                            more: 'b', bucket, width
--   'bucket' bucket                      more: 'n', rows, bytes (hz), cancelled (hn); then 'p', part. None when the bucket went
--   'part' bucket part cursor limit      more: 'r', ids, bytes, cancelled, rows in the part
--   'order' bucket from limit            more: 'i', ids, elements
--   'unlisted' bucket id                 a row that no order list names
--   'sum' bucket 'hz'|'hn' by            a counter that is wrong by so much
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
-- Bytes of what a row keeps beside it: its payload when that is a key of its own, and log lines.
local function side_bytes(id, e, logged)
  return (e.blob and call('STRLEN', K .. 'b:' .. id) or 0) + (logged and call('STRLEN', K .. 'lg:' .. id) or 0)
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
local op, bucket = ARGV[3], ARGV[4]

local function width_of(number)
  for _, b in ipairs(call('ZRANGE', K .. 'hx', 0, -1)) do
    local no, width = string.match(b, '^(%d+):%d+:(%d+)$')
    if no == number then
      return tonumber(width)
    end
  end
end
local function row_key(id, width)
  return K .. 'h:' .. bucket .. ':' .. string.format('%d', math.floor(unpk('>I6', id) / width))
end

local run = {}
local function orphan_counters(name, known)
  for _, field in ipairs(call('HKEYS', K .. name)) do
    if not known[field] then
      fault('bucket_orphan', K .. name, '', 'counts for bucket ' .. field .. ', which is not there', function()
        call('HDEL', K .. name, field)
      end)
    end
  end
end
function run.buckets()
  local known, top = {}, tonumber(call('HGET', sh, 'bn') or 0) or 0
  for _, member in ipairs(call('ZRANGE', K .. 'hx', 0, -1)) do
    local no, width = string.match(member, '^(%d+):%d+:(%d+)$')
    if not no then
      fault('unreadable', K .. 'hx', '', "'" .. member .. "' names no bucket", function()
        call('ZREM', K .. 'hx', member)
      end)
    else
      known[no] = true
      tally('buckets')
      more[#more + 1] = { 'b', no, tonumber(width) }
      if tonumber(no) > top then
        fault('small_state', sh, '', 'bn is behind bucket ' .. no, function()
          call('HSET', sh, 'bn', no)
        end)
        top = tonumber(no)
      end
    end
  end
  orphan_counters('hz', known)
  orphan_counters('hn', known)
  orphan_counters('hr', known)
end

function run.bucket()
  if not width_of(bucket) then
    return
  end
  local rows = 0
  more[1] = { 'n' }
  for i, part in ipairs(call('SMEMBERS', K .. 'hp:' .. bucket)) do
    rows = rows + (ask('HLEN', K .. 'h:' .. bucket .. ':' .. part) or 0)
    more[i + 1] = { 'p', part }
  end
  local counted = tonumber(call('HGET', K .. 'hr', bucket) or 0)
  if counted ~= rows then
    fault('history_rows', K .. 'hr', '', 'bucket ' .. bucket .. ' has ' .. rows .. ' rows, hr says ' .. (counted or 'no number'), function()
      call('HSET', K .. 'hr', bucket, rows)
    end)
  end
  more[1] = { 'n', rows, tonumber(call('HGET', K .. 'hz', bucket) or 0) or 0, tonumber(call('HGET', K .. 'hn', bucket) or 0) or 0 }
end

-- Whether it is cancelled, and the bytes beside it.
local function look_row(key, width, id, row)
  local wrong = #id ~= 13 and 'is not an id' or id_wrong(id)
  if wrong or row_key(id, width) ~= key then
    fault('misplaced', key, not wrong and id or '', 'a row ' .. (wrong or 'in a part where nobody looks for it'))
    return false, 0
  end
  local state, m, j, logged = row_of(row)
  if not state then
    fault('unreadable', key, id, 'its row cannot be read')
    return false, 0
  end
  local e, why = envelope_of(j)
  if why or m ~= '' and moved_wrong(id, m) then
    fault('unreadable', key, id, why or moved_wrong(id, m))
  elseif state ~= 5 and state ~= 7 then
    fault('row_state', key, id, 'its row says state ' .. state)
  elseif in_history(id, tonumber(bucket)) then
    fault('twice', key, id, 'is in two buckets of the history')
  elseif e and e.blob and call('EXISTS', K .. 'b:' .. id) == 0 then
    fault('blob_missing', key, id, 'its payload is gone')
  end
  tally(state == 7 and 'cancelled' or 'completed')
  return state == 7, side_bytes(id, e or {}, logged)
end
function run.part()
  local key, width = K .. 'h:' .. bucket .. ':' .. ARGV[5], width_of(bucket)
  if not width then
    return
  end
  local step = call('HSCAN', key, ARGV[6] == '' and '0' or ARGV[6], 'COUNT', paced(key, call('HLEN', key), ARGV[7]))
  local ids, bytes, cancelled = {}, 0, 0
  for i = 1, #step[2], 2 do
    local id, row = step[2][i], step[2][i + 1]
    local is_cancelled, beside = look_row(key, width, id, row)
    cancelled = cancelled + (is_cancelled and 1 or 0)
    bytes = bytes + #row + ROW_OVERHEAD + beside
    ids[#ids + 1] = #id == 13 and id or string.rep('\0', 13)
  end
  more[1] = { 'r', table.concat(ids), bytes, cancelled, call('HLEN', key) }
  return step[1] == '0' and '' or step[1]
end

function run.order()
  local ids = {}
  local list = call('LRANGE', K .. 'ho:' .. bucket, ARGV[5], ARGV[5] + ARGV[6] - 1)
  for i, element in ipairs(list) do
    if #element % 13 ~= 0 or #element == 0 then
      fault('unreadable', K .. 'ho:' .. bucket, '', 'element ' .. (ARGV[5] + i - 1) .. ' is no list of ids')
    else
      ids[#ids + 1] = element
    end
  end
  more[1] = { 'i', table.concat(ids), #list }
end
function run.unlisted()
  local id, width = ARGV[5], width_of(bucket)
  if width and call('HEXISTS', row_key(id, width), id) == 1 then
    fault('history_order', K .. 'ho:' .. bucket, id, 'has a row and is in no list', function()
      call('RPUSH', K .. 'ho:' .. bucket, id)
    end)
  end
end
function run.sum()
  local name, by = ARGV[5], ARGV[6]
  if not width_of(bucket) then
    return
  end
  local is = tonumber(call('HGET', K .. name, bucket) or 0)
  local number = tonumber(is) and string.format('%.0f', is) or 'no number'
  fault(name == 'hz' and 'history_bytes' or 'history_cancelled', K .. name, '', 'bucket ' .. bucket .. ': ' .. number .. ', off by ' .. by,
    function()
      call('HINCRBY', K .. name, bucket, -by)
    end)
end
local cursor = run[op]()
return answer(cursor or '')
