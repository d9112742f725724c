-- Parts of a row.
--#include "varint.lua"
--#include "moved.lua"
-- state, m, j, and whether it has log lines
local function row_split(row)
  local n, at = varint_read(row, 1)
  local state, flags = string.byte(row, at + 1, at + 2)
  local m
  at = at + n
  m, at = lstr_read(row, at)
  return state, m, string.sub(row, at), logs_flag(flags) or #m >= MOVED_BYTES and moved_logged(m)
end
-- What its head says of the run that ended it: skipped, started ms (0 never), ran ms, finished ms, session.
local function row_run(row, id)
  local born, r = id_ms(id), {}
  local _, at = varint_read(row, 1)
  r.skipped = string.byte(row, at + 2) % 2 == 1
  r.started, at = varint_read(row, at + 3)
  r.ran, at = varint_read(row, at)
  r.finished, at = varint_read(row, at)
  r.session = varint_read(row, at)
  r.started = r.started > 0 and born + r.started or 0
  r.finished = born + r.finished
  return r
end
