-- A job's 13-byte id: ms 6 bytes, then sequence 28 bits, lane 18, shard 10.
local function id_pack(ms, seq, lane, shard)
  return pack('>I6I4I3', ms, seq * 16 + math.floor(lane / 16384), lane % 16384 * 1024 + shard)
end
local function id_unpack(id)
  local ms, a, b = unpk('>I6I4I3', id)
  return ms, math.floor(a / 16), a % 16 * 16384 + math.floor(b / 1024)
end
