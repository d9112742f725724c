
-- Rows of another shard's outbox, applied on the home shard of their keys. Doing so again changes nothing. A producer confirms what it was told to be
-- accepted, too, so that no reservation runs out while nobody is there to settle; its word may come behind the job's end, so it only counts while the
-- reservation stands.
-- keys: {p:0}:sh
-- argv: shard of the outbox, then (kind key value)...: 'c' (confirm; token, id, held ms as text), 'k' (the same, from the
--   producer) or 'r' (release; token or nothing, id)
-- returns: n of confirmations that came too late: the key is another job's by now
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
local from, late = pack('>I2', tonumber(ARGV[1])), 0
for i = 2, #ARGV, 3 do
  local kind, key, value = ARGV[i], K .. 'u:' .. ARGV[i + 1], ARGV[i + 2]
  local v = call('GET', key)
  if kind == 'r' then
    local token, id = string.sub(value, 1, -14), string.sub(value, -13)
    if v == 'X' .. from .. id or (token ~= '' and v and string.sub(v, 1, 1) == 'R' and string.sub(v, 8) == token) then
      call('DEL', key)
    end
  else
    local token, id, hold = string.sub(value, 1, 16), string.sub(value, 17, 29), string.sub(value, 30)
    local own = 'X' .. from .. id
    if (kind == 'c' and not v) or (v and string.sub(v, 1, 1) == 'R' and string.sub(v, 8) == token) then
      if tonumber(hold) > 0 then
        call('SET', key, own, 'PX', hold)
      else
        call('SET', key, own)
      end
    elseif kind == 'c' and v ~= own then
      late = late + 1
    end
  end
end
return late
