-- What becomes of an occurrence that came round, or was asked for by hand, while others are active.
--#include "cancel.lua"
--#include "occurrence.lua"
-- Those that are active are cancelled for the newest, so many in a call: false when there are more.
local REPLACED_A_CALL = 64
local replaced = 0
local function occurrence_replace(id, s)
  local sa = K .. 'sa:' .. id
  if call('EXISTS', K .. 'sb:' .. id) == 1 then
    buffer_skip(id, s, REASON_REPLACED)
  end
  local cursor, page, all = '0', nil, true
  occurrence_replaces = true
  repeat
    cursor, page = unpack(call('SSCAN', sa, cursor, 'COUNT', REPLACED_A_CALL))
    for _, job in ipairs(page) do
      if call('HEXISTS', K .. 'sch:l', job) == 0 then
        if replaced == REPLACED_A_CALL then
          all = false
          break
        end
        replaced = replaced + 1
        if not cancel_job(job, 'replaced by the next occurrence of its schedule') then
          call('SREM', sa, job)
        end
      end
    end
  until not all or cursor == '0'
  occurrence_replaces = false
  return all
end
-- true: it waits in the buffer, or is skipped. nil: nothing was done with it, for more are active than a call cancels.
local function occurrence_waits(id, s, at, policy, by_hand)
  local sb = K .. 'sb:' .. id
  if policy == OVERLAP_REPLACE and not occurrence_replace(id, s) then
    return nil
  end
  if call('SCARD', K .. 'sa:' .. id) == 0 then
    return false
  end
  if policy == OVERLAP_SKIP then
    occurrence_skip(id, s, REASON_OVERLAP, at, at, 1)
  elseif call('LLEN', sb) >= (policy == OVERLAP_BUFFER_ALL and BUFFER_MAX or 1) then
    occurrence_skip(id, s, REASON_FULL, at, at, 1)
  else
    call('RPUSH', sb, string.format(by_hand and '+%.0f' or '%.0f', at))
    s.taken = s.taken + (by_hand and 0 or 1)
  end
  return true
end
-- The job that it is, or nil; then why it must be tried again, or nil; then whether another call is to go on with it at once. reason: of the record; from:
-- where its large payload is (nil: with the definition).
local function occurrence(id, s, d, at, policy, reason, from)
  local tracked = policy ~= OVERLAP_ALLOW or d.policy ~= OVERLAP_ALLOW or d.flags % 2 == 1
  local by_hand = reason ~= REASON_NONE
  local lane, why = lane_of(d.lane)
  if not lane then
    return nil, why
  end
  if policy ~= OVERLAP_ALLOW and call('SCARD', K .. 'sa:' .. id) > 0 then
    local waits = occurrence_waits(id, s, at, policy, by_hand)
    if waits ~= false then
      return nil, nil, waits == nil
    end
  end
  local job = occurrence_dispatch(id, d, lane, at, tracked, from)
  s.taken = s.taken + (by_hand and 0 or 1)
  schedule_record(id, RECORD_FIRED, reason, at, at, 1, job)
  return job
end
