
-- What became of jobs of one session, with all that follows from it: the general way, for everything that worker_cycle's plain commands
-- cannot do. Also for a batch whose transaction was refused: entries that were taken from the session meanwhile are found out job by job.
-- keys: {p:0}:sh {p:0}:s:SESSION {p:0}:loc {p:0}:dead {p:0}:dead:h
-- argv: session call_no shard repeat('1') n_stats (field n)... then segments up to the end; `stream` is 'l:LANE' or 'f:LANE'. The first six
--   begin with stream n entry... :
--   repeat: an earlier call or transaction of this number had no answer, or its answer was lost
--   'c' ...  class side('1': rows have side keys) n x (id row)   completed or skipped, kept in history of that retention class
--   'n' ...  n x (id)                     completed, not kept
--   'r' ...  n x (delay_ms id record)     due again after the delay
--   'f' ...  n x (id m j)                 ready again now
--   'd' ...  n x (id row)                 dead
--   'p' ...  n x (delay_ms|-1 id record)  paused, resumed by itself after the delay
--   'u' n  n x (index id key)       unique keys to let go; index: of the job among all entries of this call, from 0
--   'U' n  n x (index id key)       the same for keys of another shard: left in the outbox
--   'o' n  n x (index id log)       log lines, appended to those of earlier runs; the last 64 KiB stay
--   'a' n  n x (id)                 starts that had been reported
--   'g' n  n x (id)                 progress to drop
--   'b' n  n x (index id)           payload and log keys to drop with a job that is not kept
--   'B' n  n x (index id payload)   payload keys to set anew (a repeat with another payload)
-- returns: packed answer, kept for a repeat: call_no I6, n_refused I2, n_refused x index I2
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
-- Wake at most n of the sessions that wait for work of this lane.
local function wake(lane, n)
  local idle = call('SPOP', K .. 'idle:' .. lane, n)
  for i = 1, #idle do
    redis.pcall('SPUBLISH', K .. 'w:' .. idle[i], 'L' .. lane)
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
-- Refuse whoever lost its lease: the reaper's mark in the session's hash is the only truth about that. Evaluates to nil, or the
-- error to return.
local function fenced(state)
  if state ~= 'live' then
    return redis.error_reply('DQFENCED this session lost its lease')
  end
end
-- Bytes of what a row keeps beside it: its payload when that is a key of its own, and log lines.
local function side_bytes(id, e, logged)
  return (e.blob and call('STRLEN', K .. 'b:' .. id) or 0) + (logged and call('STRLEN', K .. 'lg:' .. id) or 0)
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
local session, call_no, is_repeat = ARGV[1], tonumber(ARGV[2]), ARGV[4] == '1'
local s = call('HMGET', KEYS[2], 'st', 'n', 'a')
local err = fenced(s[1])
if err then
  return err
end
if tonumber(s[2] or 0) == call_no then
  return s[3] ~= '' and s[3] or pack('>I6I2', call_no, 0)
end

