#!lua
-- A part of the image of a definition, or a large payload of it: kept for a minute until a workflow is started with it. One that is in use is known already.
-- keys: {p:0}:sh
-- argv: hash name('0', '1'... of a segment; 'b' and the number of a task) bytes
-- returns: 1 (it is in use) or 0
--#include "base.lua"
if call('EXISTS', K .. 'wd:' .. ARGV[1]) == 1 then
  return 1
end
call('SET', K .. 'wp:' .. ARGV[1] .. ':' .. ARGV[2], ARGV[3], 'PX', 60000)
return 0
