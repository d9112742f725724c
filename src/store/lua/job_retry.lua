#!lua
-- Start ended jobs anew, attempts from 0: dead and cancelled ones, completed ones when forced.
-- keys: {p:0}:sh
-- argv: actor force('1' or '') id...
-- returns: for each, or the first of them (list.lua), 0, -3 (no such job), -4 (alive, or completed and not forced), -5 (its unique key is held by another job)
--#include "base.lua"
--#include "list.lua"
--#include "ids.lua"
--#include "envelope.lua"
--#include "ukey.lua"
--#include "history_read.lua"
--#include "records.lua"
--#include "locate.lua"
--#include "row_read.lua"
--#include "varint.lua"
--#include "attempts.lua"
--#include "front.lua"
--#include "wake.lua"
--#include "side.lua"
--#include "stats.lua"
--#include "audit.lua"
-- The run that a row of the history tells of is in no list of attempts: it becomes one, and counts, so that run ids stay unique.
local function with_last_run(m, id, state, row)
  local _, at = varint_read(row, 1)
  local skipped = string.byte(row, at + 2) % 2 == 1
  local started, ran, session
  started, at = varint_read(row, at + 3)
  if started == 0 then
    return m
  end
  ran, at = varint_read(row, at)
  _, at = varint_read(row, at)
  session = varint_read(row, at)
  local run = math.min(unpk('>I2', m, 17) + 1, 65535)
  m = string.sub(m, 1, 16) .. pack('>I2', run) .. string.sub(m, 19)
  return attempt_add(m, run, state == 7 and 8 or skipped and 4 or 0, unpk('>I6', id) + started, ran, session, '')
end
local actor, force = ARGV[1], ARGV[2] == '1'
local out, done, ready = {}, {}, {}
for i = 3, #ARGV do
  local id = ARGV[i]
  local place, _, row, hkey, bucket = locate(id)
  if not place then
    out[i - 2] = -3
  elseif place ~= 'dead' and place ~= 'history' then
    out[i - 2] = -4
  else
    local state, m, j, logged = row_split(row)
    local e = envelope_read(j)
    local holder = e.ukey and not ukey_away(e, id) and call('GET', K .. 'u:' .. e.ukey)
    if state == 5 and not force then
      out[i - 2] = -4
    elseif holder and holder ~= id then
      out[i - 2] = -5
    else
      if place == 'dead' then
        call('ZREM', K .. 'dead', id)
        call('HDEL', K .. 'dead:h', id)
      else
        call('HDEL', hkey, id)
        call('HINCRBY', K .. 'hz', bucket, -#row - ROW_OVERHEAD - side_bytes(id, e, logged))
        call('HINCRBY', K .. 'hr', bucket, -1)
        if state == 7 then
          call('HINCRBY', K .. 'hn', bucket, -1)
        end
        if e.blob or logged then
          call('HINCRBY', K .. 'ks', id, 1)
        end
      end
      if e.ukey and not ukey_away(e, id) then
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
      if place == 'history' then
        m = with_last_run(m, id, state, row)
      end
      -- attempts, crashes, errors and repeats in a row from 0; the number of runs goes on, so run ids stay unique
      m = string.sub(m, 1, 14) .. pack('>I2', 0) .. string.sub(m, 17, 18) .. '\0' .. '\0' .. pack('>I2I6I6', 0, now, 0)
        .. string.sub(m, 35, 35) .. '\0' .. string.sub(m, 37)
      front_add(lane, m, j)
      ready[lane] = (ready[lane] or 0) + 1
      audit(actor, 'job.retry', id)
      done[#done + 1] = id
      out[i - 2] = 0
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
  event('R' .. pack('>I6', now) .. table.concat(done))
end
return out
