#!lua flags=no-writes
-- One page of a structure, by cursor: bounded by `limit` rows looked at.
-- keys: {p:0}:sh
-- argv: structure cursor limit order('new'|'old') bytes_max
--   structure: 'due' 'paused' 'dead' 'history'; lanes_page has the lanes
-- returns: { next cursor ('' at the end), n looked at, job... } each as job_get gives it, but without a payload key over bytes_max, and two elements
--   more: 1 when its j is over bytes_max and cut to that, else 0; and the cursor after it
--#include "base.lua"
--#include "job_view.lua"
local what, cursor, limit, newest = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4] == 'new'
local out = { '', 0 }
local looked, max = 0, tonumber(ARGV[5])
local function put(v, behind)
  v[12] = behind
  out[#out + 1] = v
end

-- How many members of a set come before score:id, and whether that one is itself there still. The score alone would do except for equal ones;
-- Lua's < on strings follows the server's locale, the set's order does not.
local function bytes_before(a, b)
  for i = 1, #a do
    local x, y = string.byte(a, i), string.byte(b, i) or 0
    if x ~= y then
      return x < y
    end
  end
  return false
end
local function rank_of(key, score, id)
  local low, high = 0, call('ZCARD', key)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local e = call('ZRANGE', key, middle, middle, 'WITHSCORES')
    local s = tonumber(e[2])
    if s < score or (s == score and bytes_before(e[1], id)) then
      low = middle + 1
    else
      high = middle
    end
  end
  return low, call('ZRANGE', key, low, low)[1] == id
end
local function unhex(two)
  return string.char(tonumber(two, 16))
end
local function hex(byte)
  return string.format('%02x', string.byte(byte))
end

local set = places[what]
if set ~= places.history then
  -- cursor: score:id of the last one, id in hexadecimal
  local at = 0
  if cursor ~= '' then
    local score, id = string.match(cursor, '^([^:]+):(%x+)$')
    local before, there = rank_of(K .. what, tonumber(score) or 0, (string.gsub(id or '', '%x%x', unhex)))
    at = newest and call('ZCARD', K .. what) - before or before + (there and 1 or 0)
  end
  local ids, behind = {}, {}
  local found = call(newest and 'ZREVRANGE' or 'ZRANGE', K .. what, at, at + limit - 1, 'WITHSCORES')
  for i = 1, #found, 2 do
    ids[#ids + 1] = found[i]
    behind[#ids] = found[i + 1] .. ':' .. string.gsub(found[i], '.', hex)
  end
  looked = #ids
  if looked > 0 then
    local recs = call('HMGET', K .. what .. ':h', unpack(ids))
    for i, id in ipairs(ids) do
      if recs[i] then
        local m, j = set_split(set, recs[i])
        put(view_of(id, set, m, j, nil, max), behind[i])
      end
    end
  end
  if looked == limit then
    out[1] = behind[looked]
  end
else
  -- Buckets by number (they are opened in order of time), in each the order list; cursor: bucket:element:offset. An element holds many ids and
  -- does not change; elements are added after the last, so they are counted from the first, whatever the order.
  local buckets = {}
  for _, b in ipairs(call('ZRANGE', K .. 'hx', 0, -1)) do
    local no, width = string.match(b, '^(%d+):%d+:(%d+)$')
    buckets[#buckets + 1] = { tonumber(no), tonumber(width) }
  end
  table.sort(buckets, function(a, b)
    if newest then
      return a[1] > b[1]
    end
    return a[1] < b[1]
  end)
  local from, element, offset = string.match(cursor, '^(%d+):(%d+):(%d+)$')
  from, element, offset = tonumber(from), tonumber(element), tonumber(offset or 0)
  local steps = 0
  for _, b in ipairs(buckets) do
    if out[1] ~= '' then
      break
    end
    if not from or (newest and b[1] <= from) or (not newest and b[1] >= from) then
      if not element or b[1] ~= from then
        element, offset = newest and call('LLEN', K .. 'ho:' .. b[1]) - 1 or 0, 0
      end
      from = b[1]
      while out[1] == '' do
        local list = element >= 0 and call('LINDEX', K .. 'ho:' .. b[1], element)
        if not list then
          break
        end
        local n = #list / ID_BYTES
        while offset < n and out[1] == '' do
          local at = newest and n - 1 - offset or offset
          local id = string.sub(list, at * ID_BYTES + 1, (at + 1) * ID_BYTES)
          local row = call('HGET', K .. 'h:' .. b[1] .. ':' .. string.format('%d', math.floor(id_ms(id) / b[2])), id)
          looked = looked + 1
          offset = offset + 1
          if row then
            put(view_of(id, set, nil, row, nil, max), b[1] .. ':' .. element .. ':' .. offset)
          end
          steps = steps + 1
          if steps >= limit then
            out[1] = b[1] .. ':' .. element .. ':' .. offset
          end
        end
        if out[1] == '' then
          element, offset = element + (newest and -1 or 1), 0
        end
      end
    end
  end
end

for i = 3, #out do
  local v = out[i]
  v[11] = #v[5] > max and 1 or 0
  v[5] = string.sub(v[5], 1, max)
end
out[2] = looked
return out
