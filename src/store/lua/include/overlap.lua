-- What becomes of an occurrence that came round, or was asked for by hand, while others are active.
--#include "cancel.lua"
--#include "occurrence.lua"
-- Those that are active are cancelled for the newest.
local function occurrence_replace(id, s)
  local sb = K .. 'sb:' .. id
  local before = call('LPOP', sb)
  while before do
    occurrence_skip(id, s, REASON_REPLACED, tonumber(before), tonumber(before), 1)
    s.taken = s.taken - 1
    before = call('LPOP', sb)
  end
  occurrence_replaces = true
  for _, job in ipairs(call('SMEMBERS', K .. 'sa:' .. id)) do
    if call('HEXISTS', K .. 'sch:l', job) == 0 and not cancel_job(job, 'replaced by the next occurrence of its schedule') then
      call('SREM', K .. 'sa:' .. id, job)
    end
  end
  occurrence_replaces = false
end
-- true: it waits in the buffer, or is skipped.
local function occurrence_waits(id, s, at, policy)
  local sb = K .. 'sb:' .. id
  if policy == OVERLAP_REPLACE then
    occurrence_replace(id, s)
  end
  if call('SCARD', K .. 'sa:' .. id) == 0 then
    return false
  end
  if policy == OVERLAP_SKIP then
    occurrence_skip(id, s, REASON_OVERLAP, at, at, 1)
  elseif call('LLEN', sb) >= (policy == OVERLAP_BUFFER_ALL and BUFFER_MAX or 1) then
    occurrence_skip(id, s, REASON_FULL, at, at, 1)
  else
    call('RPUSH', sb, string.format('%.0f', at))
    s.taken = s.taken + 1
  end
  return true
end
-- The job that it is, or nil; then why it must be tried again, or nil. reason: of the record; from: where its large payload is (nil: with the definition).
local function occurrence(id, s, d, at, policy, reason, from)
  local tracked = policy ~= OVERLAP_ALLOW or d.policy ~= OVERLAP_ALLOW or d.flags % 2 == 1
  local lane, why = lane_of(d.lane)
  if not lane then
    return nil, why
  end
  if policy ~= OVERLAP_ALLOW and call('SCARD', K .. 'sa:' .. id) > 0 and occurrence_waits(id, s, at, policy) then
    return nil
  end
  local job = occurrence_dispatch(id, d, lane, at, tracked, from)
  s.taken = s.taken + 1
  schedule_record(id, RECORD_FIRED, reason, at, at, 1, job)
  return job
end
