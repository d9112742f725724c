-- Drop of one history bucket in bounded steps. From the first step on nobody finds it; `hd` of the small state is its number until its
-- last key is gone.
--#include "ids.lua"
local function drop_begin(member)
  local bucket, class = string.match(member, '^(%d+):(%d+):')
  call('ZREM', K .. 'hx', member)
  if call('HGET', K .. 'hc:' .. class, 'b') == bucket then
    call('DEL', K .. 'hc:' .. class)
  end
  call('INCR', K .. 'hv')
  call('HDEL', K .. 'hz', bucket)
  call('HDEL', K .. 'hn', bucket)
  call('HDEL', K .. 'hr', bucket)
  call('HSET', sh, 'hd', bucket)
  return bucket
end
-- What rows kept beside them; but a job that was taken out of a bucket to run again has it still.
local function drop_side(list)
  local ids, keys = ids_split(list), {}
  local taken = call('HMGET', K .. 'ks', unpack(ids))
  for i, id in ipairs(ids) do
    if not taken[i] then
      keys[#keys + 1], keys[#keys + 2], keys[#keys + 3] = K .. 'lg:' .. id, K .. 'b:' .. id, K .. 'sp:' .. id
    elseif call('HINCRBY', K .. 'ks', id, -1) < 1 then
      call('HDEL', K .. 'ks', id)
    end
  end
  if #keys > 0 then
    call('UNLINK', unpack(keys))
  end
end
local function drop_step(bucket)
  local parts = call('SPOP', K .. 'hp:' .. bucket, 100)
  if #parts > 0 then
    for i = 1, #parts do
      parts[i] = K .. 'h:' .. bucket .. ':' .. parts[i]
    end
    call('UNLINK', unpack(parts))
    return
  end
  local side, left = call('LPOP', K .. 'hk:' .. bucket), 100
  while side do
    drop_side(side)
    left = left - #side / ID_BYTES
    if left <= 0 then
      return
    end
    side = call('LPOP', K .. 'hk:' .. bucket)
  end
  call('UNLINK', K .. 'ho:' .. bucket)
  call('HDEL', sh, 'hd')
end
-- The bucket that must go now: its time is over, or rows take more than the cap (then the oldest), or the caller says so.
local function drop_next(full)
  local over = call('ZRANGE', K .. 'hx', '-inf', now, 'BYSCORE', 'LIMIT', 0, 1)[1]
  if over then
    return over
  end
  local bytes = 0
  for _, n in ipairs(call('HVALS', K .. 'hz')) do
    bytes = bytes + n
  end
  if not full and bytes <= tonumber(call('HGET', sh, 'hm') or HISTORY_DEFAULT_BYTES) then
    return nil
  end
  local oldest, number
  for _, member in ipairs(call('ZRANGE', K .. 'hx', 0, -1)) do
    local b = tonumber(string.match(member, '^%d+'))
    if not number or b < number then
      oldest, number = member, b
    end
  end
  return oldest
end
