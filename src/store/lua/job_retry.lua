#!lua
-- Start ended jobs again, attempts from 0: dead and cancelled ones, completed ones when forced.
-- keys: {p:0}:sh
-- argv: actor force('1' or '') operation(operation.lua) id...; an id is followed by the token (16 bytes) under which its unique key is reserved on another shard, and the ms
--   (6 bytes) until which a job may be started with it
-- returns: for each, or the first of them (list.lua), 0, -3 (no such job), -4 (alive, completed and not forced, too new for the operation, or an occurrence while another of its schedule
--   is active), -5 (its unique key is held by another
--   job), -9 (this call came when the reservation was too old), -29 (it is a task of a workflow), or home shard I2, held ms I6 and its unique key: that is to be reserved there first, or is held by a job of another shard, which may not be alive
--#include "base.lua"
--#include "too_old.lua"
--#include "list.lua"
--#include "locate.lua"
--#include "take_ended.lua"
--#include "attempts.lua"
--#include "ukey.lua"
--#include "front.lua"
--#include "wake.lua"
--#include "stats.lua"
--#include "audit.lua"
--#include "operation.lua"
-- The run that a row of the history tells of is in no list of attempts: it becomes one, and counts, so that run ids stay unique.
local function with_last_run(m, id, state, row)
  local r = row_run(row, id)
  if r.started == 0 then
    return m
  end
  m = moved_with(m, { runs = moved_runs(m) + 1 })
  local outcome = state == STATE_CANCELLED and OUTCOME_CANCELLED or r.skipped and OUTCOME_SKIP or OUTCOME_DONE
  return attempt_add(m, moved_runs(m), outcome, r.started, r.ran, r.session, '')
end
-- Word of a key that was reserved on its home shard; what is yet to release it for the life before is taken back.
local function outbox_retried(e, id, token)
  local _, of = release_split(call('HGET', K .. 'ob', 'r' .. e.ukey) or '')
  call('HSET', K .. 'ob', 'C' .. e.ukey, token .. id .. string.format('%.0f', e.ukey_ms))
  if of == id then
    call('HDEL', K .. 'ob', 'r' .. e.ukey)
  end
  if e.ukey_ms == 0 then
    call('HSET', K .. 'uh', id, token)
  end
end
-- One of a schedule that minds what is active is active again: false when another is.
local function occurrence_retried(e, id)
  local packed = e.is_tracked and call('HGET', K .. 'sch:d', e.schedule)
  if not packed then
    return true
  end
  if definition_read(packed).policy ~= OVERLAP_ALLOW and call('SCARD', K .. 'sa:' .. e.schedule) > 0 then
    return false
  end
  call('SADD', K .. 'sa:' .. e.schedule, id)
  call('HDEL', K .. 'sch:r', e.schedule)
  call('HDEL', K .. 'sch:l', id) -- the end of its last handler is not its own any more
  return true
end
local actor, force, op = ARGV[1], ARGV[2] == '1', operation_read(ARGV[3])
local out, done, ready = {}, {}, {}
for i = 4, #ARGV do
  local id, token = string.sub(ARGV[i], 1, ID_BYTES), string.sub(ARGV[i], ID_BYTES + 1, ID_BYTES + TOKEN_BYTES)
  local until_ms = string.sub(ARGV[i], ID_BYTES + TOKEN_BYTES + 1)
  local place, _, row, hkey, bucket = locate(id)
  if not place then
    out[i - 3] = -3
  elseif not place.ended or not operation_wants(op, id, place, row) then
    out[i - 3] = -4
  else
    local r = ended_read(row)
    local e, m = r.e, r.m
    local away = e.ukey and ukey_away(e, id)
    local holder = e.ukey and (away and outbox_holder(e.ukey, id) or not away and call('GET', K .. 'u:' .. e.ukey))
    if e.task then
      out[i - 3] = -29
    elseif r.state == STATE_COMPLETED and not force then
      out[i - 3] = -4
    elseif away and token == '' or holder and holder_kind(holder) == 'away' then
      out[i - 3] = pack('>I2I6', e.ukey_home or 0, e.ukey_ms) .. e.ukey
    elseif holder and holder ~= id then
      out[i - 3] = -5
    elseif away and now > unpk('>I6', until_ms) then -- it lay somewhere: another may have the key by now
      out[i - 3] = -9
    elseif e.schedule and not occurrence_retried(e, id) then
      out[i - 3] = -4
    else
      ended_take(id, place, row, r, hkey, bucket)
      if place == places.history and (e.blob or r.logged) then
        call('HINCRBY', K .. 'ks', id, 1)
      end
      if away then
        outbox_retried(e, id, token)
      elseif e.ukey then
        if e.ukey_ms == 0 then
          call('SET', K .. 'u:' .. e.ukey, id)
        else
          call('SET', K .. 'u:' .. e.ukey, id, 'PX', e.ukey_ms)
        end
      end
      local _, _, lane = id_unpack(id)
      if m == '' then
        m = moved_fresh(id, now)
      end
      if place == places.history then
        m = with_last_run(m, id, r.state, row)
      end
      -- the number of runs goes on, so run ids stay unique; so do the log lines, which end with the job
      m = moved_with(m, { attempts = 0, crashes = 0, flags = r.logged and MOVED_LOGGED or 0, errors = 0, ready = now, due = 0, repeats = 0 })
      front_add(lane, m, r.j)
      ready[lane] = (ready[lane] or 0) + 1
      audit(actor, 'job.retry', id)
      done[#done + 1] = id
      out[i - 3] = 0
    end
  end
  if list_full(row) then
    break
  end
end
for lane, n in pairs(ready) do
  wake(lane, n)
end
if #done > 0 then
  event_with('R' .. pack('>I6', now) .. table.concat(done), 'm')
end
operation_count(op, out)
return out
