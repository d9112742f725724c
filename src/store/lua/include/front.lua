-- Hand a job over to whoever is next: a new entry of the lane's front stream, and its locator. `m` is the moved part
-- (docs/redis-keys.md), whose bytes 2 to 14 are the job's id.
local function front_add(lane, m, j)
  local entry = call('XADD', K .. 'f:' .. lane, '*', 'm', m, 'j', j)
  call('HSET', K .. 'loc', string.sub(m, 2, 14), entry)
end
-- The moved part of a job that has none yet: it was enqueued to run at once and never left its lane.
local function moved_fresh(id, ready_ms)
  return '\1' .. id .. pack('>I2I2BBI2I6I6BB', 0, 0, 0, 0, 0, ready_ms, 0, 0, 0)
end
-- The same with other ready and due times.
local function moved_at(m, ready_ms, due_ms)
  return string.sub(m, 1, 22) .. pack('>I6I6', ready_ms, due_ms) .. string.sub(m, 35)
end
