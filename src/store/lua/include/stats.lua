local function count(field, n)
  local minute = K .. 'st:' .. math.floor(now / 60000)
  if call('HINCRBY', minute, field, n) == tonumber(n) then
    call('PEXPIRE', minute, MINUTE_KEPT_MS)
  end
end
local function event(text)
  call('XADD', K .. 'ev', 'MAXLEN', '~', call('HGET', sh, 'en') or 16384, '*', 'e', text)
end
-- The same with what readers of an older version pass over.
local function event_with(text, beside)
  if not beside or beside == '' then
    event(text)
  else
    call('XADD', K .. 'ev', 'MAXLEN', '~', call('HGET', sh, 'en') or 16384, '*', 'e', text, 'x', beside)
  end
end
