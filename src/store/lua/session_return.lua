#!lua flags=allow-oom
-- Give jobs of a session back: those it read and did not start, or whose handler did not end in time at a shutdown. No attempt is spent.
-- keys: {p:0}:sh {p:0}:s:SESSION
-- argv: session shard (stream entry started('1' its handler ran))...
-- returns: { n given back, value of x:<session> after it }; entries that are not this session's any more are left alone; or DQFENCED
--#include "base.lua"
--#include "aside.lua"
--#include "front.lua"
--#include "session.lua"
--#include "side.lua"
--#include "stats.lua"
--#include "wake.lua"
local session, shard = ARGV[1], tonumber(ARGV[2])
local err = fenced(call('HGET', KEYS[2], 'st'))
if err then
  return err
end

local done, woken, n_held = {}, {}, 0
local function give_back(stream, entry, started)
  local key, lane = K .. stream, stream_lane(stream)
  local mine = call('XPENDING', key, 'g', entry, entry, 1)[1]
  if not mine or mine[2] ~= session then
    return
  end
  local found = call('XRANGE', key, entry, entry)[1]
  call('XACK', key, 'g', entry)
  if not found then
    return
  end
  call('XDEL', key, entry)
  local m, j, id = entry_read(stream, entry, shard, found[2])
  if not id then
    return
  end
  m = side_noted(id, m) or moved_fresh(id, id_ms(id))
  if started then
    m = moved_with(m, { runs = moved_runs(m) + 1 })
  end
  call('HDEL', K .. 'run:' .. session, id)
  call('HDEL', K .. 'pg', id)
  if front_add(lane, m, j) then
    n_held = n_held + 1
    return
  end
  woken[lane] = (woken[lane] or 0) + 1
  done[#done + 1] = id
end
for i = 3, #ARGV, 3 do
  give_back(ARGV[i], ARGV[i + 1], ARGV[i + 2] == '1')
end
if #done + n_held > 0 then
  call('INCR', K .. 'x:' .. session)
end
if #done > 0 then
  event('B' .. pack('>I6I6', now, tonumber(session)) .. table.concat(done))
end
for lane, n in pairs(woken) do
  wake(lane, n)
end
return { #done + n_held, tonumber(call('GET', K .. 'x:' .. session) or 0) }
