#!lua flags=no-writes
-- Who holds a unique key, on its home shard.
-- keys: {p:0}:sh {p:0}:u:KEY
-- argv: none
-- returns: { value ('' none), ms that it is still held (-1: until the job ends) }
return { redis.call('GET', KEYS[2]) or '', redis.call('PTTL', KEYS[2]) }
