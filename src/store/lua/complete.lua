#!lua flags=allow-oom
-- What became of jobs of one session, with all that follows from it: the general way, for everything that worker_cycle's plain commands
-- cannot do. Also for a batch whose transaction was refused: entries that were taken from the session meanwhile are found out job by job.
-- keys: {p:0}:sh {p:0}:s:SESSION {p:0}:loc {p:0}:dead {p:0}:dead:h
-- argv: session call_no shard repeat('1') n_stats (field n)... counted(for each job of the call four numbers I2 of the statistics it is part of,
--   from 1, or 0; '' none: a job that is refused does not count) then segments up to the end; `stream` is 'l:LANE' or 'f:LANE'. The first seven
--   begin with stream n entry... :
--   repeat: an earlier call or transaction of this number had no answer, or its answer was lost
--   'c' ...  class side('1': rows have side keys) n x (id row)   completed or skipped, kept in history of that retention class
--   'n' ...  n x (id)                     completed, not kept
--   'i' ...  n x (id)                     items of batches that ended, however: their batch keeps what is to be known
--   'r' ...  n x (delay_ms id record)     due again after the delay
--   'f' ...  n x (id m j)                 ready again now
--   'd' ...  n x (id row)                 dead
--   'p' ...  n x (delay_ms|-1 id record)  paused, resumed by itself after the delay
--   'u' n  n x (index id key)       unique keys to let go; index: of the job among all entries of this call, from 0
--   'U' n  n x (index id key)       the same for keys of another shard: left in the outbox
--   't' n  n x (index id more)      occurrences of schedules that mind their end: the part of the envelope that says so
--   'w' n  n x (index id task)      tasks of workflows, items of batches: 's' when it was skipped, else its kind; length of what its envelope says of it, that, why it failed, or
--                                 its result where others get it ('j' and JSON, 'b' and base64)
--   'o' n  n x (index id log)       log lines, appended to those of earlier runs; the last 64 KiB stay
--   'a' n  n x (id)                 starts that had been reported
--   'g' n  n x (id)                 progress to drop
--   'b' n  n x (index id)           payload and log keys, and steps, to drop with a job that is not kept
--   's' n  n x (index id)           its steps begin anew (a repeat)
--   'h' n  n x (index id run)       their handler did not end: late runs (late.lua)
--   'B' n  n x (index id payload)   payload keys to set again (a repeat with another payload)
--   'e' n  n x (index id about)     what the event says of them, where more is to be said than that their first run ended well: flags u8 (1 its start
--                                 was told, 2 an attempt failed), number of the run I2, of the attempt I2, outcome u8, ms at which it is tried again
--                                 I6, length I2 and error
-- returns: packed answer, kept for a repeat: call_no I6, n_refused I2, n_refused x index I2
--#include "base.lua"
--#include "entry.lua"
--#include "front.lua"
--#include "late.lua"
--#include "records.lua"
--#include "session.lua"
--#include "sets.lua"
--#include "steps.lua"
--#include "job_end.lua"
--#include "wake.lua"
local session, call_no, is_repeat = ARGV[1], tonumber(ARGV[2]), ARGV[4] == '1'
local s = call('HMGET', KEYS[2], 'st', 'n', 'a')
local err = fenced(s[1])
if err then
  return err
end
if tonumber(s[2] or 0) == call_no then
  return s[3] ~= '' and s[3] or pack('>I6I2', call_no, 0)
end

