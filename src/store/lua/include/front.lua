-- Hand a job over to whoever is next: a new entry of the lane's front stream, and its locator.
--#include "moved.lua"
local function front_add(lane, m, j)
  local entry = call('XADD', K .. 'f:' .. lane, '*', 'm', m, 'j', j)
  call('HSET', K .. 'loc', moved_id(m), entry)
end
