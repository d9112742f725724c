
-- A session's heartbeat: renews its lease and so all its jobs, tells what changed, and lets it stand for ticker.
-- keys: {p:0}:sh {p:0}:s:SESSION {p:0}:lease {p:0}:due
-- argv: session lease_ms dyn(JSON) ticker('1' stands, '' not) blamed opened_ms n_starts n x (id started_ms) n_progress n x (id json)
--   n_lanes lane...
-- blamed: id of the only job that a crash is charged to from now on; '': each whose start was reported
-- opened_ms: when the caller opened it ('' not asked): a server that forgot this session may have given its number away again
-- returns: { now_ms, ticker epoch (0: not ticker), ms of the next due job (-1 none), n of lanes, queue version, draining,
--   { jobs cancelled under this session: id, then 'l' or 'f' and the entry }, { lanes of those given that hold jobs }, n of sessions to
--   reap, n of outbox rows, ms of the next schedule-to-start limit (-1 none), memory is short(1|0) }, or DQFENCED; the last four for the
--   ticker
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
-- Is the server about to refuse what needs memory? It is when more than 95 % of maxmemory is taken: what is written until somebody looks again
-- still finds room. What answers to clients take will be over soon, and counts only when the server refuses already.
local function memory_is_short()
  local info = redis.pcall('INFO', 'memory')
  if type(info) ~= 'string' then
    return false
  end
  local function field(name)
    return tonumber(string.match(info, '\n' .. name .. ':(%d+)') or 0)
  end
  local max = field('maxmemory')
  local used = field('used_memory') - field('mem_not_counted_for_evict')
  return max > 0 and (used > max or used - field('mem_clients_normal') > 0.95 * max)
end
-- Refuse whoever lost its lease: the reaper's mark in the session's hash is the only truth about that. Evaluates to nil, or the
-- error to return.
local function fenced(state)
  if state ~= 'live' then
    return redis.error_reply('DQFENCED this session lost its lease')
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
local session, lease = ARGV[1], tonumber(ARGV[2])
local s = call('HMGET', KEYS[2], 'st', 'node', 'at')
local err = fenced((ARGV[6] == '' or ARGV[6] == s[3]) and s[1])
if err then
  return err
end
call('HSET', KEYS[2], 'hb', now, 'dyn', ARGV[3], 'bl', ARGV[5])
local clock = served(lease)
call('ZADD', KEYS[3], clock + lease, session)

local epoch = 0
if ARGV[4] == '1' then
  local t = call('HMGET', sh, 'tk', 'te', 'tu')
  epoch = tonumber(t[2] or 0)
  if t[1] ~= session then
    if t[1] and tonumber(t[3]) > now and tonumber(t[3]) <= now + 2 * lease and call('ZSCORE', KEYS[3], t[1]) then
      epoch = 0
    else
      epoch = epoch + 1
      call('HSET', sh, 'tk', session, 'te', epoch)
    end
  end
  if epoch > 0 then
    call('HSET', sh, 'tu', now + lease)
  end
end

local p = 8
local n = tonumber(ARGV[7])
if n > 0 then
  local log = {}
  for i = 1, n do
    call('HSET', K .. 'run:' .. session, ARGV[p], pack('>I6', tonumber(ARGV[p + 1])))
    log[i] = ARGV[p]
    p = p + 2
  end
  event('S' .. pack('>I6I6', now, tonumber(session)) .. table.concat(log))
end
n = tonumber(ARGV[p])
p = p + 1
if n > 0 then
  call('HSET', K .. 'pg', unpack(ARGV, p, p + 2 * n - 1))
  event('P' .. pack('>I6I2', now, n) .. ARGV[p])
  p = p + 2 * n
end
n = tonumber(ARGV[p])
local busy = {}
for i = p + 1, p + n do
  if call('XLEN', K .. 'l:' .. ARGV[i]) > 0 or call('XLEN', K .. 'f:' .. ARGV[i]) > 0 then
    busy[#busy + 1] = tonumber(ARGV[i])
  end
end
local cancelled = call('SMEMBERS', K .. 'cx:' .. session)
if #cancelled > 0 then
  call('DEL', K .. 'cx:' .. session)
  -- the start of one of them may have been reported just now
  for i = 1, #cancelled do
    local id = string.sub(cancelled[i], 1, 13)
    call('HDEL', K .. 'run:' .. session, id)
    call('HDEL', K .. 'pg', id)
  end
end
local head = call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')
local late = epoch > 0 and call('ZRANGE', K .. 's2s', 0, 0, 'WITHSCORES') or {}
local q = call('HGET', sh, 'qv')
return {
  now, epoch, tonumber(head[2] or -1), call('LLEN', K .. 'lane'), tonumber(q or 0),
  call('SISMEMBER', K .. 'nodes:drain', s[2]), cancelled, busy,
  epoch > 0 and call('ZCOUNT', KEYS[3], '-inf', clock) or 0, epoch > 0 and call('HLEN', K .. 'ob') or 0,
  tonumber(late[2] or -1), epoch > 0 and memory_is_short() and 1 or 0,
}
