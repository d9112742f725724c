#!lua flags=no-writes
-- A page of batches, newest first.
-- keys: {p:0}:sh {p:0}:ba
-- argv: before(id; '' from the newest) limit status('' any; else numbers with blanks between)
-- returns: { last looked at ('' there are no more), { id, header, name }... }
--#include "base.lua"
local LOOKED = 500
local limit, wanted = tonumber(ARGV[2]), ' ' .. ARGV[3] .. ' '
local most = ARGV[3] == '' and limit or LOOKED
local out = { '' }
local before = ARGV[1] == '' and '+' or '(' .. ARGV[1]
local ids = call('ZRANGE', KEYS[2], before, '-', 'BYLEX', 'REV', 'LIMIT', 0, most)
for _, id in ipairs(ids) do
  out[1] = id
  local head = call('GET', K .. 'bs:' .. id)
  if head and #head == 64 and (ARGV[3] == '' or string.find(wanted, ' ' .. string.byte(head, 2) .. ' ', 1, true)) then
    out[#out + 1] = { id, head, call('HGET', K .. 'bd:' .. id, 'name') or '' }
    if #out > limit then
      return out
    end
  end
end
if #ids < most then
  out[1] = ''
end
return out
