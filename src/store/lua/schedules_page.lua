#!lua flags=no-writes
-- Schedules in the order in which the leader looks at them next; paused ones come last.
-- keys: {p:0}:sh {p:0}:sch
-- argv: score('' from the beginning) id limit bytes_max
-- returns: { now_ms, n of all, more(1|0), row... }, a row as schedule_get has it up to n buffered; after score and id of the cursor
--#include "base.lua"
--#include "schedule.lua"
--#include "schedules_after.lua"
local limit, bytes = tonumber(ARGV[3]), tonumber(ARGV[4])
local out = { now, call('ZCARD', KEYS[2]), 0 }
local found = schedules_after(ARGV[1], ARGV[2], '+inf', limit + 1)
for i = 1, #found, 2 do
  local id = found[i]
  if #out >= limit + 3 or bytes <= 0 then
    out[3] = 1
    break
  end
  local d, edit = call('HGET', K .. 'sch:d', id) or '', call('HGET', K .. 'sch:e', id) or ''
  bytes = bytes - #d - #edit
  out[#out + 1] = {
    now, id, call('HGET', K .. 'sch:s', id) or '', d, edit, found[i + 1], call('SCARD', K .. 'sa:' .. id), call('LLEN', K .. 'sb:' .. id),
  }
end
return out
