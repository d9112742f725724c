#!lua
-- Accept a batch of jobs, each by itself: into its lane, or the due set.
-- keys: {p:0}:sh {p:0}:p:PRODUCER {p:0}:lanes {p:0}:due {p:0}:due:h {p:0}:ev
-- argv: call_no repeat('r' or '') shard n_jobs n_lanes lane_name... then segments up to the end:
--   'r' lane_index n  n x (j)                                     ready now
--   'd' lane_index n  n x (at_ms or -delay_ms, mtail, j)          due later; mtail follows the id in the moved part
--   'x' lane_index n  n x (at_ms | -delay_ms | '', ukey, ukey_ms, request, request_ms, token, s2s_ms, payload, mtail, j)  with keys
--   token: the reservation under which ukey is held on its home shard ('' when this shard is its home)
--   payload: bytes kept in a key of their own ('' when they are in j); s2s_ms: schedule-to-start limit, 0 none
-- returns: packed answer, kept for repeats: call_no I6, ms I6, first seq I3, n_refused I2, then for each
--   refused: index I2, code I1 (see DQ_ENQ_*), len I1, existing id
--#include "base.lua"
--#include "ids.lua"
--#include "wake.lua"
local pk = KEYS[2]
local call_no, shard, n_jobs, n_lanes = tonumber(ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])

local slot = call_no % 64
local seen = call('HMGET', pk, 'n', slot)
if seen[1] then
  if call_no <= tonumber(seen[1]) then
    if seen[2] and unpk('>I6', seen[2]) == call_no then
      return seen[2]
    end
    return redis.error_reply('DQUNKNOWN this call is too old to know what became of it')
  end
elseif ARGV[2] == 'r' then
  return redis.error_reply('DQUNKNOWN the server has forgotten this producer')
end

-- Lanes: number, and whether its queue refuses (1: unknown queue; 2: full).
local p = 6 + n_lanes
local lane_no, refuse, room = {}, {}, {}
local numbers = call('HMGET', K .. 'lanes', unpack(ARGV, 6, 5 + n_lanes))
local queue_seen = {}
for i = 1, n_lanes do
  local name = ARGV[5 + i]
  local queue = string.match(name, '^[^|]*')
  local q = queue_seen[queue]
  if not q then
    q = { row = call('HGET', K .. 'q', queue) }
    queue_seen[queue] = q
    if q.row then
      local limit = unpk('>I6', q.row)
      if limit > 0 then
        local waiting = 0
        for _, no in ipairs(call('SMEMBERS', K .. 'ql:' .. queue)) do
          waiting = waiting + call('XLEN', K .. 'l:' .. no) + call('XLEN', K .. 'f:' .. no)
          waiting = waiting - call('XPENDING', K .. 'l:' .. no, 'g')[1] - call('XPENDING', K .. 'f:' .. no, 'g')[1]
        end
        q.room = limit - waiting
      end
    end
  end
  if not q.row then
    refuse[i] = 1
  else
    room[i] = q
    local no = numbers[i]
    if not no then
      no = call('RPUSH', K .. 'lane', name)
      call('HSET', K .. 'lanes', name, no)
      call('SADD', K .. 'ql:' .. queue, no)
      call('XGROUP', 'CREATE', K .. 'l:' .. no, 'g', '0', 'MKSTREAM')
      call('XGROUP', 'CREATE', K .. 'f:' .. no, 'g', '0', 'MKSTREAM')
      call('SPUBLISH', K .. 'ctl', 'N' .. no)
    end
    lane_no[i] = tonumber(no)
  end
end

