-- Late runs: their job went on without them (it was cancelled, or timed out and its handler did not end), and their handler may still run. What
-- must not run beside a handler of the same job asks whether `lr` has its id. A run is late until its session reports its handler's end, or is
-- over itself: closed, or reaped. `what` is the job's id and the run's number, I2.
--   K lr            hash: id -> session I6, run I2, for each late run of the job
--   K lr:<session>  set of `what`: those of a session
--#include "occurrence.lua"
local SESSIONS_TELL_LATE = 4 -- version of the scripts from which on sessions report these ends
local LATE_SHOWN = 256
local LATE_SWEPT = 100
-- Without the item; '' when it is the last.
local function late_without(all, item)
  for at = 1, #all, 8 do
    if string.sub(all, at, at + 7) == item then
      return string.sub(all, 1, at - 1) .. string.sub(all, at + 8)
    end
  end
  return all
end
local function late_add(session, id, run)
  run = math.min(run, 65535)
  if call('SADD', K .. 'lr:' .. session, id .. pack('>I2', run)) == 1 then
    call('HSET', K .. 'lr', id, (call('HGET', K .. 'lr', id) or '') .. pack('>I6I2', tonumber(session), run))
  end
end
-- Of a session, just taken out of its set. What waited for the end of a handler of this job goes on from here.
local function late_forget(session, what)
  local id = string.sub(what, 1, ID_BYTES)
  local left = late_without(call('HGET', K .. 'lr', id) or '', pack('>I6', tonumber(session)) .. string.sub(what, ID_BYTES + 1))
  if left ~= '' then
    call('HSET', K .. 'lr', id, left)
  else
    call('HDEL', K .. 'lr', id)
    occurrence_late_over(id)
  end
end
local function late_over(session, what)
  if call('SREM', K .. 'lr:' .. session, what) == 1 then
    late_forget(session, what)
  end
end
-- A session is over: at most `most` of its late runs with it. Returns how many.
local function late_drop(session, most)
  local gone = most > 0 and call('SPOP', K .. 'lr:' .. session, most) or {}
  for _, what in ipairs(gone) do
    late_forget(session, what)
  end
  return #gone
end
-- Some of those there are: what is left of sessions that a leader of an earlier version reaped, which knew of no late runs. Returns where to go on.
local function late_sweep(cursor)
  local found = call('HSCAN', K .. 'lr', cursor, 'COUNT', LATE_SWEPT)
  for i = 1, #found[2], 2 do
    local id, all = found[2][i], found[2][i + 1]
    for at = 1, #all, 8 do
      local session, run = unpk('>I6I2', all, at)
      if call('EXISTS', K .. 's:' .. session) == 0 then
        call('SREM', K .. 'lr:' .. session, id .. pack('>I2', run))
        late_forget(session, id .. pack('>I2', run))
      end
    end
  end
  return found[1]
end
-- Those of a session, for it to say which have ended without its knowing: any of them, when there are more than one answer shows.
local function late_of(session)
  return call('SRANDMEMBER', K .. 'lr:' .. session, LATE_SHOWN)
end
