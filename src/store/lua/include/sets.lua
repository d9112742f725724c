-- Jobs into a set of places.lua and out of it. scores: score, id...; kept: id, record or row...
local function set_put(name, scores, kept)
  call('ZADD', K .. name, unpack(scores))
  call('HSET', K .. name .. ':h', unpack(kept))
end
local function set_take(name, ...)
  call('ZREM', K .. name, ...)
  call('HDEL', K .. name .. ':h', ...)
end
-- Score of the next one, nil when there is none.
local function set_first(name)
  return tonumber(call('ZRANGE', K .. name, 0, 0, 'WITHSCORES')[2])
end
