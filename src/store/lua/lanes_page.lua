#!lua flags=no-writes
-- One page of the jobs of some lanes, waiting or running, merged by entry id: when each was accepted or handed over.
-- keys: {p:0}:sh
-- argv: cursor limit order('new'|'old') bytes_max shard which('p' waiting, 'r' running, 'pr') lane...
-- returns: { next cursor ('' at the end), n looked at, job... } as jobs_page gives them; cursor: ms-seq-lane-front(1|0), of an entry
--#include "base.lua"
--#include "job_view.lua"
local limit, newest, max, shard, which = tonumber(ARGV[2]), ARGV[3] == 'new', tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local before = { string.match(ARGV[1], '^(%d+)-(%d+)-(%d+)-(%d)$') }
for i = 1, #before do
  before[i] = tonumber(before[i])
end
local bound = before[1] and string.format('%.0f-%.0f', before[1], before[2])

-- Places are { ms, seq, lane, front }; whether a is listed before b.
local function precedes(a, b)
  for i = 1, 4 do
    if a[i] ~= b[i] then
      return (a[i] > b[i]) == newest
    end
  end
  return false
end
local function place_of(entry, lane, front)
  local ms, seq = entry_parts(entry)
  return { ms, seq, lane, front }
end

-- What a stream still has to give: entries from `low` to `high`, none older than `first`. Delivered entries are those up to `last`; the ones still there run.
local function range(s, last)
  s.low, s.high = s.running and '-' or '(' .. last, s.running and last or '+'
  if not bound then
    return
  end
  local same = { before[1], before[2], s.lane, s.front }
  local from = (precedes(before, same) and '' or '(') .. bound
  local l = place_of(last, 0, 0)
  local above = before[1] > l[1] or (before[1] == l[1] and before[2] > l[2])
  if newest then
    s.high = s.running and above and last or from
  else
    s.low = not s.running and not above and '(' .. last or from
  end
end
-- Whether nothing can be as old as s.high: XREVRANGE would walk through the whole stream to see that.
local function is_below(s)
  if s.high == '+' then
    return false
  end
  local open, ms, seq = string.match(s.high, '^(%(?)(%d+)-(%d+)$')
  ms, seq = tonumber(ms), tonumber(seq)
  local first = s.first
  return ms < first[1] or (ms == first[1] and (seq < first[2] or (seq == first[2] and open == '(')))
end
local function refill(s, n)
  local entries
  if newest then
    entries = is_below(s) and {} or call('XREVRANGE', s.key, s.high, s.low, 'COUNT', n)
  else
    entries = call('XRANGE', s.key, s.low, s.high, 'COUNT', n)
  end
  s.entries, s.at, s.done, s.owners = entries, 1, #entries < n, {}
  if #entries == 0 then
    return
  end
  local a, b = entries[1][1], entries[#entries][1]
  if newest then
    s.high, a, b = '(' .. b, b, a
  else
    s.low = '(' .. b
  end
  for _, p in ipairs(s.running and call('XPENDING', s.key, 'g', a, b, n) or {}) do
    s.owners[p[1]] = p[2]
  end
end
local function look(s, n)
  if s.at > #s.entries and not s.done then
    refill(s, n)
  end
  local e = s.entries[s.at]
  s.place = e and place_of(e[1], s.lane, s.front)
end

local streams = {}
local function add(lane, front)
  local key = K .. (front == 1 and 'f:' or 'l:') .. lane
  if call('XLEN', key) == 0 then
    return
  end
  local group = call('XINFO', 'GROUPS', key)[1] or {}
  local last, owned = '0-0', 0
  for i = 1, #group, 2 do
    last = group[i] == 'last-delivered-id' and group[i + 1] or last
    owned = group[i] == 'pending' and group[i + 1] or owned
  end
  local first = place_of(call('XRANGE', key, '-', '+', 'COUNT', 1)[1][1], lane, front)
  for _, running in ipairs({ false, true }) do
    if string.find(which, running and 'r' or 'p', 1, true) and (not running or owned > 0) then
      local s = { lane = lane, front = front, key = key, running = running, entries = {}, at = 1, first = first }
      range(s, last)
      streams[#streams + 1] = s
    end
  end
end
for i = 7, #ARGV do
  add(tonumber(ARGV[i]), 0)
  add(tonumber(ARGV[i]), 1)
end

-- A heap of those that have one to give, the next of all on top.
local each = math.min(limit, math.max(2, math.ceil(2 * limit / math.max(#streams, 1))))
local heap = {}
for _, s in ipairs(streams) do
  look(s, each)
  if s.place then
    heap[#heap + 1] = s
  end
end
table.sort(heap, function(a, b)
  return precedes(a.place, b.place)
end)
local function sink()
  local i = 1
  while true do
    local child = 2 * i
    if child < #heap and precedes(heap[child + 1].place, heap[child].place) then
      child = child + 1
    end
    if child > #heap or not precedes(heap[child].place, heap[i].place) then
      return
    end
    heap[i], heap[child] = heap[child], heap[i]
    i = child
  end
end

local out = { '', 0 }
while heap[1] and #out - 2 < limit do
  local s = heap[1]
  local entry = s.entries[s.at]
  local m, j = fields_of(entry[2])
  local p = s.place
  local id = entry_id(entry[1], m, s.lane, shard)
  local v = view_of(id, s.front == 1 and places.front or places.lane, m, j, s.running and (s.owners[entry[1]] or '0') or nil, max)
  v[11] = #j > max and 1 or 0
  v[5] = string.sub(j, 1, max)
  v[12] = string.format('%.0f-%.0f-%.0f-%d', p[1], p[2], s.lane, s.front)
  out[#out + 1] = v
  s.at = s.at + 1
  look(s, each)
  if not s.place then
    heap[1] = heap[#heap]
    heap[#heap] = nil
  end
  sink()
end
if heap[1] then
  out[1] = out[#out][12]
end
out[2] = #out - 2
return out
