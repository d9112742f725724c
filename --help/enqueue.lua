
-- Accept a batch of jobs, each by itself: into its lane, or the due set. Makes lanes that are new.
-- keys: {p:0}:sh {p:0}:p:PRODUCER {p:0}:lanes {p:0}:due {p:0}:due:h
-- argv: call_no shard n_lanes lane_name... then segments up to the end:
--   'r' lane_index n  n x (j)                                     ready now
--   'd' lane_index n  n x (at_ms or -delay_ms, mtail, j)          due later; mtail follows the id in the moved part
--   'x' lane_index n  n x (at_ms | -delay_ms | '', ukey, ukey_ms, request, request_ms, token, s2s_ms, payload, mtail, j)  with keys
--   token: the reservation (16 bytes) under which ukey is held on its home shard, or 'X' and the id of the job that holds it there; ''
--   when this shard is its home
--   payload: bytes kept in a key of their own ('' when they are in j); s2s_ms: schedule-to-start limit, 0 none
-- returns: packed answer, kept for repeats: 'G' call_no I6, then items in the order of the jobs: 0 n I2 lane I3 ms I6 seq I4 (n jobs with
--   sequences in a row), 1 (unknown queue), 2 (queue full), 3 id (unique key held by), 4 id (request known as)
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
-- A job's 13-byte id: ms 6 bytes, then sequence 28 bits, lane 18, shard 10.
local function id_pack(ms, seq, lane, shard)
  return pack('>I6I4I3', ms, seq * 16 + math.floor(lane / 16384), lane % 16384 * 1024 + shard)
end
local function id_unpack(id)
  local ms, a, b = unpk('>I6I4I3', id)
  return ms, math.floor(a / 16), a % 16 * 16384 + math.floor(b / 1024)
end
-- Ids of jobs that start in the due set: ms and sequence only grow, whatever the host's clock does; sequences from 2^27 up keep them
-- apart from ids that are entries of a lane.
local id_ms, id_seq
local function due_id(lane, shard)
  if not id_ms then
    local last = call('HMGET', sh, 'ms', 'sq')
    id_ms, id_seq = tonumber(last[1] or 0), tonumber(last[2] or 0)
    if now > id_ms then
      id_ms, id_seq = now, 0
    end
  end
  id_seq = id_seq + 1
  if id_seq >= ID_SEQ_DUE then
    id_ms, id_seq = id_ms + 1, 1
  end
  return id_pack(id_ms, ID_SEQ_DUE + id_seq - 1, lane, shard)
end
local function due_ids_save()
  if id_ms then
    call('HSET', sh, 'ms', id_ms, 'sq', id_seq)
  end
end
-- Entries of a stream that nobody was given yet: those behind the group's last delivered id.
local function group_of(key)
  local found = redis.pcall('XINFO', 'GROUPS', key)
  local g = { pending = 0, last = '0-0' }
  if found.err or not found[1] then
    return g
  end
  for i = 1, #found[1], 2 do
    if found[1][i] == 'pending' then
      g.pending = found[1][i + 1]
    elseif found[1][i] == 'last-delivered-id' then
      g.last = found[1][i + 1]
    end
  end
  return g
end
local function undelivered(key, n)
  return call('XRANGE', key, '(' .. group_of(key).last, '+', 'COUNT', n)
end
local function count(field, n)
  local minute = K .. 'st:' .. math.floor(now / 60000)
  if call('HINCRBY', minute, field, n) == tonumber(n) then
    call('PEXPIRE', minute, MINUTE_KEPT_MS)
  end
end
local function event(text)
  call('XADD', K .. 'ev', 'MAXLEN', '~', call('HGET', sh, 'en') or 16384, '*', 'e', text)
