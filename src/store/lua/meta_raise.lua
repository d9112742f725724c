#!lua flags=allow-oom
-- Programs that know no such version of the scripts are refused when they connect.
-- keys: p:meta
-- argv: version
-- returns: 1 when it was raised, 0 when it was as high already
if tonumber(redis.call('HGET', KEYS[1], 'scripts') or 0) >= tonumber(ARGV[1]) then
  return 0
end
redis.call('HSET', KEYS[1], 'scripts', ARGV[1])
return 1
