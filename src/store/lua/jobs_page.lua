#!lua flags=no-writes
-- One page of a structure, by cursor: bounded by `limit` rows looked at.
-- keys: {p:0}:sh
-- argv: structure cursor limit order('new'|'old') bytes_max shard
--   structure: 'q:<lane>' 'r:<lane>' (waiting, running in l:), 'Q:<lane>' 'R:<lane>' (the same in f:), 'due' 'paused' 'dead' 'history'
-- returns: { next cursor ('' at the end), n looked at, job... } each as job_get gives it, but without a payload key over bytes_max; a job whose j is over
--   bytes_max comes with that cut and a trailing element 1
--#include "base.lua"
--#include "ids.lua"
--#include "records.lua"
--#include "envelope.lua"
--#include "row_read.lua"
--#include "history_read.lua"
--#include "locate.lua"
--#include "job_view.lua"
local what, cursor, limit, newest = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4] == 'new'
local out = { '', 0 }
local looked, max = 0, tonumber(ARGV[5])
local function put(v)
  out[#out + 1] = v
end

-- How many members of a set come before score:id, and whether that one is itself there still. The score alone would do but for equal ones;
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

local kind = string.sub(what, 1, 2)
if kind == 'q:' or kind == 'r:' or kind == 'Q:' or kind == 'R:' then
  local lane = tonumber(string.sub(what, 3))
  local front = kind == 'Q:' or kind == 'R:'
  local running = kind == 'r:' or kind == 'R:'
  local key = K .. (front and 'f:' or 'l:') .. lane
  local groups = call('EXISTS', key) == 1 and call('XINFO', 'GROUPS', key) or {}
  local last = '0-0'
  if groups[1] then
    local g = groups[1]
    for i = 1, #g, 2 do
      if g[i] == 'last-delivered-id' then
        last = g[i + 1]
      end
    end
  end
  -- Delivered entries are those up to `last`; the ones still there run.
  local low, high = running and '-' or '(' .. last, running and last or '+'
  if cursor ~= '' then
    if newest then
      high = '(' .. cursor
    else
      low = '(' .. cursor
    end
  end
  local entries
  if newest then
    entries = call('XREVRANGE', key, high, low, 'COUNT', limit)
  else
    entries = call('XRANGE', key, low, high, 'COUNT', limit)
  end
  local owners = {}
  if running and #entries > 0 then
    local a, b = entries[1][1], entries[#entries][1]
    if newest then
      a, b = b, a
    end
    for _, p in ipairs(call('XPENDING', key, 'g', a, b, limit)) do
      owners[p[1]] = p[2]
    end
  end
  for _, e in ipairs(entries) do
    looked = looked + 1
    local m, j = fields_of(e[2])
    local ms, seq = string.match(e[1], '(%d+)-(%d+)')
    local id = m and string.sub(m, 2, 14) or id_pack(tonumber(ms), tonumber(seq), lane, tonumber(ARGV[6]))
    put(view_of(id, front and 'front' or 'lane', m, j, running and (owners[e[1]] or '0') or nil, max))
  end
  if looked == limit then
    out[1] = entries[#entries][1]
  end
elseif what == 'due' or what == 'paused' or what == 'dead' then
  -- cursor: score:id of the last one, id in hexadecimal
  local at = 0
  if cursor ~= '' then
    local score, id = string.match(cursor, '^([^:]+):(%x+)$')
    local before, there = rank_of(K .. what, tonumber(score) or 0, (string.gsub(id or '', '%x%x', unhex)))
    at = newest and call('ZCARD', K .. what) - before or before + (there and 1 or 0)
  end
  local ids, last = {}, ''
  local found = call(newest and 'ZREVRANGE' or 'ZRANGE', K .. what, at, at + limit - 1, 'WITHSCORES')
  for i = 1, #found, 2 do
    ids[#ids + 1] = found[i]
    last = found[i + 1] .. ':' .. string.gsub(found[i], '.', hex)
  end
  looked = #ids
  if looked > 0 then
    local recs = call('HMGET', K .. what .. ':h', unpack(ids))
    for i, id in ipairs(ids) do
      if recs[i] then
        if what == 'dead' then
          put(view_of(id, 'dead', nil, recs[i], nil, max))
        else
          local m, j = record_split(recs[i])
          put(view_of(id, what, m, j, nil, max))
        end
      end
    end
  end
  if looked == limit then
    out[1] = last
  end
else
  -- Buckets by number (they are opened in order of time), in each the order list; cursor: bucket:element:offset. An element holds many ids and
  -- does not change; elements are added behind the last, so they are counted from the first, whatever the order.
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
        local n = #list / 13
        while offset < n and out[1] == '' do
          local at = newest and n - 1 - offset or offset
          local id = string.sub(list, at * 13 + 1, at * 13 + 13)
          local ms = unpk('>I6', id)
          local row = call('HGET', K .. 'h:' .. b[1] .. ':' .. string.format('%d', math.floor(ms / b[2])), id)
          looked = looked + 1
          offset = offset + 1
          if row then
            put(view_of(id, 'history', nil, row, nil, max))
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
  if #v[5] > max then
    v[5] = string.sub(v[5], 1, max)
    v[11] = 1
  end
end
out[2] = looked
return out
