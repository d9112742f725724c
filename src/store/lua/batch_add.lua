#!lua
-- Add items to a batch that is being loaded, or is open.
-- keys: {p:0}:sh
-- argv: id at(number of the first of these items; '' whatever comes next) item...
--   item: 0 (its payload is JSON) or 1, u8; length of its id u8 (0: its number is its id); its id; its payload
-- returns: { n of items now }, or { -3 } (no such batch), { -4 } (it takes no items any more), { -5, n of items } (that is not the next one),
--   { -6, n } (the id of the nth of these, from 0, is another's), { -7 } (items with ids and items without), { -8 } (with a one-time task payloads are
--   JSON), { -9 } (there are 100 million)
--#include "base.lua"
--#include "too_old.lua"
--#include "batch.lua"
local ITEMS_MAX = 100000000
local id, n = ARGV[1], #ARGV - 2
local b = batches().of(id)
if not b then
  return { -3 }
end
local at = ARGV[2] == '' and b.total or tonumber(ARGV[2])
if at + n <= b.total and ARGV[2] ~= '' and n > 0 then
  return { b.total } -- this call was made before, and its answer lost
end
if n == 0 then
  return { b.total }
end
if b.status ~= BATCH_LOADING and not (b.status == BATCH_RUNNING and batches().has(b, BATCH_OPEN)) then
  return { -4 }
end
if at ~= b.total then
  return { -5, b.total }
end
if at + n > ITEMS_MAX then
  return { -9 }
end
local named = string.byte(ARGV[3], 2) > 0
if at > 0 and named ~= batches().has(b, BATCH_NAMED) then
  return { -7 }
end
local names, ids, seen, largest = {}, {}, {}, 0
for i = 1, n do
  local kind, len = string.byte(ARGV[2 + i], 1, 2)
  largest = math.max(largest, #ARGV[2 + i])
  if (len > 0) ~= named then
    return { -7 }
  elseif kind ~= 0 and b.once ~= ONCE_NONE then
    return { -8 }
  elseif named then
    local name = string.sub(ARGV[2 + i], 3, 2 + len)
    if seen[name] then
      return { -6, i - 1 }
    end
    seen[name] = true
    ids[i], names[2 * i - 1], names[2 * i] = name, name, at + i - 1
  end
end
if named then
  for i, taken in ipairs(call('HMGET', K .. 'bn:' .. id, unpack(ids))) do
    if taken then
      return { -6, i - 1 }
    end
  end
  call('HSET', K .. 'bn:' .. id, unpack(names))
  batches().set(b, BATCH_NAMED, true)
end
local i = 1
while i <= n do
  local to = math.min(n, i + BATCH_CHUNK - 1 - b.total % BATCH_CHUNK)
  call('RPUSH', K .. 'bi:' .. id .. ':' .. math.floor(b.total / BATCH_CHUNK), unpack(ARGV, 2 + i, 2 + to))
  b.total = b.total + to - i + 1
  i = to + 1
end
call('SETRANGE', K .. 'bx:' .. id, b.total - 1, '\0')
if largest > tonumber(call('HGET', K .. 'bd:' .. id, 'large') or math.huge) then
  call('HSET', K .. 'bd:' .. id, 'large', largest)
end
if b.status == BATCH_LOADING then
  call('ZADD', K .. 'tm', now + 60000, 'l' .. id)
  call('SET', K .. 'bs:' .. id, batches().head(b))
else
  b.changed = true
  batches().go()
end
return { b.total }
