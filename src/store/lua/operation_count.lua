#!lua flags=allow-oom
-- How many jobs of this shard an operation acted on.
-- keys: {p:0}:sh
-- argv: verb('open': it may act from now on; 'read'; 'close': nothing of it does anything here any more; 'drop': forget the number) id
-- returns: the number, 0 when it is not known
--#include "base.lua"
local verb, id = ARGV[1], ARGV[2]
local key, closed = K .. 'opn', '!' .. id
if verb == 'open' and call('HEXISTS', key, closed) == 0 and call('HEXISTS', key, id) == 0 then
  call('HSET', key, id, 0)
elseif verb == 'close' then
  local n = call('HGET', key, id)
  if n then
    call('HSET', key, closed, n)
    call('HDEL', key, id)
  end
elseif verb == 'drop' then
  call('HDEL', key, id, closed)
end
local n = call('HMGET', key, id, closed)
return tonumber(n[1] or n[2] or 0)
