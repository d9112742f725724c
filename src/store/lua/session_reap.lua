#!lua flags=allow-oom
-- One bounded step of taking away what sessions hold whose lease is over. Such a session is marked, which fences all it still sends; then
-- its pending entries are handed over lane by lane, and a lane's consumer goes when the same step has just seen that nothing is
-- pending for it; when the last lane is through, the session is forgotten.
-- keys: {p:0}:sh {p:0}:lease {p:0}:dead {p:0}:dead:h
-- argv: session epoch shard lease_ms max_crashes limit lanes_max
-- returns: { now_ms, session worked on (0 none), n handed over, n dead, more to do(1|0) }, or DQFENCED
--#include "base.lua"
--#include "clock.lua"
--#include "aside.lua"
--#include "front.lua"
--#include "attempts.lua"
--#include "job_end.lua"
--#include "late.lua"
--#include "leader.lua"
--#include "wake.lua"
local err = leader_fenced(ARGV[1], ARGV[2])
if err then
  return err
end
local shard, max_crashes = tonumber(ARGV[3]), tonumber(ARGV[5])
local left, lanes_left = tonumber(ARGV[6]), tonumber(ARGV[7])
local clock = served(tonumber(ARGV[4]))

-- The leader that calls this is alive, whatever its lease says.
local expired = {}
for _, s in ipairs(call('ZRANGE', KEYS[2], '-inf', clock, 'BYSCORE', 'LIMIT', 0, 3)) do
  if s ~= ARGV[1] then
    expired[#expired + 1] = s
  end
end
local victim = expired[1]
if not victim then
  return { now, 0, 0, 0, 0 }
end
local ss = K .. 's:' .. victim
local state = call('HMGET', ss, 'st', 'lane', 'node', 'bl')
local blamed = state[4] or ''
if state[1] ~= 'reaping' then
  call('HSET', ss, 'st', 'reaping', 'lane', 1)
  -- Not only touched but gone: who looks between two steps must not take it for a change of what it holds, and go on. What it read then
  -- would be in lanes that are done with.
  call('UNLINK', K .. 'x:' .. victim)
  event_with('N' .. pack('>I6', now) .. 'l' .. (state[3] or ''), pack('>I6', tonumber(victim)))
end

local handed, dead = {}, 0
-- One pending entry to whoever is next, or to the dead.
local function hand_over(stream, lane, entry, fields)
  local key = K .. stream
  local m, j, id = entry_read(stream, entry, shard, fields)
  if not id then
    call('XACK', key, 'g', entry)
    call('XDEL', key, entry)
    return
  end
  local run = call('HGET', K .. 'run:' .. victim, id)
  local fresh = not m
  m = side_noted(id, m) or moved_fresh(id, id_ms(id))
  local is_dead = false
  if run then
    local started = unpk('>I6', run)
    local f = moved_fields(m)
    local charged = blamed == '' or blamed == id or (blamed == 's' and f.is_suspect and f.crashes == 0)
    m = moved_with(m, { runs = f.runs + 1, crashes = charged and f.crashes + 1 or f.crashes, ready = now })
    f = moved_fields(m)
    m = attempt_add(m, f.runs, OUTCOME_CRASHED, started, math.max(now - started, 0), tonumber(victim), 'its process crashed')
    call('HDEL', K .. 'run:' .. victim, id)
    call('HDEL', K .. 'pg', id)
    if charged and f.crashes >= max_crashes then
      local reason = 'its process crashed ' .. f.crashes .. ' times'
      ended(ENDS.dead, { id = id, m = m, j = j, e = envelope_read(j), started = started, session = victim, reason = reason })
      dead = dead + 1
      is_dead = true
    end
  else
    m = moved_suspect(m)
  end
  if is_dead then
    if not fresh then
      call('HDEL', K .. 'loc', id)
    end
  else
    if not front_add(lane, m, j) then
      handed[#handed + 1] = id
    end
  end
  call('XACK', key, 'g', entry)
  call('XDEL', key, entry)
end

-- Empties one stream as far as the limit goes; true: nothing of the session is left in it.
local function drain(stream, lane)
  local key = K .. stream
  local pending = redis.pcall('XPENDING', key, 'g', '-', '+', left + 1, victim)
  if pending.err then
    return true
  end
  for i = 1, math.min(#pending, left) do
    local entry = pending[i][1]
    local found = call('XRANGE', key, entry, entry)
    if found[1] then
      hand_over(stream, lane, entry, found[1][2])
    else
      call('XACK', key, 'g', entry)
    end
  end
  local empty = #pending <= left
  left = left - math.min(#pending, left)
  if empty then
    call('XGROUP', 'DELCONSUMER', key, 'g', victim)
  end
  return empty
end

local lane, last = tonumber(state[2] or 1), call('LLEN', K .. 'lane')
local at = lane
while lane <= last and lanes_left > 0 and left > 0 do
  local before = #handed
  call('SREM', K .. 'idle:' .. lane, victim) -- or it would be woken for its own jobs, in another's place
  local empty = drain('l:' .. lane, lane)
  empty = drain('f:' .. lane, lane) and empty
  if #handed > before then
    wake(lane, #handed - before)
  end
  if not empty then
    break
  end
  lane = lane + 1
  lanes_left = lanes_left - 1
end
-- Whatever waits for its handlers waits no more: like those of any session whose lease is over, they may go on.
if lane > last and left > 0 then
  left = left - late_drop(victim, left)
end
local through = lane > last and call('SCARD', K .. 'lr:' .. victim) == 0
if through then
  call('UNLINK', ss, K .. 'x:' .. victim, K .. 'run:' .. victim, K .. 'cx:' .. victim)
  call('ZREM', KEYS[2], victim)
elseif lane > at then
  call('HSET', ss, 'lane', lane)
end

if #handed > 0 then
  event_with('B' .. pack('>I6I6', now, tonumber(victim)) .. table.concat(handed), 'l')
end
ended_all(ENDS.dead)
return { now, tonumber(victim), #handed, dead, (not through or #expired > 1) and 1 or 0 }
