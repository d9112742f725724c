#!lua flags=allow-oom
-- What the one who works on an operation does with its record. It holds a lease; who comes after it was over takes the operation up where the record stands.
-- keys: {p:0}:sh
-- argv: verb holder lease_ms id field value...
--   'claim': takes the one of that id, or with an empty one any whose lease is over; 'save': fields, and the lease anew; 'finish': the
--   same, and it has ended; 'free': fields, and somebody takes it up after lease_ms; 'drop': it has ended, and nothing of it is left to do
-- returns: of 'claim' { id, { field, value... } }, or {} when there is none; of the others { its state }, or {} when the lease is another's
--#include "base.lua"
local verb, holder, lease, id = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
if verb == 'claim' then
  if id == '' then
    id = call('ZRANGE', K .. 'opw', '-inf', now, 'BYSCORE', 'LIMIT', 0, 1)[1]
  end
  local free = id and call('ZSCORE', K .. 'opw', id)
  if not free or tonumber(free) > now then
    return {}
  end
  call('ZADD', K .. 'opw', now + lease, id)
  call('HSET', K .. 'op:' .. id, 'own', holder)
  return { id, call('HGETALL', K .. 'op:' .. id) }
end
local key = K .. 'op:' .. id
if call('HGET', key, 'own') ~= holder then
  return {}
end
call('HSET', key, 'up', now, unpack(ARGV, 5))
if verb == 'finish' then
  call('HSET', key, 'end', now)
end
if verb == 'save' or verb == 'finish' then
  call('ZADD', K .. 'opw', now + lease, id)
elseif verb == 'free' then
  call('HDEL', key, 'own')
  call('ZADD', K .. 'opw', now + lease, id)
else
  call('HDEL', key, 'own')
  call('ZREM', K .. 'opw', id)
end
return { call('HGET', key, 'st') }