end
-- Behind n jobs added to a lane: wake as many of the sessions that wait for its work. A few go out in the very message that wakes: the session
-- need not come back to read them. Its gate is asked here: is it alive, does it listen, is nothing paused. Whether it has a slot left
-- only it knows, and gives the job back if not.
local function deliver(lane, n)
  local idle = call('SPOP', K .. 'idle:' .. lane, n)
  local few = #idle > 0 and tonumber(n) <= 4 and call('EXISTS', K .. 'paused_queues') == 0
  for _, session in ipairs(idle) do
    local channel, job = K .. 'w:' .. session, nil
    if
      few
      and redis.acl_check_cmd('SPUBLISH', channel, '')
      and call('HGET', K .. 's:' .. session, 'st') == 'live'
      and call('PUBSUB', 'SHARDNUMSUB', channel)[2] == 1
    then
      local read = call('XREADGROUP', 'GROUP', 'g', session, 'COUNT', 1, 'STREAMS', K .. 'l:' .. lane, '>')
      job = read and read[1][2][1]
    end
    if job then
      local ms, seq = string.match(job[1], '(%d+)-(%d+)')
      redis.pcall('SPUBLISH', channel, 'J' .. pack('>I3I6I4', tonumber(lane), tonumber(ms), tonumber(seq)) .. job[2][2])
    else
      redis.pcall('SPUBLISH', channel, 'L' .. lane)
    end
  end
end
local pk = KEYS[2]
local call_no, shard, n_lanes = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local slot = call_no % 64
local seen = call('HMGET', pk, 'n', slot)
if seen[1] and call_no <= tonumber(seen[1]) then
  if seen[2] and unpk('>I6', seen[2], 2) == call_no then
    return seen[2]
  end
  return redis.error_reply('DQUNKNOWN this call is too old to know what became of it')
end

-- Room left in a queue with a limit: what waits is what is in its streams and not delivered.
local function room_of(queue, limit)
  local waiting = 0
  for _, no in ipairs(call('SMEMBERS', K .. 'ql:' .. queue)) do
    for _, key in ipairs({ K .. 'l:' .. no, K .. 'f:' .. no }) do
      waiting = waiting + call('XLEN', key) - group_of(key).pending
    end
  end
  return limit - waiting
end

local function lane_make(name, queue)
  local no = call('RPUSH', K .. 'lane', name)
  call('HSET', K .. 'lanes', name, no)
  call('SADD', K .. 'ql:' .. queue, no)
  call('XGROUP', 'CREATE', K .. 'l:' .. no, 'g', '0', 'MKSTREAM')
  call('XGROUP', 'CREATE', K .. 'f:' .. no, 'g', '0', 'MKSTREAM')
  redis.pcall('SPUBLISH', K .. 'ctl', 'N' .. no)
  return no
end

-- Lanes: number (nil: the queue is not known), and the queue's room (nil: no limit).
local lane_no, room, queue_seen = {}, {}, {}
local numbers = call('HMGET', K .. 'lanes', unpack(ARGV, 4, 3 + n_lanes))
for i = 1, n_lanes do
  local name = ARGV[3 + i]
  local queue = string.match(name, '^[^|]*')
  local q = queue_seen[queue]
  if not q then
    q = { row = call('HGET', K .. 'q', queue) }
    queue_seen[queue] = q
    local limit = q.row and unpk('>I6', q.row) or 0
    if limit > 0 then
      q.room = room_of(queue, limit)
    end
  end
  if q.row then
    room[i] = q
    lane_no[i] = tonumber(numbers[i] or lane_make(name, queue))
  end
end

