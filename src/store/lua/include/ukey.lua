-- The release of a unique key that is at home on another shard. Rows of the outbox go out in no order: one that is yet to confirm the key for this
-- job is taken back, and the release is for its reservation too.
local function outbox_release(ukey, id)
  local confirm = call('HGET', K .. 'ob', 'c' .. ukey)
  local token = ''
  if confirm and string.sub(confirm, 17, 29) == id then
    call('HDEL', K .. 'ob', 'c' .. ukey)
    token = string.sub(confirm, 1, 16)
  end
  call('HSET', K .. 'ob', 'r' .. ukey, token .. id)
end
-- Whether a unique key lives on another shard than its job: the envelope names its home, the id the job's shard.
local function ukey_away(e, id)
  return e.ukey_home and e.ukey_home ~= unpk('>I3', id, 11) % 1024
end
-- Let go of a job's unique key, when the job ends: here, or through the outbox when its home is another shard.
local function ukey_release(e, id)
  if not e.ukey or e.ukey_ms > 0 then
    return
  end
  if ukey_away(e, id) then
    outbox_release(e.ukey, id)
  elseif call('GET', K .. 'u:' .. e.ukey) == id then
    call('DEL', K .. 'u:' .. e.ukey)
  end
end
