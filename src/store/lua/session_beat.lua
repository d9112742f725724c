#!lua flags=allow-oom
-- A session's heartbeat: renews its lease and so all its jobs, tells what changed, and lets it stand for leader.
-- keys: {p:0}:sh {p:0}:s:SESSION {p:0}:lease {p:0}:due
-- argv: session lease_ms dyn(JSON) leader('1' stands, '' not) blamed opened_ms data n_starts n x (id started_ms) n_progress
--   n x (id json) n_lanes lane... n_ended ended...
-- blamed: whom a crash is charged to from now on, of the jobs whose start was reported: '' each; an id that job alone; 's' suspects never charged,
--   or each while a session of before lives that would not understand it
-- opened_ms: when the caller opened it ('' not asked): a server that forgot this session may have given its number away again
-- data: identity of the data as the session knows it ('' not): when it is other data, starts and progress are not recorded, because the
--   jobs may not be the session's any more
-- ended: late runs (late.lua) whose handler has ended: id and number of the run, I2
-- returns: { now_ms, leader epoch (0: not leader), ms of the next due job (-1 none), n of lanes, queue version, draining (1; 2: too old),
--   { jobs cancelled under this session: id, then 'l' or 'f' and the entry }, { lanes of those given that hold jobs }, n of sessions to
--   reap, n of outbox rows, ms of the next schedule-to-start limit (-1 none), memory is short(1|0), identity of the data (''
--   unknown), ms of the next schedule that is due (-1 none), { late runs of this session, as they are named in `ended` }, n of what workflows and batches left to do,
--   ms of the next of their timers (-1 none) }, or
--   DQFENCED; from the n of sessions on they are the leader's, except for the identity and the late runs
--#include "base.lua"
--#include "ids.lua"
--#include "clock.lua"
--#include "identity.lua"
--#include "late.lua"
--#include "memory.lua"
--#include "session.lua"
--#include "stats.lua"
local session, lease = ARGV[1], tonumber(ARGV[2])
local s = call('HMGET', KEYS[2], 'st', 'node', 'at', 'ver')
local err = fenced((ARGV[6] == '' or ARGV[6] == s[3]) and s[1])
if err then
  return err
end
-- A leader of before would charge nobody for 's', and any of the others may be the leader that reaps this session. It charges each then.
-- Sessions are looked at once each, in the order of their numbers: all up to `kn` know it or are over.
local SUSPECTS_BLAMED = 3 -- version of the scripts from which on leaders know it
local SESSIONS_LOOKED_AT = 1000
local PROGRESS_TOLD = 65536 -- bytes of progress that an event tells, and what the last job adds
local function all_know_suspects()
  local head = call('HMGET', sh, 'kn', 'ss')
  local first, last = tonumber(head[1]), tonumber(head[2])
  if not first then
    first = last
    for _, other in ipairs(call('ZRANGE', KEYS[3], 0, -1)) do
      first = math.min(first, other - 1)
    end
  end
  local known = first
  while known < math.min(last, first + SESSIONS_LOOKED_AT) do
    local other = call('HMGET', K .. 's:' .. known + 1, 'st', 'ver')
    if other[1] and tonumber(other[2] or 0) < SUSPECTS_BLAMED then
      break
    end
    known = known + 1
  end
  if tostring(known) ~= head[1] then
    call('HSET', sh, 'kn', known)
  end
  return known == last
end
local blamed = ARGV[5]
if blamed == 's' and not all_know_suspects() then
  blamed = ''
end
call('HSET', KEYS[2], 'hb', now, 'dyn', ARGV[3], 'bl', blamed)
local clock = served(lease)
call('ZADD', KEYS[3], clock + lease, session)

local known = call('HMGET', sh, 'qv', 'mv')
local too_old = tonumber(s[4] or 0) < tonumber(known[2] or 0)
local epoch = 0
if too_old then
  if call('HGET', sh, 'tk') == session then
    call('HSET', sh, 'tu', 0)
  end
