#!lua flags=allow-oom
-- Wake others for lanes that hold more than a session can begin: it was woken for them and has no slots left.
-- keys: {p:0}:sh
-- argv: lane...
-- returns: 1
--#include "base.lua"
--#include "undelivered.lua"
--#include "wake.lua"
for _, lane in ipairs(ARGV) do
  if call('EXISTS', K .. 'idle:' .. lane) == 1 then
    local l, f = K .. 'l:' .. lane, K .. 'f:' .. lane
    wake(lane, call('XLEN', l) + call('XLEN', f) - group_of(l).pending - group_of(f).pending)
  end
end
return 1
