#!lua flags=no-writes
-- Jobs by id, wherever they are; without a payload of its own key that is over 1 MiB.
-- keys: {p:0}:sh
-- argv: id...
-- returns: for each nil, or { id, state (-1: the row says),  lane name, m, j or row, blob or nil, due or resume ms, session, started ms, progress or nil }; state as in
--   dureq_job_state
--#include "base.lua"
--#include "job_view.lua"
local out = {}
for i = 1, #ARGV do
  out[i] = job_view(ARGV[i], 1048576)
end
return out
