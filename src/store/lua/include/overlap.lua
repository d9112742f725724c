-- What becomes of an occurrence that came round, or was asked for by hand, while others are active.
--#include "cancel.lua"
--#include "occurrence.lua"
-- Those that are active are cancelled for the newest, so many in a call, and those that linger are passed over, of which there may be any number: false when
-- there is more to do. Where the last call came to is in `sch:r` until something else is active: a cursor of SSCAN, or '=' when all that are left linger.
local REPLACED_A_CALL = 64
local PASSED_A_CALL = 2048
local replaced, passed = 0, 0
local function all_linger(sa) -- but for what a program of an earlier version made active meanwhile: some are looked at
  for _, entry in ipairs(call('HMGET', K .. 'sch:l', unpack(call('SRANDMEMBER', sa, 8)))) do
    if not entry then
      return false
    end
  end
  return true
end
-- Of one page; false when this call cancels no more.
local function replace_page(sa, page)
  local lingers = #page > 0 and call('HMGET', K .. 'sch:l', unpack(page)) or page
  for i, job in ipairs(page) do
    if not lingers[i] then
      if replaced == REPLACED_A_CALL then
        return false
      end
      replaced = replaced + 1
      if not cancel_job(job, 'replaced by the next occurrence of its schedule') then
        call('SREM', sa, job)
      end
    end
  end
  passed = passed + #page
  return true
end
local function occurrence_replace(id, s)
  local sa = K .. 'sa:' .. id
  if call('EXISTS', K .. 'sb:' .. id) == 1 then
    buffer_skip(id, s, REASON_REPLACED)
  end
  local at = call('HGET', K .. 'sch:r', id) or '0'
  if at == '=' then
    if all_linger(sa) then
      return true
    end
    at = '0'
  end
  local goes_on = true
  occurrence_replaces = true
  repeat
    local next_at, page = unpack(call('SSCAN', sa, at, 'COUNT', REPLACED_A_CALL))
    goes_on = replace_page(sa, page)
    at = goes_on and next_at or at
  until not goes_on or at == '0' or passed >= PASSED_A_CALL
  occurrence_replaces = false
  local all = goes_on and at == '0'
  call('HSET', K .. 'sch:r', id, all and '=' or at)
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
