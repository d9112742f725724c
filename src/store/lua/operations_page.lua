#!lua flags=no-writes
-- Records of operations: one, or a page of all, the newest first.
-- keys: {p:0}:sh
-- argv: id('' for a page) before('' or the last one of the page before) limit
-- returns: { now ms, { id, { field, value... } }... }
--#include "base.lua"
local id, before, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])
local out = { now }
local ids = { id }
if id == '' then
  ids = call('ZRANGE', K .. 'op', before == '' and '+' or '(' .. before, '-', 'BYLEX', 'REV', 'LIMIT', 0, limit)
end
for _, one in ipairs(ids) do
  local fields = call('HGETALL', K .. 'op:' .. one)
  if #fields > 0 then
    out[#out + 1] = { one, fields }
  end
end
return out
