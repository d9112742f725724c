#!lua
-- Change the definition of one queue, if it still is what the caller saw.
-- keys: p:config:queues
-- argv: queue seen(JSON; '' there was none) definition(JSON)
-- returns: 1, or 0 when it is another one by now
local seen = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if seen ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
