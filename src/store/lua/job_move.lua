#!lua
-- Run now, reschedule, pause or resume a job that does not run.
-- keys: {p:0}:sh
-- argv: actor verb('run' 'reschedule' 'pause' 'resume', or 'delay': reschedule to at_ms from now) at_ms shard operation(operation.lua) id...
-- returns: for each, or the first of them (list.lua), 0, -3 (no such job) or -4 (running or ended; too new for the operation; not paused, for resume; paused, for the others;
--   to be run while its workflow is suspended)
--#include "base.lua"
--#include "too_old.lua"
--#include "list.lua"
--#include "locate.lua"
--#include "take.lua"
--#include "envelope.lua"
--#include "front.lua"
--#include "wake.lua"
--#include "stats.lua"
--#include "audit.lua"
--#include "operation.lua"
local EVENT_OF = { run = 'n', reschedule = 's', resume = 's', pause = 'u' }
local actor, verb, at = ARGV[1], ARGV[2], tonumber(ARGV[3])
if verb == 'delay' then
  verb, at = 'reschedule', now + at
end
local at_text = string.format('%.0f', at)
local op = operation_read(ARGV[5])
local out, done, ready = {}, {}, {}
for i = 6, #ARGV do
  local id = ARGV[i]
  local place, m, j, key, entry, session = locate(id)
  local movable = place and not place.ended and not session and place ~= places.schedule and operation_wants(op, id, place)
  if movable and verb == 'resume' then
    movable = place.name == 'paused'
  elseif movable then
    movable = place.name ~= 'paused'
  end
  if movable and (verb == 'run' or verb == 'resume') and suspended_of(j) then
    movable = false
  end
  if not place then
    out[i - 5] = -3
  elseif not movable then
    out[i - 5] = -4
  else
    local _, _, lane = id_unpack(id)
    take(id, place, key, entry)
    m = m or moved_fresh(id, now)
    if verb == 'run' or verb == 'resume' then
      if verb == 'resume' then
        local leader = call('HGET', sh, 'tk')
        if leader then
          redis.pcall('SPUBLISH', K .. 'w:' .. leader, 'U' .. id)
        end
        local s2s = envelope_read(j).s2s
        if s2s then
          call('ZADD', K .. 's2s', 'XX', now + s2s, id)
        end
      end
      front_add(lane, moved_with(m, { errors = verb == 'resume' and 0 or nil, ready = now, due = 0 }), j)
      ready[lane] = (ready[lane] or 0) + 1
    elseif verb == 'pause' then
      set_put('paused', { '+inf', id }, { id, record(m, j) })
    else
      local first = set_first('due')
      set_put('due', { at, id }, { id, record(moved_with(m, { ready = at, due = at }), j) })
      local leader = call('HGET', sh, 'tk')
      if leader and (not first or at < first) then
        redis.pcall('SPUBLISH', K .. 'w:' .. leader, 'D' .. at_text)
      end
    end
    audit(actor, 'job.' .. verb, id, at_text)
    done[#done + 1] = id
    out[i - 5] = 0
  end
  if list_full(j) then
    break
  end
end
for lane, n in pairs(ready) do
  wake(lane, n)
end
if #done > 0 then
  event_with('M' .. pack('>I6', now) .. EVENT_OF[verb] .. table.concat(done), verb)
end
operation_count(op, out)
return out
