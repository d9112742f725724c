
-- Bring a shard up to what a program that connects needs: its small state, the rows of its queues; and look whether anything foreign or
-- forbidden is in the way, before a job depends on it.
-- keys: {p:0}:sh {p:0}:q {p:0}:paused_queues
-- argv: nothing: only look; or token history_cap(bytes) keep('k': a cap that is set already stays), then (queue row paused('1' or ''))...
-- returns: { now_ms, queue version, history cap }, or WRONGTYPE with the key's name, or NOPERM with the command
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
-- nil, or the error to return: the user may not run this. Asked before anything is changed.
local function forbidden(what, command, ...)
  if not redis.acl_check_cmd(command, ...) then
    return redis.error_reply("NOPERM this user has no permissions to run the '" .. command .. "' command on " .. what)
  end
end
local types = {
  sh = 'hash', q = 'hash', paused_queues = 'set', lane = 'list', lanes = 'hash', loc = 'hash', due = 'zset', ['due:h'] = 'hash',
  paused = 'zset', ['paused:h'] = 'hash', dead = 'zset', ['dead:h'] = 'hash', hx = 'zset', hz = 'hash', hn = 'hash', hr = 'hash', ks = 'hash', hv = 'string',
  ob = 'hash', pg = 'hash', wt = 'hash', s2s = 'zset', lease = 'zset', sn = 'hash', ['nodes:drain'] = 'set', ev = 'stream',
  au = 'stream',
}
for name, want in pairs(types) do
  local kind = call('TYPE', K .. name).ok
  if kind ~= 'none' and kind ~= want then
    return redis.error_reply('WRONGTYPE ' .. K .. name .. ' is a ' .. kind .. ', must be a ' .. want)
  end
end

local used = {
  { 'multi' }, { 'exec' }, { 'discard' }, { 'unwatch' }, { 'mget', K .. 'x' }, { 'script', 'load', '' },
  { 'del', K .. 'x' }, { 'exists', K .. 'x' }, { 'expire', K .. 'x', 1 }, { 'get', K .. 'x' }, { 'hdel', K .. 'x', 'f' },
  { 'hexists', K .. 'x', 'f' }, { 'hget', K .. 'x', 'f' }, { 'hgetall', K .. 'x' }, { 'hincrby', K .. 'x', 'f', 1 },
  { 'hlen', K .. 'x' }, { 'hmget', K .. 'x', 'f' }, { 'hscan', K .. 'x', 0 }, { 'hset', K .. 'x', 'f', 'v' }, { 'hvals', K .. 'x' },
  { 'incr', K .. 'x' },
  { 'llen', K .. 'x' }, { 'lindex', K .. 'x', 0 }, { 'lpop', K .. 'x' }, { 'lrange', K .. 'x', 0, 0 }, { 'memory', 'usage', K .. 'x' }, { 'pexpire', K .. 'x', 1 },
  { 'pttl', K .. 'x' }, { 'pubsub', 'shardnumsub', K .. 'ctl' }, { 'rename', K .. 'x', K .. 'y' }, { 'rpush', K .. 'x', 'v' }, { 'sadd', K .. 'x', 'v' }, { 'scard', K .. 'x' }, { 'set', K .. 'x', 'v' },
  { 'sismember', K .. 'x', 'v' }, { 'smembers', K .. 'x' }, { 'spop', K .. 'x' }, { 'spublish', K .. 'ctl', 'v' },
  { 'srem', K .. 'x', 'v' }, { 'ssubscribe', K .. 'ctl' }, { 'strlen', K .. 'x' }, { 'unlink', K .. 'x' },
  { 'watch', K .. 'x' }, { 'xack', K .. 'x', 'g', '1-1' }, { 'xadd', K .. 'x', '*', 'f', 'v' }, { 'xdel', K .. 'x', '1-1' },
  { 'xgroup', 'create', K .. 'x', 'g', '0' }, { 'xinfo', 'groups', K .. 'x' }, { 'xlen', K .. 'x' }, { 'xpending', K .. 'x', 'g' },
  { 'xrange', K .. 'x', '-', '+' }, { 'xreadgroup', 'group', 'g', 'c', 'streams', K .. 'x', '>' },
  { 'xrevrange', K .. 'x', '+', '-' }, { 'xtrim', K .. 'x', 'maxlen', 1 }, { 'zadd', K .. 'x', 1, 'v' }, { 'zcard', K .. 'x' },
  { 'zrange', K .. 'x', 0, 0 }, { 'zrem', K .. 'x', 'v' }, { 'zrevrange', K .. 'x', 0, 0 }, { 'zscore', K .. 'x', 'v' },
}
for _, command in ipairs(used) do
  local err = forbidden(K .. '*', unpack(command))
  if err then
    return err
  end
end

if #ARGV == 0 then
  return { now }
end
local changed = false
local state = call('HMGET', sh, 'v', 'hm', 'qv')
local token, cap, version = state[1], state[2], tonumber(state[3] or 0)
if not cap or ARGV[3] ~= 'k' then
  cap = ARGV[2]
  call('HSET', sh, 'hm', cap)
end
for i = 4, #ARGV, 3 do
  local queue, row, paused = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if call('HGET', KEYS[2], queue) ~= row then
    call('HSET', KEYS[2], queue, row)
    changed = true
  end
  if call(paused == '1' and 'SADD' or 'SREM', KEYS[3], queue) == 1 then
    changed = true
  end
end
if not token then
  call('HSET', sh, 'v', ARGV[1] .. '.1', 'qv', 1)
  version = 1
elseif changed then
  version = version + 1
  call('HSET', sh, 'v', string.match(token, '^[^.]*') .. '.' .. version, 'qv', version)
  redis.pcall('SPUBLISH', K .. 'ctl', 'P')
end
return { now, version, tonumber(cap) }
