-- Rows written by scripts: of jobs that end without a worker's word.
--#include "ids.lua"
--#include "varint.lua"
local function row_make(state, id, started_ms, session, reason, m, j)
  local born = id_ms(id)
  local since = function(ms)
    return varint(math.max(ms - born, 0))
  end
  local head = '\1' .. string.char(state) .. '\0' .. (started_ms > 0 and since(math.max(started_ms, born + 1)) or '\0')
    .. varint(started_ms > 0 and math.max(now - started_ms, 0) or 0) .. since(now) .. varint(session) .. '\0' .. '\0'
    .. varint(#reason) .. reason
  return varint(#head) .. head .. varint(#(m or '')) .. (m or '') .. j
end
