#!lua
-- Numbers of lanes that the tasks of a definition go to, some at a time; those that are new are made.
-- keys: {p:0}:sh
-- argv: hash first(index of the first of these) name...
-- returns: 0, or { name } of the first whose queue there is not or that would be one too many
--#include "base.lua"
--#include "lane.lua"
local key = K .. 'wp:' .. ARGV[1] .. ':l'
if call('EXISTS', K .. 'wd:' .. ARGV[1]) == 1 then
  return 0
end
local names = { unpack(ARGV, 3) }
local known = call('HMGET', K .. 'lanes', unpack(names))
local packed = {}
for i, name in ipairs(names) do
  local queue = string.match(name, '^[^|]*')
  local no = tonumber(known[i])
  if call('HEXISTS', K .. 'q', queue) == 0 then
    return { name }
  end
  no = no or lane_make(name, queue)
  if not no then
    return { name }
  end
  packed[i] = pack('>I3', no)
end
call('SETRANGE', key, 3 * ARGV[2], table.concat(packed))
call('PEXPIRE', key, 60000)
return 0
