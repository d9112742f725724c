-- Is the server about to refuse what needs memory? It is when more than 95 % of maxmemory is taken: what is written until somebody looks again
-- still finds room.
local function memory_is_short()
  local info = redis.pcall('INFO', 'memory')
  if type(info) ~= 'string' then
    return false
  end
  local function field(name)
    return tonumber(string.match(info, '\n' .. name .. ':(%d+)') or 0)
  end
  local max = field('maxmemory')
  return max > 0 and field('used_memory') - field('mem_not_counted_for_evict') > 0.95 * max
end
