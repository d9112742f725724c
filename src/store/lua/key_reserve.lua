#!lua
-- Reserve a unique key on its home shard for a job that will live on another one.
-- keys: {p:0}:sh {p:0}:u:KEY
-- argv: token(16 bytes) for_ms
-- returns: ms until which it is reserved (again, for the same token), else the id of the living holder (13 zero bytes while it is only reserved)
--#include "base.lua"
--#include "ukey.lua"
local v = call('GET', KEYS[2])
local _, token = reservation_read(v)
local holder = token ~= ARGV[1] and holder_of(v)
if holder then
  return holder
end
call('SET', KEYS[2], reservation_make(now + ARGV[2], ARGV[1]), 'PX', ARGV[2])
return now + ARGV[2]
