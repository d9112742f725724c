#!lua flags=no-writes
-- A batch, without its items.
-- keys: {p:0}:sh
-- argv: id
-- returns: nil, or { header, { value of: name, def, why, oe, or, oj, tags } }
--#include "base.lua"
local head = call('GET', K .. 'bs:' .. ARGV[1])
if not head then
  return false
end
return { head, call('HMGET', K .. 'bd:' .. ARGV[1], 'name', 'def', 'why', 'oe', 'or', 'oj', 'tags') }
