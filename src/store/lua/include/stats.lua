local function count(field, n)
  local minute = K .. 'st:' .. math.floor(now / 60000)
  if call('HINCRBY', minute, field, n) == tonumber(n) then
    call('PEXPIRE', minute, MINUTE_KEPT_MS)
  end
end
local function event(text)
  call('XADD', K .. 'ev', 'MAXLEN', '~', call('HGET', sh, 'en') or 16384, '*', 'e', text)
end
