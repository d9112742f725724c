-- What scripts must know of an envelope `j` (docs/redis-keys.md "Packed parts"): the unique key with how long it is held and its home
-- shard (nil: this one), the retention class (nil: the queue's), the schedule-to-start limit (nil: none), whether the payload is a key
-- of its own.
local function bit_set(flags, bit)
  return math.floor(flags / 2 ^ bit) % 2 == 1
end
local function varint_read(s, at)
  local v, scale = 0, 1
  while true do
    local b = string.byte(s, at)
    at = at + 1
    if b < 128 then
      return v + b * scale, at
    end
    v = v + (b - 128) * scale
    scale = scale * 128
  end
end
local function envelope_read(j)
  local e = {}
  local flags, at = varint_read(j, 2)
  local n
  if bit_set(flags, 2) then
    n, at = varint_read(j, at)
    at = at + n
  end
  if bit_set(flags, 3) then
    at = at + 1
  end
  for bit = 4, 7 do
    if bit_set(flags, bit) then
      n, at = varint_read(j, at)
      if bit == 5 then
        e.s2s = n
      end
    end
  end
  if bit_set(flags, 8) then
    e.class, at = varint_read(j, at)
  end
  if bit_set(flags, 9) then
    n, at = varint_read(j, at)
    at = at + n
  end
  if bit_set(flags, 10) then
    n, at = varint_read(j, at)
    e.ukey = string.sub(j, at, at + n - 1)
    at = at + n
    e.ukey_ms, at = varint_read(j, at)
    local home = unpk('>I2', j, at)
    if home > 0 then
      e.ukey_home = home - 1
    end
  end
  e.blob = bit_set(flags, 15)
  return e
end
-- The retention class of a job: its own, else its queue's, else the default.
local function class_of(e, lane)
  if e.class then
    return e.class
  end
  local name = call('LINDEX', K .. 'lane', lane - 1)
  local q = name and call('HGET', K .. 'q', string.match(name, '^[^|]*'))
  return q and unpk('>I6', q, 8) or RETENTION_DEFAULT_MS
end
