
-- Ask a node to take no more work, or to take it again.
-- keys: {p:0}:sh
-- argv: actor node_id drain('1' or '')
-- returns: how many live sessions the node has here
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
local function count(field, n)
  local minute = K .. 'st:' .. math.floor(now / 60000)
  if call('HINCRBY', minute, field, n) == tonumber(n) then
    call('PEXPIRE', minute, MINUTE_KEPT_MS)
  end
end
local function event(text)
  call('XADD', K .. 'ev', 'MAXLEN', '~', call('HGET', sh, 'en') or 16384, '*', 'e', text)
end
-- An operator's action, kept 30 days (housekeeping trims by time).
local function audit(actor, action, target, detail)
  call('XADD', K .. 'au', '*', 'at', now, 'actor', actor, 'action', action, 'target', target, 'detail', detail or '')
end
local n = 0
for _, s in ipairs(call('ZRANGE', K .. 'lease', 0, -1)) do
  if call('HGET', K .. 's:' .. s, 'node') == ARGV[2] then
    n = n + 1
    redis.pcall('SPUBLISH', K .. 'w:' .. s, 'R' .. ARGV[3])
  end
end
if ARGV[3] == '1' then
  call('SADD', K .. 'nodes:drain', ARGV[2])
else
  call('SREM', K .. 'nodes:drain', ARGV[2])
end
audit(ARGV[1], ARGV[3] == '1' and 'node.drain' or 'node.undrain', ARGV[2])
return n
