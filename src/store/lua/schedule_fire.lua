#!lua flags=allow-oom
-- Occurrences that came round are dispatched, or skipped by what is active, and their schedules moved on, each in one step: only when the schedule is as the
-- leader saw it, by the version of its definition and by its cursor. So each occurrence is dispatched once, however often and by whomever this is called.
-- keys: {p:0}:sh {p:0}:sch
-- argv: session epoch then for each schedule: id version cursor_s next_s(0 none: it has ended) due_ms n n x (at_s) n_missed first_s last_s
--   edit(0: none) and, with one: cursor_s next_s due_ms
--   cursor_s: as the leader saw it; what was missed lies before all at_s. n_missed: -1 none, 0 10,000 or more
--   edit: number of the change that waits; it takes the definition's place when it is still that one, and its cursor_s is not -1 (not yet: more came round
--   before it)
-- returns: { now_ms, ms of the next schedule that is due (-1 none), n dispatched, n that were not as the leader saw them }, or DQFENCED
--#include "base.lua"
--#include "overlap.lua"
--#include "leader.lua"
local err = leader_fenced(ARGV[1], ARGV[2])
if err then
  return err
end
local dispatched, stale = 0, 0
local p = 3
local function words(n)
  p = p + n
  return unpack(ARGV, p - n, p - 1)
end

-- Its occurrence cannot be dispatched: it is tried again in a second. Told once.
local function hold(id, s, at, why)
  if not state_has(s, SCHEDULE_HELD) then
    state_flag(s, SCHEDULE_HELD, true)
    schedule_record(id, RECORD_HELD, why, at, at, 1)
  end
  s.next = at
end
-- Nothing more comes round. Returns when it is forgotten.
local function finish(id, s, d)
  schedule_end(id, s, d)
  schedule_event(id, EVENT_COMPLETED, REASON_NONE)
  return now + SCHEDULE_KEPT_S * 1000
end
-- Returns when it is due next, and whether not all of this was done. edited: a change waits, which is not to wait for a queue that is gone.
local function fire(id, s, d, next_s, due_ms, instants, missed, edited)
  if tonumber(missed[1]) >= 0 then
    occurrence_skip(id, s, REASON_MISSED, tonumber(missed[2]), tonumber(missed[3]), tonumber(missed[1]))
    s.cursor = tonumber(missed[3])
  end
  state_flag(s, SCHEDULE_HELD, #instants > 0 and state_has(s, SCHEDULE_HELD))
  for i, at in ipairs(instants) do
    at = tonumber(at)
    if at * 1000 > now then -- the clock was set back since the leader looked
      s.next = at
      return at * 1000, true
    elseif d.max > 0 and s.taken >= d.max then -- not all that came round before a change was settled in one call
      s.cursor = math.max(s.cursor, tonumber(instants[#instants]))
      next_s = 0
      break
    elseif at > s.cursor then
      local job, why, goes_on = occurrence(id, s, d, at, d.policy, REASON_NONE)
      if goes_on then
        s.next = at
        return now, true
      elseif why and (not edited or why == REASON_QUEUE_FULL) then
        hold(id, s, at, why)
        return now + 1000, true
      elseif why then
        local last = tonumber(instants[#instants])
        occurrence_skip(id, s, why, at, last, #instants - i + 1)
        s.cursor = last
        break
      end
      state_flag(s, SCHEDULE_HELD, false)
      s.cursor = at
      dispatched = dispatched + (job and 1 or 0)
      if d.max > 0 and s.taken >= d.max then
        next_s = 0
        break
      end
    end
  end
  s.next = next_s
  if next_s > 0 or edited then -- a change may go on from there
    return due_ms
  end
  return finish(id, s, d)
end
-- The definition that waits takes the place of the other.
local function swap(id, s, edit, to)
  s.version, s.cursor, s.next = edit.number, tonumber(to[1]), tonumber(to[2])
  call('HSET', K .. 'sch:d', id, edit.definition)
  call('HDEL', K .. 'sch:e', id)
  if call('EXISTS', K .. 'be:' .. id) == 1 then
    call('RENAME', K .. 'be:' .. id, K .. 'b:' .. id)
  else
    call('UNLINK', K .. 'b:' .. id)
  end
  local d = definition_read(edit.definition)
  if s.next == 0 or d.max > 0 and s.taken >= d.max then
    return finish(id, s, d)
  end
  return tonumber(to[3])
end

while p <= #ARGV do
  local id, version, cursor, next_s, due_ms, n = words(6)
  local instants = { words(tonumber(n)) }
  local missed = { words(3) }
  local number = words(1)
  local to = number ~= '0' and { words(3) } or nil
  local s, due = state_read(id), call('ZSCORE', KEYS[2], id)
  if not s or s.version ~= tonumber(version) or s.cursor ~= tonumber(cursor) or not due or tonumber(due) > now then
    stale = stale + 1
  elseif state_has(s, SCHEDULE_ENDED) then
    if call('SCARD', K .. 'sa:' .. id) + call('LLEN', K .. 'sb:' .. id) > 0 then
      call('ZADD', KEYS[2], now + SCHEDULE_KEPT_S * 1000, id)
    else
      schedule_drop(id)
    end
  elseif state_has(s, SCHEDULE_PAUSED) then -- since the leader looked, or the leader has nothing to say of it
    call('ZADD', KEYS[2], '+inf', id)
  else
    local edit = edit_read(id)
    local at_ms, goes_on = fire(id, s, definition_read(call('HGET', K .. 'sch:d', id)), tonumber(next_s), tonumber(due_ms), instants, missed, edit)
    if edit and not goes_on and not (to and edit.number == tonumber(number)) then
      at_ms = now -- it came, or another did, since the leader looked
    elseif edit and not goes_on and to[1] ~= '-1' then
      at_ms = swap(id, s, edit, to)
    end
    call('ZADD', KEYS[2], at_ms, id)
    state_write(id, s)
  end
end
ended_all(ENDS.cancelled)
local first = call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
return { now, first and first ~= 'inf' and tonumber(first) or -1, dispatched, stale }
