-- What was released of a workflow that is cancelled, or of one that failed and shall not go on: all jobs of it but those that run because it failed.
--#include "cancel.lua"
local function go_cancel(t, left)
  local f, at = t[1], t[5]
  local only_before = f.status == FLOW_RUNNING
  local cells = call('GETRANGE', f.key, cell_at(at), cell_at(math.min(f.n, at + 1024)) - 1)
  local n = #cells / CELL_BYTES
  for i = 0, n - 1 do
    if left <= 0 then
      t[5] = at + i
      return left
    end
    local state, marks, inc, _, job = unpk(FLOW_CELL, cells, 1 + CELL_BYTES * i)
    if state == CELL_RELEASED and not (only_before and marks >= MARK_AFTER) then
      if not cancel_job(job, FLOW_CANCEL_WHY) then -- it is not there: its data was lost
        flow_ended(job, '\2' .. f.id .. pack('>I2I3BB', inc, at + i, 0, 0), 'x', 'its job is gone')
      end
      left = left - 12
    end
  end
  t[5] = at + n
  return left - math.ceil(n / 16), t[5] >= f.n
end
