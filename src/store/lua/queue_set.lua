#!lua
-- Bring one shard up to a queue's definition: its row, whether it is paused; and tell all who know an older one.
-- keys: {p:0}:sh {p:0}:q {p:0}:paused_queues
-- argv: actor action queue row('' it was deleted) paused('1' or '')
-- returns: queue version, or 0 when the shard is not initialised: nothing is written then, as only shard_init may give it a token; or -1 when nothing
--   was left of a queue that was deleted
--#include "base.lua"
--#include "audit.lua"
--#include "stats.lua"
local token = call('HGET', sh, 'v')
if not token then
  return 0
end
local changed = (call('HGET', KEYS[2], ARGV[3]) or '') ~= ARGV[4]
if ARGV[4] == '' then
  call('HDEL', KEYS[2], ARGV[3])
else
  call('HSET', KEYS[2], ARGV[3], ARGV[4])
end
local turned = call(ARGV[5] == '1' and 'SADD' or 'SREM', KEYS[3], ARGV[3]) == 1
if turned then
  changed = true
end
if ARGV[4] == '' and not changed then
  return -1
end
-- The version grows also when the row stays: weight and priorities are only in the definition.
local version = tonumber(call('HGET', sh, 'qv') or 0) + 1
call('HSET', sh, 'v', string.match(token, '^[^.]*') .. '.' .. version, 'qv', version)
redis.pcall('SPUBLISH', K .. 'ctl', 'P')
if changed then
  audit(ARGV[1], ARGV[2], ARGV[3])
  local what = ARGV[4] == '' and 'd' or not turned and 'c' or ARGV[5] == '1' and 'p' or 'r'
  event('V' .. pack('>I6', now) .. what .. ARGV[3])
end
return version
