#!lua
-- The second half of a producer's plain call: in one MULTI after the XADDs of jobs that run now and hold no keys. Checks that the
-- call is new and that lanes and queues are as the producer knew them; else takes the entries out again before anyone saw them.
-- Payloads too large for an entry were set under names of the call's own, in the same MULTI; they are renamed after the ids of their jobs.
-- keys: {p:0}:sh {p:0}:p:PRODUCER
-- and {p:0}:b:NAME for each payload
-- argv: call_no token shard n_lanes (lane n_added)... then for each payload key: lane and place of its job among those added to the lane, from 0
-- returns: 'N': accepted, the ids are those the XADDs gave; '' when token is out of date (nothing was added: use enqueue). For a repeat
--   (nothing was added) the answer that was kept: 'S' call_no I6, then for each run of ids: lane I3, ms I6, first seq I4, n I2, in the order
--   of the jobs of each lane; or enqueue's
--#include "base.lua"
--#include "ids.lua"
--#include "stats.lua"
--#include "wake.lua"
--#include "deliver.lua"
local call_no, shard = tonumber(ARGV[1]), tonumber(ARGV[3])
local lanes_end = 4 + 2 * ARGV[4]
local slot = call_no % 64
local seen = call('HMGET', KEYS[2], 'n', slot)
local stale = call('HGET', sh, 'v') ~= ARGV[2]
local repeated = seen[1] and call_no <= tonumber(seen[1])

if stale or repeated then
  if #KEYS > 3 then
    call('UNLINK', unpack(KEYS, 3))
  end
  for i = 5, lanes_end, 2 do
    local entries = call('XREVRANGE', K .. 'l:' .. ARGV[i], '+', '-', 'COUNT', ARGV[i + 1])
    for e = 1, #entries do
      call('XDEL', K .. 'l:' .. ARGV[i], entries[e][1])
    end
  end
  if not repeated then
    return ''
  end
  if seen[2] and unpk('>I6', seen[2], 2) == call_no then
    return seen[2]
  end
  return redis.error_reply('DQUNKNOWN this call is too old to know what became of it')
end

local runs, runs_of = {}, {}
for i = 5, lanes_end, 2 do
  local lane, left, upto = ARGV[i], tonumber(ARGV[i + 1]), '+'
  local of_lane, packed = {}, {}
  runs_of[lane] = of_lane
  while left > 0 do
    local last = call('XREVRANGE', K .. 'l:' .. lane, upto, '-', 'COUNT', 1)[1][1]
    local ms, seq = string.match(last, '(%d+)-(%d+)')
    local n = math.min(left, seq + 1)
    if n < left then
      upto = '(' .. ms .. '-0'
    end
    left = left - n
    table.insert(packed, 1, pack('>I3I6I4I2', tonumber(lane), tonumber(ms), seq - n + 1, n)) -- found last to first
    of_lane[#of_lane + 1] = { left, ms, seq - n + 1 }
  end
  runs[#runs + 1] = table.concat(packed)
  count(lane .. ':e', ARGV[i + 1])
end
for i = 3, #KEYS - 1 do -- the last is the guard
  local lane, place = ARGV[lanes_end + 2 * i - 5], tonumber(ARGV[lanes_end + 2 * i - 4])
  local r = 1
  while runs_of[lane][r][1] > place do -- runs are in reverse: the first that begins at this place or before
    r = r + 1
  end
  local first, ms, seq = unpack(runs_of[lane][r])
  call('RENAME', KEYS[i], K .. 'b:' .. id_pack(tonumber(ms), seq + place - first, tonumber(lane), shard))
end
runs = table.concat(runs)
local answer = 'S' .. pack('>I6', call_no) .. runs
call('HSET', KEYS[2], 'n', call_no, slot, answer)
call('PEXPIRE', KEYS[2], PRODUCER_KEPT_MS)
event('E' .. pack('>I6', now) .. runs)
for i = 5, lanes_end, 2 do
  deliver(ARGV[i], ARGV[i + 1])
end
return 'N'
