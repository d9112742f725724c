
-- What is pending for a session: to compare with what it holds, after its connection was lost.
-- keys: {p:0}:sh
-- argv: session limit lane...
-- returns: { stream, entry, stream, entry, ... }; no more than limit entries a stream
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
local out = {}
for i = 3, #ARGV do
  for _, kind in ipairs({ 'l:', 'f:' }) do
    local stream = kind .. ARGV[i]
    local pending = redis.pcall('XPENDING', K .. stream, 'g', '-', '+', ARGV[2], ARGV[1])
    if not pending.err then
      for _, p in ipairs(pending) do
        out[#out + 1] = stream
        out[#out + 1] = p[1]
      end
    end
  end
end
return out
