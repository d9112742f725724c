-- Is the server about to refuse what needs memory? It is when more than 95 % of maxmemory is taken: what is written until somebody looks again
-- still finds room. What answers to clients take will be over soon, and counts only when the server refuses already.
local function memory_is_short()
  local info = redis.pcall('INFO', 'memory')
  if type(info) ~= 'string' then
    return false
  end
  local function field(name)
    return tonumber(string.match(info, '\n' .. name .. ':(%d+)') or 0)
  end
  local max = field('maxmemory')
  local used = field('used_memory') - field('mem_not_counted_for_evict')
  return max > 0 and (used > max or used - field('mem_clients_normal') > 0.95 * max)
end
