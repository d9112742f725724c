-- A job under examination: is its id one of this shard, can its parts be read, is it in one structure only, has it its payload.
local n_lanes = call('LLEN', K .. 'lane')
local function id_wrong(id)
  if #id ~= 13 then
    return 'is not an id'
  end
  local _, _, lane = id_unpack(id)
  if unpk('>I3', id, 11) % 1024 ~= shard then
    return 'is the id of a job of another shard'
  end
  if lane < 1 or lane > n_lanes then
    return 'has lane ' .. lane .. ', of which there is none'
  end
end
local function moved_wrong(id, m)
  if string.byte(m) ~= 1 then
    return #m == 0 and 'its moved part is empty' or nil
  end
  if #m < 36 then
    return 'its moved part is too short'
  end
  if string.sub(m, 2, 14) ~= id then
    return 'its moved part is of another job'
  end
  local n, at = 0, 37
  while at + 1 <= #m do
    n, at = n + 1, at + 2 + unpk('>I2', m, at)
  end
  if at ~= #m + 1 or n ~= string.byte(m, 35) then
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
  local ms = unpk('>I6', id)
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
local words = { lane = 'its lane', front = "its lane's front", due = 'the due set', paused = 'the paused', dead = 'the dead' }
-- Where a job is: name of the structure, j or row, its m. `but`: not looked for there. ended: also where ended jobs are.
local function whereabouts(id, but, ended)
  local e = but ~= 'lane' and in_lane(id)
  if e then
    return 'lane', e[2][2]
  end
  e = but ~= 'front' and in_front(id)
  if e then
    local m, j = fields_of(e[2])
    return 'front', j, m
  end
  for _, set in ipairs({ 'due', 'paused' }) do
    local rec = but ~= set and ask('HGET', K .. set .. ':h', id)
    if rec then
      local ok, m, j = pcall(record_split, rec)
      return set, ok and j or '', ok and m or nil
    end
  end
  if not ended then
    return nil
  end
  local row = but ~= 'dead' and ask('HGET', K .. 'dead:h', id)
  if row then
    return 'dead', row
  end
  local bucket
  row, bucket = in_history(id, 0)
  if row then
    return 'history', row, bucket
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
    fault('twice', key, id, 'is in ' .. words[place] .. ' and in ' .. (words[other] or 'the history'))
  end
  if e and e.blob and call('EXISTS', K .. 'b:' .. id) == 0 then
    fault('blob_missing', key, id, 'its payload is gone')
  end
  return e
end
