#!lua flags=no-writes
-- Whether a job is alive that holds a unique key on another shard: one that has ended may lose it to whoever comes.
-- keys: {p:0}:sh
-- argv: id
-- returns: 1 or 0
--#include "base.lua"
--#include "locate.lua"
local place = locate(ARGV[1])
return place and not place.ended and 1 or 0
