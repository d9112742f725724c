#!lua flags=allow-oom
-- Forget ended jobs.
-- keys: {p:0}:sh
-- argv: actor id...
-- returns: for each, or the first of them (list.lua), 0, -3 (no such job) or -4 (not ended)
--#include "base.lua"
--#include "list.lua"
--#include "ids.lua"
--#include "envelope.lua"
--#include "history_read.lua"
--#include "records.lua"
--#include "locate.lua"
--#include "row_read.lua"
--#include "side.lua"
--#include "stats.lua"
--#include "audit.lua"
local out = {}
for i = 2, #ARGV do
  local id = ARGV[i]
  local place, _, row, hkey, bucket = locate(id)
  if not place then
    out[i - 1] = -3
  elseif place == 'dead' or place == 'history' then
    if place == 'dead' then
      call('ZREM', K .. 'dead', id)
      call('HDEL', K .. 'dead:h', id)
    else
      call('HDEL', hkey, id)
      local state, _, j, logged = row_split(row)
      call('HINCRBY', K .. 'hz', bucket, -#row - ROW_OVERHEAD - side_bytes(id, envelope_read(j), logged))
      call('HINCRBY', K .. 'hr', bucket, -1)
      if state == 7 then
        call('HINCRBY', K .. 'hn', bucket, -1)
      end
    end
    call('UNLINK', K .. 'b:' .. id, K .. 'lg:' .. id)
    audit(ARGV[1], 'job.delete', id)
    out[i - 1] = 0
  else
    out[i - 1] = -4
  end
  if list_full(row) then
    break
  end
end
return out