-- The answer: runs of ids while they are in a row.
local items = {}
local run_n, run_lane, run_ms, run_seq = 0, 0, 0, 0
local function run_end()
  if run_n > 0 then
    items[#items + 1] = pack('>BI2I3I6I4', 0, run_n, run_lane, run_ms, run_seq)
    run_n = 0
  end
end
local function accepted(lane, ms, seq)
  if run_n > 0 and lane == run_lane and ms == run_ms and seq == run_seq + run_n then
    run_n = run_n + 1
    return
  end
  run_end()
  run_n, run_lane, run_ms, run_seq = 1, lane, ms, seq
end
local function refused(code, id)
  run_end()
  items[#items + 1] = string.char(code) .. (id or '')
end

-- The living holder of a unique key whose home is here, or nil.
local function holder_of(ukey)
  local v = call('GET', K .. 'u:' .. ukey)
  if not v then
    return nil
  end
  local kind = #v ~= 13 and string.sub(v, 1, 1)
  if kind == 'R' then
    return unpk('>I6', v, 2) > now and string.rep('\0', 13) or nil
  end
  return kind == 'X' and string.sub(v, 4, 16) or v
end

local zadd, hset, soonest = {}, {}, nil
local function due_at(text)
  local at = tonumber(text)
  return at <= 0 and now - at or at
end
local function add_due(lane, at, mtail, j)
  local id = due_id(lane, shard)
  local m = '\1' .. id .. pack('>I2I2BBI2I6I6', 0, 0, 0, 0, 0, at, at) .. string.sub(mtail, 21)
  zadd[#zadd + 1], zadd[#zadd + 2] = at, id
  hset[#hset + 1], hset[#hset + 2] = id, pack('>I4', #m) .. m .. j
  if not soonest or at < soonest then
    soonest = at
  end
  local ms, seq = id_unpack(id)
  accepted(lane, ms, seq)
  return id
end
local ready, stats = {}, {}
local function add_ready(lane, q, j)
  local ms, seq = string.match(call('XADD', K .. 'l:' .. lane, '*', 'j', j), '(%d+)-(%d+)')
  ms, seq = tonumber(ms), tonumber(seq)
  ready[lane] = (ready[lane] or 0) + 1
  if q.room then
    q.room = q.room - 1
  end
  accepted(lane, ms, seq)
  return id_pack(ms, seq, lane, shard)
end

-- One job with keys: everything about it in one step.
local function add_keyed(lane, q, p)
  local at, ukey, ukey_ms, request, request_ms, token, s2s, payload, mtail, j = unpack(ARGV, p, p + 9)
  local known = request ~= '' and call('GET', K .. 'r:' .. request)
  if known then
    return refused(4, known)
  end
  if not lane then
    return refused(1)
  end
  if #token == 14 then -- refused on its home shard
    return refused(3, string.sub(token, 2))
  end
  local holder = ukey ~= '' and token == '' and holder_of(ukey)
  if holder then
    return refused(3, holder)
  end
  if at == '' and q.room and q.room <= 0 then
    return refused(2)
  end
  local id = at == '' and add_ready(lane, q, j) or add_due(lane, due_at(at), mtail, j)
  if token ~= '' then
    call('HSET', K .. 'ob', 'c' .. ukey, token .. id .. ukey_ms)
  elseif ukey ~= '' and ukey_ms == '0' then
    call('SET', K .. 'u:' .. ukey, id)
  elseif ukey ~= '' then
    call('SET', K .. 'u:' .. ukey, id, 'PX', ukey_ms)
  end
  if request ~= '' then
    call('SET', K .. 'r:' .. request, id, 'PX', request_ms)
  end
  if s2s ~= '0' then
    call('ZADD', K .. 's2s', (at == '' and now or due_at(at)) + s2s, id)
  end
  if payload ~= '' then
    call('SET', K .. 'b:' .. id, payload)
  end
  stats[lane] = (stats[lane] or 0) + 1
end

local function add_plain(kind, lane, q, p)
  if not lane then
    return refused(1)
  end
  if kind == 'd' then
    add_due(lane, due_at(ARGV[p]), ARGV[p + 1], ARGV[p + 2])
  elseif q.room and q.room <= 0 then
    return refused(2)
  else
    add_ready(lane, q, ARGV[p])
  end
  stats[lane] = (stats[lane] or 0) + 1
end

local width = { r = 1, d = 3, x = 10 }
local p = 4 + n_lanes
while p <= #ARGV do
  local kind, i, n = ARGV[p], tonumber(ARGV[p + 1]), tonumber(ARGV[p + 2])
  local w = width[kind]
  p = p + 3
  for at = p, p + (n - 1) * w, w do
    if kind == 'x' then
      add_keyed(lane_no[i], room[i], at)
    else
      add_plain(kind, lane_no[i], room[i], at)
    end
  end
  p = p + n * w
end
run_end()

if #zadd > 0 then
  local head = call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')
  call('ZADD', KEYS[4], unpack(zadd))
  call('HSET', KEYS[5], unpack(hset))
  local ticker = call('HGET', sh, 'tk')
  if ticker and (not head[2] or soonest < tonumber(head[2])) then
    redis.pcall('SPUBLISH', K .. 'w:' .. ticker, 'D' .. soonest)
  end
  due_ids_save()
end
local body = table.concat(items)
local answer = 'G' .. pack('>I6', call_no) .. body
call('HSET', pk, 'n', call_no, slot, answer)
call('PEXPIRE', pk, PRODUCER_KEPT_MS)
if next(stats) then
  event('A' .. pack('>I6', now) .. body)
end
for lane, n in pairs(stats) do
  count(lane .. ':e', n)
end
for lane, n in pairs(ready) do
  deliver(lane, n)
end
return answer
