#!lua flags=allow-oom
-- No more to be told when jobs end.
-- keys: {p:0}:sh {p:0}:wt
-- argv: channel id...
-- returns: 0
--#include "base.lua"
--#include "waiting.lua"
local mark = ' ' .. ARGV[1] .. ' '
for i = 2, #ARGV do
  local who = ' ' .. (call('HGET', KEYS[2], ARGV[i]) or '') .. ' '
  local from, to = string.find(who, mark, 1, true)
  if from then
    who = string.sub(who, 1, from) .. string.sub(who, to + 1)
    waiting_store(ARGV[i], string.sub(who, 2, -2))
  end
end
return 0
