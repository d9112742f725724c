
-- One page of a structure, by cursor: bounded by `limit` rows looked at.
-- keys: {p:0}:sh
-- argv: structure cursor limit order('new'|'old') bytes_max
--   structure: 'due' 'paused' 'dead' 'history'; lanes_page has the lanes
-- returns: { next cursor ('' at the end), n looked at, job... } each as job_get gives it, but without a payload key over bytes_max, and two elements
--   more: 1 when its j is over bytes_max and cut to that, else 0; and the cursor behind it
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
-- What readers get of one job.
local lane_names = {}
local function lane_name(lane)
  if not lane_names[lane] then
    lane_names[lane] = call('LINDEX', K .. 'lane', lane - 1) or ''
  end
  return lane_names[lane]
end
-- A payload that is a key of its own, up to so many bytes.
local function blob_of(id, place, j, max)
  if place == 'dead' or place == 'history' then
    local _
    _, _, j = row_split(j)
  end
  local key = envelope_read(j).blob and K .. 'b:' .. id
  return key and call('STRLEN', key) <= max and call('GET', key) or ''
end
local function view_of(id, place, m, j, session, blob_max)
  local _, _, lane = id_unpack(id)
  local state, due, started = 0, 0, 0
  local progress = ''
  if place == 'due' then
    due = call('ZSCORE', K .. 'due', id)
    state = unpk('>I2', m, 17) > 0 and 3 or 1
  elseif place == 'paused' then
    due = call('ZSCORE', K .. 'paused', id)
    due = due == 'inf' and '-1' or due
    state = 4
  elseif place == 'dead' then
    state = 6
  elseif place == 'history' then
    state = -1
  elseif session then
    state = 2
    local run = call('HGET', K .. 'run:' .. session, id)
    started = run and unpk('>I6', run) or 0
    progress = call('HGET', K .. 'pg', id) or ''
  end
  return { id, state, lane_name(lane), m or '', j, blob_of(id, place, j, blob_max), tostring(due), session or '', started, progress }
end
local function job_view(id, blob_max)
  local place, m, j, _, _, session = locate(id)
  if place then
    return view_of(id, place, m, j, session, blob_max)
  end
  return false
end
local what, cursor, limit, newest = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4] == 'new'
local out = { '', 0 }
local looked, max = 0, tonumber(ARGV[5])
local function put(v, behind)
  v[12] = behind
  out[#out + 1] = v
end

-- How many members of a set come before score:id, and whether that one is itself there still. The score alone would do but for equal ones;
-- Lua's < on strings follows the server's locale, the set's order does not.
local function bytes_before(a, b)
  for i = 1, #a do
    local x, y = string.byte(a, i), string.byte(b, i) or 0
    if x ~= y then
      return x < y
    end
  end
  return false
end
local function rank_of(key, score, id)
  local low, high = 0, call('ZCARD', key)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local e = call('ZRANGE', key, middle, middle, 'WITHSCORES')
    local s = tonumber(e[2])
    if s < score or (s == score and bytes_before(e[1], id)) then
      low = middle + 1
    else
      high = middle
    end
  end
  return low, call('ZRANGE', key, low, low)[1] == id
end
local function unhex(two)
  return string.char(tonumber(two, 16))
end
local function hex(byte)
  return string.format('%02x', string.byte(byte))
end

if what == 'due' or what == 'paused' or what == 'dead' then
  -- cursor: score:id of the last one, id in hexadecimal
  local at = 0
  if cursor ~= '' then
    local score, id = string.match(cursor, '^([^:]+):(%x+)$')
    local before, there = rank_of(K .. what, tonumber(score) or 0, (string.gsub(id or '', '%x%x', unhex)))
    at = newest and call('ZCARD', K .. what) - before or before + (there and 1 or 0)
  end
  local ids, behind = {}, {}
  local found = call(newest and 'ZREVRANGE' or 'ZRANGE', K .. what, at, at + limit - 1, 'WITHSCORES')
  for i = 1, #found, 2 do
    ids[#ids + 1] = found[i]
    behind[#ids] = found[i + 1] .. ':' .. string.gsub(found[i], '.', hex)
  end
  looked = #ids
  if looked > 0 then
    local recs = call('HMGET', K .. what .. ':h', unpack(ids))
    for i, id in ipairs(ids) do
      if recs[i] then
        if what == 'dead' then
          put(view_of(id, 'dead', nil, recs[i], nil, max), behind[i])
        else
          local m, j = record_split(recs[i])
          put(view_of(id, what, m, j, nil, max), behind[i])
        end
      end
    end
  end
  if looked == limit then
    out[1] = behind[looked]
  end
else
  -- Buckets by number (they are opened in order of time), in each the order list; cursor: bucket:element:offset. An element holds many ids and
  -- does not change; elements are added behind the last, so they are counted from the first, whatever the order.
  local buckets = {}
  for _, b in ipairs(call('ZRANGE', K .. 'hx', 0, -1)) do
    local no, width = string.match(b, '^(%d+):%d+:(%d+)$')
    buckets[#buckets + 1] = { tonumber(no), tonumber(width) }
  end
  table.sort(buckets, function(a, b)
    if newest then
      return a[1] > b[1]
    end
    return a[1] < b[1]
  end)
  local from, element, offset = string.match(cursor, '^(%d+):(%d+):(%d+)$')
  from, element, offset = tonumber(from), tonumber(element), tonumber(offset or 0)
  local steps = 0
  for _, b in ipairs(buckets) do
    if out[1] ~= '' then
      break
    end
    if not from or (newest and b[1] <= from) or (not newest and b[1] >= from) then
      if not element or b[1] ~= from then
        element, offset = newest and call('LLEN', K .. 'ho:' .. b[1]) - 1 or 0, 0
      end
      from = b[1]
      while out[1] == '' do
        local list = element >= 0 and call('LINDEX', K .. 'ho:' .. b[1], element)
        if not list then
          break
        end
        local n = #list / 13
        while offset < n and out[1] == '' do
          local at = newest and n - 1 - offset or offset
          local id = string.sub(list, at * 13 + 1, at * 13 + 13)
          local ms = unpk('>I6', id)
          local row = call('HGET', K .. 'h:' .. b[1] .. ':' .. string.format('%d', math.floor(ms / b[2])), id)
          looked = looked + 1
          offset = offset + 1
          if row then
            put(view_of(id, 'history', nil, row, nil, max), b[1] .. ':' .. element .. ':' .. offset)
          end
          steps = steps + 1
          if steps >= limit then
            out[1] = b[1] .. ':' .. element .. ':' .. offset
          end
        end
        if out[1] == '' then
          element, offset = element + (newest and -1 or 1), 0
        end
      end
    end
  end
end

for i = 3, #out do
  local v = out[i]
  v[11] = #v[5] > max and 1 or 0
  v[5] = string.sub(v[5], 1, max)
end
out[2] = looked
return out
