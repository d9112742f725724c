
-- Change the definition of one queue, if it still is what the caller saw. There is always some queue: without any, the prefix was deleted,
-- and one written now would hide that.
-- keys: p:config:queues
-- argv: queue seen(JSON; '' there was none) definition(JSON)
-- returns: 1, or 0 when it is another one by now, or -1 when the prefix is not there
if redis.call('EXISTS', KEYS[1]) == 0 then
  return -1
end
local seen = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if seen ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
