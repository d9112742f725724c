#!lua flags=allow-oom
-- What two shards must agree about, looked at again, one side a call.
-- keys: {p:0}:sh
-- argv: shard repair('1' or '') then
--   'holder' ukey id home       on the job's shard; more: 'y' when the job lives and names the key, or lets it go just now
--   'held' ukey job_shard id    on the key's: it is still held by that job, of which there is nothing
--   'release' ukey id report('1' or '')  on the job's: is word of it still in the outbox; more: 'y'
--   'lost' ukey job_shard id token report  on the key's: is it not held by that job, which lives; more: 'y'
--   'lives' ukey id             on the job's: does it live, with no word of the key in the outbox; more: 'y'
-- returns: as doctor_keys
--#include "base.lua"
--#include "doctor.lua"
--#include "doctor_job.lua"
--#include "ukey.lua"
local op, ukey = ARGV[3], ARGV[4]
-- Whose release of a key is on its way.
local function release_of(key)
  local _, id = release_split(call('HGET', K .. 'ob', 'r' .. key) or '')
  return id
end
if op == 'holder' then
  local id = ARGV[5]
  local place, j = whereabouts(id)
  local e = place and envelope_of(j)
  local names = place and (e == false or e and e.ukey == ukey and e.ukey_home == tonumber(ARGV[6]))
  if names or release_of(ukey) == id then
    more[1] = { 'y' }
  end
elseif op == 'held' then
  local key = K .. 'u:' .. ukey
  local own, v = away_make(tonumber(ARGV[5]), ARGV[6]), call('GET', key) or ''
  if string.sub(v, 1, #own) == own then
    fault('key_stale', key, ARGV[6], 'its holder in shard ' .. ARGV[5] .. ' is not alive', function()
      call('DEL', key)
    end)
  end
elseif op == 'lost' then
  local key, own = K .. 'u:' .. ukey, away_make(tonumber(ARGV[5]), ARGV[6])
  local v = call('GET', key)
  if v ~= own and v ~= own .. ARGV[7] then
    more[1] = { 'y' }
    if ARGV[8] == '1' then
      key_lost(key, ARGV[6], v, own .. ARGV[7])
    end
  end
elseif op == 'lives' then
  if whereabouts(ARGV[5]) and not outbox_confirms(ukey, ARGV[5]) then
    more[1] = { 'y' }
  end
elseif release_of(ukey) == ARGV[5] or outbox_confirms(ukey, ARGV[5]) then
  more[1] = { 'y' }
  if ARGV[6] == '1' then
    fault('outbox_stale', K .. 'ob', ARGV[5], 'word of its unique key does not go out')
  end
end
return answer('')
