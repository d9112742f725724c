-- Tell those who wait for the end of this job.
local waited = call('EXISTS', K .. 'wt') == 1
local function tell(id)
  local who = waited and call('HGET', K .. 'wt', id)
  if who then
    call('HDEL', K .. 'wt', id)
    for channel in string.gmatch(who, '[^ ]+') do
      call('SPUBLISH', K .. 'd:' .. channel, id)
    end
  end
end
