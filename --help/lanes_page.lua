
-- One page of the jobs of some lanes, waiting or running, merged by entry id: when each was accepted or handed over.
-- keys: {p:0}:sh
-- argv: cursor limit order('new'|'old') bytes_max shard which('p' waiting, 'r' running, 'pr') lane...
-- returns: { next cursor ('' at the end), n looked at, job... } as jobs_page gives them; cursor: ms-seq-lane-front(1|0), of an entry
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
local limit, newest, max, shard, which = tonumber(ARGV[2]), ARGV[3] == 'new', tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local before = { string.match(ARGV[1], '^(%d+)-(%d+)-(%d+)-(%d)$') }
for i = 1, #before do
  before[i] = tonumber(before[i])
end
local bound = before[1] and string.format('%.0f-%.0f', before[1], before[2])

-- Places are { ms, seq, lane, front }; whether a is listed before b.
local function precedes(a, b)
  for i = 1, 4 do
    if a[i] ~= b[i] then
      return (a[i] > b[i]) == newest
    end
  end
  return false
end
local function place_of(entry, lane, front)
  local ms, seq = string.match(entry, '^(%d+)-(%d+)$')
  return { tonumber(ms), tonumber(seq), lane, front }
end

-- What a stream still has to give: entries from `low` to `high`, none older than `first`. Delivered entries are those up to `last`; the ones still there run.
local function range(s, last)
  s.low, s.high = s.running and '-' or '(' .. last, s.running and last or '+'
  if not bound then
    return
  end
  local same = { before[1], before[2], s.lane, s.front }
  local from = (precedes(before, same) and '' or '(') .. bound
  local l = place_of(last, 0, 0)
  local above = before[1] > l[1] or (before[1] == l[1] and before[2] > l[2])
  if newest then
    s.high = s.running and above and last or from
  else
    s.low = not s.running and not above and '(' .. last or from
  end
end
-- Whether nothing can be as old as s.high: XREVRANGE would walk through the whole stream to see that.
local function is_below(s)
  if s.high == '+' then
    return false
  end
  local open, ms, seq = string.match(s.high, '^(%(?)(%d+)-(%d+)$')
  ms, seq = tonumber(ms), tonumber(seq)
  local first = s.first
  return ms < first[1] or (ms == first[1] and (seq < first[2] or (seq == first[2] and open == '(')))
end
local function refill(s, n)
  local entries
  if newest then
    entries = is_below(s) and {} or call('XREVRANGE', s.key, s.high, s.low, 'COUNT', n)
  else
    entries = call('XRANGE', s.key, s.low, s.high, 'COUNT', n)
  end
  s.entries, s.at, s.done, s.owners = entries, 1, #entries < n, {}
  if #entries == 0 then
    return
  end
  local a, b = entries[1][1], entries[#entries][1]
  if newest then
    s.high, a, b = '(' .. b, b, a
  else
    s.low = '(' .. b
  end
  for _, p in ipairs(s.running and call('XPENDING', s.key, 'g', a, b, n) or {}) do
    s.owners[p[1]] = p[2]
  end
end
local function look(s, n)
  if s.at > #s.entries and not s.done then
    refill(s, n)
  end
  local e = s.entries[s.at]
  s.place = e and place_of(e[1], s.lane, s.front)
end

local streams = {}
local function add(lane, front)
  local key = K .. (front == 1 and 'f:' or 'l:') .. lane
  if call('XLEN', key) == 0 then
    return
  end
  local group = call('XINFO', 'GROUPS', key)[1] or {}
  local last, owned = '0-0', 0
  for i = 1, #group, 2 do
    last = group[i] == 'last-delivered-id' and group[i + 1] or last
    owned = group[i] == 'pending' and group[i + 1] or owned
  end
  local first = place_of(call('XRANGE', key, '-', '+', 'COUNT', 1)[1][1], lane, front)
  for _, running in ipairs({ false, true }) do
    if string.find(which, running and 'r' or 'p', 1, true) and (not running or owned > 0) then
      local s = { lane = lane, front = front, key = key, running = running, entries = {}, at = 1, first = first }
      range(s, last)
      streams[#streams + 1] = s
    end
  end
end
for i = 7, #ARGV do
  add(tonumber(ARGV[i]), 0)
  add(tonumber(ARGV[i]), 1)
end

-- A heap of those that have one to give, the next of all on top.
local each = math.min(limit, math.max(2, math.ceil(2 * limit / math.max(#streams, 1))))
local heap = {}
for _, s in ipairs(streams) do
  look(s, each)
  if s.place then
    heap[#heap + 1] = s
  end
end
table.sort(heap, function(a, b)
  return precedes(a.place, b.place)
end)
local function sink()
  local i = 1
  while true do
    local child = 2 * i
    if child < #heap and precedes(heap[child + 1].place, heap[child].place) then
      child = child + 1
    end
    if child > #heap or not precedes(heap[child].place, heap[i].place) then
      return
    end
    heap[i], heap[child] = heap[child], heap[i]
    i = child
  end
end

local out = { '', 0 }
while heap[1] and #out - 2 < limit do
  local s = heap[1]
  local entry = s.entries[s.at]
  local m, j = fields_of(entry[2])
  local p = s.place
  local id = m and string.sub(m, 2, 14) or id_pack(p[1], p[2], s.lane, shard)
  local v = view_of(id, s.front == 1 and 'front' or 'lane', m, j, s.running and (s.owners[entry[1]] or '0') or nil, max)
  v[11] = #j > max and 1 or 0
  v[5] = string.sub(j, 1, max)
  v[12] = string.format('%.0f-%.0f-%.0f-%d', p[1], p[2], s.lane, s.front)
  out[#out + 1] = v
  s.at = s.at + 1
  look(s, each)
  if not s.place then
    heap[1] = heap[#heap]
    heap[#heap] = nil
  end
  sink()
end
if heap[1] then
  out[1] = out[#out][12]
end
out[2] = #out - 2
return out
