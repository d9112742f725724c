-- Tell those who wait for the end of this job. `state` is said when nothing of it is left to look at.
local waited = call('EXISTS', K .. 'wt') == 1
local function tell(id, state)
  local who = waited and call('HGET', K .. 'wt', id)
  if who then
    call('HDEL', K .. 'wt', id)
    for channel in string.gmatch(who, '[^ ]+') do
      redis.pcall('SPUBLISH', K .. 'd:' .. channel, id .. (state or ''))
    end
  end
end
