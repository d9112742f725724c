-- Batches whose time is over, some keys in a step.
local BATCH_DROPPED = 400 -- keys
local function batch_drop(id)
  local head = call('GET', K .. 'bs:' .. id) or ''
  local total = #head == 64 and unpk('>I4', head, 15) or 0
  local chunks = math.ceil(total / 1000)
  local keys, from = {}, math.max(0, chunks - BATCH_DROPPED / 2)
  for no = from, chunks - 1 do
    keys[#keys + 1] = K .. 'bi:' .. id .. ':' .. no
    keys[#keys + 1] = K .. 'br:' .. id .. ':' .. no
  end
  if from > 0 then
    call('UNLINK', unpack(keys))
    call('SETRANGE', K .. 'bs:' .. id, 14, pack('>I4', from * 1000))
    return false
  end
  for _, name in ipairs({ 'bs:', 'bd:', 'bx:', 'bj:', 'bn:' }) do
    keys[#keys + 1] = K .. name .. id
  end
  call('UNLINK', unpack(keys))
  call('ZREM', K .. 'ba', id)
  call('ZREM', K .. 'bo', id)
  return true
end
-- True when there may be more.
local function batch_drop_due()
  local over = call('ZRANGE', K .. 'bo', '-inf', now, 'BYSCORE', 'LIMIT', 0, 4)
  for _, id in ipairs(over) do
    if not batch_drop(id) then
      return true
    end
  end
  return #over == 4
end
