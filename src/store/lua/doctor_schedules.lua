#!lua flags=allow-oom
-- One step through a structure of schedules: has each its state, its definition and its place before the leader, are those active that count as active, and
-- does what waits wait for something.
-- keys: {p:0}:sh
-- argv: shard repair('1' or '') structure('sch' 'sch:s' 'sch:d' 'sch:e' 'sch:k' 'sch:l' 'sch:r' 'sa:<id>') cursor limit
-- returns: as doctor_keys; more: 'h', key, id: a key of schedules, whose home must be this shard
--#include "base.lua"
--#include "doctor.lua"
--#include "doctor_job.lua"
--#include "occurrence.lua"
local name, limit = ARGV[3], tonumber(ARGV[5])
local key = K .. name
local function let_go(command, member)
  return function()
    call(command, key, member)
  end
end
local function state_of(id)
  local ok, s = pcall(state_read, id)
  return ok and s or nil
end
local function definition_of(packed)
  local ok, d = pcall(definition_read, packed)
  return ok and #d.lane > 0 and envelope_of(d.j) and d or nil
end
-- A schedule's id where one must be.
local function misplaced(id)
  local _, lane
  if #id == ID_BYTES then
    _, _, lane = id_unpack(id)
  end
  if lane ~= 0 or id_shard(id) ~= shard then
    fault('misplaced', key, '', 'a member is not the id of a schedule of this shard')
    return true
  end
end
local function orphan(id)
  if ask('HEXISTS', K .. 'sch:s', id) == 0 then
    fault('schedule_orphan', key, id, 'belongs to a schedule that is not there', let_go(name == 'sch' and 'ZREM' or 'HDEL', id))
    return true
  end
end
local function waits_for_hand(s)
  return state_has(s, SCHEDULE_PAUSED) and not state_has(s, SCHEDULE_ENDED)
end

local look = {}
function look.sch(id, score)
  if misplaced(id) or orphan(id) then
    return
  end
  local s, at = state_of(id), tonumber(score) or 0
  if s and at == math.huge and not waits_for_hand(s) then
    fault('schedule_unlisted', key, id, 'is not paused and nobody looks at it', function()
      call('ZADD', key, now, id)
    end)
  elseif at < now - late_ms and leader_lives() then
    fault('schedule_overdue', key, id, 'came round and nobody looked')
  end
end

-- The keys that it holds until it ends: its own, and the unique one, which a change that waits has already.
local function look_at_keys(id, d)
  if d.key ~= '' and ask('HGET', K .. 'sch:k', d.key) ~= id then
    local other = ask('HEXISTS', K .. 'sch:k', d.key) == 1
    fault('schedule_key', K .. 'sch:k', id, 'does not have its key', not other and function()
      call('HSET', K .. 'sch:k', d.key, id)
    end)
  end
  local ok, edit = pcall(edit_read, id)
  local ukey = (ok and edit and definition_of(edit.definition) or d).ukey
  local holder = ukey ~= '' and ask('GET', K .. 'u:' .. ukey)
  if ukey ~= '' and holder ~= nil and holder ~= id and ask('HEXISTS', K .. 'uf', id) ~= 1 then -- else it was taken by hand
    key_lost(K .. 'u:' .. ukey, id, holder, id)
  end
end
local function look_at_payload(id, d, blob_key)
  local e = envelope_of(d.j)
  if e and e.blob and call('EXISTS', blob_key) == 0 then
    fault('blob_missing', key, id, 'its payload is gone')
  end
end
look['sch:s'] = function(id)
  if misplaced(id) then
    return
  end
  local s, packed = state_of(id), ask('HGET', K .. 'sch:d', id)
  if not s or not packed then
    fault('schedule_part', key, id, packed and 'its state cannot be read' or 'has no definition: it never fires')
    return
  end
  if ask('ZSCORE', K .. 'sch', id) == false then
    fault('schedule_unlisted', key, id, 'nobody looks at it', function()
      call('ZADD', K .. 'sch', waits_for_hand(s) and '+inf' or now, id)
    end)
  end
  local d = definition_of(packed)
  if not d then
    fault('unreadable', K .. 'sch:d', id, 'its definition cannot be read')
    return
  end
  look_at_payload(id, d, K .. 'b:' .. id)
  if not state_has(s, SCHEDULE_ENDED) then
    look_at_keys(id, d)
  end
  local waiting = ask('LLEN', K .. 'sb:' .. id) or 0
  if waiting > 0 and not state_has(s, SCHEDULE_PAUSED) and ask('SCARD', K .. 'sa:' .. id) == 0 then
    fault('schedule_stuck', K .. 'sb:' .. id, id, waiting .. ' wait and nothing is active', function()
      occurrence_drain(id, s)
      occurrences_done()
    end)
  end
end
look['sch:d'] = function(id)
  if not misplaced(id) then
    orphan(id)
  end
end
look['sch:r'] = look['sch:d']
look['sch:e'] = function(id)
  if misplaced(id) or orphan(id) then
    return
  end
  local ok, edit = pcall(edit_read, id)
  local d = ok and edit and definition_of(edit.definition)
  if not d then
    fault('unreadable', key, id, 'its change cannot be read')
    return
  end
  look_at_payload(id, d, K .. 'be:' .. id)
end
look['sch:k'] = function(of, id)
  local s = #id == ID_BYTES and state_of(id)
  local packed = s and ask('HGET', K .. 'sch:d', id)
  local d = packed and definition_of(packed)
  if not s or state_has(s, SCHEDULE_ENDED) or d and d.key ~= of then
    fault('schedule_key', key, id, 'its schedule is not there, has ended, or has another key', let_go('HDEL', of))
  else
    more[#more + 1] = { 'h', of, id }
  end
end

-- Its handler is waited for: the late runs have it.
local function lingers(job)
  return ask('HEXISTS', K .. 'lr', job) == 1
end
look['sch:l'] = function(job)
  if not lingers(job) then
    fault('schedule_active', key, job, 'waits for a handler that has ended', function()
      occurrence_late_over(job)
    end)
  end
end
-- An occurrence is active while its job lives, or its handler is waited for.
function look.sa(job)
  local id = string.sub(name, 4)
  local wrong = id_wrong(job)
  if wrong then
    fault('misplaced', key, '', 'a member ' .. wrong)
    return
  end
  local place, j = whereabouts(job)
  local e = place and envelope_of(j)
  local of = place and e ~= false and (e and e.schedule) or nil
  if place and (e == false or of == id) or ask('HGET', K .. 'sch:l', job) == id then
    return
  end
  fault('schedule_active', key, job, place and 'counts as active and is not of this schedule' or 'counts as active and is over', function()
    call('SREM', key, job)
    local s = state_of(id)
    if s then
      occurrence_drain(id, s)
      occurrences_done()
    end
  end)
end

local scan = { sch = 'ZSCAN', sa = 'SSCAN' }
local family = look[name] and name or string.match(name, '^(%l+):')
local command = scan[family] or 'HSCAN'
local step = call(command, key, ARGV[4] == '' and '0' or ARGV[4], 'COUNT', command == 'HSCAN' and paced(key, call('HLEN', key), limit) or limit)
local width = command == 'SSCAN' and 1 or 2
for i = 1, #step[2], width do
  look[family](step[2][i], width == 2 and step[2][i + 1])
end
return answer(step[1] == '0' and '' or step[1])
