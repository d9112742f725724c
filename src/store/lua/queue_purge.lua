#!lua flags=allow-oom
-- Delete waiting jobs of a queue, a bounded number a call, with all that is kept for them. Running ones are not touched.
-- keys: {p:0}:sh
-- argv: actor shard queue limit type(may end in '*'; '' any)
-- returns: { n deleted, more to do(1|0) }
--#include "base.lua"
--#include "entry.lua"
--#include "undelivered.lua"
--#include "job_end.lua"
--#include "audit.lua"
local shard, limit = tonumber(ARGV[2]), tonumber(ARGV[4])
local gone = 0
local prefix = string.match(ARGV[5], '^(.*)%*$')

local function fits(lane)
  if ARGV[5] == '' then
    return true
  end
  local type = string.match(call('LINDEX', K .. 'lane', lane - 1) or '', '^[^|]*|([^|]*)')
  return type and (type == ARGV[5] or (prefix and string.sub(type, 1, #prefix) == prefix))
end

local function delete(key, lane, entry, fields)
  local m, j = fields_of(fields)
  local id = entry_id(entry, m, lane, shard)
  call('XDEL', key, entry)
  if m then
    call('HDEL', K .. 'loc', id)
  end
  ended(ENDS.purged, { id = id, m = m, j = j, e = envelope_read(j) })
  gone = gone + 1
end

for _, lane in ipairs(call('SMEMBERS', K .. 'ql:' .. ARGV[3])) do
  for _, stream in ipairs({ 'f:', 'l:' }) do
    local key = K .. stream .. lane
    if gone < limit and fits(lane) then
      for _, e in ipairs(undelivered(key, limit - gone)) do
        delete(key, tonumber(lane), e[1], e[2])
      end
    end
  end
end
if gone > 0 then
  ended_all(ENDS.purged)
  audit(ARGV[1], 'queue.purge', ARGV[3], gone .. (ARGV[5] ~= '' and ' ' .. ARGV[5] or ''))
end
return { gone, gone >= limit and 1 or 0 }
