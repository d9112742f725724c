#!lua flags=allow-oom
-- One step through a set, hash or sorted set whose members are jobs or sessions.
-- keys: {p:0}:sh
-- argv: shard repair('1' or '') structure cursor('' from the start) limit; structure: 'loc' 'due' 'due:h' 'paused' 'paused:h' 'dead' 'dead:h' 'pg'
--   'wt' 's2s' 'ob' 'uh' 'uf' 'lease' 'aside' 'run:<session>' 'idle:<lane>' 'ql:<queue>'
-- returns: as doctor_keys; more: 'o', key, id: a release in the outbox whose age cannot be known
--#include "base.lua"
--#include "doctor.lua"
--#include "doctor_job.lua"
--#include "doctor_session.lua"
--#include "outbox.lua"
local name = ARGV[3]
local key = K .. name
local family, rest = string.match(name, '^(%l+):(.*)$')
local function let_go(command, member)
  return function()
    call(command, key, member)
  end
end
-- Whether a job runs: under this session when one is given.
local function runs(id, session)
  local e, stream, entry = in_lane(id)
  if not e then
    e, stream, entry = in_front(id)
  end
  local p = e and ask('XPENDING', stream, 'g', entry, entry, 1)
  return p and p[1] and (not session or p[1][2] == session)
end

local look = {}
function look.loc(id, entry)
  local e = #id == ID_BYTES and in_front(id)
  local fields = e and e[2]
  if not fields or moved_id(fields_of(fields) or '') ~= id then
    fault('loc_stale', key, id, 'entry ' .. entry .. ' is not there, or of another job', let_go('HDEL', id))
  end
end

-- A sorted set and its records.
local function look_set(set, id, score)
  local wrong = id_wrong(id)
  if wrong then
    fault('misplaced', key, '', 'a member ' .. wrong)
    return
  end
  local rec = ask('HGET', K .. set.name .. ':h', id)
  if rec == false then
    fault('record_missing', key, id, 'has its place and no record', let_go('ZREM', id))
  end
  local ok, m = pcall(record_split, set.name == 'due' and rec or '')
  if ok and moved_is_whole(m) then
    local at = moved_fields(m).due
    if at > 0 and math.abs(at - tonumber(score)) > due_slack_ms then
      fault('due_time', key, id, 'is due at ' .. score .. ', its record says ' .. string.format('%d', at))
    end
  end
end
local function lacks_score(set, id, at)
  if ask('ZSCORE', K .. set, id) == false then
    fault('score_missing', key, id, 'has its record and no place', function()
      call('ZADD', K .. set, at, id)
    end)
  end
end
-- Ids of the due set come from the shard's own counter, which must be ahead of them all.
local function look_ahead(id)
  local ms, seq = id_unpack(id)
  if seq < ID_SEQ_DUE then
    return
  end
  local s = call('HMGET', sh, 'ms', 'sq')
  local top_ms, top_seq = tonumber(s[1] or 0) or 0, tonumber(s[2] or 0) or 0
  if ms > top_ms or (ms == top_ms and seq - ID_SEQ_DUE > top_seq) then
    fault('id_ahead', key, id, 'is newer than the newest id that was given', function()
      call('HSET', sh, 'ms', ms, 'sq', seq - ID_SEQ_DUE + 1)
    end)
  end
end
local function look_record(set, id, rec)
  local wrong = id_wrong(id)
  if wrong then
    fault('misplaced', key, '', 'a field ' .. wrong)
    return
  end
  local ok, m, j = pcall(record_split, rec)
  if not ok or not moved_is_newer(m) and not moved_is_whole(m) then
    fault('unreadable', key, id, 'its record cannot be read')
    return
  end
  examine(set.name, key, id, m, j)
  if moved_is_newer(m) then
    return
  end
  local f = moved_fields(m)
  if set.name == 'due' then
    tally(f.runs > 0 and 'retrying' or 'scheduled')
    look_ahead(id)
    lacks_score(set.name, id, f.due > 0 and f.due or f.ready > 0 and f.ready or now)
  else
    tally(set.name)
    lacks_score(set.name, id, '+inf')
  end
end
local function look_row(set, id, row)
  local wrong = id_wrong(id)
  if wrong then
    fault('misplaced', key, '', 'a field ' .. wrong)
    return
  end
  local state, m, j = row_of(row)
  tally(set.name)
  lacks_score(set.name, id, now)
  if not state then
    fault('unreadable', key, id, 'its row cannot be read')
    return
  elseif state ~= set.state then
    fault('row_state', key, id, 'its row says state ' .. state)
  end
  examine(set.name, key, id, m ~= '' and m or nil, j)
end
for _, set in ipairs(sets) do
  look[set.name] = function(id, score)
    look_set(set, id, score)
  end
  look[set.name .. ':h'] = function(id, kept)
    local by = set.ended and look_row or look_record
    by(set, id, kept)
  end
