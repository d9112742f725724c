
-- Read what the prefix is, or make it: whoever comes first decides.
-- keys: p:meta
-- argv: schema shards scripts envelope look('l': nothing is written, the answer is what would be)
-- returns: { now_ms, schema, shards, scripts, envelope, made(1: all of them were there) }, numbers; or WRONGTYPE with the key's name
-- nil, or the error to return: the user may not run this. Asked before anything is changed.
local function forbidden(what, command, ...)
  if not redis.acl_check_cmd(command, ...) then
    return redis.error_reply("NOPERM this user has no permissions to run the '" .. command .. "' command on " .. what)
  end
end
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
local made = 1
for i, field in ipairs(fields) do
  local value = redis.call('HGET', KEYS[1], field)
  if not value then
    value = ARGV[i]
    made = 0
    if ARGV[5] ~= 'l' then
      redis.call('HSETNX', KEYS[1], field, value)
    end
  end
  answer[i + 1] = tonumber(value) or -1
end
if ARGV[5] ~= 'l' then
  redis.call('HSETNX', KEYS[1], 'created', now)
end
answer[6] = made
return answer
