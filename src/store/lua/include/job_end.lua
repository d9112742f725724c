-- The end of a job. What follows from it, whatever ended it, is written here and nowhere else.
--   ended_plain  the worker's turn: of these jobs nothing follows but history, statistics, event (which the turn writes for all of them) and
--                waiters; DQ_J_END_GENERAL of src/model/job.h says which may not go that way
--   ended_asking jobs whose rows were written by the worker, and what some of them ask for: fields as envelope_read gives them
--   ended        a job that ends without a worker's word: its row too, or nothing when it is not kept; then ended_all, once a call
--#include "ids.lua"
--#include "states.lua"
--#include "envelope.lua"
--#include "history.lua"
--#include "moved.lua"
--#include "rows.lua"
--#include "sets.lua"
--#include "side.lua"
--#include "stats.lua"
--#include "tell.lua"
--#include "ukey.lua"
--#include "occurrence.lua"
--#include "flow.lua"
--#include "batch.lua"
local FLOW_BUDGET = 800 -- what tasks that end may do to others beside the step that ends them
local function ended_plain(ids)
  if waited then
    for _, id in ipairs(ids_split(ids)) do
      tell(id)
    end
  end
end

-- nothing_left: what is said to those who wait when nothing of it can be looked at.
local function follow(id, asks, nothing_left)
  if asks.ukey then
    ukey_release(asks, id)
  end
  if asks.s2s then
    call('ZREM', K .. 's2s', id)
  end
  if asks.drop then
    side_drop(id)
  end
  tell(id, nothing_left)
  if asks.schedule then
    occurrence_ended(id, asks)
  end
  if asks.task then
    flow_ended(id, asks.task, asks.how, asks.why)
  end
  if asks.item then
    batches().ended(id, asks.item, asks.how, asks.why)
  end
end
local function followed_all()
  occurrences_done()
  if next(flows) then
    flow_go(FLOW_BUDGET)
  end
  if batch_made[1] then
    batch_made[1].go()
  end
end
local NOTHING = {}
local function ended_asking(ids, asks)
  if waited or next(asks) then
    for i, id in pairs(ids) do
      follow(id, asks[i] or NOTHING)
    end
    followed_all()
  end
end

-- Ways to end without a worker: state of the row, where it is kept, letters of statistics and event, what is said when nothing is left.
local ENDS = {
  cancelled = { how = 'x', state = STATE_CANCELLED, history = true, counter = ':x', kind = 'X', nothing_left = '\7' },
  dead = { how = 'd', state = STATE_DEAD, set = 'dead', counter = ':d', kind = 'K' },
  purged = { how = 'q', kind = 'Q', nothing_left = '\0' },
}
local ended_ids, ended_in = {}, {}
-- job: id, m (nil: it never moved), j, e (its envelope), started (ms; nil never) and session (nil: none) of a run that this ends, reason.
local function ended(how, job)
  local id, e = job.id, job.e
  local _, _, lane = id_unpack(id)
  local logged = job.m and moved_logged(job.m)
  local class = how.history and not e.item and class_of(e, lane) or 0
  local kept = class > 0 or how.set and not e.item -- of an item its batch says what became of it
  local row = kept and row_make(how.state, id, job.started or 0, tonumber(job.session or 0), job.reason, job.m, job.j)
  if kept and how.set then
    set_put(how.set, { now, id }, { id, row })
  elseif kept then
    local bucket = history_add(class, { id, row }, (e.blob or logged) and side_bytes(id, e, logged))
    call('HINCRBY', K .. 'hn', bucket, 1)
  else
    e.drop = e.blob or job.m -- one that moved may have log lines
  end
  e.died = how == ENDS.dead
  e.how, e.why = how.how, job.reason
  follow(id, e, not kept and (how.nothing_left or '\6'))
  ended_in[lane] = (ended_in[lane] or 0) + 1
  ended_ids[#ended_ids + 1] = id
  ended_ids.why = job.reason
end
-- Statistics and event of all that ended so in this call.
local function ended_all(how)
  for lane, n in pairs(how.counter and ended_in or {}) do
    count(lane .. how.counter, n)
  end
  if #ended_ids > 0 then
    event_with(how.kind .. pack('>I6', now) .. table.concat(ended_ids), ended_ids.why)
  end
  ended_ids, ended_in = {}, {}
  followed_all()
end
