#!lua flags=no-writes
-- A page of the names of a shard's paused queues. Names that are there from the first page to the last are in one of them.
-- keys: {p:0}:sh {p:0}:paused_queues
-- argv: cursor('0': from the start)
-- returns: { version of the shard's queues, cursor of the next page('0': this was the last), { name... } }
local page = redis.call('SSCAN', KEYS[2], ARGV[1], 'COUNT', 1000)
return { tonumber(redis.call('HGET', KEYS[1], 'qv') or 0), page[1], page[2] }
