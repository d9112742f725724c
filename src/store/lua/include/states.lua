-- States of a job and outcomes of a run, as include/dureq/job.h has them (a test compares).
local STATE_PENDING = 0
local STATE_SCHEDULED = 1
local STATE_RUNNING = 2
local STATE_RETRYING = 3
local STATE_PAUSED = 4
local STATE_COMPLETED = 5
local STATE_DEAD = 6
local STATE_CANCELLED = 7
local STATE_IN_ROW = -1 -- of an ended job: its row says which
local OUTCOME_DONE = 0
local OUTCOME_SKIP = 4
local OUTCOME_CANCELLED = 8
local OUTCOME_CRASHED = 9
