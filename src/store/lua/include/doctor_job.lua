-- A job under examination: is its id one of this shard, can its parts be read, is it in one structure only, has it its payload.
--#include "locate.lua"
--#include "envelope.lua"
--#include "row_read.lua"
local n_lanes = call('LLEN', K .. 'lane')
local function id_wrong(id)
  if #id ~= ID_BYTES then
    return 'is not an id'
  end
  local _, _, lane = id_unpack(id)
  if id_shard(id) ~= shard then
    return 'is the id of a job of another shard'
  end
  if lane == 0 and call('HEXISTS', K .. 'sch:s', id) == 1 then
    return nil
  end
  if lane < 1 or lane > n_lanes then
    return 'has lane ' .. lane .. ', of which there is none'
  end
end
local function is_workflow(id)
  if #id ~= ID_BYTES or id_shard(id) ~= shard then
    return false
  end
  local _, _, lane = id_unpack(id)
  return lane == 0 and ask('HEXISTS', K .. 'sch:s', id) ~= 1 -- the other ones without a lane
end
local function workflow_lives(id)
  local status = string.byte(ask('GETRANGE', K .. 'ws:' .. id, 1, 1) or '')
  status = status or string.byte(ask('GETRANGE', K .. 'bs:' .. id, 1, 1) or '') -- a batch
  return status == 1 or status == 4 or status == 6
end
local function moved_wrong(id, m)
  if m == '' or moved_is_newer(m) then
    return m == '' and 'its moved part is empty' or nil
  end
  if not moved_is_whole(m) then
    return 'its moved part is too short'
  end
  if moved_id(m) ~= id then
    return 'its moved part is of another job'
  end
  local ok, list, all = pcall(moved_recorded, m)
  if not ok or not all or #list ~= moved_fields(m).recorded then
    return 'its attempts cannot be read'
  end
end
-- The envelope, or nil and what is wrong; false when a later version wrote it.
local function envelope_of(j)
  if not j or #j < 2 then
    return nil, 'its envelope is too short'
  end
  if string.byte(j) > 1 then
    return false
  end
  local ok, e = pcall(envelope_read, j)
  if not ok or string.byte(j) < 1 then
    return nil, 'its envelope cannot be read'
  end
  return e
end
-- state (nil: cannot be read), m, j, whether it has log lines
local function row_of(row)
  local whole, n, at = pcall(varint_read, row, 1)
  if not whole or at + n > #row or string.byte(row, at) ~= 1 then
    return nil
  end
  local ok, state, m, j, logged = pcall(row_split, row)
  if ok then
    return state, m, j, logged
  end
end

local function in_lane(id)
  local ms, seq, lane = id_unpack(id)
  if seq >= ID_SEQ_DUE then
    return nil
  end
  local entry = string.format('%d-%d', ms, seq)
  local e = ask('XRANGE', K .. 'l:' .. lane, entry, entry)
  return e and e[1], K .. 'l:' .. lane, entry
end
local function in_front(id)
  local _, _, lane = id_unpack(id)
  local entry = ask('HGET', K .. 'loc', id)
  local e = entry and ask('XRANGE', K .. 'f:' .. lane, entry, entry)
  return e and e[1], K .. 'f:' .. lane, entry
