
-- Read the definitions of all queues; the default ones are written first when there are none.
-- keys: p:config:queues
-- argv: (name json)..., or nothing: then nothing is written
-- returns: { name, json, name, json, ... }, or WRONGTYPE with the key's name
-- nil, or the error to return: the user may not run this. Asked before anything is changed.
local function forbidden(what, command, ...)
  if not redis.acl_check_cmd(command, ...) then
    return redis.error_reply("NOPERM this user has no permissions to run the '" .. command .. "' command on " .. what)
  end
end
local err = forbidden(KEYS[1], 'type', KEYS[1]) or forbidden(KEYS[1], 'hset', KEYS[1], 'f', 'v') or forbidden(KEYS[1], 'hgetall', KEYS[1])
if err then
  return err
end
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' and #ARGV > 0 then
  redis.call('HSET', KEYS[1], unpack(ARGV))
elseif kind ~= 'none' and kind ~= 'hash' then
  return redis.error_reply('WRONGTYPE ' .. KEYS[1] .. ' is a ' .. kind .. ', must be a hash')
end
return redis.call('HGETALL', KEYS[1])
