-- Refuse whoever lost its lease: the reaper's mark in the session's hash is the only truth about that. Evaluates to nil, or the
-- error to return.
local function fenced(state)
  if state ~= 'live' then
    return redis.error_reply('DQFENCED this session lost its lease')
  end
end
