local function varint(v)
  local out = ''
  while v >= 128 do
    out = out .. string.char(v % 128 + 128)
    v = math.floor(v / 128)
  end
  return out .. string.char(v)
end
