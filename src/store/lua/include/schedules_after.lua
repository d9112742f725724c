-- Those of `sch` that come after a place in it: a score ('' from the beginning) and an id ('' before all of that score), which need not be there any more.
-- Up to `upto`, so many, with scores. Many have the same score.
local function id_before(a, b) -- by bytes: Lua compares as the server's locale does
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then
      return x < y
    end
  end
  return #a < #b
end
-- How many of that score do not come after the id.
local function schedules_before(score, id)
  local key = K .. 'sch'
  local from = call('ZCOUNT', key, '-inf', '(' .. score)
  if call('ZSCORE', key, id) == score then
    return call('ZRANK', key, id) + 1 - from
  end
  local low, high = 0, call('ZCOUNT', key, score, score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if id_before(call('ZRANGE', key, from + middle, from + middle)[1], id) then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end
local function schedules_after(score, id, upto, n)
  local offset = score ~= '' and id ~= '' and schedules_before(score, id) or 0
  return call('ZRANGE', K .. 'sch', score ~= '' and score or '-inf', upto, 'BYSCORE', 'LIMIT', offset, n, 'WITHSCORES')
end
