#!lua flags=allow-oom
-- One bounded step of keeping a shard small: history beyond its time or its bytes, dead jobs, workflows and batches beyond their time, jobs that waited too long
-- for their start, those who waited for a job and went away, statistics, events, audit, late runs of sessions that are gone.
-- keys: {p:0}:sh {p:0}:dead {p:0}:dead:h {p:0}:s2s
-- argv: session epoch shards dead_retention_ms('0' for ever) full('1': memory is short, drop the oldest history)
--   audit_retention_ms('0' for ever), retention_ms of the statistics of minutes, of hours, of days
-- returns: { now_ms, more to do(1|0), n dead by schedule-to-start, ms of the next schedule-to-start limit or end of a history
--   bucket (-1 none) }, or DQFENCED
--#include "base.lua"
--#include "locate.lua"
--#include "take.lua"
--#include "job_end.lua"
--#include "late.lua"
--#include "leader.lua"
--#include "drop.lua"
--#include "flow_drop.lua"
--#include "batch_drop.lua"
--#include "roll.lua"
--#include "waiting.lua"
local err = leader_fenced(ARGV[1], ARGV[2])
if err then
  return err
end
local more = false

local dropping = call('HGET', sh, 'hd')
local next_drop = not dropping and drop_next(ARGV[5] == '1')
if next_drop then
  dropping = drop_begin(next_drop)
end
if dropping then
  drop_step(dropping)
  more = true
end

local keep_ms = tonumber(ARGV[4])
if keep_ms > 0 then
  local old = call('ZRANGE', KEYS[2], '-inf', now - keep_ms, 'BYSCORE', 'LIMIT', 0, 100)
  if #old > 0 then
    set_take('dead', unpack(old))
    for i = 1, #old do
      side_drop(old[i])
    end
    more = more or #old == 100
  end
end

-- Dead when it still waits for its first start. A job whose start was put off by hand since has its limit from the new time. One that is paused has it from its
-- resumption, which sets it (job_move.lua; an earlier version left it to this); paused ones are looked at seldom, and many at a time.
local PAUSED_LOOK_MS = 600000
local PAUSED_ROUND_MS = 60000
local late = call('ZRANGE', KEYS[4], '-inf', now, 'BYSCORE', 'LIMIT', 0, 100)
local dead = 0
for _, id in ipairs(late) do
  local place, m, j, key, entry, session, e
  -- one that cannot be read stays where it is, without a limit
  pcall(function()
    place, m, j, key, entry, session = locate(id)
    local started = m and moved_runs(m) > 0
    e = place and not place.ended and not session and not started and envelope_read(j)
  end)
  local due = e and place.name == 'due' and tonumber(call('ZSCORE', K .. 'due', id)) or now
  if e and e.s2s and place.name == 'paused' then
    call('ZADD', KEYS[4], math.ceil((now + math.max(e.s2s, PAUSED_LOOK_MS)) / PAUSED_ROUND_MS) * PAUSED_ROUND_MS, id)
  elseif e and e.s2s and due > now then
    call('ZADD', KEYS[4], due + e.s2s, id)
  else
    call('ZREM', KEYS[4], id)
    if e then
      take(id, place, key, entry)
      e.s2s = nil -- it is out of the set
      ended(ENDS.dead, { id = id, m = m, j = j, e = e, reason = 'schedule_to_start_timeout' })
      dead = dead + 1
    end
  end
end
ended_all(ENDS.dead)
more = waiting_sweep() or more or #late == 100
more = flow_drop_due(10) or more
more = batch_drop_due() or more

-- Sums before the sources end: a minute that is not summed yet lives two days, an hour at least one.
local minute = math.floor(now / 60000)
local minutes_ms, hours_ms, days_ms = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local minutes_left, minutes_done = roll({ 'rm', 'st:', 'sth:', 60, MINUTES_BACK, 60000, minutes_ms, hours_ms }, minute - 1)
local hours_left = roll({ 'rh', 'sth:', 'std:', 24, HOURS_BACK, 3600000, hours_ms, days_ms }, math.floor((minutes_done + 1) / 60) - 1)
more = more or minutes_left or hours_left

-- Events are capped by bytes: how many entries that is, is looked at once a minute.
if tonumber(call('HGET', sh, 'em') or 0) ~= minute then
  local len = call('XLEN', K .. 'ev')
  if len > 0 then
    local each = math.max(call('MEMORY', 'USAGE', K .. 'ev') / len, 16)
    call('HSET', sh, 'en', math.max(math.floor(67108864 / tonumber(ARGV[3]) / each), 1000))
  end
  if tonumber(ARGV[6]) > 0 then
    call('XTRIM', K .. 'au', 'MINID', '~', string.format('%d-0', math.max(now - tonumber(ARGV[6]), 0)))
  end
  call('HSET', sh, 'em', minute, 'lc', late_sweep(call('HGET', sh, 'lc') or '0'))
end
local function first(set)
  return tonumber(call('ZRANGE', set, 0, 0, 'WITHSCORES')[2]) or math.huge
end
local next_ms = math.min(first(KEYS[4]), first(K .. 'hx'), first(K .. 'we'), first(K .. 'bo'))
return { now, more and 1 or 0, dead, next_ms < math.huge and next_ms or -1 }
