-- Rows of the outbox, which carry word of unique keys to their home shards: 'c<key>' confirms a reservation (its token, id of the job, ms it is held as
-- text), 'C<key>' the same of a job that was retried, 'r<key>' releases (the token too when it was not confirmed yet or the job had been retried, id).
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
-- A row that is yet to confirm the key for this job is taken back, since rows go out in no order, and the release is for its reservation too. A job
-- that was retried holds the key by the token of its last reservation (`uh`): a release of an earlier life that comes late is not for this one.
local function outbox_release(ukey, id)
  local held_by = call('HGET', K .. 'uh', id)
  local field = (held_by and 'C' or 'c') .. ukey
  local token, of = confirm_split(call('HGET', K .. 'ob', field) or '')
  if of == id then
    call('HDEL', K .. 'ob', field)
  else
    token = held_by or ''
  end
  call('HDEL', K .. 'uh', id)
  call('HDEL', K .. 'uf', id)
  call('HSET', K .. 'ob', 'r' .. ukey, token .. id)
end
-- The other job that was accepted with this key and whose word is not out yet; nil when there is none.
local function outbox_holder(ukey, id)
  for _, kind in ipairs({ 'c', 'C' }) do
    local confirm = call('HGET', K .. 'ob', kind .. ukey)
    local _, of = confirm_split(confirm or '')
    if confirm and of ~= id then
      return of
    end
  end
end
-- Word that is on its way about this key for this job.
local function outbox_confirms(ukey, id)
  for _, kind in ipairs({ 'c', 'C' }) do
    local _, of = confirm_split(call('HGET', K .. 'ob', kind .. ukey) or '')
    if of == id then
      return true
    end
  end
  return false
end
