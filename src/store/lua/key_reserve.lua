#!lua
-- Reserve a unique key on its home shard for a job that will live on another one.
-- keys: {p:0}:sh {p:0}:u:KEY
-- argv: token(16 bytes) for_ms
-- returns: '' when reserved (again, for the same token), else the id of the living holder (13 zero bytes while it is only reserved)
--#include "base.lua"
local v = call('GET', KEYS[2])
local kind = v and #v ~= 13 and string.sub(v, 1, 1)
local mine = kind == 'R' and string.sub(v, 8) == ARGV[1]
if v and not mine then
  if kind ~= 'R' then
    return kind == 'X' and string.sub(v, 4, 16) or v
  elseif unpk('>I6', v, 2) > now then
    return string.rep('\0', 13)
  end
end
call('SET', KEYS[2], 'R' .. pack('>I6', now + ARGV[2]) .. ARGV[1], 'PX', ARGV[2])
return ''
