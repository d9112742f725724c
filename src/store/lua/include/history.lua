--#include "ids.lua"
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
  local leader = call('HGET', sh, 'tk')
  if leader then -- there may be more now than is to be kept
    redis.pcall('SPUBLISH', K .. 'w:' .. leader, 'H')
  end
  return bucket, width
end
-- What a bucket keeps of rows beside them: their ids in the order list, their bytes, their number, their parts, and which of them (packed ids) have
-- something in keys of their own.
local function bucket_add(bucket, ids, bytes, beside, ...)
  call('RPUSH', K .. 'ho:' .. bucket, ids)
  call('HINCRBY', K .. 'hz', bucket, bytes)
  call('HINCRBY', K .. 'hr', bucket, #ids / ID_BYTES)
  call('SADD', K .. 'hp:' .. bucket, ...)
  if beside ~= '' then
    call('RPUSH', K .. 'hk:' .. bucket, beside)
  end
end
-- Rows (id, row...) into the bucket that takes those of this class now, which is returned. beside: bytes of keys of their own, nil when they
-- have none.
local function history_add(class, rows, beside)
  local bucket, width = bucket_of(class)
  local ids, names, parts, bytes = {}, {}, {}, beside or 0
  for i = 1, #rows, 2 do
    local name = string.format('%d', math.floor(unpk('>I6', rows[i]) / width))
    local part = parts[name]
    if not part then
      part = {}
      parts[name], names[#names + 1] = part, name
    end
    part[#part + 1], part[#part + 2] = rows[i], rows[i + 1]
    ids[#ids + 1] = rows[i]
    bytes = bytes + #rows[i + 1] + ROW_OVERHEAD
  end
  for _, name in ipairs(names) do
    call('HSET', K .. 'h:' .. bucket .. ':' .. name, unpack(parts[name]))
  end
  ids = table.concat(ids)
  bucket_add(bucket, ids, bytes, beside and ids or '', unpack(names))
  return bucket
end
