#!lua flags=no-writes
-- The definition of one queue, and whether the prefix is there: then there are always some.
-- keys: p:config:queues
-- argv: queue
-- returns: { the prefix is there(1|0), definition(JSON; '' there is none) }
return { redis.call('EXISTS', KEYS[1]), redis.call('HGET', KEYS[1], ARGV[1]) or '' }
