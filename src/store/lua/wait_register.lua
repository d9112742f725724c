#!lua
-- Ask to be told when jobs end: their ids are published on d:<channel> then.
-- keys: {p:0}:sh {p:0}:wt
-- argv: channel id...
-- returns: for each 0 (will be told), 1 (ended already), -3 (no such job) or -6 (too many wait for it)
--#include "base.lua"
--#include "locate.lua"
local channel, out = ARGV[1], {}
for i = 2, #ARGV do
  local id = ARGV[i]
  local place = locate(id)
  if not place then
    out[i - 1] = -3
  elseif place.ended then
    out[i - 1] = 1
  else
    local who = call('HGET', KEYS[2], id) or ''
    if string.find(' ' .. who .. ' ', ' ' .. channel .. ' ', 1, true) then
      out[i - 1] = 0
    elseif #who > 1000 then
      out[i - 1] = -6
    else
      call('HSET', KEYS[2], id, who == '' and channel or who .. ' ' .. channel)
      out[i - 1] = 0
    end
  end
end
return out
