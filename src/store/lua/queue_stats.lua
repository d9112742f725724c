#!lua flags=no-writes
-- How full queues are in one shard: a page of all lanes.
-- keys: {p:0}:sh
-- argv: number of the first lane, how many to look at
-- returns: { number of the next page's first lane (0 at the end), now_ms, then queue, pending, running and ms since when its longest waiting job could
--   run (-1: none waits), of each queue that has some in these lanes }
--#include "base.lua"
--#include "moved.lua"
--#include "undelivered.lua"
local from, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local names = call('LRANGE', K .. 'lane', from - 1, from + limit - 2)
local rows, order, streams = {}, {}, { 'f:', 'l:' }
local function row_of(name)
  local queue = string.match(name, '^[^|]*')
  if not rows[queue] then
    rows[queue] = { 0, 0, -1 }
    order[#order + 1] = queue
  end
  return rows[queue]
end
for i, name in ipairs(names) do
  for _, stream in ipairs(streams) do
    local key = K .. stream .. (from + i - 1)
    local all = call('XLEN', key)
    if all > 0 then
      local g, row = group_of(key), row_of(name)
      local waiting = math.max(all - g.pending, 0)
      row[1] = row[1] + waiting
      row[2] = row[2] + g.pending
      local first = waiting > 0 and call('XRANGE', key, '(' .. g.last, '+', 'COUNT', 1)[1]
      if first then
        local since = tonumber(string.match(first[1], '^%d+'))
        if first[2][1] == 'm' then
          since = moved_fields(first[2][2]).ready
        end
        if row[3] < 0 or since < row[3] then
          row[3] = since
        end
      end
    end
  end
end
local out = { #names == limit and from + limit or 0, now }
for _, queue in ipairs(order) do
  out[#out + 1] = queue
  for _, figure in ipairs(rows[queue]) do
    out[#out + 1] = figure
  end
end
return out
