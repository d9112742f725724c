-- Take a living job out of the structure it is in. `session` is whose it was when it ran: that session is told, and its watched key is
-- touched, so that what it still sends of this job is refused.
--#include "sets.lua"
local function take(id, place, key, entry, session)
  if place.waits then
    set_take(place.name, id)
    return
  end
  if session then
    call('XACK', key, 'g', entry)
    if call('EXISTS', K .. 'x:' .. session) == 1 then -- else it is being reaped
      call('INCR', K .. 'x:' .. session)
    end
    call('HDEL', K .. 'run:' .. session, id)
    call('HDEL', K .. 'pg', id)
  end
  call('XDEL', key, entry)
  if place == places.front then
    call('HDEL', K .. 'loc', id)
  end
end
