
-- Sums of days by counter, all lanes together. Minutes and hours that are not summed into their day yet are added here: few, or all that there
-- are when no ticker has been there for long.
-- keys: {p:0}:sh
-- argv: first_day n
-- returns: for each day { enqueued, completed, failed attempts, dead, cancelled }
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
local kinds = { e = 1, c = 2, f = 3, d = 4, x = 5 }
local first, n = tonumber(ARGV[1]), tonumber(ARGV[2])
local out = {}
for i = 1, n do
  out[i] = { 0, 0, 0, 0, 0 }
end
local function add(key, day)
  local row = out[day - first + 1]
  if not row then
    return
  end
  local all = call('HGETALL', key)
  for i = 1, #all, 2 do
    local k = kinds[string.match(all[i], ':(%a+)$')]
    if k then
      row[k] = row[k] + all[i + 1]
    end
  end
end
for day = first, first + n - 1 do
  add(K .. 'std:' .. day, day)
end
local minute = math.floor(now / 60000)
local done = call('HMGET', sh, 'rm', 'rh')
local minutes_done = math.max(tonumber(done[1] or 0), minute - MINUTES_BACK - 1)
local hours_done = math.max(tonumber(done[2] or 0), math.floor(minute / 60) - HOURS_BACK - 1)
for hour = hours_done + 1, math.floor(minute / 60) do
  add(K .. 'sth:' .. hour, math.floor(hour / 24))
end
for m = minutes_done + 1, minute do
  add(K .. 'st:' .. m, math.floor(m / 1440))
end
return out
