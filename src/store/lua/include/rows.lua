-- Rows written by scripts: of jobs that end without a worker's word. state: 6 dead, 7 cancelled.
local function row_make(state, id, started_ms, session, reason, m, j)
  local born = unpk('>I6', id)
  local since = function(ms)
    return varint(math.max(ms - born, 0))
  end
  local head = '\1' .. string.char(state) .. '\0' .. (started_ms > 0 and since(math.max(started_ms, born + 1)) or '\0')
    .. varint(started_ms > 0 and math.max(now - started_ms, 0) or 0) .. since(now) .. varint(session) .. '\0' .. '\0'
    .. varint(#reason) .. reason
  return varint(#head) .. head .. varint(#(m or '')) .. (m or '') .. j
end
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