local index, refused, refused_list = 0, {}, {}
-- Let go of n entries of a stream. In the usual case all are there, and so ours, since who takes one from a session deletes it. Else they are
-- looked at one by one: what the call says of an entry that was taken does not count. A repeat's are always: the server that answers it may
-- have lost their delivery (a fail-over, a tail of its file), and they may wait, or run elsewhere.
local function let_go(stream, at, n)
  local key, mine = K .. stream, {}
  if not is_repeat and call('XDEL', key, unpack(ARGV, at, at + n - 1)) == n then
    call('XACK', key, 'g', unpack(ARGV, at, at + n - 1))
    return
  end
  for i = 0, n - 1 do
    local entry = ARGV[at + i]
    local pending = call('XPENDING', key, 'g', entry, entry, 1)[1]
    if pending and pending[2] == session then
      mine[#mine + 1] = entry
    else
      refused[index + i] = true
    end
  end
  if #mine > 0 then
    call('XDEL', key, unpack(mine))
    call('XACK', key, 'g', unpack(mine))
  end
end

local soonest
local beside = {} -- bucket, ids of rows that keep something beside them
local woken, log = {}, {}

local function keep_rows(class, side, rows)
  if class <= 0 then
    return
  end
  local bucket, width = bucket_of(class)
  local ids, parts, bytes = {}, {}, 0
  for i = 1, #rows, 2 do
    local part = string.format('%d', math.floor(unpk('>I6', rows[i]) / width))
    parts[part] = parts[part] or {}
    local list = parts[part]
    list[#list + 1], list[#list + 2] = rows[i], rows[i + 1]
    ids[#ids + 1] = rows[i]
    bytes = bytes + #rows[i + 1] + ROW_OVERHEAD
  end
  for part, list in pairs(parts) do
    call('HSET', K .. 'h:' .. bucket .. ':' .. part, unpack(list))
    call('SADD', K .. 'hp:' .. bucket, part)
  end
  call('RPUSH', K .. 'ho:' .. bucket, table.concat(ids))
  call('HINCRBY', K .. 'hz', bucket, bytes)
  call('HINCRBY', K .. 'hr', bucket, #ids)
  if side == '1' then
    call('RPUSH', K .. 'hk:' .. bucket, table.concat(ids))
    beside[#beside + 1] = { bucket, ids }
  end
end

-- A record as it is from now on: a call that comes late, behind an outage, says another time than the one that counts.
local function due_at(record, at)
  if #record > 40 and math.abs(unpk('>I6', record, 33) - at) > 1000 then
    return string.sub(record, 1, 32) .. pack('>I6', at) .. string.sub(record, 39)
  end
  return record
end

local function wait_in(set, items, may_wake)
  local z, h = {}, {}
  for i = 1, #items, 3 do
    local delay = tonumber(items[i])
    local at = delay < 0 and '+inf' or now + delay
    z[#z + 1], z[#z + 2] = at, items[i + 1]
    h[#h + 1], h[#h + 2] = items[i + 1], set == 'due' and due_at(items[i + 2], at) or items[i + 2]
    if delay >= 0 and may_wake and (not soonest or at < soonest) then
      soonest = at
    end
  end
  local head = call('ZRANGE', K .. set, 0, 0, 'WITHSCORES')
  if soonest and head[2] and tonumber(head[2]) <= soonest then
    soonest = nil
  end
  call('ZADD', K .. set, unpack(z))
  call('HSET', K .. set .. ':h', unpack(h))
end

-- What each kind does with the jobs that were not refused: `items` are their arguments, `ids` their ids.
local does = {
  c = function(_, items, _, class, side)
    keep_rows(tonumber(class), side, items)
  end,
  n = function() end,
  d = function(_, items)
    local z = {}
    for i = 1, #items, 2 do
      z[i], z[i + 1] = now, items[i]
    end
    call('ZADD', KEYS[4], unpack(z))
    call('HSET', KEYS[5], unpack(items))
  end,
  f = function(lane, items)
    local key, loc = K .. 'f:' .. lane, {}
    for i = 1, #items, 3 do
      loc[#loc + 1] = items[i]
      loc[#loc + 1] = call('XADD', key, '*', 'm', items[i + 1], 'j', items[i + 2])
    end
    call('HSET', KEYS[3], unpack(loc))
    woken[lane] = (woken[lane] or 0) + #items / 3
  end,
  r = function(_, items)
    wait_in('due', items, true)
  end,
  p = function(_, items)
    wait_in('paused', items, true)
  end,
}
local width = { c = 2, n = 1, r = 3, f = 3, d = 2, p = 3 }
local id_at = { c = 0, n = 0, r = 1, f = 0, d = 0, p = 1 }
local ends = { c = true, n = true, d = true }

local function segment(kind, p)
  local stream, n = ARGV[p + 1], tonumber(ARGV[p + 2])
  local w, off = width[kind], id_at[kind]
  let_go(stream, p + 3, n)
  p = p + 3 + n
  local class, side
  if kind == 'c' then
    class, side = ARGV[p], ARGV[p + 1]
    p = p + 2
  end
  local items, ids = {}, {}
  for i = 0, n - 1 do
    if refused[index + i] then
      refused_list[#refused_list + 1] = pack('>I2', index + i)
    else
      for k = 0, w - 1 do
        items[#items + 1] = ARGV[p + i * w + k]
      end
      ids[#ids + 1] = ARGV[p + i * w + off]
    end
  end
  if #ids > 0 then
    if string.byte(stream) == 102 then
      call('HDEL', KEYS[3], unpack(ids))
    end
    does[kind](string.sub(stream, 3), items, ids, class, side)
    if ends[kind] and waited then
      for i = 1, #ids do
        tell(ids[i])
      end
    end
    log[#log + 1] = kind .. pack('>I2', #ids) .. table.concat(ids)
  end
  index = index + n
  return p + n * w
end

local keyed = {
  u = function(id, v)
    if call('GET', K .. 'u:' .. v) == id then
      call('DEL', K .. 'u:' .. v)
    end
  end,
  U = function(id, v)
    outbox_release(v, id)
  end,
  o = function(id, v)
    call('SET', K .. 'lg:' .. id, string.sub((call('GET', K .. 'lg:' .. id) or '') .. v, -65536))
  end,
  b = function(id)
    call('UNLINK', K .. 'b:' .. id, K .. 'lg:' .. id)
  end,
  B = function(id, v)
    call('SET', K .. 'b:' .. id, v)
  end,
}

local function side_segment(kind, p)
  local n = tonumber(ARGV[p + 1])
  p = p + 2
  if kind == 'a' or kind == 'g' then
    call('HDEL', kind == 'a' and K .. 'run:' .. session or K .. 'pg', unpack(ARGV, p, p + n - 1))
    return p + n
  end
  local w = kind == 'b' and 2 or 3
  for i = p, p + (n - 1) * w, w do
    if not refused[tonumber(ARGV[i])] then
      keyed[kind](ARGV[i + 1], ARGV[i + 2])
    end
  end
  return p + n * w
end

local n_stats = tonumber(ARGV[5])
local p = 6 + 2 * n_stats
while p <= #ARGV do
  local kind = ARGV[p]
  p = width[kind] and segment(kind, p) or side_segment(kind, p)
end

-- Log lines were added behind the rows.
for _, b in ipairs(beside) do
  local bytes = 0
  for _, id in ipairs(b[2]) do
    bytes = bytes + side_bytes(id, { blob = true }, true)
  end
  call('HINCRBY', K .. 'hz', b[1], bytes)
end

local answer = pack('>I6I2', call_no, #refused_list) .. table.concat(refused_list)
call('HSET', KEYS[2], 'n', call_no, 'a', answer)
call('INCR', K .. 'x:' .. session)
if index > #refused_list then
  for i = 6, 5 + 2 * n_stats, 2 do
    count(ARGV[i], ARGV[i + 1])
  end
  event('O' .. pack('>I6I6', now, tonumber(session)) .. table.concat(log))
  for lane, n in pairs(woken) do
    wake(lane, n)
  end
  local ticker = soonest and call('HGET', sh, 'tk')
  if ticker then
    redis.pcall('SPUBLISH', K .. 'w:' .. ticker, 'D' .. string.format('%d', soonest))
  end
end
return answer
