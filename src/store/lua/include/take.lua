-- Take a living job out of the structure it is in. `session` is whose it was when it ran: that session is told, and its watched key is
-- touched, so that what it still sends of this job is refused.
local function take(id, place, key, entry, session)
  if place == 'lane' or place == 'front' then
    if session then
      call('XACK', key, 'g', entry)
      if call('EXISTS', K .. 'x:' .. session) == 1 then -- else it is being reaped
        call('INCR', K .. 'x:' .. session)
      end
      call('HDEL', K .. 'run:' .. session, id)
      call('HDEL', K .. 'pg', id)
    end
    call('XDEL', key, entry)
    if place == 'front' then
      call('HDEL', K .. 'loc', id)
    end
  elseif place == 'due' or place == 'paused' then
    call('ZREM', K .. place, id)
    call('HDEL', K .. place .. ':h', id)
  end
end