end

for _, notes in ipairs({ 'uh', 'uf' }) do
  look[notes] = function(id)
    if #id ~= ID_BYTES or not whereabouts(id) then
      fault('key_note', key, id, 'is not alive', let_go('HDEL', id))
    end
  end
end

function look.aside(what)
  local from, of = string.match(what, '^(%S+) (.*)$')
  local is_job = of and #of == ID_BYTES and id_wrong(of) == nil
  fault('set_aside', key, is_job and of or '', is_job and 'was a record of ' .. from or 'was entry ' .. what)
end

function look.pg(id)
  if #id ~= ID_BYTES or not runs(id) then
    fault('progress_stale', key, id, 'has progress and does not run', let_go('HDEL', id))
  end
end
function look.run(id)
  if #id ~= ID_BYTES or not runs(id, rest) then
    fault('run_stale', key, id, 'does not run under session ' .. rest, let_go('HDEL', id))
  end
end
function look.wt(id)
  if #id ~= ID_BYTES or not (is_workflow(id) and workflow_lives(id)) and not whereabouts(id) then
    fault('waiter_stale', key, id, 'is waited for and not alive', let_go('HDEL', id))
  end
end
-- Ids stay here when their job starts or ends early; at its time the leader looks what became of each.
function look.s2s(id, at)
  local wrong = id_wrong(id)
  if wrong then
    fault('misplaced', key, '', 'a member ' .. wrong, let_go('ZREM', id))
  elseif tonumber(at) < now - late_ms and leader_lives() then
    fault('limit_overdue', key, id, 'its limit to start is over and nobody looked')
  end
end

function look.idle(session)
  if not session_known(session) then
    fault('idle_stale', key, '', 'session ' .. session .. ' is not there', let_go('SREM', session))
  end
end
function look.lease(session)
  local known = ask('HGET', K .. 's:' .. session, 'st')
  if known ~= 'live' and known ~= 'reaping' then
    fault('lease_no_session', key, '', 'session ' .. session .. ' has a lease and no state', session_doom(session))
  elseif (tonumber(session) or 0) > (tonumber(call('HGET', sh, 'ss') or 0) or 0) then
    fault('small_state', K .. 'sh', '', 'ss is behind session ' .. session, function()
      call('HSET', sh, 'ss', session)
    end)
  end
end
function look.ql(lane)
  local lane_name = tonumber(lane) and tonumber(lane) > 0 and call('LINDEX', K .. 'lane', lane - 1)
  if not lane_name or string.match(lane_name, '^[^|]*') ~= rest then
    fault('lane_map', key, '', 'lane ' .. lane .. ' is not of this queue', let_go('SREM', lane))
  end
end

-- What waits to be told to other shards. Its rows have no time of their own: a confirmation is as old as its job, a release as the
-- job's end.
local function ended_ms(id)
  local place, row = whereabouts(id, nil, true)
  if not place or not places[place].ended then
    return nil
  end
  local ok, r = pcall(row_run, row, id)
  return ok and r.finished or nil
end
function look.ob(field, value)
  local kind, ukey = outbox_field(field)
  tally('outbox')
  local token, id, held_ms
  local confirms = kind == 'c' or kind == 'C'
  if confirms then
    token, id, held_ms = confirm_split(value)
  elseif kind == 'r' then
    token, id = release_split(value)
  end
  local whole = id and #id == ID_BYTES and (#token == TOKEN_BYTES or kind == 'r' and token == '')
  if not whole or confirms and not tonumber(held_ms) then
    fault('unreadable', key, '', 'an outbox row cannot be read')
    return
  end
  local since = kind == 'c' and id_ms(id) or kind == 'r' and ended_ms(id)
  if not leader_lives() then
    return
  elseif not since then
    more[#more + 1] = { 'o', ukey, id }
  elseif since < now - late_ms then
    fault('outbox_stale', key, id, (confirms and 'the confirmation' or 'the release') .. ' of its unique key does not go out')
  end
end

local scan = { s2s = 'ZSCAN', lease = 'ZSCAN', idle = 'SSCAN', ql = 'SSCAN' }
for _, set in ipairs(sets) do
  scan[set.name] = 'ZSCAN'
end
local fn, command = look[name], scan[name] or 'HSCAN'
if not fn then
  fn, command = look[family], scan[family] or 'HSCAN'
end
local limit = command == 'HSCAN' and paced(key, call('HLEN', key), ARGV[5]) or ARGV[5]
local step = call(command, key, ARGV[4] == '' and '0' or ARGV[4], 'COUNT', limit)
local list, width = step[2], command == 'SSCAN' and 1 or 2
for i = 1, #list, width do
  fn(list[i], width == 2 and list[i + 1])
end
return answer(step[1] == '0' and '' or step[1])
