#!lua flags=allow-oom
-- What two shards must agree about, looked at again, one side a call.
-- keys: {p:0}:sh
-- argv: shard repair('1' or '') then
--   'holder' ukey id home       on the job's shard; more: 'y' when the job lives and names the key, or lets it go just now
--   'held' ukey job_shard id    on the key's: it is still held by that job, of which there is nothing
--   'release' ukey id report('1' or '')  on the job's: is it still in the outbox; more: 'y'
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
  if call('GET', key) == away_make(tonumber(ARGV[5]), ARGV[6]) then
    fault('key_stale', key, ARGV[6], 'its holder in shard ' .. ARGV[5] .. ' is not alive', function()
      call('DEL', key)
    end)
  end
elseif release_of(ukey) == ARGV[5] then
  more[1] = { 'y' }
  if ARGV[6] == '1' then
    fault('outbox_stale', K .. 'ob', ARGV[5], 'the release of its unique key does not go out')
  end
end
return answer('')
