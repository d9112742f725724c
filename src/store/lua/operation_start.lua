#!lua flags=allow-oom
-- Put an operation on record; a daemon takes it up. Those that ended go after 30 days, and the oldest when there are more than a thousand.
-- keys: {p:0}:sh
-- argv: id spec(JSON) actor detail
-- returns: 1, 0 when it is there already, -6 when too many are under way
--#include "base.lua"
--#include "audit.lua"
local RUNNING_MAX = 100
local KEPT = 1000
local KEPT_MS = 2592000000
local id, spec, actor, detail = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local key = K .. 'op:' .. id
if call('EXISTS', key) == 1 then
  return 0
elseif call('ZCARD', K .. 'opw') >= RUNNING_MAX then
  return -6
end
call('HSET', key, 'spec', spec, 'st', 'running', 'at', now, 'up', now)
call('ZADD', K .. 'op', 0, id)
call('ZADD', K .. 'opw', 0, id)
audit(actor, 'operation.start', id, detail)
local over = call('ZCARD', K .. 'op') - KEPT
for i, old in ipairs(call('ZRANGE', K .. 'op', 0, 9)) do
  local ended = call('HGET', K .. 'op:' .. old, 'end')
  if ended and not call('ZSCORE', K .. 'opw', old) and (i <= over or tonumber(ended) < now - KEPT_MS) then
    call('ZREM', K .. 'op', old)
    call('DEL', K .. 'op:' .. old)
  end
end
return 1
