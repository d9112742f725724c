-- What a job keeps beside its record or row: its payload when that is a key of its own, and log lines.
local function side_bytes(id, e, logged)
  return (e.blob and call('STRLEN', K .. 'b:' .. id) or 0) + (logged and call('STRLEN', K .. 'lg:' .. id) or 0)
end
local function side_drop(id)
  call('UNLINK', K .. 'b:' .. id, K .. 'lg:' .. id)
end
