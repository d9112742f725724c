#!lua
-- Ask to be told when jobs and workflows end: their ids are published on d:<channel> then.
-- keys: {p:0}:sh {p:0}:wt
-- argv: channel id...
-- returns: for each 0 (will be told), 1 (ended already), 2 (about a thousand are told before: ask again) or -3 (no such job)
--#include "base.lua"
--#include "locate.lua"
--#include "flow_state.lua"
--#include "waiting.lua"
local TOLD_BYTES = 17000 -- of channels that are told by one step
local channel, out = ARGV[1], {}
for i = 2, #ARGV do
  local id = ARGV[i]
  local place = flow_is(id) and flow_place(id) or locate(id)
  if not place then
    out[i - 1] = -3
  elseif place.ended then
    out[i - 1] = 1
  else
    local who = call('HGET', KEYS[2], id) or ''
    out[i - 1] = 0
    if not string.find(' ' .. who .. ' ', ' ' .. channel .. ' ', 1, true) then
      local alive = waiting_alive(who)
      if #alive < TOLD_BYTES then
        alive = alive == '' and channel or alive .. ' ' .. channel
      else
        out[i - 1] = 2
      end
      if alive ~= who then
        waiting_store(id, alive)
      end
    end
  end
end
return out