local first = ids_take(n_jobs)
local prefix = id_ms .. '-'
local seq = first
local refused, n_refused = {}, 0
local function reject(code, existing)
  n_refused = n_refused + 1
  refused[n_refused] = pack('>I2I1I1', seq - first, code, existing and #existing or 0) .. (existing or '')
end

-- Who holds a key, when that job is still alive; a key whose job is gone is free.
local function alive(id)
  local lane = lane_of(id)
  local ms, s = unpk('>I6I3', id)
  local entry = ms .. '-' .. s
  if #call('XRANGE', K .. 'l:' .. lane, entry, entry) > 0 then
    return true
  end
  return call('HEXISTS', K .. 'loc', id) == 1 or call('HEXISTS', K .. 'due:h', id) == 1
    or call('HEXISTS', K .. 'paused:h', id) == 1
end
local function held(ukey)
  local v = call('GET', K .. 'u:' .. ukey)
  if not v then
    return nil
  end
  if #v > 13 or call('PTTL', K .. 'u:' .. ukey) >= 0 or alive(v) then
    return string.sub(v, 1, 13)
  end
end

local zadd, hset, n_due, soonest = {}, {}, 0, nil
local function add_due(at, id, m, j)
  zadd[n_due * 2 + 1], zadd[n_due * 2 + 2] = at, id
  hset[n_due * 2 + 1], hset[n_due * 2 + 2] = id, pack('>I4', #m) .. m .. j
  n_due = n_due + 1
  if not soonest or at < soonest then
    soonest = at
  end
end
local function due_at(text)
  local at = tonumber(text)
  if at < 0 then
    at = now - at
  end
  return at
end

local ready, stats, log = {}, {}, {}
local n_args = #ARGV
while p <= n_args do
  local kind, lane_i, n = ARGV[p], tonumber(ARGV[p + 1]), tonumber(ARGV[p + 2])
  local lane, q = lane_no[lane_i], room[lane_i]
  p = p + 3
  local accepted = 0
  if kind == 'r' and lane and not q.room then
    local key = K .. 'l:' .. lane
    for i = p, p + n - 1 do
      call('XADD', key, prefix .. seq, 'j', ARGV[i])
      seq = seq + 1
    end
    p = p + n
    accepted = n
    ready[lane] = (ready[lane] or 0) + n
  else
    for _ = 1, n do
      local at, ukey, ukey_ms, request, request_ms, token, s2s, payload, mtail, j
      if kind == 'r' then
        at, ukey, request, token, s2s, payload, j = '', '', '', '', '0', '', ARGV[p]
        p = p + 1
      elseif kind == 'd' then
        at, ukey, request, token, s2s, payload, mtail, j = ARGV[p], '', '', '', '0', '', ARGV[p + 1], ARGV[p + 2]
        p = p + 3
      else
        at, ukey, ukey_ms, request, request_ms = unpack(ARGV, p, p + 4)
        token, s2s, payload, mtail, j = unpack(ARGV, p + 5, p + 9)
        p = p + 10
      end
      local again = request ~= '' and call('GET', K .. 'r:' .. request)
      local holder = not again and ukey ~= '' and token == '' and held(ukey)
      if again then
        reject(4, again)
      elseif not lane then
        reject(refuse[lane_i])
      elseif holder then
        reject(3, holder)
      elseif q.room and q.room <= 0 and at == '' then
        reject(2)
      else
        local id = id_of(id_ms, seq, lane, shard)
        if at == '' then
          call('XADD', K .. 'l:' .. lane, prefix .. seq, 'j', j)
          ready[lane] = (ready[lane] or 0) + 1
          if q.room then
            q.room = q.room - 1
          end
        else
          add_due(due_at(at), id, '\1' .. id .. mtail, j)
        end
        if ukey ~= '' and token == '' then
          if ukey_ms == '0' then
            call('SET', K .. 'u:' .. ukey, id)
          else
            call('SET', K .. 'u:' .. ukey, id, 'PX', ukey_ms)
          end
        elseif token ~= '' then
          call('HSET', K .. 'ob', 'c' .. ukey, token .. id)
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
        accepted = accepted + 1
      end
      seq = seq + 1
    end
  end
  log[#log + 1] = pack('>BI3I2', string.byte(kind), lane or 0, n)
  if accepted > 0 then
    stats[lane] = (stats[lane] or 0) + accepted
  end
end

if n_due > 0 then
  local head = call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')
  call('ZADD', KEYS[4], unpack(zadd))
  call('HSET', KEYS[5], unpack(hset))
  if not head[2] or soonest < tonumber(head[2]) then
    local ticker = call('HGET', sh, 'tk')
    if ticker then
      call('SPUBLISH', K .. 'w:' .. ticker, 'D' .. soonest)
    end
  end
end
ids_save()
local answer = pack('>I6I6I3I2', call_no, id_ms, first, n_refused) .. table.concat(refused)
call('HSET', pk, 'n', call_no, slot, answer)
call('PEXPIRE', pk, 3600000)
if n_refused < n_jobs then
  local minute = K .. 'st:' .. math.floor(now / 60000)
  local fresh = call('EXISTS', minute) == 0
  for lane, n in pairs(stats) do
    call('HINCRBY', minute, lane .. ':e', n)
  end
  if fresh then
    call('PEXPIRE', minute, 172800000)
  end
  call('XADD', KEYS[6], 'MAXLEN', '~', call('HGET', sh, 'en') or 16384, '*', 'e',
    'E' .. pack('>I6I6I3B', now, id_ms, first, #log) .. table.concat(log) .. table.concat(refused))
  for lane, n in pairs(ready) do
    wake(lane, n)
  end
end
return answer
