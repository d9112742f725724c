
-- The oldest rows of a shard's outbox, in no order.
-- keys: {p:0}:sh {p:0}:ob
-- argv: limit
-- returns: { field, value, ... }
local n = redis.call('HLEN', KEYS[2])
if n == 0 then
  return {}
end
if n <= tonumber(ARGV[1]) then
  return redis.call('HGETALL', KEYS[2])
end
return redis.call('HRANDFIELD', KEYS[2], ARGV[1], 'WITHVALUES')
