-- Those of `sch` that come after a place in it: a score ('' from the beginning) and the last id of that score that was seen ('' none). They are told apart by
-- id, since a score alone does not say how far a page came. Up to `upto`, so many, with scores.
local function schedules_after(score, id, upto, n)
  local offset = 0
  local rank = score ~= '' and id ~= '' and call('ZRANK', K .. 'sch', id)
  if rank and call('ZSCORE', K .. 'sch', id) == score then
    offset = rank + 1 - call('ZCOUNT', K .. 'sch', '-inf', '(' .. score)
  end
  return call('ZRANGE', K .. 'sch', score ~= '' and score or '-inf', upto, 'BYSCORE', 'LIMIT', offset, n, 'WITHSCORES')
end
