#!lua flags=allow-oom
-- Delete waiting jobs of a queue, a bounded number a call, with all that is kept for them. Running ones are not touched.
-- keys: {p:0}:sh
-- argv: actor shard queue limit type(may end in '*'; '' any) until_ms(of the first step; 0: this is it)
-- returns: { n deleted, more to do(1|0), until_ms }
--#include "base.lua"
--#include "too_old.lua"
--#include "entry.lua"
--#include "undelivered.lua"
--#include "job_end.lua"
--#include "audit.lua"
local shard, limit = tonumber(ARGV[2]), tonumber(ARGV[4])
local gone, until_ms = 0, tonumber(ARGV[6])
if until_ms == 0 then
  until_ms = now
  for _, lane in ipairs(call('SMEMBERS', K .. 'ql:' .. ARGV[3])) do
    for _, stream in ipairs({ 'f:', 'l:' }) do -- the clock may have been set back
      local last = call('XREVRANGE', K .. stream .. lane, '+', '-', 'COUNT', 1)[1]
      until_ms = math.max(until_ms, last and entry_parts(last[1]) or 0)
    end
  end
end
-- What was released by the end of those that are purged is spared, here and in the steps to come: its entry is of a later ms than any of the first step.
occurrence_entry = string.format('%.0f-*', math.max(until_ms, now) + 1)
local prefix = string.match(ARGV[5], '^(.*)%*$')

local function fits(lane)
  if ARGV[5] == '' then
    return true
  end
  local of_type = string.match(call('LINDEX', K .. 'lane', lane - 1) or '', '^[^|]*|([^|]*)')
  return of_type and (of_type == ARGV[5] or (prefix and string.sub(of_type, 1, #prefix) == prefix))
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
        if entry_parts(e[1]) > until_ms then
          break
        end
        delete(key, tonumber(lane), e[1], e[2])
      end
    end
  end
end
if gone > 0 then
  ended_all(ENDS.purged)
  audit(ARGV[1], 'queue.purge', ARGV[3], gone .. (ARGV[5] ~= '' and ' ' .. ARGV[5] or ''))
end
return { gone, gone >= limit and 1 or 0, until_ms }
