#!lua
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
--   sequences in a row), 1 (unknown queue), 2 (queue full), 3 id (unique key held by), 4 id (request known as), 5 (the lane would be one too many)
--#include "base.lua"
--#include "ids.lua"
--#include "due_ids.lua"
--#include "records.lua"
--#include "sets.lua"
--#include "ukey.lua"
--#include "lane.lua"
--#include "stats.lua"
--#include "wake.lua"
--#include "deliver.lua"
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
    lane_no[i] = tonumber(numbers[i]) or lane_make(name, queue)
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

local zadd, hset, soonest = {}, {}, nil
local function due_at(text)
  local at = tonumber(text)
  return at <= 0 and now - at or at
end
local function add_due(lane, at, j)
  local id = due_id(lane, shard)
  zadd[#zadd + 1], zadd[#zadd + 2] = at, id
  hset[#hset + 1], hset[#hset + 2] = id, record(moved_fresh(id, at, at), j)
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
  local at, ukey, ukey_ms, request, request_ms, token, s2s, payload, _, j = unpack(ARGV, p, p + 9)
  local known = request ~= '' and call('GET', K .. 'r:' .. request)
  if known then
    return refused(4, known)
  end
  if not lane then
    return refused(q and 5 or 1)
  end
  local held = held_read(token)
  local holder = held
  if ukey ~= '' and not held then
    if token == '' then
      holder = holder_of(call('GET', K .. 'u:' .. ukey))
    else
      holder = outbox_holder(ukey, NO_ID)
    end
  end
  if holder then
    return refused(3, holder)
  end
  if at == '' and q.room and q.room <= 0 then
    return refused(2)
  end
  local id = at == '' and add_ready(lane, q, j) or add_due(lane, due_at(at), j)
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
    return refused(q and 5 or 1)
  end
  if kind == 'd' then
    add_due(lane, due_at(ARGV[p]), ARGV[p + 2])
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
  local first = set_first('due')
  set_put('due', zadd, hset)
  local leader = call('HGET', sh, 'tk')
  if leader and (not first or soonest < first) then
    redis.pcall('SPUBLISH', K .. 'w:' .. leader, 'D' .. soonest)
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
