-- Rows of the outbox, which carry word of unique keys to their home shards: 'c<key>' confirms a reservation (its token, id of the job, ms it is held as
-- text), 'r<key>' releases (the token too when it was not confirmed yet, id).
--#include "ids.lua"
local TOKEN_BYTES = 16
local function outbox_field(field)
  return string.sub(field, 1, 1), string.sub(field, 2)
end
-- token, id, held ms
local function confirm_split(value)
  local id_end = TOKEN_BYTES + ID_BYTES
  return string.sub(value, 1, TOKEN_BYTES), string.sub(value, TOKEN_BYTES + 1, id_end), string.sub(value, id_end + 1)
end
-- token ('' none), id
local function release_split(value)
  return string.sub(value, 1, -1 - ID_BYTES), string.sub(value, -ID_BYTES)
end
-- A row that is yet to confirm the key for this job is taken back, since rows go out in no order, and the release is for its reservation too.
local function outbox_release(ukey, id)
  local confirm = call('HGET', K .. 'ob', 'c' .. ukey)
  local token, of = confirm_split(confirm or '')
  if of == id then
    call('HDEL', K .. 'ob', 'c' .. ukey)
  else
    token = ''
  end
  call('HSET', K .. 'ob', 'r' .. ukey, token .. id)
end
