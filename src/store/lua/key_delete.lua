#!lua flags=allow-oom
-- Take a unique key from its holder by hand. The job goes on without it.
-- keys: {p:0}:sh {p:0}:u:KEY
-- argv: actor key
-- returns: 1, or 0 when nobody held it
--#include "base.lua"
--#include "audit.lua"
local n = call('DEL', KEYS[2])
if n > 0 then
  audit(ARGV[1], 'key.delete', ARGV[2])
end
return n