end
local buckets
local function in_history(id, than)
  if not buckets then
    buckets = {}
    for _, b in ipairs(call('ZRANGE', K .. 'hx', 0, -1)) do
      local no, width = string.match(b, '^(%d+):%d+:(%d+)$')
      if no then
        buckets[#buckets + 1] = { tonumber(no), tonumber(width) }
      end
    end
  end
  local ms = id_ms(id)
  for _, b in ipairs(buckets) do
    if b[1] > than then
      local key = K .. 'h:' .. b[1] .. ':' .. string.format('%d', math.floor(ms / b[2]))
      local row = ask('HGET', key, id)
      if row then
        return row, b[1]
      end
    end
  end
end
-- Where a job is: name of its place, j or row, its m (bucket, in the history). `but`: not looked for there. ended: also where ended jobs are.
local function whereabouts(id, but, ended)
  if is_schedule(id) then
    local d = ask('HGET', K .. 'sch:d', id)
    if d then
      local ok, read = pcall(definition_read, d)
      local is_whole, edit = pcall(edit_read, id) -- a change that waits holds its unique key already
      local known, newest = pcall(definition_read, is_whole and edit and edit.definition or d)
      return 'schedule', ok and read.j or '', nil, known and newest.ukey or nil
    end
  end
  local e = but ~= 'lane' and in_lane(id)
  if e then
    return 'lane', e[2][2]
  end
  e = but ~= 'front' and in_front(id)
  if e then
    local m, j = fields_of(e[2])
    return 'front', j, m
  end
  for _, set in ipairs(sets) do
    local kept = but ~= set.name and (ended or not set.ended) and ask('HGET', K .. set.name .. ':h', id)
    if kept then
      local ok, m, j = pcall(set_split, set, kept)
      return set.name, ok and j or '', ok and m or nil
    end
  end
  if ended then
    local row, bucket = in_history(id, 0)
    return row and 'history', row, bucket
  end
end
-- A job that lives without its unique key: nobody holds it, or another does. own: the value by which it would hold it.
local function key_lost(key, id, v, own)
  if v then
    fault('key_lost', key, id, 'is its unique key, and another holds it')
  else
    fault('key_lost', key, id, 'is its unique key, and nobody holds it', function()
      call('SET', key, own)
    end)
  end
end
-- Does it hold its unique key? Not asked of one that is held for a time, which may be over, nor of one that was taken from it by hand.
local function look_at_ukey(id, e)
  if not e.ukey or e.ukey_ms > 0 or ask('HEXISTS', K .. 'uf', id) == 1 then
    return
  end
  if e.ukey_home and e.ukey_home ~= shard then
    more[#more + 1] = { 'k', e.ukey, id .. (ask('HGET', K .. 'uh', id) or ''), e.ukey_home }
    return
  end
  local key = K .. 'u:' .. e.ukey
  local v = ask('GET', key)
  if v ~= nil and v ~= id then
    key_lost(key, id, v, id)
  end
end
-- A task of a workflow: that says that this is its job.
local function look_at_task(key, id, task)
  local wid, inc, no = more_task(task)
  local cell = ask('GETRANGE', K .. 'ws:' .. wid, 64 + 32 * no, 95 + 32 * no) or ''
  if #cell < 32 or string.byte(cell) ~= 1 or unpk('>I2', cell, 3) ~= inc or string.sub(cell, 8, 20) ~= id then
    fault('workflow_task', key, id, 'is the job of a task whose workflow does not know of it')
  end
end
-- An occurrence of a schedule that minds its end counts as active there.
local function look_at_schedule(key, id, e)
  local active = K .. 'sa:' .. e.schedule
  if e.is_tracked and ask('HEXISTS', K .. 'sch:s', e.schedule) == 1 and ask('SISMEMBER', active, id) == 0 then
    fault('schedule_active', key, id, 'lives and does not count as active', function()
      call('SADD', active, id)
    end)
  end
end
-- An item of a batch, or its one-time task: that says that this is its job.
local function look_at_item(key, id, item)
  local bid, epoch, index = unpk('>c13I2I4', item, 2)
  local head = ask('GET', K .. 'bs:' .. bid) or ''
  local job = index == 4294967295 and ask('HGET', K .. 'bd:' .. bid, 'oj') or ask('HGET', K .. 'bj:' .. bid, index)
  if #head ~= 64 or unpk('>I2', head, 5) ~= epoch or job ~= id then
    fault('batch_item', key, id, 'is the job of an item whose batch does not know of it')
  end
end
-- All that must hold of a living job, or a dead one (then j is what its row holds), wherever it is. Returns its envelope.
local function examine(place, key, id, m, j)
  local wrong = m and moved_wrong(id, m)
  local e, why = envelope_of(j)
  if wrong or why then
    fault('unreadable', key, id, wrong or why)
  end
  local other = whereabouts(id, place, true)
  if other then
    fault('twice', key, id, 'is in ' .. places[place].said .. ' and in ' .. places[other].said)
  end
  if e and e.blob and call('EXISTS', K .. 'b:' .. id) == 0 then
    fault('blob_missing', key, id, 'its payload is gone')
  end
  if e and not places[place].ended then
    if e.task then
      look_at_task(key, id, e.task)
    end
    if e.schedule then
      look_at_schedule(key, id, e)
    end
    if e.item then
      look_at_item(key, id, e.item)
    end
    look_at_ukey(id, e)
  end
  return e
end
