#!lua flags=allow-oom
-- Bring a shard up to what a program that connects needs: its small state, the rows of its queues; and look whether anything foreign or
-- forbidden is in the way, before a job depends on it.
-- keys: {p:0}:sh {p:0}:q {p:0}:paused_queues
-- argv: nothing: only look; or token history_cap(bytes) keep('k': a cap that is set already stays) digest('' none; of all rows) part n_queues, then
--   (queue row paused('1' or ''))... Rows come in parts: 'a' asks whether they are wanted, 'p' is some of them, 'e' the last, with which the shard
--   is ready
-- returns: { now_ms, queue version, history cap, what is missing('a': 1 rows are wanted; 'e': 1 there are rows of other queues; else 0) }, or WRONGTYPE
--   with the key's name, or NOPERM with the command
--#include "base.lua"
--#include "may.lua"
local types = {
  sh = 'hash', q = 'hash', paused_queues = 'set', lane = 'list', lanes = 'hash', loc = 'hash', due = 'zset', ['due:h'] = 'hash',
  paused = 'zset', ['paused:h'] = 'hash', dead = 'zset', ['dead:h'] = 'hash', hx = 'zset', hz = 'hash', hn = 'hash', hr = 'hash', ks = 'hash', hv = 'string',
  ob = 'hash', pg = 'hash', wt = 'hash', s2s = 'zset', lease = 'zset', lr = 'hash', sn = 'hash', ['nodes:drain'] = 'set', ev = 'stream', aside = 'hash',
  au = 'stream', sch = 'zset', ['sch:d'] = 'hash', ['sch:s'] = 'hash', ['sch:e'] = 'hash', ['sch:k'] = 'hash', ['sch:l'] = 'hash', ['sch:r'] = 'hash',
  wi = 'zset', we = 'zset', wq = 'list', wn = 'hash', op = 'zset', opw = 'zset', opn = 'hash',
}
for name, want in pairs(types) do
  local kind = call('TYPE', K .. name).ok
  if kind ~= 'none' and kind ~= want then
    return redis.error_reply('WRONGTYPE ' .. K .. name .. ' is a ' .. kind .. ', must be a ' .. want)
  end
end

local used = {
  { 'multi' }, { 'exec' }, { 'discard' }, { 'unwatch' }, { 'mget', K .. 'x' }, { 'copy', K .. 'x', K .. 'y' }, { 'getrange', K .. 'x', 0, 0 }, { 'persist', K .. 'x' },
  { 'setrange', K .. 'x', 0, 'v' }, { 'script', 'load', '' },
  { 'del', K .. 'x' }, { 'exists', K .. 'x' }, { 'expire', K .. 'x', 1 }, { 'get', K .. 'x' }, { 'hdel', K .. 'x', 'f' },
  { 'bitfield', K .. 'x', 'get', 'u8', 0 }, { 'hexists', K .. 'x', 'f' }, { 'hget', K .. 'x', 'f' }, { 'hgetall', K .. 'x' }, { 'hincrby', K .. 'x', 'f', 1 },
  { 'hkeys', K .. 'x' }, { 'hlen', K .. 'x' }, { 'hmget', K .. 'x', 'f' }, { 'hrandfield', K .. 'x' }, { 'hscan', K .. 'x', 0 }, { 'hset', K .. 'x', 'f', 'v' }, { 'hsetnx', K .. 'x', 'f', 'v' }, { 'hstrlen', K .. 'x', 'f' }, { 'hvals', K .. 'x' },
  { 'incr', K .. 'x' },
  { 'llen', K .. 'x' }, { 'lindex', K .. 'x', 0 }, { 'lpop', K .. 'x' }, { 'lpos', K .. 'x', 'v' }, { 'lrange', K .. 'x', 0, 0 }, { 'ltrim', K .. 'x', 0, 0 }, { 'memory', 'usage', K .. 'x' }, { 'pexpire', K .. 'x', 1 },
  { 'pttl', K .. 'x' }, { 'pubsub', 'shardnumsub', K .. 'ctl' }, { 'rename', K .. 'x', K .. 'y' }, { 'rpush', K .. 'x', 'v' }, { 'sadd', K .. 'x', 'v' }, { 'scard', K .. 'x' }, { 'set', K .. 'x', 'v' },
  { 'sismember', K .. 'x', 'v' }, { 'smembers', K .. 'x' }, { 'spop', K .. 'x' }, { 'spublish', K .. 'ctl', 'v' },
  { 'srandmember', K .. 'x' }, { 'srem', K .. 'x', 'v' }, { 'sscan', K .. 'x', 0 }, { 'ssubscribe', K .. 'ctl' }, { 'strlen', K .. 'x' }, { 'unlink', K .. 'x' },
  { 'watch', K .. 'x' }, { 'xack', K .. 'x', 'g', '1-1' }, { 'xadd', K .. 'x', '*', 'f', 'v' }, { 'xdel', K .. 'x', '1-1' },
  { 'xgroup', 'create', K .. 'x', 'g', '0' }, { 'xinfo', 'groups', K .. 'x' }, { 'xlen', K .. 'x' }, { 'xpending', K .. 'x', 'g' },
  { 'xrange', K .. 'x', '-', '+' }, { 'xreadgroup', 'group', 'g', 'c', 'streams', K .. 'x', '>' },
  { 'xrevrange', K .. 'x', '+', '-' }, { 'xtrim', K .. 'x', 'maxlen', 1 }, { 'zadd', K .. 'x', 1, 'v' }, { 'zcard', K .. 'x' },
  { 'zrange', K .. 'x', 0, 0 }, { 'zcount', K .. 'x', 0, 1 }, { 'zrank', K .. 'x', 'v' }, { 'zrem', K .. 'x', 'v' }, { 'zrevrange', K .. 'x', 0, 0 }, { 'zscore', K .. 'x', 'v' },
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
local state = call('HMGET', sh, 'v', 'hm', 'qv', 'qd')
local token, cap, version, digest = state[1], state[2], tonumber(state[3] or 0), state[4]
if not cap or ARGV[3] ~= 'k' then
  cap = ARGV[2]
  call('HSET', sh, 'hm', cap)
end
if ARGV[5] == 'a' then
  return { now, version, tonumber(cap), token and digest == version .. ' ' .. ARGV[4] and 0 or 1 }
end
for i = 7, #ARGV, 3 do
  local queue, row, paused = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if call('HGET', KEYS[2], queue) ~= row then
    call('HSET', KEYS[2], queue, row)
    changed = true
  end
  if call(paused == '1' and 'SADD' or 'SREM', KEYS[3], queue) == 1 then
    changed = true
  end
end
if token and changed then
  version = version + 1
  call('HSET', sh, 'v', string.match(token, '^[^.]*') .. '.' .. version, 'qv', version)
  redis.pcall('SPUBLISH', K .. 'ctl', 'P')
end
if ARGV[5] ~= 'e' then
  return { now, version, tonumber(cap), 0 }
end
if not token then
  version = 1
  call('HSET', sh, 'v', ARGV[1] .. '.1', 'qv', 1)
end
local others = call('HLEN', KEYS[2]) ~= tonumber(ARGV[6])
if not others and ARGV[4] ~= '' then
  call('HSET', sh, 'qd', version .. ' ' .. ARGV[4]) -- of no use as soon as the version grows
end
return { now, version, tonumber(cap), others and 1 or 0 }
