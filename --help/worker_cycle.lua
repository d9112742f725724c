
-- The middle of a worker's turn, in one MULTI: behind XACK, XDEL (and HSET of rows) of jobs that ended well, before XREADGROUP. The
-- connection watches x:<session> and hv, so all of it happens only if nobody took anything from this session and no bucket was opened
-- or dropped since the worker looked.
-- keys: {p:0}:sh {p:0}:s:SESSION {p:0}:paused_queues
-- argv: session call_no('' no jobs ended) ids(13 bytes each) class(0: not kept) bucket bytes side_ids n_parts part... n_idle idle_lane...
--   n_stats (field n)... [stream count]...
-- side_ids: those of ids whose payload is a key of its own
-- stream count: what to read, 'l:LANE' or 'f:LANE', when memory is short: then Redis queues no command of a MULTI, and this script is called by
--   itself, for no jobs that ended
-- returns (as the first of a list, before what XREADGROUP said of each, when there are streams to read): { now_ms, live(1|0), n of lanes,
--   queue version, bucket, width, value of hv, paused queue... }; bucket: the one for rows of `class` from now on
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
local session, call_no, ids, class = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local p = 9 + tonumber(ARGV[8])
local live = call('HGET', KEYS[2], 'st') == 'live'
if call_no ~= '' then
  call('HSET', KEYS[2], 'n', call_no, 'a', '')
  if ARGV[5] ~= '' then
    call('RPUSH', K .. 'ho:' .. ARGV[5], ids)
    call('HINCRBY', K .. 'hz', ARGV[5], ARGV[6])
    call('HINCRBY', K .. 'hr', ARGV[5], #ids / 13)
    call('SADD', K .. 'hp:' .. ARGV[5], unpack(ARGV, 9, p - 1))
    if ARGV[7] ~= '' then
      call('RPUSH', K .. 'hk:' .. ARGV[5], ARGV[7])
    end
  end
  if waited then
    for i = 1, #ids, 13 do
      tell(string.sub(ids, i, i + 12))
    end
  end
  event('C' .. pack('>I6I6', now, tonumber(session)) .. ids)
end
local bucket, width = '', 0
if class > 0 then
  bucket, width = bucket_of(class)
end
for i = p + 1, live and p + tonumber(ARGV[p]) or p do -- who is gone would be woken in another's place
  call('SADD', K .. 'idle:' .. ARGV[i], session)
end
p = p + 1 + tonumber(ARGV[p])
for i = p + 1, p + 2 * tonumber(ARGV[p]), 2 do
  count(ARGV[i], ARGV[i + 1])
end
local reply = call('SMEMBERS', KEYS[3])
local version = call('HGET', sh, 'qv')
local gate = { now, live and 1 or 0, call('LLEN', K .. 'lane'), tonumber(version or 0), bucket, width, call('GET', K .. 'hv') or '', unpack(reply) }
p = p + 1 + 2 * tonumber(ARGV[p])
if not ARGV[p] then
  return gate
end
local out = { gate }
for i = p, live and #ARGV or 0, 2 do
  out[#out + 1] = redis.pcall('XREADGROUP', 'GROUP', 'g', session, 'COUNT', ARGV[i + 1], 'STREAMS', K .. ARGV[i], '>')
end
return out