local index, refused, refused_list = 0, {}, {}
-- Let go of n entries of a stream. In the usual case all are there, and so ours, since who takes one from a session deletes it. Else they are
-- looked at one by one: what the call says of an entry that was taken does not count. A repeat's are always: the server that answers it may
-- have lost their delivery (a fail-over, a tail of its file), and they may wait, or run elsewhere.
local function let_go(stream, at, n)
  local key, mine = K .. stream, {}
  if not is_repeat and call('XDEL', key, unpack(ARGV, at, at + n - 1)) == n then
    call('XACK', key, 'g', unpack(ARGV, at, at + n - 1))
    return
  end
  for i = 0, n - 1 do
    local entry = ARGV[at + i]
    local pending = call('XPENDING', key, 'g', entry, entry, 1)[1]
    if pending and pending[2] == session then
      mine[#mine + 1] = entry
    else
      refused[index + i] = true
    end
  end
  if #mine > 0 then
    call('XDEL', key, unpack(mine))
    call('XACK', key, 'g', unpack(mine))
  end
end

local firsts, soonest = {}, {} -- of each set: its first before this call (false: none), the first of what this call adds
local beside = {} -- bucket, ids of rows that keep something beside them
local over, asks = {}, {} -- of jobs that ended, by their index: id; what they ask for
local died = {} -- indexes
local woken, log, held = {}, {}, {}
local place, n_places, about = {}, 0, {} -- of jobs, by their index: place among the ids of the event

-- A record says when it is due from now on: a call that comes late, after an outage, says another time than the one that counts.
local function wait_in(set, items)
  local z, h = {}, {}
  if firsts[set] == nil then
    firsts[set] = set_first(set) or false
  end
  for i = 1, #items, 3 do
    local delay = tonumber(items[i])
    local at = delay < 0 and '+inf' or now + delay
    z[#z + 1], z[#z + 2] = at, items[i + 1]
    h[#h + 1], h[#h + 2] = items[i + 1], set == 'due' and record_due(items[i + 2], at) or items[i + 2]
    if delay >= 0 and (not soonest[set] or at < soonest[set]) then
      soonest[set] = at
    end
  end
  set_put(set, z, h)
end

-- What each kind does with the jobs that were not refused: `items` are their arguments, `ids` their ids.
local does = {
  c = function(_, items, ids, class, side)
    local bucket = history_add(tonumber(class), items, side == '1' and 0 or nil)
    if side == '1' then
      beside[#beside + 1] = { bucket, ids }
    end
  end,
  n = function() end,
  i = function() end,
  d = function(_, items)
    local z = {}
    for i = 1, #items, 2 do
      z[i], z[i + 1] = now, items[i]
    end
    set_put('dead', z, items)
  end,
  f = function(lane, items)
    local key, loc = K .. 'f:' .. lane, {}
    for i = 1, #items, 3 do
      local workflow = suspended_of(items[i + 2])
      if workflow then
        held[#held + 1] = { workflow, items[i + 1], items[i + 2] }
      else
        loc[#loc + 1] = items[i]
        loc[#loc + 1] = call('XADD', key, '*', 'm', items[i + 1], 'j', items[i + 2])
      end
    end
    if #loc > 0 then
      call('HSET', KEYS[3], unpack(loc))
      woken[lane] = (woken[lane] or 0) + #loc / 2
    end
  end,
  r = function(_, items)
    wait_in('due', items)
  end,
  p = function(_, items)
    wait_in('paused', items)
  end,
}
local width = { c = 2, n = 1, i = 1, r = 3, f = 3, d = 2, p = 3 }
local id_at = { c = 0, n = 0, i = 0, r = 1, f = 0, d = 0, p = 1 }
local ends = { c = true, n = true, i = true, d = true }

local function segment(kind, p)
  local stream, n = ARGV[p + 1], tonumber(ARGV[p + 2])
  local w, off = width[kind], id_at[kind]
  let_go(stream, p + 3, n)
  p = p + 3 + n
  local class, side
  if kind == 'c' then
    class, side = ARGV[p], ARGV[p + 1]
    p = p + 2
  end
  local items, ids = {}, {}
  for i = 0, n - 1 do
    if refused[index + i] then
      refused_list[#refused_list + 1] = pack('>I2', index + i)
    else
      for k = 0, w - 1 do
        items[#items + 1] = ARGV[p + i * w + k]
      end
      ids[#ids + 1] = ARGV[p + i * w + off]
      place[index + i] = n_places
      n_places = n_places + 1
      if ends[kind] then
        over[index + i], died[index + i] = ids[#ids], kind == 'd' or nil
      end
    end
  end
  if #ids > 0 then
    if stream_is_front(stream) then
      call('HDEL', KEYS[3], unpack(ids))
    end
    does[kind](stream_lane(stream), items, ids, class, side)
    log[#log + 1] = kind ~= 'i' and kind .. pack('>I2', #ids) .. table.concat(ids) or nil
  end
  index = index + n
  return p + n * w
end

local function ask(i)
  asks[i] = asks[i] or {}
  return asks[i]
end
local ELSEWHERE = -1 -- no shard's number
local keyed = {
  u = function(i, _, key)
    ask(i).ukey, ask(i).ukey_ms = key, 0
  end,
  U = function(i, _, key)
    ask(i).ukey, ask(i).ukey_ms, ask(i).ukey_home = key, 0, ELSEWHERE
  end,
  t = function(i, _, more)
    ask(i).schedule, ask(i).is_tracked, ask(i).pauses = more_schedule(more)
    ask(i).died = died[i]
  end,
  w = function(i, _, task)
    local more
    ask(i).how, more, ask(i).why = task_end(task)
    ask(i)[string.byte(more) == MORE_ITEM and 'item' or 'task'] = more
  end,
  o = function(_, id, log_lines)
    call('SET', K .. 'lg:' .. id, string.sub((call('GET', K .. 'lg:' .. id) or '') .. log_lines, -LOG_MAX))
  end,
  b = function(i)
    ask(i).drop = true
  end,
  s = function(_, id)
    steps_renew(id)
  end,
  -- now, and so before anything that follows from the end of the job
  h = function(_, id, run)
    late_add(session, id, tonumber(run))
  end,
  B = function(_, id, payload)
    call('SET', K .. 'b:' .. id, payload)
  end,
  e = function(i, _, said)
    about[#about + 1] = pack('>I2', place[i]) .. said
  end,
}

local function side_segment(kind, p)
  local n = tonumber(ARGV[p + 1])
  p = p + 2
  if kind == 'a' or kind == 'g' then
    call('HDEL', kind == 'a' and K .. 'run:' .. session or K .. 'pg', unpack(ARGV, p, p + n - 1))
    return p + n
  end
  local w = (kind == 'b' or kind == 's') and 2 or 3
  for i = p, p + (n - 1) * w, w do
    local of = tonumber(ARGV[i])
    if not refused[of] then
      keyed[kind](of, ARGV[i + 1], ARGV[i + 2])
    end
  end
  return p + n * w
end

local n_stats = tonumber(ARGV[5])
local p = 7 + 2 * n_stats
while p <= #ARGV do
  local kind = ARGV[p]
  p = width[kind] and segment(kind, p) or side_segment(kind, p)
end

ended_asking(over, asks)

-- Log lines were added after the rows.
for _, b in ipairs(beside) do
  local bytes = 0
  for _, id in ipairs(b[2]) do
    bytes = bytes + side_bytes(id, { blob = true }, true)
  end
  call('HINCRBY', K .. 'hz', b[1], bytes)
end

local answer = pack('>I6I2', call_no, #refused_list) .. table.concat(refused_list)
call('HSET', KEYS[2], 'n', call_no, 'a', answer)
call('INCR', K .. 'x:' .. session)
if index > #refused_list then
  local less = {} -- of each statistic: what is not to be counted
  local counted = ARGV[6 + 2 * n_stats]
  for i in pairs(refused) do
    for at = i * 8 + 1, math.min(i * 8 + 7, #counted - 1), 2 do
      local row = unpk('>I2', counted, at)
      less[row] = (less[row] or 0) + 1
    end
  end
  for row = 1, n_stats do
    local n = ARGV[5 + 2 * row] - (less[row] or 0)
    if n > 0 then
      count(ARGV[4 + 2 * row], n)
    end
  end
  if #log > 0 then
    event_with('O' .. pack('>I6I6', now, tonumber(session)) .. table.concat(log), '\1' .. table.concat(about))
  end
  for _, job in ipairs(held) do -- after what the event says of the end of their run
    job_hold(unpack(job))
  end
  held_tell()
  for lane, n in pairs(woken) do
    wake(lane, n)
  end
  local wake_at
  for set, at in pairs(soonest) do
    if (not firsts[set] or at < firsts[set]) and (not wake_at or at < wake_at) then
      wake_at = at
    end
  end
  local leader = wake_at and call('HGET', sh, 'tk')
  if leader then
    redis.pcall('SPUBLISH', K .. 'w:' .. leader, 'D' .. string.format('%d', wake_at))
  end
end
return answer
