local function record(m, j)
  return pack('>I4', #m) .. m .. j
end
local function record_split(rec)
  local n = unpk('>I4', rec)
  return string.sub(rec, 5, 4 + n), string.sub(rec, 5 + n)
end
