#!lua flags=allow-oom
-- The middle of a worker's turn, in one MULTI: behind XACK, XDEL (and HSET of rows) of jobs that ended well, before XREADGROUP. The
-- connection watches x:<session> and hv, so all of it happens only if nobody took anything from this session and no bucket was opened
-- or dropped since the worker looked.
-- keys: {p:0}:sh {p:0}:s:SESSION {p:0}:paused_queues
-- argv: session call_no('' no jobs ended) lane shard ids(13 bytes each) class('' or 0: not kept) bucket bytes n_parts part... n_idle idle_lane...
--   n_stats (field n)...
-- returns: { now_ms, live(1|0), n of lanes, queue version, bucket, width, paused queue... }; bucket: the one for rows of `class` from now on
--#include "base.lua"
--#include "history.lua"
--#include "stats.lua"
--#include "tell.lua"
local session, call_no, ids, class = ARGV[1], ARGV[2], ARGV[5], tonumber(ARGV[6] ~= '' and ARGV[6] or 0)
local p = 10 + tonumber(ARGV[9])
local live = call('HGET', KEYS[2], 'st') == 'live'
local bucket, width = '', 0
if call_no ~= '' then
  call('HSET', KEYS[2], 'n', call_no, 'a', '')
  if ARGV[7] ~= '' then
    call('RPUSH', K .. 'ho:' .. ARGV[7], ids)
    call('HINCRBY', K .. 'hz', ARGV[7], ARGV[8])
    call('SADD', K .. 'hp:' .. ARGV[7], unpack(ARGV, 10, p - 1))
  end
  if waited then
    for i = 1, #ids, 13 do
      tell(string.sub(ids, i, i + 12))
    end
  end
  event('C' .. pack('>I6I6', now, tonumber(session)) .. ids)
end
if class > 0 then
  bucket, width = bucket_of(class)
end
for i = p + 1, p + tonumber(ARGV[p]) do
  call('SADD', K .. 'idle:' .. ARGV[i], session)
end
p = p + 1 + tonumber(ARGV[p])
for i = p + 1, p + 2 * tonumber(ARGV[p]), 2 do
  count(ARGV[i], ARGV[i + 1])
end
local reply = call('SMEMBERS', KEYS[3])
local head = call('HGET', sh, 'qv')
return { now, live and 1 or 0, call('LLEN', K .. 'lane'), tonumber(head or 0), bucket, width, unpack(reply) }
