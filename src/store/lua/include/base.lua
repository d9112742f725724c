local sh = KEYS[1]
local K = string.sub(sh, 1, -3)
-- Messages go by redis.pcall: they are hints, and one that may not be sent must not break off a step.
local call, pack, unpk = redis.call, struct.pack, struct.unpack
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
