#!lua flags=allow-oom
-- Rows of another shard's outbox, applied on the home shard of their keys. Doing so again changes nothing. A producer confirms what it was told to be
-- accepted, too, so that no reservation runs out while nobody is there to settle; its word may come behind the job's end, so it only counts while the
-- reservation stands.
-- keys: {p:0}:sh
-- argv: shard of the outbox, then (kind key value)...: 'c' (confirm; token, id, held ms as text), 'k' (the same, from the
--   producer) or 'r' (release; token or nothing, id)
-- returns: n of confirmations that came too late: the key is another job's by now
--#include "base.lua"
local from, late = pack('>I2', tonumber(ARGV[1])), 0
for i = 2, #ARGV, 3 do
  local kind, key, value = ARGV[i], K .. 'u:' .. ARGV[i + 1], ARGV[i + 2]
  local v = call('GET', key)
  if kind == 'r' then
    local token, id = string.sub(value, 1, -14), string.sub(value, -13)
    if v == 'X' .. from .. id or (token ~= '' and v and string.sub(v, 1, 1) == 'R' and string.sub(v, 8) == token) then
      call('DEL', key)
    end
  else
    local token, id, hold = string.sub(value, 1, 16), string.sub(value, 17, 29), string.sub(value, 30)
    local own = 'X' .. from .. id
    if (kind == 'c' and not v) or (v and string.sub(v, 1, 1) == 'R' and string.sub(v, 8) == token) then
      if tonumber(hold) > 0 then
        call('SET', key, own, 'PX', hold)
      else
        call('SET', key, own)
      end
    elseif kind == 'c' and v ~= own then
      late = late + 1
    end
  end
end
return late
