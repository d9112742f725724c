#!lua flags=allow-oom
-- One step through a lane's stream: its jobs, or what is pending in it.
-- keys: {p:0}:sh
-- argv: shard repair('1' or '') stream('l:<lane>' 'f:<lane>') pending('1' or '') cursor('' from the start) limit
-- returns: as doctor_keys
--#include "base.lua"
--#include "doctor.lua"
--#include "doctor_job.lua"
--#include "doctor_session.lua"
--#include "front.lua"
--#include "side.lua"
--#include "wake.lua"
local stream, cursor, limit = ARGV[3], ARGV[5], tonumber(ARGV[6])
local key, lane, front = K .. stream, stream_lane(stream), stream_is_front(stream)
local from = cursor == '' and '-' or '(' .. cursor

local function no_group()
  fault('no_group', key, '', 'has no group: nobody can take its jobs', function()
    call('XGROUP', 'CREATE', key, 'g', '0', 'MKSTREAM')
  end)
  return answer('')
end
-- Fields of an XINFO row.
local function field(row, name)
  for i = 1, #row, 2 do
    if row[i] == name then
      return row[i + 1]
    end
  end
end
if call('EXISTS', key) == 0 then
  return no_group()
end
local last
for _, g in ipairs(call('XINFO', 'GROUPS', key)) do
  if field(g, 'name') == 'g' then
    last = field(g, 'last-delivered-id')
  end
end
if not last then
  return no_group()
end

-- A session that takes part: known, or it holds nothing and is to be forgotten.
local function look_consumers()
  for _, c in ipairs(call('XINFO', 'CONSUMERS', key, 'g')) do
    local name, pending = field(c, 'name'), field(c, 'pending')
    if not session_known(name) then
      if pending > 0 then
        fault('pending_orphan', key, '', pending .. ' jobs run under session ' .. name .. ', which is not there', session_doom(name))
      else
        fault('consumer_stale', key, '', 'session ' .. name .. ' is not there', function()
          call('XGROUP', 'DELCONSUMER', key, 'g', name)
        end)
      end
    end
  end
end
-- How long a session may have had a job and not said that it started: a start is reported with the next heartbeat, of which there are
-- four a lease. nil: its last heartbeat is too old to tell. What is left of its lease is more than half of it then.
local function silence_ms(session)
  local s, ends = ask('HMGET', K .. 's:' .. session, 'st', 'hb'), ask('ZSCORE', K .. 'lease', session)
  if not s or s[1] ~= 'live' or not ends or now - (tonumber(s[2] or 0) or 0) > late_ms then
    return nil
  end
  local left = (tonumber(ends) or 0) - (tonumber(call('HGET', sh, 'ck') or 0) or 0)
  return late_ms + 2 * math.max(left, 0)
end
-- A session that lost an answer without losing its connection does not know what was given to it, and holds it for as long as it lives.
local function look_for_lost(entry, session, idle, fields)
  if idle <= late_ms then
    return
  end
  local longest = silence_ms(session)
  local ok, m = pcall(fields_of, fields)
  local id = longest and idle > longest and ok and entry_id(entry, m, lane, shard)
  if id and ask('HEXISTS', K .. 'run:' .. session, id) == 0 then
    fault('pending_lost', key, id, 'was given to session ' .. session .. ' ' .. math.floor(idle / 1000) .. ' s ago, which never said that it started')
  end
end
if ARGV[4] == '1' then
  if cursor == '' then
    look_consumers()
  end
  local pending = call('XPENDING', key, 'g', from, '+', limit)
  for _, p in ipairs(pending) do
    local there = call('XRANGE', key, p[1], p[1])[1]
    if there then
      look_for_lost(p[1], p[2], p[3], there[2])
    else
      fault('pending_gone', key, '', 'entry ' .. p[1] .. ' is pending and not there', function()
        call('XACK', key, 'g', p[1])
      end)
    end
  end
  return answer(#pending == limit and pending[limit][1] or '')
end

local last_ms, last_seq = entry_parts(last)
local function was_delivered(ms, seq)
  return ms < last_ms or (ms == last_ms and seq <= last_seq)
end
-- Delivered, and pending for nobody: it would lie there for ever. It goes to whoever is next, as suspect as what a reaper hands over.
local function free_stuck(entry, id, m, j)
  return function()
    call('XDEL', key, entry)
    front_add(lane, moved_suspect(side_noted(id, m) or moved_fresh(id, now)), j)
    wake(lane, 1)
  end
end
local function look_at_locator(entry, id)
  local known = call('HGET', K .. 'loc', id)
  if known == entry then
    return
  end
  local there = known and ask('XRANGE', key, known, known)
  if there and there[1] then
    fault('twice', key, id, "is two entries of its lane's front")
    return
  end
  fault('loc_missing', key, id, 'nobody can find it', function()
    call('HSET', K .. 'loc', id, entry)
  end)
end
local function look_at(entry, fields)
  local ms, seq = entry_parts(entry)
  local m, j
  local ok = pcall(function()
    m, j = fields_of(fields)
  end)
  if not ok or not j or front ~= (m ~= nil) then
    fault('unreadable', key, '', 'entry ' .. entry .. ' is not a job')
    return
  end
  if front and not moved_is_whole(m) then
    if not moved_is_newer(m) then
      fault('unreadable', key, '', 'the moved part of entry ' .. entry .. ' cannot be read')
    end
    return
  end
  local id = (front or seq < ID_SEQ_END) and entry_id(entry, m, lane, shard)
  local wrong = not id and 'is no id' or id_wrong(id)
  local _, _, own = id_unpack(id or NO_ID)
  if wrong or own ~= lane or (not front and seq >= ID_SEQ_DUE) then
    fault('misplaced', key, '', 'entry ' .. entry .. ' ' .. (wrong or 'does not belong in this lane'))
    return
  end
  examine(front and 'front' or 'lane', key, id, m, j)
  if front then
    look_at_locator(entry, id)
  end
  if not was_delivered(ms, seq) then
    tally('pending')
    return
  end
  tally('running')
  if #call('XPENDING', key, 'g', entry, entry, 1) == 0 then
    fault('stuck', key, id, 'was delivered and is pending for nobody', free_stuck(entry, id, m, j))
  end
end
limit = paced(key, call('XLEN', key), limit)
local entries = call('XRANGE', key, from, '+', 'COUNT', limit)
for _, e in ipairs(entries) do
  look_at(e[1], e[2])
end
return answer(#entries == limit and entries[limit][1] or '')
