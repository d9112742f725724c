-- Entries of a stream that nobody was given yet: those after the group's last delivered id.
local function group_of(key)
  local found = redis.pcall('XINFO', 'GROUPS', key)
  local g = { pending = 0, last = '0-0' }
  if found.err or not found[1] then
    return g
  end
  for i = 1, #found[1], 2 do
    if found[1][i] == 'pending' then
      g.pending = found[1][i + 1]
    elseif found[1][i] == 'last-delivered-id' then
      g.last = found[1][i + 1]
    end
  end
  return g
end
local function undelivered(key, n)
  return call('XRANGE', key, '(' .. group_of(key).last, '+', 'COUNT', n)
end
