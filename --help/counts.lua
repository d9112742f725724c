
-- How many jobs are in each state.
-- keys: {p:0}:sh
-- argv: (none)
-- returns: { pending, scheduled, running, retrying, paused, completed, dead, cancelled, sessions, history bytes }; scheduled counts the whole due
--   set, retrying is 0 when the set is larger than 1,000 (then it is not counted apart)
-- Numbers that scripts share with each other or with C (model/job.h, model/id.h; a test compares). The build puts each where its name stands,
-- so a name costs nothing.
local ROW_OVERHEAD = 110 -- bytes that a history row costs beside itself
local ID_SEQ_DUE = 134217728 -- first sequence of jobs that start in the due set
local LIST_BYTES = 262144 -- of jobs that a call with a list moves
local RETENTION_DEFAULT_MS = 604800000
local HISTORY_DEFAULT_BYTES = 1073741824
local PRODUCER_KEPT_MS = 3600000 -- after its last call
local REQUEST_WINDOW_MS = 3600000
local MINUTE_KEPT_MS = 172800000 -- statistics of a minute that nobody has summed yet
local MINUTES_BACK = 2880 -- so many minutes, or hours, back there may be some that nobody has summed
local HOURS_BACK = 720
local sh = KEYS[1]
local K = string.sub(sh, 1, -3)
-- Messages go by redis.pcall: they are hints, and one that may not be sent must not break off a step.
local call, pack, unpk = redis.call, struct.pack, struct.unpack
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local pending, running = 0, 0
for lane = 1, call('LLEN', K .. 'lane') do
  for _, stream in ipairs({ 'l:', 'f:' }) do
    local key = K .. stream .. lane
    local n = call('EXISTS', key) == 1 and call('XPENDING', key, 'g')[1] or 0
    running = running + n
    pending = pending + call('XLEN', key) - n
  end
end
local due = call('ZCARD', K .. 'due')
local retrying = 0
if due <= 1000 then
  for _, rec in ipairs(call('HVALS', K .. 'due:h')) do
    if unpk('>I2', rec, 21) > 0 then
      retrying = retrying + 1
    end
  end
end
local rows, cancelled, bytes = 0, 0, 0
for _, n in ipairs(call('HVALS', K .. 'hr')) do
  rows = rows + n
end
for _, n in ipairs(call('HVALS', K .. 'hn')) do
  cancelled = cancelled + n
end
for _, n in ipairs(call('HVALS', K .. 'hz')) do
  bytes = bytes + n
end
return {
  pending, due - retrying, running, retrying, call('ZCARD', K .. 'paused'), rows - cancelled, call('ZCARD', K .. 'dead'), cancelled,
  call('ZCARD', K .. 'lease'), bytes,
}
