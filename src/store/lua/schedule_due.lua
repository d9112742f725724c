#!lua flags=allow-oom
-- The schedules that the leader must look at now, with what it needs to know what came round.
-- keys: {p:0}:sh {p:0}:sch
-- argv: session epoch limit bytes_max
-- returns: { now_ms, ms of the next one (-1 none), { id, state, calendar, edit ('' none waits: ms, number, calendar), max }... }, or DQFENCED
--#include "base.lua"
--#include "schedule.lua"
--#include "leader.lua"
local err = leader_fenced(ARGV[1], ARGV[2])
if err then
  return err
end
local UNREADABLE_MS = 3600000 -- what cannot be read holds up no other: it is looked at again in an hour, and the doctor names it
local bytes = tonumber(ARGV[4])
local out = { now, -1 }
local function row_of(id, state, packed)
  local d, edit, waiting = definition_read(packed), edit_read(id), ''
  if state_read(id).form ~= 1 then
    error('another form')
  end
  bytes = bytes - #packed
  if edit then
    waiting = pack(EDIT_FORM, edit.at, edit.number) .. definition_read(edit.definition).calendar
    bytes = bytes - #edit.definition
  end
  return { id, state, d.calendar, waiting, d.max }
end
for _, id in ipairs(call('ZRANGE', KEYS[2], '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[3])) do
  local state, packed = call('HGET', K .. 'sch:s', id), call('HGET', K .. 'sch:d', id)
  if state and packed then
    local ok, row = pcall(row_of, id, state, packed)
    if ok then
      out[#out + 1] = row
    else
      call('ZADD', KEYS[2], now + UNREADABLE_MS, id)
    end
  else
    call('ZREM', KEYS[2], id)
  end
  if bytes <= 0 then
    break
  end
end
if #out == 2 then
  local first = call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
  out[2] = first and first ~= 'inf' and tonumber(first) or -1
end
return out
