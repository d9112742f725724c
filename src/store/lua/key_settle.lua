#!lua flags=allow-oom
-- Rows of another shard's outbox, applied on the home shard of their keys. Doing so again changes nothing. A producer confirms what it was told to be
-- accepted, too, so that no reservation runs out while nobody is there to settle; its word may come after the job's end, so it only counts while the
-- reservation stands.
-- keys: {p:0}:sh
-- argv: shard of the outbox, then (kind key value)...: 'c' 'C' (confirm, a retried job; token, id, held ms as text), 'k' 'K' (the same, from the client),
--   'r' (release; token or nothing, id), or 'd' 'D' (free: the value that stands there, of a job that was seen not to be alive; 'D' also when it is
--   held for a time, for that job itself)
-- returns: n of confirmations that came too late: the key is another job's by now
--#include "base.lua"
--#include "ukey.lua"
local from, late = tonumber(ARGV[1]), 0
local function release(key, v, value)
  local token, id = release_split(value)
  local own = away_make(from, id)
  local _, reserved_by = reservation_read(v)
  if v == own or (token ~= '' and (v == own .. token or reserved_by == token)) then
    call('DEL', key)
  end
end
local function confirm(kind, key, v, value)
  local token, id, hold = confirm_split(value)
  local is_row = kind == 'c' or kind == 'C'
  local own = away_make(from, id) .. ((kind == 'C' or kind == 'K') and token or '')
  local _, reserved_by = reservation_read(v)
  if (is_row and not v) or reserved_by == token then
    if tonumber(hold) > 0 then
      call('SET', key, own, 'PX', hold)
    else
      call('SET', key, own)
    end
  elseif is_row and v ~= own then
    late = late + 1
  end
end
for i = 2, #ARGV, 3 do
  local kind, key, value = ARGV[i], K .. 'u:' .. ARGV[i + 1], ARGV[i + 2]
  local v = call('GET', key)
  if kind == 'r' then
    release(key, v, value)
  elseif kind == 'd' or kind == 'D' then
    if v == value and (kind == 'D' or call('PTTL', key) < 0) then
      call('DEL', key)
    end
  else
    confirm(kind, key, v, value)
  end
end
return late