elseif ARGV[4] == '1' then
  local t = call('HMGET', sh, 'tk', 'te', 'tu')
  epoch = tonumber(t[2] or 0)
  if t[1] ~= session then
    if t[1] and tonumber(t[3]) > now and tonumber(t[3]) <= now + 2 * lease and call('ZSCORE', KEYS[3], t[1]) then
      epoch = 0
    else
      epoch = epoch + 1
      call('HSET', sh, 'tk', session, 'te', epoch)
      event('L' .. pack('>I6I6', now, tonumber(t[1] or 0)) .. pack('>I6', tonumber(session)) .. (s[2] or ''))
    end
  end
  if epoch > 0 then
    call('HSET', sh, 'tu', now + lease)
  end
end

local data = identity()
local is_other = ARGV[7] ~= '' and data ~= '' and data ~= ARGV[7]
local p = 9
local n = tonumber(ARGV[8])
if is_other then
  p = p + 2 * n
elseif n > 0 then
  local log = {}
  for i = 1, n do
    call('HSET', K .. 'run:' .. session, ARGV[p], pack('>I6', tonumber(ARGV[p + 1])))
    log[i] = ARGV[p]
    p = p + 2
  end
  event('S' .. pack('>I6I6', now, tonumber(session)) .. table.concat(log))
end
n = tonumber(ARGV[p])
p = p + 1
if is_other then
  p = p + 2 * n
elseif n > 0 then
  call('HSET', K .. 'pg', unpack(ARGV, p, p + 2 * n - 1))
  local said, bytes = {}, 0
  for i = p, p + 2 * n - 2, 2 do
    if bytes < PROGRESS_TOLD then
      said[#said + 1] = ARGV[i] .. pack('>I2', math.min(#ARGV[i + 1], 65535)) .. string.sub(ARGV[i + 1], 1, 65535)
      bytes = bytes + #said[#said]
    end
  end
  event_with('P' .. pack('>I6I2', now, n) .. ARGV[p], table.concat(said))
  p = p + 2 * n
end
n = tonumber(ARGV[p])
local busy = {}
for i = p + 1, p + n do
  if call('XLEN', K .. 'l:' .. ARGV[i]) > 0 or call('XLEN', K .. 'f:' .. ARGV[i]) > 0 then
    busy[#busy + 1] = tonumber(ARGV[i])
  end
end
p = p + n + 1
for i = p + 1, p + tonumber(ARGV[p]) do
  late_over(session, ARGV[i])
end
local cancelled = call('SMEMBERS', K .. 'cx:' .. session)
if #cancelled > 0 then
  call('DEL', K .. 'cx:' .. session)
  -- the start of one of them may have been reported just now
  for i = 1, #cancelled do
    local id = string.sub(cancelled[i], 1, ID_BYTES)
    call('HDEL', K .. 'run:' .. session, id)
    call('HDEL', K .. 'pg', id)
  end
end
local head = call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')
local late = epoch > 0 and call('ZRANGE', K .. 's2s', 0, 0, 'WITHSCORES') or {}
local scheduled = epoch > 0 and call('ZRANGE', K .. 'sch', 0, 0, 'WITHSCORES')[2]
local timed = epoch > 0 and call('ZRANGE', K .. 'tm', 0, 0, 'WITHSCORES')[2]
return {
  now, epoch, tonumber(head[2] or -1), call('LLEN', K .. 'lane'), tonumber(known[1] or 0),
  too_old and 2 or call('SISMEMBER', K .. 'nodes:drain', s[2]), cancelled, busy,
  epoch > 0 and call('ZCOUNT', KEYS[3], '-inf', clock) or 0, epoch > 0 and call('HLEN', K .. 'ob') or 0,
  tonumber(late[2] or -1), epoch > 0 and memory_is_short() and 1 or 0, data,
  scheduled and scheduled ~= 'inf' and tonumber(scheduled) or -1, late_of(session),
  epoch > 0 and call('LLEN', K .. 'wq') or 0, tonumber(timed or -1),
}
