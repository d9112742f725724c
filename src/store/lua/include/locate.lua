-- Where a job is. Returns its place ('lane', 'front', 'due', 'paused', 'dead', 'history' or nil), then m and j (for dead and history: nil and
-- the row); for lane and front also key, entry and the session it was delivered to (nil: it waits); for history key and bucket.
local function delivered(key, entry)
  local p = call('XPENDING', key, 'g', entry, entry, 1)
  return p[1] and p[1][2] or nil
end
local function fields_of(e)
  local m, j
  for i = 1, #e, 2 do
    if e[i] == 'j' then
      j = e[i + 1]
    else
      m = e[i + 1]
    end
  end
  return m, j
end
local function locate(id)
  local ms, seq, lane = id_unpack(id)
  local entry, key
  if seq < ID_SEQ_DUE then
    entry, key = string.format('%d-%d', ms, seq), K .. 'l:' .. lane
    local e = call('XRANGE', key, entry, entry)
    if e[1] then
      local m, j = fields_of(e[1][2])
      return 'lane', m, j, key, entry, delivered(key, entry)
    end
  end
  entry = call('HGET', K .. 'loc', id)
  if entry then
    key = K .. 'f:' .. lane
    local e = call('XRANGE', key, entry, entry)
    if e[1] then
      local m, j = fields_of(e[1][2])
      return 'front', m, j, key, entry, delivered(key, entry)
    end
  end
  for _, place in ipairs({ 'due', 'paused' }) do
    local rec = call('HGET', K .. place .. ':h', id)
    if rec then
      local m, j = record_split(rec)
      return place, m, j
    end
  end
  local row = call('HGET', K .. 'dead:h', id)
  if row then
    return 'dead', nil, row
  end
  local hkey, hrow, bucket = history_find(id)
  if hrow then
    return 'history', nil, hrow, hkey, bucket
  end
end
