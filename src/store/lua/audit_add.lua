#!lua
-- Note what an operator did to something that is of no shard.
-- keys: {p:0}:sh
-- argv: actor action target detail
-- returns: 1, or 0 when the shard is not initialised
--#include "base.lua"
--#include "audit.lua"
if call('EXISTS', sh) == 0 then
  return 0
end
audit(ARGV[1], ARGV[2], ARGV[3], ARGV[4])
return 1
