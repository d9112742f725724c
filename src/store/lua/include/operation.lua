-- A list call may be a step of an operation on all jobs that fit a filter. Then it takes those only that are older than the operation, and what it does
-- is counted in the same step, so that the count is right whoever goes on with it after a crash. An operation that is closed does nothing more.
-- argument: '' or as_of I6 and the operation's id
--#include "ids.lua"
--#include "row_read.lua"
local function operation_read(packed)
  if packed == '' then
    return nil
  end
  local op = { as_of = unpk('>I6', packed), id = string.sub(packed, 7) }
  op.is_closed = call('HEXISTS', K .. 'opn', op.id) == 0
  return op
end
-- Whether it was there, or had ended, when the operation began.
local function operation_wants(op, id, place, row)
  if not op then
    return true
  elseif op.is_closed then
    return false
  elseif place.ended then
    return row_run(row, id).finished < op.as_of
  end
  return id_ms(id) < op.as_of
end
local function operation_count(op, out)
  local n = 0
  for _, code in ipairs(op and not op.is_closed and out or {}) do
    n = n + (code == 0 and 1 or 0)
  end
  if n > 0 then
    call('HINCRBY', K .. 'opn', op.id, n)
  end
end
