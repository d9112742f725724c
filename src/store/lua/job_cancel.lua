#!lua flags=allow-oom
-- Cancel jobs in whatever state; what a running handler returns afterwards no longer counts.
-- keys: {p:0}:sh
-- argv: actor reason id...
-- returns: for each, or the first of them (list.lua), 0, -3 (no such job) or -4 (ended already)
--#include "base.lua"
--#include "list.lua"
--#include "ids.lua"
--#include "varint.lua"
--#include "envelope.lua"
--#include "ukey.lua"
--#include "history.lua"
--#include "history_read.lua"
--#include "records.lua"
--#include "locate.lua"
--#include "take.lua"
--#include "rows.lua"
--#include "side.lua"
--#include "tell.lua"
--#include "stats.lua"
--#include "audit.lua"
local actor, reason = ARGV[1], ARGV[2]
local out, done, stats = {}, {}, {}
for i = 3, #ARGV do
  local id = ARGV[i]
  local place, m, j, key, entry, session = locate(id)
  if not place then
    out[i - 2] = -3
  elseif place == 'dead' or place == 'history' then
    out[i - 2] = -4
  else
    local _, _, lane = id_unpack(id)
    local started = 0
    if session then
      local run = call('HGET', K .. 'run:' .. session, id)
      started = run and unpk('>I6', run) or now
      -- with its entry: by the time the session hears of it the job may be retried, and be this session's again
      local what = id .. string.sub(place, 1, 1) .. entry
      call('SADD', K .. 'cx:' .. session, what)
      redis.pcall('SPUBLISH', K .. 'w:' .. session, 'C' .. what)
    end
    take(id, place, key, entry, session)
    local e = envelope_read(j)
    ukey_release(e, id)
    call('ZREM', K .. 's2s', id)
    local class = class_of(e, lane)
    local logged = m and math.floor(string.byte(m, 20) / 2) % 2 == 1
    if class > 0 then
      history_add(class, id, row_make(7, id, started, tonumber(session or 0), reason, m, j), true, (e.blob or logged) and side_bytes(id, e, logged))
    elseif e.blob or logged then
      call('UNLINK', K .. 'b:' .. id, K .. 'lg:' .. id)
    end
    tell(id, class <= 0 and '\7' or nil)
    stats[lane] = (stats[lane] or 0) + 1
    audit(actor, 'job.cancel', id, reason)
    done[#done + 1] = id
    out[i - 2] = 0
  end
  if list_full(j) then
    break
  end
end
for lane, n in pairs(stats) do
  count(lane .. ':x', n)
end
if #done > 0 then
  event('X' .. pack('>I6', now) .. table.concat(done))
end
return out
