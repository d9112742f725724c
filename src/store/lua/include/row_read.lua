local function logs_flag(flags)
  return math.floor(flags / 2) % 2 == 1
end
-- The parts of a row: state, m, j, and whether it has log lines.
local function row_split(row)
  local n, at = varint_read(row, 1)
  local state, flags = string.byte(row, at + 1, at + 2)
  local m
  at = at + n
  n, at = varint_read(row, at)
  m = string.sub(row, at, at + n - 1)
  return state, m, string.sub(row, at + n), logs_flag(flags) or #m >= 20 and logs_flag(string.byte(m, 20))
end
