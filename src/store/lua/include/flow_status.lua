-- Status of a workflow, as in src/model/flow_state.h.
local FLOW_RUNNING = 1
local FLOW_COMPLETED = 2
local FLOW_FAILED = 3
local FLOW_CANCELLING = 4
local FLOW_CANCELLED = 5
local FLOW_SUSPENDED = 6 -- told, and asked for; kept is that it runs, with the flag of the next line
local FLOW_HOLDS = 3 -- number of the bit of its flags: nothing of it starts
local FLOW_RESUMED = 7 -- told only
