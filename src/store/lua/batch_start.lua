#!lua
-- Make a batch, which items can be added to; it runs when it is sealed (batch_seal), or from the first item on when it is open.
-- keys: {p:0}:sh
-- argv: shard request request_ms ukey ukey_ms keep_ms limit_ms('0' none) open('1' or '') fail_fast('1' or '') window most_attempts lane
--   once_lane('' no one-time task) (field value)...
--   request: that makes a repeated call find what the first one made; ukey: '' none; keep_ms: how long it is kept after its end
--   lane: name of the lane of its items; field value: what is kept of it beside (name, h0 and h1: what comes before an item's part of its envelope, of
--   JSON and of other payloads, oh and op the same and the payload of the one-time task, s2s, tags, actor, def)
-- returns: { 0, id } made, { 1, id, status, n of items } known by its request, { 2, id } its unique key is held, { 3, lane } its queue there is not, or the
--   lane would be one too many, { 4, id } its request is that of a workflow
--#include "base.lua"
--#include "too_old.lua"
--#include "ids.lua"
--#include "due_ids.lua"
--#include "lane.lua"
--#include "batch.lua"
--#include "ukey.lua"
local LOADING_MS = 60000
local shard, request, ukey = tonumber(ARGV[1]), ARGV[2], ARGV[4]
local known = call('GET', K .. 'r:' .. request)
if known then
  local b = batches().of(known)
  if not b and call('EXISTS', K .. 'ws:' .. known) == 1 then
    return { 4, known }
  end
  return b and { 1, known, b.status, b.total } or { 1, known, 0, 0 }
end
local holder = ukey ~= '' and holder_of(call('GET', K .. 'u:' .. ukey))
if holder then
  return { 2, holder }
end
local lanes, queues = {}, {}
for _, name in ipairs({ ARGV[12], ARGV[13] }) do
  local queue = string.match(name, '^[^|]*')
  local no = name == '' or call('HEXISTS', K .. 'q', queue) == 1 and (call('HGET', K .. 'lanes', name) or lane_make(name, queue))
  if not no then
    return { 3, name }
  end
  if name ~= '' then
    lanes[#lanes + 1] = tonumber(no)
    if queue ~= queues[1] then
      queues[#queues + 1] = queue
    end
  end
end

local id = due_id(0, shard)
due_ids_save()
local key = K .. 'bd:' .. id
call('HSET', key, 'keep', ARGV[6], 'limit', ARGV[7], 'l', lanes[1], 'queues', table.concat(queues, '|'), 'rq', request, 'large', 0, unpack(ARGV, 14))
if lanes[2] then
  call('HSET', key, 'ol', lanes[2])
end
call('SET', K .. 'r:' .. request, id, 'PX', ARGV[3])
if ukey ~= '' then
  call('HSET', key, ARGV[5] == '0' and 'u' or 'ut', ukey)
  if ARGV[5] == '0' then
    call('SET', K .. 'u:' .. ukey, id)
  else
    call('SET', K .. 'u:' .. ukey, id, 'PX', ARGV[5])
  end
end
call('ZADD', K .. 'ba', 0, id)
local b = batches().adopt({
  id = id, version = 1, status = BATCH_LOADING, flags = 0, once = lanes[2] and ONCE_WAITS or ONCE_NONE, epoch = 1, attempt = 1,
  most = tonumber(ARGV[11]), window = tonumber(ARGV[10]), total = 0, next = 0, running = 0, completed = 0, skipped = 0, failed = 0, cancelled = 0,
  started = now, finished = 0, deadline = 0, changed = true,
})
batches().set(b, BATCH_FAIL_FAST, ARGV[9] == '1')
batches().queues_of(b, 1)
if ARGV[8] == '1' then
  batches().set(b, BATCH_OPEN, true)
  batches().begin(b)
else
  batches().timer(b, 'l', LOADING_MS)
end
batches().go()
return { 0, id }
