#!lua flags=no-writes
-- A page of workflows, newest first.
-- keys: {p:0}:sh {p:0}:wi
-- argv: before(id; '' from the newest) limit status('' any; else numbers of FLOW_... with blanks between)
-- returns: { last looked at ('' there are no more), { id, header, name }... }
--#include "base.lua"
--#include "flow.lua"
local LOOKED = 500
local limit, wanted = tonumber(ARGV[2]), ' ' .. ARGV[3] .. ' '
local out = { '' }
local before = ARGV[1] == '' and '+' or '(' .. ARGV[1]
local ids = call('ZRANGE', KEYS[2], before, '-', 'BYLEX', 'REV', 'LIMIT', 0, ARGV[3] == '' and limit or LOOKED)
for _, id in ipairs(ids) do
  out[1] = id
  local f = flow_of(id)
  local status = f and (f.status == FLOW_RUNNING and bit_set(f.flags, FLOW_HOLDS) and FLOW_SUSPENDED or f.status)
  if f and (ARGV[3] == '' or string.find(wanted, ' ' .. status .. ' ', 1, true)) then
    out[#out + 1] = { id, flow_head(f), call('HGET', K .. 'wf:' .. id, 'name') or '' }
    if #out > limit then
      return out
    end
  end
end
if #ids < (ARGV[3] == '' and limit or LOOKED) then
  out[1] = ''
end
return out
