#!lua
-- Change or delete the definition of one queue, if it still is what the caller saw. There is always some queue: without any, the prefix was deleted,
-- and one written now would hide that.
-- keys: p:config:queues
-- argv: queue seen(JSON; '' there was none) definition(JSON; '' delete it)
-- returns: 1, or 0 when it is another one by now, or -1 when the prefix is not there, or -2 when it is the last one
if redis.call('EXISTS', KEYS[1]) == 0 then
  return -1
end
local seen = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if seen ~= ARGV[2] then
  return 0
end
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
elseif redis.call('HLEN', KEYS[1]) == 1 then
  return -2
else
  redis.call('HDEL', KEYS[1], ARGV[1])
end
return 1
