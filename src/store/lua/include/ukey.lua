-- Unique keys. The value of `u:<key>` is the id of its holder; on the home shard of a job elsewhere 'R', deadline and token while it is reserved, 'X',
-- the job's shard and id once it is confirmed, and the token too when the job had been retried: each of its lives has a value of its own.
--#include "ids.lua"
--#include "outbox.lua"
-- 'own', 'reserved', 'away', or nil for what cannot be read.
local function holder_kind(v)
  if #v == ID_BYTES then
    return 'own'
  end
  local kind = string.sub(v, 1, 1)
  return kind == 'R' and #v == 7 + TOKEN_BYTES and 'reserved' or kind == 'X' and (#v == 3 + ID_BYTES or #v == 3 + ID_BYTES + TOKEN_BYTES) and 'away' or nil
end
-- Deadline and token; nil when it is none.
local function reservation_read(v)
  if v and holder_kind(v) == 'reserved' then
    local deadline = unpk('>I6', v, 2)
    return deadline, string.sub(v, 8)
  end
end
local function reservation_make(deadline, token)
  return 'R' .. pack('>I6', deadline) .. token
end
-- Shard and id of a holder elsewhere.
local function away_read(v)
  local home = unpk('>I2', v, 2)
  return home, string.sub(v, 4, 3 + ID_BYTES)
end
local function away_make(of_shard, id)
  return 'X' .. pack('>I2', of_shard) .. id
end
-- Who holds a key of which this is the value: nil when nobody does (any more), NO_ID when it is only reserved.
local function holder_of(v)
  local deadline = reservation_read(v)
  if deadline then
    return deadline > now and NO_ID or nil
  elseif v and holder_kind(v) == 'away' then
    local _, id = away_read(v)
    return id
  end
  return v or nil
end
-- What a producer has for a key at home elsewhere instead of a reservation: 'X' and the id of its holder. nil when it is none.
local function held_read(token)
  return #token == 1 + ID_BYTES and string.sub(token, 2) or nil
end
-- Whether a unique key lives on another shard than its job: the envelope names its home, the id the job's shard.
local function ukey_away(e, id)
  return e.ukey_home and e.ukey_home ~= id_shard(id)
end
-- Let go of a job's unique key, when the job ends: here, or through the outbox when its home is another shard.
local function ukey_release(e, id)
  if e.ukey_ms > 0 then
    return
  end
  if ukey_away(e, id) then
    outbox_release(e.ukey, id)
  elseif call('GET', K .. 'u:' .. e.ukey) == id then
    call('DEL', K .. 'u:' .. e.ukey)
  else
    call('HDEL', K .. 'uf', id) -- it was taken from the job by hand
  end
end
