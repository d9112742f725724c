#!lua flags=allow-oom
-- Let lanes wake a session, and see which of them hold jobs: of these, nobody will wake it.
-- keys: {p:0}:sh {p:0}:s:SESSION
-- argv: session (lane most)...; most: how many of its jobs the session can run at most, '' as many as it has slots
-- returns: lanes that hold jobs, I3 each
--#include "base.lua"
local holding = {}
for i = 2, call('HGET', KEYS[2], 'st') == 'live' and #ARGV or 1, 2 do -- who is gone would be woken in another's place
  local lane, most = ARGV[i], ARGV[i + 1]
  call('SADD', K .. 'idle:' .. lane, ARGV[1])
  if most ~= '' then
    call('HSET', KEYS[2], 'c' .. lane, most)
  end
  if call('XLEN', K .. 'l:' .. lane) > 0 or call('XLEN', K .. 'f:' .. lane) > 0 then
    holding[#holding + 1] = pack('>I3', tonumber(lane))
  end
end
return table.concat(holding)
