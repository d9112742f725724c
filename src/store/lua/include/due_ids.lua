-- Ids of jobs that start in the due set: ms and sequence only grow, whatever the host's clock does; sequences from 2^27 up keep them
-- apart from ids that are entries of a lane.
--#include "ids.lua"
local due_ms, due_seq
local function due_id(lane, shard)
  if not due_ms then
    local last = call('HMGET', sh, 'ms', 'sq')
    due_ms, due_seq = tonumber(last[1] or 0), tonumber(last[2] or 0)
    if now > due_ms then
      due_ms, due_seq = now, 0
    end
  end
  due_seq = due_seq + 1
  if due_seq >= ID_SEQ_DUE then
    due_ms, due_seq = due_ms + 1, 1
  end
  return id_pack(due_ms, ID_SEQ_DUE + due_seq - 1, lane, shard)
end
local function due_ids_save()
  if due_ms then
    call('HSET', sh, 'ms', due_ms, 'sq', due_seq)
  end
end
