#!lua flags=allow-oom
-- A job's unique key, at home on another shard, was taken from it by hand: nobody is to wonder that it lives without.
-- keys: {p:0}:sh
-- argv: id
-- returns: 1, or 0 when the job is not alive
--#include "base.lua"
--#include "locate.lua"
local place = locate(ARGV[1])
if not place or place.ended then
  return 0
end
call('HSET', K .. 'uf', ARGV[1], 1)
return 1
