-- Workflows whose time is over, with their definitions when nobody uses these any more.
local function flow_drop(id)
  local def = call('GETRANGE', K .. 'ws:' .. id, 40, 55)
  call('UNLINK', K .. 'ws:' .. id, K .. 'wf:' .. id, K .. 'wr:' .. id, K .. 'wm:' .. id, K .. 'wh:' .. id)
  call('ZREM', K .. 'wi', id)
  call('ZREM', K .. 'we', id)
  local key, image = K .. 'wd:' .. def, K .. 'wp:' .. def .. ':'
  if #def < 16 or call('EXISTS', key) == 0 or call('HINCRBY', key, 'n', -1) > 0 then
    return
  end
  local about = call('HMGET', key, 'segments', 'large')
  local parts = { key, image .. 'l' }
  for i = 0, about[1] - 1 do
    parts[#parts + 1] = image .. i
  end
  for task in string.gmatch(about[2], '%d+') do
    parts[#parts + 1] = image .. 'b' .. task
  end
  call('UNLINK', unpack(parts))
end
-- True when there may be more.
local function flow_drop_due(n)
  local over = call('ZRANGE', K .. 'we', '-inf', now, 'BYSCORE', 'LIMIT', 0, n)
  for _, id in ipairs(over) do
    flow_drop(id)
  end
  return #over == n
end
