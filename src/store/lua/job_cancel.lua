#!lua flags=allow-oom
-- Cancel jobs in whatever state; what a running handler returns afterwards no longer counts.
-- keys: {p:0}:sh
-- argv: actor reason id...
-- returns: for each, or the first of them (list.lua), 0, -3 (no such job) or -4 (ended already)
--#include "base.lua"
--#include "list.lua"
--#include "locate.lua"
--#include "take.lua"
--#include "job_end.lua"
--#include "audit.lua"
local actor, reason = ARGV[1], ARGV[2]
local out = {}
for i = 3, #ARGV do
  local id = ARGV[i]
  local place, m, j, key, entry, session = locate(id)
  if not place then
    out[i - 2] = -3
  elseif place.ended then
    out[i - 2] = -4
  else
    local started
    if session then
      local run = call('HGET', K .. 'run:' .. session, id)
      started = run and unpk('>I6', run) or now
      -- with its entry: by the time the session hears of it the job may be retried, and be this session's again
      local what = id .. place.letter .. entry
      call('SADD', K .. 'cx:' .. session, what)
      redis.pcall('SPUBLISH', K .. 'w:' .. session, 'C' .. what)
    end
    take(id, place, key, entry, session)
    ended(ENDS.cancelled, { id = id, m = m, j = j, e = envelope_read(j), started = started, session = session, reason = reason })
    audit(actor, 'job.cancel', id, reason)
    out[i - 2] = 0
  end
  if list_full(j) then
    break
  end
end
ended_all(ENDS.cancelled)
return out
