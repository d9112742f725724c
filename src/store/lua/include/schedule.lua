-- What is kept of a schedule (docs/redis-keys.md "Schedules"): its state `sch:s`, its definition `sch:d`, and beside these the definition that an edit
-- left, `sch:e`, until the leader has settled what came round before it. A schedule's id is that of a job in lane 0, which there is not.
--#include "ids.lua"
--#include "varint.lua"
--#include "stats.lua"
local OVERLAP_ALLOW = 0 -- as DUREQ_OVERLAP_... of include/dureq/schedule.h (a test compares)
local OVERLAP_SKIP = 1
local OVERLAP_BUFFER_ALL = 3
local OVERLAP_REPLACE = 4
local SCHEDULE_PAUSED = 1 -- flags of a state
local SCHEDULE_ENDED = 2
local SCHEDULE_HELD = 4 -- its occurrence could not be dispatched
local SCHEDULE_FAILED = 8 -- paused because an occurrence died
local SCHEDULE_KEPT_S = 604800 -- it is listed for so long after its last occurrence
local RECORD_KEPT = 100
local BUFFER_MAX = 10000
local STATE_FORM = '>BBI4I6I6I6I4I4'
local function is_schedule(id)
  local _, _, lane = id_unpack(id)
  return lane == 0
end
-- flags, version of its definition, created ms; cursor (s): all up to it is settled; next (s; 0: not known, or none); occurrences dispatched and skipped.
local function state_read(id)
  local packed = call('HGET', K .. 'sch:s', id)
  if not packed then
    return nil
  end
  local s = {}
  s.form, s.flags, s.version, s.created, s.cursor, s.next, s.taken, s.skipped = unpk(STATE_FORM, packed)
  return s
end
local function state_has(s, flag)
  return math.floor(s.flags / flag) % 2 == 1
end
local function state_flag(s, flag, on)
  if state_has(s, flag) ~= on then
    s.flags = s.flags + (on and flag or -flag)
  end
end
local function state_write(id, s)
  call('HSET', K .. 'sch:s', id,
    pack(STATE_FORM, 1, s.flags, s.version, s.created, s.cursor, s.next, math.min(s.taken, 4294967295), math.min(s.skipped, 4294967295)))
end
-- When the leader looks at it next; it is told when that is sooner than what it knows.
local function schedule_due(id, at_ms)
  call('ZADD', K .. 'sch', at_ms, id)
  local leader = call('HGET', sh, 'tk')
  if leader then
    redis.pcall('SPUBLISH', K .. 'w:' .. leader, 'T' .. string.format('%.0f', at_ms))
  end
end
local DEFINITION_FORM = '>BBBI4I4'
local DEFINITION_HEAD = 11
-- policy, flags (1 an occurrence that died pauses it), max (0: no end), more (where in `j` the part is that names schedule and time), lane (its name), key,
-- ukey, calendar, j.
local function definition_read(packed)
  local d, _, at = {}, nil, DEFINITION_HEAD + 1
  _, d.policy, d.flags, d.max, d.more = unpk(DEFINITION_FORM, packed)
  d.lane, at = lstr_read(packed, at)
  d.key, at = lstr_read(packed, at)
  d.ukey, at = lstr_read(packed, at)
  d.calendar, at = lstr_read(packed, at)
  d.j = string.sub(packed, at)
  return d
end
-- An edit that waits: ms at which it came, its number, the packed definition; nil when none does.
local EDIT_FORM = '>I6I4'
local EDIT_HEAD = 10
local function edit_read(id)
  local packed = call('HGET', K .. 'sch:e', id)
  if packed then
    local at_ms, number = unpk(EDIT_FORM, packed)
    return { at = at_ms, number = number, definition = string.sub(packed, EDIT_HEAD + 1) }
  end
end
-- One entry more of what it did, of which the last hundred are kept: kind and reason (below), the occurrence (s), or first, last and how many (0: 10,000
-- or more), or the job that it is.
local RECORD_FIRED = 1
local RECORD_SKIPPED = 2
local RECORD_HELD = 3
local REASON_NONE = 0
local REASON_OVERLAP = 1 -- another was active
local REASON_FULL = 2 -- so was the buffer
local REASON_MISSED = 3
local REASON_REPLACED = 4
local REASON_QUEUE_FULL = 5
local REASON_QUEUE_GONE = 6
local REASON_TRIGGER = 8 -- 7 was of earlier versions: a change came while it was paused
local REASON_BACKFILL = 9
local REASON_BUFFER = 10
local REASON_NO_LANE = 11
-- The same is told as an event, and what else becomes of a schedule: what, reason, id, occurrence (s), then the job, or last and how many.
local EVENT_CREATED = 4
local EVENT_UPDATED = 5
local EVENT_PAUSED = 6
local EVENT_RESUMED = 7
local EVENT_COMPLETED = 8
local EVENT_REMOVED = 9
local REASON_FAILURE = 12 -- it is paused because an occurrence died; of events only
local schedule_events = {}
local function schedule_event(id, what, reason, first, last, n, job)
  schedule_events[#schedule_events + 1] = pack('>BB', what, reason) .. id .. pack('>I5', first or 0)
    .. (job or pack('>I5I4I4', last or 0, n or 0, 0))
end
-- All of this call as one entry.
local function schedules_told()
  if #schedule_events > 0 then
    event('H' .. pack('>I6', now) .. table.concat(schedule_events))
    schedule_events = {}
  end
end
local function schedule_record(id, kind, reason, first, last, n, job)
  local key = K .. 'so:' .. id
  schedule_event(id, kind, reason, first, last, n, job)
  if call('RPUSH', key, pack('>BI6I5', kind + 4 * reason, now, first) .. (job or pack('>I5I4', last, n))) > RECORD_KEPT then
    call('LTRIM', key, -RECORD_KEPT, -1)
  end
end
local function schedule_ukey_free(id, ukey)
  if ukey ~= '' and call('GET', K .. 'u:' .. ukey) == id then
    call('DEL', K .. 'u:' .. ukey)
  elseif ukey ~= '' then
    call('HDEL', K .. 'uf', id) -- it was taken from the schedule by hand
  end
end
-- Nothing more comes round: its keys are let go, it stays listed for a while.
local function schedule_end(id, s, d)
  state_flag(s, SCHEDULE_ENDED, true)
  s.next = 0
  if d.key ~= '' and call('HGET', K .. 'sch:k', d.key) == id then
    call('HDEL', K .. 'sch:k', d.key)
  end
  schedule_ukey_free(id, d.ukey)
end
-- All of it; what it dispatched goes on.
local function schedule_drop(id)
  local packed = call('HGET', K .. 'sch:d', id)
  local s = packed and state_read(id)
  if s and not state_has(s, SCHEDULE_ENDED) then
    local edit = edit_read(id)
    if edit then -- the key that a change names is held from when it came
      schedule_ukey_free(id, definition_read(edit.definition).ukey)
    end
    schedule_end(id, s, definition_read(packed))
  end
  schedule_event(id, EVENT_REMOVED, REASON_NONE)
  local dropped = call('LLEN', K .. 'sb:' .. id)
  call('ZREM', K .. 'sch', id)
  call('HDEL', K .. 'sch:d', id)
  call('HDEL', K .. 'sch:s', id)
  call('HDEL', K .. 'sch:e', id)
  call('HDEL', K .. 'sch:r', id)
  call('UNLINK', K .. 'sa:' .. id, K .. 'sb:' .. id, K .. 'so:' .. id, K .. 'b:' .. id, K .. 'be:' .. id)
  return dropped
end
