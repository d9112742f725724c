#!lua flags=allow-oom
-- One step through all keys of the server, for those of this shard (and, for shard 0, those of the prefix without a shard, and of shards
-- that there are not): is each one known, of its type, and held by something that lives.
-- keys: {p:0}:sh
-- argv: shard repair('1' or '') prefix shards cursor limit
-- returns: { cursor ('' at the end), { count, n... }, { { kind, key, id, text, repairable, repaired }... }, { more... } }; more: 'w', a structure
--   to be walked ('run:1', 'idle:1', 'ql:x'); 'x', key, shard, id: a unique key held by a job of another shard; 'u', bucket: its sums are wrong
--   because it lacks a part
--#include "base.lua"
--#include "doctor.lua"
--#include "doctor_job.lua"
--#include "doctor_session.lua"
--#include "flow_state.lua"
--#include "late.lua"
--#include "ukey.lua"
local prefix, n_shards = ARGV[3], tonumber(ARGV[4])
local dropping = call('HGET', sh, 'hd')
local single = {
  sh = 'hash', q = 'hash', paused_queues = 'set', lane = 'list', lanes = 'hash', loc = 'hash', hx = 'zset', hz = 'hash', hn = 'hash', hr = 'hash', ks = 'hash',
  hv = 'string', ob = 'hash', uh = 'hash', uf = 'hash', pg = 'hash', wt = 'hash', s2s = 'zset', lease = 'zset', lr = 'hash', sn = 'hash', ['nodes:drain'] = 'set',
  ev = 'stream', au = 'stream', aside = 'hash', sch = 'zset', ['sch:d'] = 'hash', ['sch:s'] = 'hash', ['sch:e'] = 'hash', ['sch:k'] = 'hash', ['sch:l'] = 'hash',
  ['sch:r'] = 'hash', wi = 'zset', we = 'zset', wq = 'list', wn = 'hash', op = 'zset', opw = 'zset', opn = 'hash', ba = 'zset', bo = 'zset', tm = 'zset',
}
for _, set in ipairs(sets) do
  single[set.name], single[set.name .. ':h'] = 'zset', 'hash'
end

local function expires(key, ms)
  if call('PTTL', key) < 0 then
    fault('no_expiry', key, '', 'would stay for ever', function()
      call('PEXPIRE', key, ms)
    end)
  end
end
local function of_lane(key, lane)
  if not tonumber(lane) or tonumber(lane) < 1 or tonumber(lane) > n_lanes then
    fault('misplaced', key, '', 'there is no such lane')
  end
end
local function of_session(key, session)
  if not session_known(session) then
    fault('session_key', key, '', 'belongs to a session that is not there', function()
      call('UNLINK', key)
    end)
    return false
  end
  return true
end
-- One fault for all keys of a bucket.
local function of_bucket(_, bucket)
  if bucket == dropping then
    return nil
  end
  for _, b in ipairs(call('ZRANGE', K .. 'hx', 0, -1)) do
    local no, width = string.match(b, '^(%d+):%d+:(%d+)$')
    if no == bucket then
      return width
    end
  end
  fault('bucket_orphan', K .. 'hp:' .. bucket, '', 'keys of a history bucket that is not there')
end
-- A payload, logs or steps: of a job that is somewhere. While a bucket is dropped its side keys go in steps, after their rows.
local function of_job(key, id, counted)
  local is_blob = counted == 'payloads'
  tally(counted)
  local wrong = id_wrong(id)
  if wrong then
    fault('side_orphan', key, '', wrong)
    return
  end
  local place, j = whereabouts(id, nil, true)
  local why = not place and not dropping and 'its job is gone'
  if place and places[place].ended then
    local _, logged
    _, _, j, logged = row_of(j)
    why = place == 'history' and counted == 'steps' and not logged and 'its row does not know of them, so they would stay' or why
  end
  local e = place and is_blob and envelope_of(j)
  if e and not e.blob then
    why = 'its job has its payload elsewhere'
  end
  if why then
    fault('side_orphan', key, id, why, function()
      call('UNLINK', key)
    end)
  end
end

local function of_schedule(key, id)
  if call('HEXISTS', K .. 'sch:s', id) == 0 then
    fault('schedule_orphan', key, id, 'belongs to a schedule that is not there', function()
      call('UNLINK', key)
    end)
  end
end

local function let_go(key)
  return function()
    call('DEL', key)
  end
