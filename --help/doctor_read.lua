
-- A hash of the prefix that belongs to no shard, as it is.
-- keys: p:meta
-- argv: (none)
-- returns: { field, value... }, or WRONGTYPE
return redis.call('HGETALL', KEYS[1])
