-- A job's id: ms 6 bytes, then sequence 28 bits, lane 18, shard 10.
local ID_BYTES = 13
local ID_SEQ_END = 268435456
local NO_ID = '\0\0\0\0\0\0\0\0\0\0\0\0\0'
local function id_pack(ms, seq, lane, of_shard)
  return pack('>I6I4I3', ms, seq * 16 + math.floor(lane / 16384), lane % 16384 * 1024 + of_shard)
end
local function id_unpack(id)
  local ms, a, b = unpk('>I6I4I3', id)
  return ms, math.floor(a / 16), a % 16 * 16384 + math.floor(b / 1024)
end
local function id_ms(id)
  return (unpk('>I6', id))
end
local function id_shard(id)
  return unpk('>I3', id, 11) % 1024
end
-- Ids one after the other, as a list.
local function ids_split(packed)
  local ids = {}
  for at = 1, #packed, ID_BYTES do
    ids[#ids + 1] = string.sub(packed, at, at + ID_BYTES - 1)
  end
  return ids
end
