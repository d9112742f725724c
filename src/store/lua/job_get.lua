#!lua flags=no-writes
-- Jobs by id, wherever they are; without a payload of its own key that is over 1 MiB.
-- keys: {p:0}:sh
-- argv: id...
-- returns: for each nil, or { id, state (-1: the row says),  lane name, m, j or row, blob or nil, due or resume ms, session, started ms, progress or nil, 0, '',
--   session that has or had it ('' none), its node's name }; state as in dureq_job_state
--#include "base.lua"
--#include "job_view.lua"
local out = {}
for i = 1, #ARGV do
  local view = job_view(ARGV[i], 1048576)
  if view then
    local ended = view[2] == STATE_IN_ROW or view[2] == STATE_DEAD
    local session = ended and row_run(view[5], view[1]).session or view[8]
    view[11], view[12], view[13] = 0, '', tostring(session)
    view[14] = session ~= '' and session ~= 0 and call('HGET', K .. 'sn', session) or ''
  end
  out[i] = view
end
return out
