#!lua
-- Change the envelope (its payload) of a job that neither runs nor has ended. The job's place and turn stay when it waits in a set; one
-- that waits in a lane goes to the lane's front.
-- keys: {p:0}:sh
-- argv: actor then (id old_j new_j blob('' none))...
-- returns: for each, or the first of them (list.lua), 0, -3 (no such job), -4 (running or ended), -7 (the envelope changed meanwhile: read again)
--#include "base.lua"
--#include "too_old.lua"
--#include "list.lua"
--#include "locate.lua"
--#include "take.lua"
--#include "front.lua"
--#include "wake.lua"
--#include "stats.lua"
--#include "audit.lua"
local actor = ARGV[1]
local out, done = {}, {}

local function update(id, old_j, new_j, blob)
  local place, m, j, key, entry, session = locate(id)
  if not place then
    return -3
  end
  if place.ended or session or place == places.schedule then
    return -4
  end
  if j ~= old_j then
    return -7
  end
  if place.waits then
    call('HSET', K .. place.name .. ':h', id, record(m, new_j))
  else
    local _, _, lane = id_unpack(id)
    take(id, place, key, entry)
    front_add(lane, m or moved_fresh(id, id_ms(id)), new_j)
    wake(lane, 1)
  end
  if blob ~= '' then
    call('SET', K .. 'b:' .. id, blob)
  else
    call('UNLINK', K .. 'b:' .. id)
  end
  audit(actor, 'job.update', id)
  done[#done + 1] = id
  return 0
end

for i = 2, #ARGV, 4 do
  out[#out + 1] = update(unpack(ARGV, i, i + 3))
  if list_full(ARGV[i + 1]) or list_full(ARGV[i + 2]) or list_full(ARGV[i + 3]) then
    break
  end
end
if #done > 0 then
  event('U' .. pack('>I6', now) .. table.concat(done))
end
return out
