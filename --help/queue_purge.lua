
-- Delete waiting jobs of a queue, a bounded number a call, with all that is kept for them. Running ones are not touched.
-- keys: {p:0}:sh
-- argv: actor shard queue limit
-- returns: { n deleted, more to do(1|0) }
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
-- Entries of a stream that nobody was given yet: those behind the group's last delivered id.
local function group_of(key)
  local found = redis.pcall('XINFO', 'GROUPS', key)
  local g = { pending = 0, last = '0-0' }
  if found.err or not found[1] then
    return g
  end
  for i = 1, #found[1], 2 do
    if found[1][i] == 'pending' then
      g.pending = found[1][i + 1]
    elseif found[1][i] == 'last-delivered-id' then
      g.last = found[1][i + 1]
    end
  end
  return g
end
local function undelivered(key, n)
  return call('XRANGE', key, '(' .. group_of(key).last, '+', 'COUNT', n)
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
-- An operator's action, kept 30 days (housekeeping trims by time).
local function audit(actor, action, target, detail)
  call('XADD', K .. 'au', '*', 'at', now, 'actor', actor, 'action', action, 'target', target, 'detail', detail or '')
end
local shard, limit = tonumber(ARGV[2]), tonumber(ARGV[4])
local gone = {}

local function delete(key, lane, entry, fields)
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
  call('XDEL', key, entry)
  if m then
    call('HDEL', K .. 'loc', id)
    call('UNLINK', K .. 'lg:' .. id)
  end
  local e = envelope_read(j)
  ukey_release(e, id)
  if e.s2s then
    call('ZREM', K .. 's2s', id)
  end
  if e.blob then
    call('UNLINK', K .. 'b:' .. id)
  end
  tell(id, '\0')
  gone[#gone + 1] = id
end

for _, lane in ipairs(call('SMEMBERS', K .. 'ql:' .. ARGV[3])) do
  for _, stream in ipairs({ 'f:', 'l:' }) do
    local key = K .. stream .. lane
    if #gone < limit then
      for _, e in ipairs(undelivered(key, limit - #gone)) do
        delete(key, tonumber(lane), e[1], e[2])
      end
    end
  end
end
if #gone > 0 then
  event('Q' .. pack('>I6', now) .. table.concat(gone))
  audit(ARGV[1], 'queue.purge', ARGV[3], #gone)
end
return { #gone, #gone >= limit and 1 or 0 }
