#!lua flags=allow-oom
-- Take a unique key from its holder by hand. The job goes on without it.
-- keys: {p:0}:sh {p:0}:u:KEY
-- argv: actor key
-- returns: { 1, the value that stood there }, or { 0 } when nobody held it
--#include "base.lua"
--#include "too_old.lua"
--#include "ukey.lua"
--#include "audit.lua"
local v = call('GET', KEYS[2])
if not v then
  return { 0 }
end
if holder_kind(v) == 'own' and call('PTTL', KEYS[2]) < 0 then
  call('HSET', K .. 'uf', v, 1)
end
call('DEL', KEYS[2])
audit(ARGV[1], 'key.delete', ARGV[2])
return { 1, v }
