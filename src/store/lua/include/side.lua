-- Bytes of what a row keeps beside it: its payload when that is a key of its own, and log lines.
local function side_bytes(id, e, logged)
  return (e.blob and call('STRLEN', K .. 'b:' .. id) or 0) + (logged and call('STRLEN', K .. 'lg:' .. id) or 0)
end
