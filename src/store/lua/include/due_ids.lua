-- Ids of jobs that start in the due set: ms and sequence only grow, whatever the host's clock does; sequences from 2^27 up keep them
-- apart from ids that are entries of a lane.
--#include "ids.lua"
local due_last = {}
local function due_id(lane, home)
  if not due_last.ms then
    local last = call('HMGET', sh, 'ms', 'sq')
    due_last.ms, due_last.seq = tonumber(last[1] or 0), tonumber(last[2] or 0)
    if now > due_last.ms then
      due_last.ms, due_last.seq = now, 0
    end
  end
  due_last.seq = due_last.seq + 1
  if due_last.seq >= ID_SEQ_DUE then
    due_last.ms, due_last.seq = due_last.ms + 1, 1
  end
  return id_pack(due_last.ms, ID_SEQ_DUE + due_last.seq - 1, lane, home)
end
local function due_ids_save()
  if due_last.ms then
    call('HSET', sh, 'ms', due_last.ms, 'sq', due_last.seq)
  end
end
