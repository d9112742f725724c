-- A living job is cancelled, wherever it is: false when there is none.
--#include "locate.lua"
--#include "take.lua"
--#include "job_end.lua"
--#include "late.lua"
--#include "side.lua"
local function cancel_located(id, reason, place, m, j, key, entry, session)
  local started
  if session then
    local run = call('HGET', K .. 'run:' .. session, id)
    started = run and unpk('>I6', run) or now
    -- with its entry: by the time the session hears of it the job may be retried, and be this session's again
    local what = id .. place.letter .. entry
    call('SADD', K .. 'cx:' .. session, what)
    redis.pcall('SPUBLISH', K .. 'w:' .. session, 'C' .. what)
    -- before anything that follows from the end of the job: its handler, if it started, has not ended
    if tonumber(call('HGET', K .. 's:' .. session, 'ver') or 0) >= SESSIONS_TELL_LATE then
      late_add(session, id, (m and moved_runs(m) or 0) + 1)
    end
  end
  take(id, place, key, entry, session)
  m = session and side_noted(id, m) or m
  ended(ENDS.cancelled, { id = id, m = m, j = j, e = envelope_read(j), started = started, session = session, reason = reason })
end
local function cancel_job(id, reason)
  local place, m, j, key, entry, session = locate(id)
  if not place or place.ended then
    return false
  end
  cancel_located(id, reason, place, m, j, key, entry, session)
  return true
end
