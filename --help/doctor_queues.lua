
-- A shard's small state, its lanes, its copy of the queues' definitions.
-- keys: {p:0}:sh
-- argv: shard repair('1' or '') then
--   'small'                                more: 'l', lanes
--   'lanes' from limit                     from: number of the first lane
--   'rows' (queue row paused('1' or ''))...
-- returns: as doctor_keys
-- Numbers that scripts share with each other or with C (model/job.h, model/id.h; a test compares). The build puts each where its name stands,
-- so a name costs nothing.
local ROW_OVERHEAD = 110 -- bytes that a history row costs beside itself
local ID_SEQ_DUE = 134217728 -- first sequence of jobs that start in the due set
local LIST_BYTES = 262144 -- of jobs that a call with a list moves
local RETENTION_DEFAULT_MS = 604800000
local HISTORY_DEFAULT_BYTES = 1073741824
local PRODUCER_KEPT_MS = 3600000 -- after its last call
local REQUEST_WINDOW_MS = 3600000
local MINUTE_KEPT_MS = 172800000 -- statistics of a minute that nobody has summed yet
local MINUTES_BACK = 2880 -- so many minutes, or hours, back there may be some that nobody has summed
local HOURS_BACK = 720
local sh = KEYS[1]
local K = string.sub(sh, 1, -3)
-- Messages go by redis.pcall: they are hints, and one that may not be sent must not break off a step.
local call, pack, unpk = redis.call, struct.pack, struct.unpack
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- What the doctor's scripts share: how they count, how they report, and what they look up without stumbling over a key of a wrong type
-- (that is a fault of its own). Every fault is seen within one script, so nothing moves while it is looked at.
local shard, repair = tonumber(ARGV[1]), ARGV[2] == '1'
local counts, faults, more = {}, {}, {}
local function tally(name, n)
  counts[name] = (counts[name] or 0) + (n or 1)
end
-- fix: how it is mended; nil when no way is safe.
local function fault(kind, key, id, text, fix)
  if fix and repair then
    fix()
  end
  faults[#faults + 1] = { kind, key, id or '', text, fix and 1 or 0, fix and repair and 1 or 0 }
end
local function answer(cursor)
  local c = {}
  for name, n in pairs(counts) do
    c[#c + 1] = name
    c[#c + 1] = n
  end
  return { cursor, c, faults, more }
end
local function ask(...)
  local r = redis.pcall(...)
  if type(r) == 'table' and r.err then
    return nil
  end
  return r
end
local function ticker_lives()
  local t = call('HMGET', sh, 'tk', 'tu')
  return t[1] and (tonumber(t[2] or 0) or 0) > now
end
-- Bounds: what waits for the ticker is late after a minute; a record's due time is an estimate of the server's clock.
local late_ms, due_slack_ms = 60000, 60000
-- How many members of a key one step takes: fewer when they are large, since a step reads them whole.
local function paced(key, members, limit)
  local bytes = members > 0 and ask('MEMORY', 'USAGE', key) or 0
  return math.max(math.min(tonumber(limit), math.floor(262144 * members / math.max(bytes, 1))), 4)
end
-- Whether a session is known: by its hash, or its place among the leases. (That both are there is looked at by itself.)
local function session_known(session)
  return ask('EXISTS', K .. 's:' .. session) == 1 or (ask('ZSCORE', K .. 'lease', session) and true)
end
-- Makes a session that lost a part of itself, or all, one that the reaper takes next.
local function session_doom(session)
  return tonumber(session) and function()
    call('HSET', K .. 's:' .. session, 'st', 'reaping', 'lane', 1)
    call('ZADD', K .. 'lease', 0, session)
  end
end
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
    fault('ticker', sh, '', 'its session, epoch and time are not all numbers', tonumber(t[1]) and tonumber(t[2]) and free)
  elseif t[1] and tonumber(t[3]) > now and not session_known(t[1]) then
    fault('ticker', sh, '', 'session ' .. t[1] .. ' is not there', free)
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
