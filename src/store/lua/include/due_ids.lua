-- Ids of jobs that start in the due set: ms and sequence only grow, whatever the host's clock does; sequences from 2^27 up keep them
-- apart from ids that are entries of a lane.
local id_ms, id_seq
local function due_id(lane, shard)
  if not id_ms then
    local last = call('HMGET', sh, 'ms', 'sq')
    id_ms, id_seq = tonumber(last[1] or 0), tonumber(last[2] or 0)
    if now > id_ms then
      id_ms, id_seq = now, 0
    end
  end
  id_seq = id_seq + 1
  if id_seq >= ID_SEQ_DUE then
    id_ms, id_seq = id_ms + 1, 1
  end
  return id_pack(id_ms, ID_SEQ_DUE + id_seq - 1, lane, shard)
end
local function due_ids_save()
  if id_ms then
    call('HSET', sh, 'ms', id_ms, 'sq', id_seq)
  end
end
