
-- Open a session for a node: its lease runs from now.
-- keys: {p:0}:sh {p:0}:lease
-- argv: node_id info(JSON) lease_ms
-- returns: { session number, now_ms, value of x:<session>, value of hv }
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
local function count(field, n)
  local minute = K .. 'st:' .. math.floor(now / 60000)
  if call('HINCRBY', minute, field, n) == tonumber(n) then
    call('PEXPIRE', minute, MINUTE_KEPT_MS)
  end
end
local function event(text)
  call('XADD', K .. 'ev', 'MAXLEN', '~', call('HGET', sh, 'en') or 16384, '*', 'e', text)
end
-- Numbers begin with the time (4 ms each, from 2025 on): where all was deleted, those of sessions that do not know it yet must not come again.
if call('HEXISTS', sh, 'ss') == 0 then
  call('HSET', sh, 'ss', string.format('%d', math.max(math.floor((now - 1735689600000) / 4), 0)))
end
local session = tostring(call('HINCRBY', sh, 'ss', 1))
call('HSET', K .. 's:' .. session, 'st', 'live', 'node', ARGV[1], 'info', ARGV[2], 'at', now, 'hb', now, 'n', 0, 'a', '')
call('SET', K .. 'x:' .. session, 1)
call('HSET', K .. 'sn', session, ARGV[1])
if session % 64 == 0 then
  local old = {}
  for i = 1, 64 do
    old[i] = tostring(session - 10000 - i)
  end
  call('HDEL', K .. 'sn', unpack(old))
end
call('ZADD', KEYS[2], served(tonumber(ARGV[3])) + ARGV[3], session)
event('N' .. pack('>I6', now) .. 'j' .. ARGV[1])
return { tonumber(session), now, '1', call('GET', K .. 'hv') or '' }
