-- Whether a session is known: by its hash, or its place among the leases. (That both are there is looked at by itself.)
local function session_known(session)
  return ask('EXISTS', K .. 's:' .. session) == 1 or (ask('ZSCORE', K .. 'lease', session) and true)
end
-- Makes a session that lost a part of itself, or all, one that the reaper takes next.
local function session_doom(session)
  return tonumber(session) and function()
    call('HSET', K .. 's:' .. session, 'st', 'reaping', 'lane', 1)
    call('ZADD', K .. 'lease', 0, session)
  end
end
