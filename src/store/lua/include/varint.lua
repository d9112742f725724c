local function varint(v)
  local out = ''
  while v >= 128 do
    out = out .. string.char(v % 128 + 128)
    v = math.floor(v / 128)
  end
  return out .. string.char(v)
end
-- The number at this place, and the place after it.
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
-- A string with its length before it, and the place after it.
local function lstr_read(s, at)
  local n
  n, at = varint_read(s, at)
  return string.sub(s, at, at + n - 1), at + n
end
