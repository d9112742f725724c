-- What a job keeps beside its record or row: its payload when that is a key of its own, log lines, and what its steps gave (steps.lua). Of the latter two its
-- moved part and its row know by one flag: that there is something.
--#include "moved.lua"
local function steps_bytes(id)
  local head = call('HGET', K .. 'sp:' .. id, '')
  return head and (unpk('>I4', head, 5)) or 0
end
local function side_bytes(id, e, logged)
  return (e.blob and call('STRLEN', K .. 'b:' .. id) or 0) + (logged and call('STRLEN', K .. 'lg:' .. id) + steps_bytes(id) or 0)
end
local function side_drop(id)
  call('UNLINK', K .. 'b:' .. id, K .. 'lg:' .. id, K .. 'sp:' .. id)
end
-- m (nil: none yet) of a job that is taken from its handler, which may have begun steps that m does not know of.
local function side_noted(id, m)
  if call('EXISTS', K .. 'sp:' .. id) == 0 then
    return m
  end
  m = m or moved_fresh(id, id_ms(id))
  local flags = moved_fields(m).flags
  return logs_flag(flags) and m or moved_with(m, { flags = flags + MOVED_LOGGED })
end
