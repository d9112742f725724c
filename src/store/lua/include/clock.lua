-- The shard's served time: advances by what passed since the last look, but by at most a quarter of the lease, so that a stall
-- of Redis expires nobody.
local function served(lease)
  local c = call('HMGET', sh, 'ck', 'cw')
  local ck, cw = tonumber(c[1] or 0), tonumber(c[2] or now)
  local step = math.min(math.max(now - cw, 0), math.floor(lease / 4))
  call('HSET', sh, 'ck', ck + step, 'cw', now)
  return ck + step
end
