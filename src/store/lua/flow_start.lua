#!lua
-- Start a workflow whose definition is here, or say that it is not. Its first tasks are released in the same step, as many as that may.
-- keys: {p:0}:sh
-- argv: shard hash n_tasks n_segments request request_ms ukey ukey_ms keep_ms flags limit_ms attempts version most n_large large_task... n_queues queue...
--   (field value)...
--   request: that makes a repeated call find what the first one started; ukey: '' none; keep_ms: how long it is kept after its end
--   most: tasks that are released and have not ended at a time, 0: any number; limit_ms: from its start to its end, 0: none; attempts: how often it may start by itself
--   flags: 2 cancels what was released when a task fails; version: of the scripts that all sessions must know; large_task: those with a payload of its own; queue: those of its lanes, each once
--   field value: what is kept of it beside (name, input, tags, actor)
-- returns: { 0, id } started, { 1, id } known by its request, { 2, id } its unique key is held, { 3 } the definition is not here, { 4 } the
--   version is not required yet, { 5, id } its request is that of a batch
--#include "base.lua"
--#include "too_old.lua"
--#include "ids.lua"
--#include "due_ids.lua"
--#include "flow.lua"
--#include "ukey.lua"
local shard, def, n, n_segments = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local request, ukey = ARGV[5], ARGV[7]
if tonumber(call('HGET', sh, 'mv') or 0) < tonumber(ARGV[13]) then
  return { 4 }
end
local known = call('GET', K .. 'r:' .. request)
if known then
  return { call('EXISTS', K .. 'bs:' .. known) == 1 and 5 or 1, known }
end
local holder = ukey ~= '' and holder_of(call('GET', K .. 'u:' .. ukey))
if holder then
  return { 2, holder }
end

local p = 15
local n_large = tonumber(ARGV[p])
local key, image = K .. 'wd:' .. def, K .. 'wp:' .. def .. ':'
local n_queues = tonumber(ARGV[p + 1 + n_large])
local queues = { unpack(ARGV, p + 2 + n_large, p + 1 + n_large + n_queues) }
if call('EXISTS', key) == 0 then
  local parts = { image .. 'l' }
  for i = 0, n_segments - 1 do
    parts[#parts + 1] = image .. i
  end
  local large = {}
  for i = p + 1, p + n_large do
    parts[#parts + 1] = image .. 'b' .. ARGV[i]
    large[#large + 1] = ARGV[i]
  end
  if call('EXISTS', unpack(parts)) < #parts then
    return { 3 }
  end
  for _, part in ipairs(parts) do
    call('PERSIST', part)
  end
  call('HSET', key, 'n', 0, 'segments', n_segments, 'large', table.concat(large, ' '), 'queues', table.concat(queues, '|'))
end
for _, queue in ipairs(queues) do
  call('HINCRBY', K .. 'wn', queue, 1)
end
p = p + 2 + n_large + n_queues
call('HINCRBY', key, 'n', 1)

local id = due_id(0, shard)
local f = {
  id = id, key = K .. 'ws:' .. id, met = {}, marks = {}, incs = {}, version = 1, status = FLOW_RUNNING, flags = tonumber(ARGV[10]), epoch = 1,
  graph = 1, n = n, active = 0, ended = 0, failed = 0, skipped = 0, unreached = 0, most = tonumber(ARGV[14]), started = now, finished = 0, def = def, attempt = 1,
  attempts = tonumber(ARGV[12]), changed = true,
}
flows[id] = f
call('SETRANGE', f.key, cell_at(n) - 1, '\0')
call('HSET', K .. 'wf:' .. id, 'keep', ARGV[9], unpack(ARGV, p))
call('SET', K .. 'r:' .. request, id, 'PX', ARGV[6])
if ukey ~= '' then
  call('HSET', K .. 'wf:' .. id, ARGV[8] == '0' and 'u' or 'ut', ukey)
  if ARGV[8] == '0' then
    call('SET', K .. 'u:' .. ukey, id)
  else
    call('SET', K .. 'u:' .. ukey, id, 'PX', ARGV[8])
  end
end
call('ZADD', K .. 'wi', 0, id)
flow_told[1] = string.char(FLOW_RUNNING) .. id
if ARGV[11] ~= '0' then
  call('HSET', K .. 'wf:' .. id, 'limit', ARGV[11])
  flow_begin(f)
end
todo_add(f, GO_ROOTS, 0, 0, 0)
flow_go(n > 4096 and 240 or 1200) -- the state of many tasks takes its time, too
return { 0, id }
