#!lua flags=allow-oom
-- Ask of a shard's sessions that they know a later version of the scripts. Only when no live session is too old for it.
-- keys: {p:0}:sh {p:0}:lease
-- argv: version raise('1', or '' to look only)
-- returns: node ids of live sessions that are too old, at most 100; none: the shard asks for that version now, or a later one
--#include "base.lua"
local version = tonumber(ARGV[1])
local old, seen = {}, {}
for _, s in ipairs(call('ZRANGE', KEYS[2], 0, -1)) do
  local v = call('HMGET', K .. 's:' .. s, 'st', 'node', 'ver')
  if v[1] == 'live' and tonumber(v[3] or 0) < version and not seen[v[2]] then
    seen[v[2]] = true
    old[#old + 1] = v[2]
    if #old == 100 then
      break
    end
  end
end
if #old == 0 and ARGV[2] == '1' and tonumber(call('HGET', sh, 'mv') or 0) < version then
  call('HSET', sh, 'mv', version)
end
return old