end
-- A unique key: held for a time, by a living job that names it, or reserved for one.
local function unique(key, name)
  local v = call('GET', key)
  tally('unique_keys')
  local kind = holder_kind(v)
  if kind == 'reserved' then
    if reservation_read(v) < now - late_ms then
      fault('reservation_stale', key, '', 'is reserved beyond its deadline', let_go(key))
    end
  elseif kind == 'away' then
    local of_shard, id = away_read(v)
    if call('PTTL', key) < 0 then -- else it may be held after its job's end
      more[#more + 1] = { 'x', name, of_shard, id }
    end
  elseif kind and is_workflow(v) then
    if call('PTTL', key) < 0 and not workflow_lives(v) then
      fault('key_stale', key, v, 'its holder is not alive', let_go(key))
    end
  elseif not kind or id_wrong(v) then
    fault('unreadable', key, '', 'its holder ' .. (id_wrong(v) or ''))
  elseif call('PTTL', key) < 0 then
    local place, j, _, ukey = whereabouts(v)
    local e = ukey and { ukey = ukey } or place and envelope_of(j)
    if not place then
      fault('key_stale', key, v, 'its holder is not alive', let_go(key))
    elseif e and e.ukey ~= name then
      fault('key_foreign', key, v, 'its holder does not know of it', let_go(key))
    end
  end
end
local function request(key)
  local id = call('GET', key)
  local wrong = not is_workflow(id) and id_wrong(id)
  tally('request_ids')
  expires(key, REQUEST_WINDOW_MS)
  if wrong then
    fault('unreadable', key, '', 'its job ' .. wrong)
  end
end

-- A part of a definition: of one that is in use, or for a minute.
local function of_definition(key, rest)
  if call('EXISTS', K .. 'wd:' .. string.sub(rest, 1, 16)) == 0 and call('PTTL', key) < 0 then
    fault('workflow_orphan', key, '', 'is a part of a definition that is not there', let_go(key))
  end
end
local function of_workflow(key, id)
  if not is_workflow(id) or call('EXISTS', K .. 'ws:' .. id) == 0 then
    fault('workflow_orphan', key, '', 'belongs to a workflow that is not there', let_go(key))
  end
end

local function of_batch(key, rest)
  local id = string.sub(rest, 1, ID_BYTES)
  if not is_workflow(id) or call('EXISTS', K .. 'bs:' .. id) == 0 then
    fault('batch_orphan', key, '', 'belongs to a batch that is not there', let_go(key))
  end
end

local families = {
  bs = { 'string', function(key, id)
    if not is_workflow(id) then
      fault('unknown_key', key, '', 'is no key of dureq')
      return
    end
    more[#more + 1] = { 'w', 'bs:' .. id }
    local status = string.byte(call('GETRANGE', key, 1, 1))
    if call('EXISTS', K .. 'bd:' .. id) == 0 then
      fault('batch_orphan', key, id, 'its definition is gone')
    end
    if not call('ZSCORE', K .. 'ba', id) then
      fault('batch_unlisted', key, id, 'is in no list', function()
        call('ZADD', K .. 'ba', 0, id)
      end)
    end
    if (status == 2 or status == 3 or status == 5) and not call('ZSCORE', K .. 'bo', id) then
      fault('batch_unlisted', key, id, 'has ended and would stay for ever', function()
        call('ZADD', K .. 'bo', now, id)
      end)
    end
  end },
  bd = { 'hash', of_batch }, bi = { 'list', of_batch }, bx = { 'string', of_batch }, bj = { 'hash', of_batch }, br = { 'hash', of_batch },
  bn = { 'hash', of_batch },
  ws = { 'string', function(key, id)
    if not is_workflow(id) then
      fault('unknown_key', key, '', 'is no key of dureq')
      return
    end
    more[#more + 1] = { 'w', 'ws:' .. id }
    if call('EXISTS', K .. 'wd:' .. flow_definition(id)) == 0 then
      fault('workflow_orphan', key, id, 'its definition is gone')
    end
    if not call('ZSCORE', K .. 'wi', id) then
      fault('workflow_unlisted', key, id, 'is in no list', function()
        call('ZADD', K .. 'wi', 0, id)
      end)
    end
    local place = flow_place(id)
    if place and place.ended and not call('ZSCORE', K .. 'we', id) then
      fault('workflow_unlisted', key, id, 'has ended and would stay for ever', function()
        call('ZADD', K .. 'we', now, id)
      end)
    end
  end },
  wf = { 'hash', of_workflow }, wr = { 'hash', of_workflow }, wm = { 'list', of_workflow }, wh = { 'set', of_workflow }, wp = { 'string', of_definition },
  wd = { 'hash', function(key)
    local d = call('HMGET', key, 'n', 'segments')
    tally('definitions')
    if not tonumber(d[1]) or tonumber(d[1]) < 1 or not tonumber(d[2]) then
      fault('unreadable', key, '', 'cannot be read')
    elseif call('EXISTS', K .. 'wp:' .. string.sub(key, #K + 4) .. ':' .. (d[2] - 1)) == 0 then
      fault('workflow_orphan', key, '', 'lacks a part')
    end
  end },
  l = { 'stream', of_lane }, f = { 'stream', of_lane },
  ql = { 'set', function(key) more[#more + 1] = { 'w', string.sub(key, #K + 1) } end },
  hc = { 'hash', function(key, class)
    local c = call('HMGET', key, 'b', 's', 'w')
    local member = (c[1] or '') .. ':' .. class .. ':' .. (c[3] or '')
    if not call('ZSCORE', K .. 'hx', member) then
      local whole = tonumber(c[1]) and tonumber(c[2]) and tonumber(c[3]) and tonumber(class)
      fault('bucket_lost', key, '', 'takes rows into a bucket that nobody finds', whole and function()
        call('ZADD', K .. 'hx', c[2] + class + math.floor(class / 4), member)
        call('INCR', K .. 'hv')
      end)
    end
  end },
  hp = { 'set', of_bucket }, ho = { 'list', of_bucket }, hk = { 'list', of_bucket },
  h = { 'hash', function(key, rest)
    local bucket, part = string.match(rest, '^(%d+):(%d+)$')
    if not bucket then
      fault('unknown_key', key, '', 'is no key of dureq')
    elseif of_bucket(key, bucket) and call('SISMEMBER', K .. 'hp:' .. bucket, part) == 0 then
      fault('part_unlisted', key, '', 'is a part that its bucket does not know', function()
        call('SADD', K .. 'hp:' .. bucket, part)
      end)
      if not repair then
        more[#more + 1] = { 'u', bucket }
      end
    end
  end },
  u = { 'string', unique }, r = { 'string', request },
  b = { 'string', function(key, id) of_job(key, id, 'payloads') end },
  lg = { 'string', function(key, id) of_job(key, id, 'logs') end },
  sp = { 'hash', function(key, id) of_job(key, id, 'steps') end },
  p = { 'hash', function(key) expires(key, PRODUCER_KEPT_MS) end },
  s = { 'hash', function(key, session)
    tally('sessions')
    if ask('ZSCORE', K .. 'lease', session) == false then
      -- A live one renews its lease soon; one that does not is reaped then.
      fault('session_no_lease', key, '', 'a session without a lease: nobody reaps it', tonumber(session) and function()
        call('ZADD', K .. 'lease', (tonumber(call('HGET', sh, 'ck') or 0) or 0) + 60000, session)
      end)
    end
  end },
  x = { 'string', of_session }, cx = { 'set', of_session },
  lr = { 'set', function(key, session)
    if not session_known(session) then
      fault('session_key', key, '', 'late runs of a session that is not there', function()
        while late_drop(session, 1000) > 0 do end
      end)
    end
  end },
  run = { 'hash', function(key, session)
    if of_session(key, session) then
      more[#more + 1] = { 'w', 'run:' .. session }
    end
  end },
  idle = { 'set', function(key, lane)
    of_lane(key, lane)
    more[#more + 1] = { 'w', 'idle:' .. lane }
  end },
  sa = { 'set', function(key, id)
    of_schedule(key, id)
    more[#more + 1] = { 'w', 'sa:' .. id }
  end },
  sb = { 'list', of_schedule }, so = { 'list', of_schedule }, be = { 'string', of_schedule },
  op = { 'hash', function(key, id)
    tally('operations')
    if not call('ZSCORE', K .. 'op', id) then
      fault('operation_unlisted', key, '', 'is in no list', function()
        call('ZADD', K .. 'op', 0, id)
      end)
    end
    if not call('HGET', key, 'end') and not call('ZSCORE', K .. 'opw', id) then
      fault('operation_lost', key, '', 'has not ended, and nobody would take it up', function()
        call('ZADD', K .. 'opw', 0, id)
      end)
    end
  end },
  st = { 'hash', function(key) expires(key, MINUTE_KEPT_MS) end },
  sth = { 'hash', function(key) expires(key, 2592000000) end },
  std = { 'hash', function(key) expires(key, 34560000000) end },
}

local function wrong_type(key, is, want)
  fault('wrong_type', key, '', 'is a ' .. is .. ', must be a ' .. want)
end
local function look(key, name)
  local is = call('TYPE', key).ok
  local want = single[name]
  tally('keys')
  if is == 'none' then
    return -- it went since SCAN saw it, by expiry
  elseif want then
    if is ~= want then
      wrong_type(key, is, want)
    end
    return
  end
  local family, rest = string.match(name, '^(%l+):(.*)$')
  local f = families[family]
  if not f then
    fault('unknown_key', key, '', 'is no key of dureq')
  elseif is ~= f[1] then
    wrong_type(key, is, f[1])
  elseif f[2] then
    f[2](key, rest)
  end
end
-- Keys that belong to no shard of this prefix.
local function look_outside(key)
  local number = string.match(string.sub(key, #prefix + 3), '^(%d+)}:')
  if string.sub(key, 1, #prefix + 2) == '{' .. prefix .. ':' and tonumber(number) and tonumber(number) >= n_shards then
    fault('unknown_key', key, '', 'is of a shard that there is not')
  elseif string.sub(key, 1, #prefix + 1) == prefix .. ':' then
    local name = string.sub(key, #prefix + 2)
    tally('keys')
    if name ~= 'meta' and not string.find(name, '^config:') then
      fault('unknown_key', key, '', 'is no key of dureq')
    elseif call('TYPE', key).ok ~= 'hash' then
      wrong_type(key, call('TYPE', key).ok, 'hash')
    end
  end
end

local step = call('SCAN', ARGV[5], 'COUNT', ARGV[6])
for _, key in ipairs(step[2]) do
  if string.sub(key, 1, #K) == K then
    look(key, string.sub(key, #K + 1))
  elseif shard == 0 then
    look_outside(key)
  end
end
return answer(step[1] == '0' and '' or step[1])
