#!lua
-- Make a schedule, or change one: by its key the same definition again changes nothing. A change waits beside the definition until the leader has settled
-- what came round before it; a later one takes its place.
-- keys: {p:0}:sh
-- argv: actor shard version id('' none) key('' none) seen definition payload('' it is in the definition)
--   version: of the scripts that all sessions must know; id: of the one to change; else key: of the one to make or change; else one is made
--   seen: with id, the definition that this one was made from
-- returns: { what, id, now_ms }; what: 0 made, 1 changed, 2 it is so already, -3 no such schedule, -4 it has ended, -5 the unique key is held by
--   the job `id`, -7 it was changed meanwhile: read again, -9 the version is not required yet
--#include "base.lua"
--#include "too_old.lua"
--#include "due_ids.lua"
--#include "schedule.lua"
--#include "ukey.lua"
--#include "audit.lua"
local actor, shard, version, id, key, seen, packed, payload = unpack(ARGV)
if tonumber(call('HGET', sh, 'mv') or 0) < tonumber(version) then
  return { -9, '', now }
end
local d = definition_read(packed)
local edits = id ~= ''
if not edits and key ~= '' then
  id = call('HGET', K .. 'sch:k', key) or ''
end

-- '' or nil, when it is ours already: it can be had. Else who has it.
local function ukey_holder()
  local holder = d.ukey ~= '' and holder_of(call('GET', K .. 'u:' .. d.ukey))
  return holder and holder ~= id and holder or nil
end
local function make()
  local holder = ukey_holder()
  if holder then
    return { -5, holder, now }
  end
  id = due_id(0, tonumber(shard))
  due_ids_save()
  call('HSET', K .. 'sch:d', id, packed)
  state_write(id, { flags = 0, version = 1, created = now, cursor = math.floor(now / 1000), next = 0, taken = 0, skipped = 0 })
  if key ~= '' then
    call('HSET', K .. 'sch:k', key, id)
  end
  if d.ukey ~= '' then
    call('SET', K .. 'u:' .. d.ukey, id)
  end
  if payload ~= '' then
    call('SET', K .. 'b:' .. id, payload)
  end
  schedule_due(id, now)
  schedule_event(id, EVENT_CREATED, REASON_NONE)
  schedules_told()
  audit(actor, 'schedule.create', id, key)
  return { 0, id, now }
end
local function change()
  local s, old, edit = state_read(id), call('HGET', K .. 'sch:d', id), edit_read(id)
  if not s then
    return { -3, id, now }
  end
  if state_has(s, SCHEDULE_ENDED) then
    return { -4, id, now }
  end
  local newest = edit and edit.definition or old
  if edits and newest ~= seen then
    return { -7, id, now }
  end
  local blob_key = K .. (edit and 'be:' or 'b:') .. id
  if newest == packed and (payload == '' or call('GET', blob_key) == payload) then
    return { 2, id, now }
  end
  local holder = ukey_holder()
  if holder then
    return { -5, holder, now }
  end
  local before = definition_read(newest).ukey
  if before ~= d.ukey then
    if before ~= '' and call('GET', K .. 'u:' .. before) == id then
      call('DEL', K .. 'u:' .. before)
    end
    call('HDEL', K .. 'uf', id)
    if d.ukey ~= '' then
      call('SET', K .. 'u:' .. d.ukey, id)
    end
  end
  local number = math.max(s.version, edit and edit.number or 0) + 1
  call('HSET', K .. 'sch:e', id, pack(EDIT_FORM, now, number) .. packed)
  if payload ~= '' then
    call('SET', K .. 'be:' .. id, payload)
  else
    call('UNLINK', K .. 'be:' .. id)
  end
  if not state_has(s, SCHEDULE_PAUSED) then -- else it takes its place when that is resumed
    schedule_due(id, now)
  end
  schedule_event(id, EVENT_UPDATED, REASON_NONE)
  schedules_told()
  audit(actor, 'schedule.edit', id, '')
  return { 1, id, now }
end
if id == '' then
  return make()
end
return change()
