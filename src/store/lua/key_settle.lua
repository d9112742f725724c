#!lua flags=allow-oom
-- Rows of another shard's outbox, applied on the home shard of their keys. Doing so again changes nothing. A producer confirms what it was told to be
-- accepted, too, so that no reservation runs out while nobody is there to settle; its word may come behind the job's end, so it only counts while the
-- reservation stands.
-- keys: {p:0}:sh
-- argv: shard of the outbox, then (kind key value)...: 'c' (confirm; token, id, held ms as text), 'k' (the same, from the
--   producer) or 'r' (release; token or nothing, id)
-- returns: n of confirmations that came too late: the key is another job's by now
--#include "base.lua"
--#include "ukey.lua"
local from, late = tonumber(ARGV[1]), 0
for i = 2, #ARGV, 3 do
  local kind, key, value = ARGV[i], K .. 'u:' .. ARGV[i + 1], ARGV[i + 2]
  local v = call('GET', key)
  local _, reserved_by = reservation_read(v)
  if kind == 'r' then
    local token, id = release_split(value)
    if v == away_make(from, id) or (token ~= '' and reserved_by == token) then
      call('DEL', key)
    end
  else
    local token, id, hold = confirm_split(value)
    local own = away_make(from, id)
    if (kind == 'c' and not v) or reserved_by == token then
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
