#!lua flags=allow-oom
-- Delete waiting jobs of a queue, a bounded number a call, with all that is kept for them. Running ones are not touched.
-- keys: {p:0}:sh
-- argv: actor shard queue limit
-- returns: { n deleted, more to do(1|0) }
--#include "base.lua"
--#include "ids.lua"
--#include "envelope.lua"
--#include "ukey.lua"
--#include "undelivered.lua"
--#include "stats.lua"
--#include "tell.lua"
--#include "audit.lua"
local shard, limit = tonumber(ARGV[2]), tonumber(ARGV[4])
local gone = {}

local function delete(key, lane, entry, fields)
  local m, j
  for i = 1, #fields, 2 do
    if fields[i] == 'j' then
      j = fields[i + 1]
    else
      m = fields[i + 1]
    end
  end
  local ms, seq = string.match(entry, '(%d+)-(%d+)')
  local id = m and string.sub(m, 2, 14) or id_pack(tonumber(ms), tonumber(seq), lane, shard)
  call('XDEL', key, entry)
  if m then
    call('HDEL', K .. 'loc', id)
    call('UNLINK', K .. 'lg:' .. id)
  end
  local e = envelope_read(j)
  ukey_release(e, id)
  if e.s2s then
    call('ZREM', K .. 's2s', id)
  end
  if e.blob then
    call('UNLINK', K .. 'b:' .. id)
  end
  tell(id, '\0')
  gone[#gone + 1] = id
end

for _, lane in ipairs(call('SMEMBERS', K .. 'ql:' .. ARGV[3])) do
  for _, stream in ipairs({ 'f:', 'l:' }) do
    local key = K .. stream .. lane
    if #gone < limit then
      for _, e in ipairs(undelivered(key, limit - #gone)) do
        delete(key, tonumber(lane), e[1], e[2])
      end
    end
  end
end
if #gone > 0 then
  event('Q' .. pack('>I6', now) .. table.concat(gone))
  audit(ARGV[1], 'queue.purge', ARGV[3], #gone)
end
return { #gone, #gone >= limit and 1 or 0 }
