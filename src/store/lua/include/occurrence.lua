-- Occurrences of schedules: each is a job of its own, whose envelope names its schedule and its time. Those of a schedule that minds what is active are
-- in `sa:` until they end; what comes meanwhile may wait in `sb:`.
--#include "schedule.lua"
--#include "envelope.lua"
--#include "lane.lua"
--#include "wake.lua"
--#include "deliver.lua"
local lanes_seen = {}
local rooms = {} -- of queues, as this call saw them first, less what it dispatched
local ready = {}
local accepted = {}
local occurrence_entry = '*' -- id of the entry of what is dispatched
-- Number of the definition's lane; or nil and why there is none: its queue is gone, or full, which does not matter to what was `accepted_before`.
local function lane_of(name, accepted_before)
  local seen = lanes_seen[name]
  if not seen then
    local queue = string.match(name, '^[^|]*')
    local row = call('HGET', K .. 'q', queue)
    local limit = row and unpk('>I6', row) or 0
    seen = { known = row, queue = queue }
    rooms[queue] = rooms[queue] or limit > 0 and room_of(queue, limit) or math.huge
    seen.no = row and (tonumber(call('HGET', K .. 'lanes', name)) or lane_make(name, queue))
    lanes_seen[name] = seen
  end
  if not seen.known then
    return nil, REASON_QUEUE_GONE
  elseif not seen.no then
    return nil, REASON_NO_LANE
  elseif rooms[seen.queue] <= 0 and not accepted_before then
    return nil, REASON_QUEUE_FULL
  end
  return seen.no
end
-- flags: 1 its end is looked at, 2 its death pauses the schedule
local function more_make(id, at, flags)
  return string.char(MORE_SCHEDULE) .. id .. pack('>I6B', at, flags)
end
-- The job into its lane. from: where its large payload is.
local function occurrence_dispatch(id, d, lane, at, tracked, from)
  local flags = (tracked and 1 or 0) + (d.flags % 2 == 1 and 2 or 0)
  local j = string.sub(d.j, 1, d.more) .. more_make(id, at, flags) .. string.sub(d.j, d.more + 22)
  local key = K .. 'l:' .. lane
  local entry = redis.pcall('XADD', key, occurrence_entry, 'j', j)
  if entry.err then -- the clock was set back since the last entry
    entry = call('XADD', key, '*', 'j', j)
  end
  local ms, seq = string.match(entry, '(%d+)-(%d+)')
  ms, seq = tonumber(ms), tonumber(seq)
  local job = id_pack(ms, seq, lane, id_shard(id))
  d.e = d.e or envelope_read(d.j)
  if d.e.blob then
    call('COPY', from or K .. 'b:' .. id, K .. 'b:' .. job)
  end
  if d.e.s2s then
    call('ZADD', K .. 's2s', now + d.e.s2s, job)
  end
  if tracked then
    call('SADD', K .. 'sa:' .. id, job)
    call('HDEL', K .. 'sch:r', id)
  end
  rooms[lanes_seen[d.lane].queue] = rooms[lanes_seen[d.lane].queue] - 1
  ready[lane] = (ready[lane] or 0) + 1
  accepted[#accepted + 1] = pack('>BI2I3I6I4', 0, 1, lane, ms, seq)
  return job
end
local function occurrence_skip(id, s, reason, first, last, n)
  s.skipped = s.skipped + (n > 0 and n or BUFFER_MAX)
  schedule_record(id, RECORD_SKIPPED, reason, first, last, n)
end
-- Statistics and events of all that this call dispatched; and who waits for the work is woken.
local function occurrences_done()
  for lane, n in pairs(ready) do
    count(lane .. ':e', n)
  end
  if #accepted > 0 then
    event('A' .. pack('>I6', now) .. table.concat(accepted))
  end
  schedules_told()
  local woken = ready
  ready, accepted = {}, {}
  for lane, n in pairs(woken) do
    deliver(lane, n)
  end
end
-- What waits in the buffer is its time as text, with a '+' before it when it was asked for by hand, which does not count for max_occurrences. All that
-- waits is left out.
local function buffer_skip(id, s, reason)
  local waiting = call('LRANGE', K .. 'sb:' .. id, 0, -1)
  occurrence_skip(id, s, reason, tonumber(waiting[1]), tonumber(waiting[#waiting]), #waiting)
  for _, at in ipairs(waiting) do
    s.taken = s.taken - (string.byte(at) ~= 43 and 1 or 0)
  end
  call('DEL', K .. 'sb:' .. id)
end
-- The first that waits in the buffer, when nothing is active.
local function occurrence_drain(id, s)
  local sa, sb = K .. 'sa:' .. id, K .. 'sb:' .. id
  if state_has(s, SCHEDULE_PAUSED) or call('LLEN', sb) == 0 or call('SCARD', sa) > 0 then
    return
  end
  local d = definition_read(call('HGET', K .. 'sch:d', id))
  local lane, why = lane_of(d.lane, true)
  if lane then
    local at = tonumber(call('LPOP', sb))
    local job = occurrence_dispatch(id, d, lane, at, true)
    schedule_record(id, RECORD_FIRED, REASON_BUFFER, at, at, 1, job)
    return
  end
  buffer_skip(id, s, why)
  state_write(id, s)
end
-- Where the next one replaces those that are active it does not run beside a handler that has not ended: an occurrence that ended before its handler is
-- in `sch:l`, and active, until that is told.
local occurrence_replaces = false -- by a policy of this call's own
local function occurrence_lingers(job, id)
  if call('HEXISTS', K .. 'lr', job) == 0 then
    return false
  end
  local packed = not occurrence_replaces and call('HGET', K .. 'sch:d', id)
  if not occurrence_replaces and (not packed or definition_read(packed).policy ~= OVERLAP_REPLACE) then
    return false
  end
  call('HSET', K .. 'sch:l', job, id)
  return true
end
-- The last handler of a job has ended, after the job.
local function occurrence_late_over(job)
  local id = call('HGET', K .. 'sch:l', job)
  if not id then
    return
  end
  call('HDEL', K .. 'sch:l', job)
  local s = call('SREM', K .. 'sa:' .. id, job) == 1 and state_read(id)
  if s then
    occurrence_drain(id, s)
    occurrences_done()
  end
end
-- The end of a job that is an occurrence: schedule, is_tracked, pauses and died as its envelope and its end have them.
local function occurrence_ended(job, e)
  local sa = K .. 'sa:' .. e.schedule
  if not e.is_tracked or call('SISMEMBER', sa, job) == 0 then
    return
  end
  local s = state_read(e.schedule)
  if not s then
    call('SREM', sa, job)
    return
  end
  local lingers = occurrence_lingers(job, e.schedule)
  if not lingers then
    call('SREM', sa, job)
  end
  if e.died and e.pauses and s.flags % 4 == 0 then
    state_flag(s, SCHEDULE_PAUSED, true)
    state_flag(s, SCHEDULE_FAILED, true)
    state_write(e.schedule, s)
    schedule_event(e.schedule, EVENT_PAUSED, REASON_FAILURE)
    call('ZADD', K .. 'sch', 'XX', '+inf', e.schedule)
  end
  if not lingers then
    occurrence_drain(e.schedule, s)
  end
end
