#!lua flags=allow-oom
-- Rows of another shard's outbox, applied on the home shard of their keys. Doing so again changes nothing.
-- keys: {p:0}:sh
-- argv: shard of the outbox, then (kind key value)...: 'c' (confirm; token, id, held ms as text) or 'r' (release; id)
-- returns: n of confirmations that came too late: the key is another job's by now
--#include "base.lua"
local from, late = pack('>I2', tonumber(ARGV[1])), 0
for i = 2, #ARGV, 3 do
  local kind, key, value = ARGV[i], K .. 'u:' .. ARGV[i + 1], ARGV[i + 2]
  local v = call('GET', key)
  if kind == 'r' then
    if v == 'X' .. from .. value then
      call('DEL', key)
    end
  else
    local token, id, hold = string.sub(value, 1, 16), string.sub(value, 17, 29), string.sub(value, 30)
    local own = 'X' .. from .. id
    if not v or (string.sub(v, 1, 1) == 'R' and string.sub(v, 8) == token) then
      if tonumber(hold) > 0 then
        call('SET', key, own, 'PX', hold)
      else
        call('SET', key, own)
      end
    elseif v ~= own then
      late = late + 1
    end
  end
end
return late
