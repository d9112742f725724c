#!lua flags=allow-oom
-- Read what the prefix is, or make it: whoever comes first decides.
-- keys: p:meta
-- argv: schema shards scripts envelope
-- returns: { now_ms, schema, shards, scripts, envelope }, numbers; or WRONGTYPE with the key's name
--#include "may.lua"
local err = forbidden(KEYS[1], 'type', KEYS[1]) or forbidden(KEYS[1], 'hsetnx', KEYS[1], 'f', 'v') or forbidden(KEYS[1], 'hget', KEYS[1], 'f')
if err then
  return err
end
local time = redis.call('TIME')
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'none' and kind ~= 'hash' then
  return redis.error_reply('WRONGTYPE ' .. KEYS[1] .. ' is a ' .. kind .. ', must be a hash')
end
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local fields = { 'schema', 'shards', 'scripts', 'envelope' }
local answer = { now }
for i, field in ipairs(fields) do
  redis.call('HSETNX', KEYS[1], field, ARGV[i])
  answer[i + 1] = tonumber(redis.call('HGET', KEYS[1], field)) or -1
end
redis.call('HSETNX', KEYS[1], 'created', now)
return answer
