#!lua flags=allow-oom
-- The middle of a worker's turn, in one MULTI: after XACK, XDEL (and HSET of rows) of jobs that ended well, before XREADGROUP. The
-- connection watches x:<session> and hv, so all of it happens only if nobody took anything from this session and no bucket was opened
-- or dropped since the worker looked.
-- keys: {p:0}:sh {p:0}:s:SESSION {p:0}:paused_queues
-- argv: session call_no('' no jobs ended) ids(13 bytes each) class(0: not kept) bucket bytes side_ids known slots n_parts part...
--   n_idle idle_lane... n_stats (field n)... [stream count]...
-- side_ids: those of ids whose payload is a key of its own
-- known: the version of the shard's queues whose paused ones the session knows; '' nothing is read, so it need not be told
-- slots: how many jobs its node could begin now; '' as it said before
-- idle_lane: this turn reads it, and it wakes the session from now on
-- stream count: what to read, 'l:LANE' or 'f:LANE', when memory is short: then Redis queues no command of a MULTI, and this script is called by
--   itself, for no jobs that ended
-- returns (as the first of a list, before what XREADGROUP said of each, when there are streams to read): { now_ms, live(1|0), n of lanes,
--   queue version, bucket, width, value of hv, paused }; bucket: the one for rows of `class` from
--   now on; paused: '', or when queues changed since `known` the first page of names of paused ones as queues_paused has it: { cursor, { name... } }
--#include "base.lua"
--#include "job_end.lua"
local session, call_no, ids, class, known, slots = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[8], ARGV[9]
local p = 11 + tonumber(ARGV[10])
local live = call('HGET', KEYS[2], 'st') == 'live'
if live and slots ~= '' then
  call('HSET', KEYS[2], 'fs', slots)
end
if call_no ~= '' then
  call('HSET', KEYS[2], 'n', call_no, 'a', '')
  if ARGV[5] ~= '' then
    bucket_add(ARGV[5], ids, ARGV[6], ARGV[7], unpack(ARGV, 11, p - 1))
  end
  ended_plain(ids)
  event('C' .. pack('>I6I6', now, tonumber(session)) .. ids)
end
local bucket, width = '', 0
if class > 0 then
  bucket, width = bucket_of(class)
end
for i = p + 1, live and p + tonumber(ARGV[p]) or p do -- who is gone would be woken in another's place
  call('SADD', K .. 'idle:' .. ARGV[i], session)
end
p = p + 1 + tonumber(ARGV[p])
for i = p + 1, p + 2 * tonumber(ARGV[p]), 2 do
  count(ARGV[i], ARGV[i + 1])
end
local version, paused = call('HGET', sh, 'qv') or '0', ''
if known ~= '' and known ~= version then
  paused = call('SSCAN', KEYS[3], 0, 'COUNT', 256)
end
local gate = { now, live and 1 or 0, call('LLEN', K .. 'lane'), tonumber(version), bucket, width, call('GET', K .. 'hv') or '', paused }
p = p + 1 + 2 * tonumber(ARGV[p])
if not ARGV[p] then
  return gate
end
local out = { gate }
for i = p, live and #ARGV or 0, 2 do
  out[#out + 1] = redis.pcall('XREADGROUP', 'GROUP', 'g', session, 'COUNT', ARGV[i + 1], 'STREAMS', K .. ARGV[i], '>')
end
return out
