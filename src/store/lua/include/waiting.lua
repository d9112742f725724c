-- Who waits for the end of a job: in K wt, by the job's id, channels with a blank between. The client of a channel that nobody listens to went away
-- without a word; one that was cut off comes again by itself.
local function waiting_store(id, who)
  if who == '' then
    call('HDEL', K .. 'wt', id)
  else
    call('HSET', K .. 'wt', id, who)
  end
end

-- Eight of them are looked at: those without a listener go, the others come last, so that all have their turn.
local function waiting_alive(who)
  local names, ask, rest = {}, {}, 1
  for channel, after in string.gmatch(who, '([^ ]+) ?()') do
    if #names == 8 then
      break
    end
    names[#names + 1] = channel
    ask[#ask + 1] = K .. 'd:' .. channel
    rest = after
  end
  local told = #ask > 0 and redis.pcall('PUBSUB', 'SHARDNUMSUB', unpack(ask))
  if not told or told.err then
    return who
  end
  local kept = {}
  for i = 1, #names do
    if told[2 * i] > 0 then
      kept[#kept + 1] = names[i]
    end
  end
  if #kept == #names and rest > #who then
    return who
  end
  local others = string.sub(who, rest)
  if others ~= '' then
    table.insert(kept, 1, others)
  end
  return table.concat(kept, ' ')
end

-- Some jobs at random are looked at. True when many of them had clients that are gone: look again soon.
local function waiting_sweep()
  local some, stale = call('HRANDFIELD', K .. 'wt', 64), 0
  for _, id in ipairs(some) do
    local who = call('HGET', K .. 'wt', id)
    local alive = waiting_alive(who)
    if alive ~= who then
      waiting_store(id, alive)
    end
    stale = stale + (#alive < #who and 1 or 0)
  end
  return stale * 4 > #some
end
