local WIDTH_MAX_MS = 1073741824
-- The bucket that takes rows of this retention class now, and its part width. It rolls over by time (a quarter of the retention) and by
-- bytes (a quarter of the cap), so that what goes, goes whole; and when its width fits the rate no more: a part should hold some
-- thousands of rows, since adding to a hash of a hundred thousand costs twice as much. hx orders the buckets by when they go.
local function bucket_of(class)
  local hc = K .. 'hc:' .. class
  local cur = call('HMGET', hc, 'b', 's', 'w')
  local bucket, width = cur[1], tonumber(cur[3])
  if bucket then
    local cap = tonumber(call('HGET', sh, 'hm') or HISTORY_DEFAULT_BYTES)
    local age = math.max(now - cur[2], 1)
    local used = tonumber(call('HGET', K .. 'hz', bucket) or 0)
    local roll = age >= class / 4 or used >= cap / 4
    local fit = width
    if age > 60000 or roll then
      fit = 16
      local rows = tonumber(call('HGET', K .. 'hr', bucket) or 0)
      while fit < WIDTH_MAX_MS and fit * rows / age < 5000 do
        fit = fit * 2
      end
      roll = roll or fit >= width * 16 or fit * 16 <= width
    end
    if not roll then
      return bucket, width
    end
    call('ZADD', K .. 'hx', now + class, bucket .. ':' .. class .. ':' .. width)
    width = fit
  else
    width = 128
  end
  bucket = tostring(call('HINCRBY', sh, 'bn', 1))
  call('HSET', hc, 'b', bucket, 's', now, 'w', width)
  call('ZADD', K .. 'hx', now + class + math.floor(class / 4), bucket .. ':' .. class .. ':' .. width)
  call('INCR', K .. 'hv')
  local ticker = call('HGET', sh, 'tk')
  if ticker then -- there may be more now than is to be kept
    redis.pcall('SPUBLISH', K .. 'w:' .. ticker, 'H')
  end
  return bucket, width
end
-- Rows outside the node's usual path, one by one.
-- side: bytes kept beside it, nil when there are no such keys.
local function history_add(class, id, row, cancelled, side)
  if class <= 0 then
    return
  end
  local bucket, width = bucket_of(class)
  local part = math.floor(unpk('>I6', id) / width)
  call('HSET', K .. 'h:' .. bucket .. ':' .. string.format('%d', part), id, row)
  call('SADD', K .. 'hp:' .. bucket, string.format('%d', part))
  call('RPUSH', K .. 'ho:' .. bucket, id)
  call('HINCRBY', K .. 'hz', bucket, #row + ROW_OVERHEAD + (side or 0))
  call('HINCRBY', K .. 'hr', bucket, 1)
  if cancelled then
    call('HINCRBY', K .. 'hn', bucket, 1)
  end
  if side then
    call('RPUSH', K .. 'hk:' .. bucket, id)
  end
end
