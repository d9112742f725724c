-- The parts of a row: state, m, j.
local function row_split(row)
  local n, at = varint_read(row, 1)
  local state = string.byte(row, at + 1)
  local m
  at = at + n
  n, at = varint_read(row, at)
  m = string.sub(row, at, at + n - 1)
  return state, m, string.sub(row, at + n)
end
