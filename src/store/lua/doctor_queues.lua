#!lua flags=allow-oom
-- A shard's small state, its lanes, its copy of the queues' definitions.
-- keys: {p:0}:sh
-- argv: shard repair('1' or '') then
--   'small'                                more: 'l', lanes
--   'lanes' from limit                     from: number of the first lane
--   'rows' (queue row paused('1' or ''))...
-- returns: as doctor_keys
--#include "base.lua"
--#include "doctor.lua"
--#include "doctor_session.lua"
local op = ARGV[3]
local run = {}

function run.small()
  for _, field in ipairs({ 'ms', 'sq', 'ck', 'cw', 'ss', 'bn', 'hm', 'en', 'qv', 'te' }) do
    local v = call('HGET', sh, field)
    if v and not tonumber(v) then
      fault('small_state', sh, '', field .. ' is not a number')
    end
  end
  if not call('HGET', sh, 'v') then
    fault('small_state', sh, '', 'v is not there')
  end
  local t = call('HMGET', sh, 'tk', 'te', 'tu', 'ss')
  local function free()
    call('HSET', sh, 'tu', 0)
  end
  if t[1] and not (tonumber(t[1]) and tonumber(t[2]) and tonumber(t[3])) then
    fault('leader', sh, '', 'its session, epoch and time are not all numbers', tonumber(t[1]) and tonumber(t[2]) and free)
  elseif t[1] and tonumber(t[3]) > now and not session_known(t[1]) then
    fault('leader', sh, '', 'session ' .. t[1] .. ' is not there', free)
  end
  more[1] = { 'l', call('LLEN', K .. 'lane') }
  if call('HLEN', K .. 'lanes') > more[1][2] then
    fault('lane_map', K .. 'lanes', '', 'has more lanes than the list')
  end
end

local function look_lane(no, name)
  local queue = string.match(name, '^([^|]*)|')
  tally('lanes')
  if not queue then
    fault('lane_map', K .. 'lane', '', 'lane ' .. no .. ' has no proper name')
    return
  end
  local known = call('HGET', K .. 'lanes', name)
  if known ~= tostring(no) then
    fault('lane_map', K .. 'lanes', '', "'" .. name .. "' is lane " .. no .. ', not ' .. (known or 'nothing'), not known and function()
      call('HSET', K .. 'lanes', name, no)
    end)
  end
  if ask('SISMEMBER', K .. 'ql:' .. queue, no) == 0 then
    fault('lane_map', K .. 'ql:' .. queue, '', 'does not know lane ' .. no, function()
      call('SADD', K .. 'ql:' .. queue, no)
    end)
  end
end
function run.lanes()
  local from, limit = tonumber(ARGV[4]), tonumber(ARGV[5])
  local names = call('LRANGE', K .. 'lane', from - 1, from + limit - 2)
  for i, name in ipairs(names) do
    look_lane(from + i - 1, name)
  end
  return #names == limit and tostring(from + limit) or ''
end

local function changed()
  local s = call('HMGET', sh, 'v', 'qv')
  local version = (tonumber(s[2] or 0) or 0) + 1
  if s[1] then -- else shard_init makes one, which nobody has seen yet
    call('HSET', sh, 'v', string.match(s[1], '^[^.]*') .. '.' .. version, 'qv', version)
  end
  redis.pcall('SPUBLISH', K .. 'ctl', 'P')
end
function run.rows()
  local known = {}
  for i = 4, #ARGV, 3 do
    local queue, row, paused = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    known[queue] = true
    if call('HGET', K .. 'q', queue) ~= row then
      fault('queue_row', K .. 'q', '', "queue '" .. queue .. "' differs from its definition", function()
        call('HSET', K .. 'q', queue, row)
        changed()
      end)
    end
    if call('SISMEMBER', K .. 'paused_queues', queue) ~= (paused == '1' and 1 or 0) then
      fault('queue_row', K .. 'paused_queues', '', "queue '" .. queue .. "' is " .. (paused == '1' and '' or 'not ') .. 'paused', function()
        call(paused == '1' and 'SADD' or 'SREM', K .. 'paused_queues', queue)
        changed()
      end)
    end
  end
  for _, queue in ipairs(call('HKEYS', K .. 'q')) do
    if not known[queue] then
      fault('queue_row', K .. 'q', '', "queue '" .. queue .. "' has no definition")
    end
  end
end
local cursor = run[op]()
return answer(cursor or '')
