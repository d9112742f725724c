#!lua flags=no-writes
-- A page of the items of a batch, by their numbers; or one by its id.
-- keys: {p:0}:sh
-- argv: id first limit states('' any; else those bytes that states may have) name('' a page)
-- returns: nil (no such batch), or { header, where to go on ('' there are no more), { number, state, id, job ('' none), result ('' none; else 'j' and JSON, 'b' and
--   base64, 'e' and why it failed) }... }; of one by its id: without it when there is none
--#include "base.lua"
local CHUNK = 1000
local LOOKED = 65536
local BYTES = 1048576
local READ = 16
local id, first, limit, states, name = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5]
local head = call('GET', K .. 'bs:' .. id)
if not head then
  return false
end
local total, next_one = unpk('>I4I4', head, 15)
local status, flags = string.byte(head, 2, 3)
local named = math.floor(flags / 8) % 2 == 1
local has_ended = status == 2 or status == 3 or status == 5
-- As the header counts them: what a retry is still to come to waits, whatever became of it before, and after the end what never began is cancelled.
local function as_counted(cells, from)
  if math.floor(flags / 32) % 2 == 1 then
    local n = math.max(0, next_one - from)
    cells = string.sub(cells, 1, n) .. string.gsub(string.sub(cells, n + 1), '[\4\5]', '\0')
  end
  return has_ended and string.gsub(cells, '%z', '\5') or cells
end
if name ~= '' then
  first = named and tonumber(call('HGET', K .. 'bn:' .. id, name) or -1) or not named and string.find(name, '^%d+$') and tonumber(name) or -1
  if first < 0 or first >= total or not named and string.format('%d', first) ~= name then
    return { head, '' }
  end
  limit = 1
end
local list, at = {}, first
local cells = as_counted(call('GETRANGE', K .. 'bx:' .. id, first, math.min(first + LOOKED, total) - 1), first)
for i = 1, first < total and #cells or 0 do
  if #list == limit then
    break
  end
  if states == '' or string.find(states, string.sub(cells, i, i), 1, true) then
    list[#list + 1] = at
  end
  at = at + 1
end
local out, bytes = { head, at < total and at or '' }, 0
local jobs = #list > 0 and call('HMGET', K .. 'bj:' .. id, unpack(list)) or {}
local from, some = 0, {} -- items in a row, to know their ids
local function id_of(no, index)
  if not named then
    return string.format('%d', index)
  end
  if not some[index - from + 1] then
    local at_most = math.min(index - no * CHUNK + READ, CHUNK) - 1
    from, some = index, call('LRANGE', K .. 'bi:' .. id .. ':' .. no, index - no * CHUNK, at_most)
    for _, item in ipairs(some) do
      bytes = bytes + #item / 8
    end
  end
  local item = some[index - from + 1] or '\0\0'
  return string.sub(item, 3, 2 + string.byte(item, 2))
end
for i, index in ipairs(list) do
  local no = math.floor(index / CHUNK)
  local state = string.byte(cells, index - first + 1)
  local result = state > 1 and call('HGET', K .. 'br:' .. id .. ':' .. no, index) or ''
  out[#out + 1] = { index, state, id_of(no, index), jobs[i] or '', result }
  bytes = bytes + #result
  if bytes > BYTES and i < #list then
    out[2] = index + 1
    break
  end
end
return out
