-- Whether an id is that of a workflow, and whether that has ended.
--#include "ids.lua"
local function flow_is(id)
  local _, _, lane = id_unpack(id)
  return lane == 0
end
-- nil: there is none.
local function flow_place(id)
  local status = string.byte(call('GETRANGE', K .. 'ws:' .. id, 1, 1))
  return status and { ended = status == 2 or status == 3 or status == 5 }
end
