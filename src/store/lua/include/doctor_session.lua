-- Whether a session is known: it has its hash and its place among the leases, so that it is live, or will be reaped.
local function session_known(session)
  return ask('EXISTS', K .. 's:' .. session) == 1 and ask('ZSCORE', K .. 'lease', session) and true
end
-- Makes a session that lost a part of itself one that the reaper takes next.
local function session_doom(session)
  if not tonumber(session) then
    return nil
  end
  return function()
    call('HSET', K .. 's:' .. session, 'st', 'reaping', 'lane', 1)
    call('ZADD', K .. 'lease', 0, session)
  end
end
