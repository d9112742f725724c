#!lua flags=allow-oom
-- Forget outbox rows that were applied. One that was rewritten meanwhile stays.
-- keys: {p:0}:sh {p:0}:ob
-- argv: (field value)...
-- returns: n forgotten
local n = 0
for i = 1, #ARGV, 2 do
  if redis.call('HGET', KEYS[2], ARGV[i]) == ARGV[i + 1] then
    redis.call('HDEL', KEYS[2], ARGV[i])
    n = n + 1
  end
end
return n
