-- What can be said of a workflow or batch without reading all of its state: whether an id is one's, whether it has ended, the definition of a workflow.
--#include "ids.lua"
--#include "flow_status.lua"
local function flow_is(id)
  local _, _, lane = id_unpack(id)
  return lane == 0
end
-- nil: there is none.
local function flow_place(id)
  local status = string.byte(call('GETRANGE', K .. 'ws:' .. id, 1, 1)) or string.byte(call('GETRANGE', K .. 'bs:' .. id, 1, 1))
  return status and { ended = status == FLOW_COMPLETED or status == FLOW_FAILED or status == FLOW_CANCELLED }
end
local function flow_definition(id)
  return call('GETRANGE', K .. 'ws:' .. id, 40, 55)
end
