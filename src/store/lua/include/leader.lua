-- Refuse a leader that was replaced. Evaluates to nil, or the error to return.
local function leader_fenced(session, epoch)
  local t = call('HMGET', sh, 'tk', 'te')
  if t[1] ~= session or t[2] ~= epoch then
    return redis.error_reply('DQFENCED another session is the leader of this shard')
  end
end
