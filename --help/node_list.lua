
-- The sessions of a shard.
-- keys: {p:0}:sh {p:0}:lease
-- argv: (none)
-- returns: for each { session, node id, info, dyn, opened ms, heartbeat ms, state, ticker(1|0), draining(1|0) }
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
local ticker = call('HGET', sh, 'tk')
for i, s in ipairs(call('ZRANGE', KEYS[2], 0, 999)) do
  local v = call('HMGET', K .. 's:' .. s, 'node', 'info', 'dyn', 'at', 'hb', 'st')
  out[i] = {
    s, v[1] or '', v[2] or '', v[3] or '', v[4] or '0', v[5] or '0', v[6] or '', ticker == s and 1 or 0,
    call('SISMEMBER', K .. 'nodes:drain', v[1] or ''),
  }
end
return out
