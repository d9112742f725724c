-- Status of a workflow, as in src/model/flow_state.h.
local FLOW_RUNNING = 1
local FLOW_COMPLETED = 2
local FLOW_FAILED = 3
local FLOW_CANCELLING = 4
local FLOW_CANCELLED = 5
