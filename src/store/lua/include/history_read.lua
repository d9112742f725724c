-- Where a row is: key, row, bucket; nil when there is none.
--#include "ids.lua"
local function history_find(id)
  local ms = id_ms(id)
  for _, b in ipairs(call('ZREVRANGE', K .. 'hx', 0, -1)) do
    local bucket, width = string.match(b, '^(%d+):%d+:(%d+)$')
    local key = K .. 'h:' .. bucket .. ':' .. string.format('%d', math.floor(ms / width))
    local row = call('HGET', key, id)
    if row then
      return key, row, bucket
    end
  end
end
