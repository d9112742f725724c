
-- Bring one shard up to a queue's definition: its row, whether it is paused; and tell all who know an older one.
-- keys: {p:0}:sh {p:0}:q {p:0}:paused_queues
-- argv: actor action queue row paused('1' or '')
-- returns: queue version, or 0 when the shard is not initialised: nothing is written then, as only shard_init may give it a token
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
-- An operator's action, kept 30 days (housekeeping trims by time).
local function audit(actor, action, target, detail)
  call('XADD', K .. 'au', '*', 'at', now, 'actor', actor, 'action', action, 'target', target, 'detail', detail or '')
end
local token = call('HGET', sh, 'v')
if not token then
  return 0
end
local changed = call('HGET', KEYS[2], ARGV[3]) ~= ARGV[4]
call('HSET', KEYS[2], ARGV[3], ARGV[4])
if call(ARGV[5] == '1' and 'SADD' or 'SREM', KEYS[3], ARGV[3]) == 1 then
  changed = true
end
-- The version grows also when the row stays: weight and priorities are only in the definition.
local version = tonumber(call('HGET', sh, 'qv') or 0) + 1
call('HSET', sh, 'v', string.match(token, '^[^.]*') .. '.' .. version, 'qv', version)
redis.pcall('SPUBLISH', K .. 'ctl', 'P')
if changed then
  audit(ARGV[1], ARGV[2], ARGV[3])
end
return version
