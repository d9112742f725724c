#!lua flags=no-writes
-- A schedule by id or by key, with what it did.
-- keys: {p:0}:sh
-- argv: id('' none) key records('1' or '')
-- returns: { now_ms }, when there is none; else { now_ms, id, state, definition, edit ('' none waits), ms at which the leader looks at it, n active, n
--   buffered, payload ('' it is in the definition), { record... } }
--#include "base.lua"
--#include "schedule.lua"
local id = ARGV[1]
if id == '' then
  id = call('HGET', K .. 'sch:k', ARGV[2]) or ''
end
local state = id ~= '' and call('HGET', K .. 'sch:s', id)
if not state then
  return { now }
end
local edit = call('HGET', K .. 'sch:e', id) or ''
local payload = ARGV[3] == '1' and call('GET', K .. (edit ~= '' and 'be:' or 'b:') .. id) or ''
return {
  now, id, state, call('HGET', K .. 'sch:d', id) or '', edit, tostring(call('ZSCORE', K .. 'sch', id) or 'inf'), call('SCARD', K .. 'sa:' .. id),
  call('LLEN', K .. 'sb:' .. id), payload, ARGV[3] == '1' and call('LRANGE', K .. 'so:' .. id, 0, -1) or {},
}
