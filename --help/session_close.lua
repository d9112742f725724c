
-- End a session that has given everything back. Lanes it is still known in with something pending, or more lanes than a step takes, are left
-- to the reaper, which is told that the lease is over.
-- keys: {p:0}:sh {p:0}:s:SESSION {p:0}:lease
-- argv: session
-- returns: 1 when it is gone, 0 when the reaper does the rest
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
local function count(field, n)
  local minute = K .. 'st:' .. math.floor(now / 60000)
  if call('HINCRBY', minute, field, n) == tonumber(n) then
    call('PEXPIRE', minute, MINUTE_KEPT_MS)
  end
end
local function event(text)
  call('XADD', K .. 'ev', 'MAXLEN', '~', call('HGET', sh, 'en') or 16384, '*', 'e', text)
end
local session = ARGV[1]
local s = call('HMGET', KEYS[2], 'st', 'node')
if call('HGET', sh, 'tk') == session then
  call('HDEL', sh, 'tk', 'tu')
end
if s[1] ~= 'live' then
  return 0
end
local clean = true
local lanes = call('LLEN', K .. 'lane')
for lane = 1, math.min(lanes, 250) do
  call('SREM', K .. 'idle:' .. lane, session)
  for _, kind in ipairs({ 'l:', 'f:' }) do
    local key = K .. kind .. lane
    local pending = redis.pcall('XPENDING', key, 'g', '-', '+', 1, session)
    if not pending.err and #pending == 0 then
      call('XGROUP', 'DELCONSUMER', key, 'g', session)
    elseif not pending.err then
      clean = false
    end
  end
end
event('N' .. pack('>I6', now) .. 'c' .. (s[2] or ''))
if clean and lanes <= 250 then
  call('UNLINK', KEYS[2], K .. 'x:' .. session, K .. 'run:' .. session, K .. 'cx:' .. session)
  call('ZREM', KEYS[3], session)
  return 1
end
call('HSET', KEYS[2], 'st', 'reaping', 'lane', 1)
call('UNLINK', K .. 'x:' .. session)
call('ZADD', KEYS[3], 0, session)
return 0
