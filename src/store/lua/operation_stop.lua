#!lua flags=allow-oom
-- Ask that an operation goes no further; who works on it, or takes it up, ends it.
-- keys: {p:0}:sh
-- argv: actor id reason
-- returns: 0, -3 (there is none), -4 (it has ended)
--#include "base.lua"
--#include "audit.lua"
local actor, id, reason = ARGV[1], ARGV[2], ARGV[3]
local key = K .. 'op:' .. id
local state = call('HGET', key, 'st')
if not state then
  return -3
elseif state ~= 'running' and state ~= 'stopping' then
  return -4
elseif state == 'running' then
  call('HSET', key, 'st', 'stopping', 'why', reason, 'up', now)
  if not call('HGET', key, 'own') then
    call('ZADD', K .. 'opw', 0, id)
  end
  audit(actor, 'operation.stop', id, reason)
end
return 0
