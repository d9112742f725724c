-- The moved part with one attempt more (docs/redis-keys.md): 20 are kept, the first 2 and the last 18; details and outputs of the last 3.
--#include "varint.lua"
--#include "moved.lua"
local function attempt_bare(a)
  local n, at = varint_read(a, 3)
  at = at + 1
  for _ = 1, 4 do
    n, at = varint_read(a, at)
  end
  n, at = varint_read(a, at)
  local detail_at, after = at + n, 0
  n, after = varint_read(a, detail_at)
  if n == 0 and after > #a then
    return a
  end
  local body = string.sub(a, 3, detail_at - 1) .. '\0'
  return pack('>I2', #body) .. body
end
local function attempt_add(m, run, outcome, started_ms, ran_ms, session, text)
  local list = moved_recorded(m)
  local body = varint(run) .. string.char(outcome) .. varint(started_ms) .. varint(ran_ms) .. varint(session) .. '\0'
    .. varint(#text) .. text .. '\0'
  list[#list + 1] = pack('>I2', #body) .. body
  while #list > 20 do
    table.remove(list, 3)
  end
  local bare = #list - 3
  if bare > 0 then
    list[bare] = attempt_bare(list[bare])
  end
  return moved_with(string.sub(m, 1, MOVED_BYTES) .. table.concat(list), { recorded = #list })
end
