-- Where a job can be, each a row; a new one is a row here and one in src/model/place.c. The id of a schedule is found by itself only.
--   state: of its jobs; again: of those among them that ran already; waits, ended: what they do there; said: what the doctor calls it
--#include "states.lua"
--#include "records.lua"
local places = {
  lane = { name = 'lane', letter = 'l', state = STATE_PENDING, said = 'its lane' },
  front = { name = 'front', letter = 'f', state = STATE_PENDING, said = "its lane's front" },
  due = { name = 'due', state = STATE_SCHEDULED, again = STATE_RETRYING, waits = true, said = 'the due set' },
  paused = { name = 'paused', state = STATE_PAUSED, waits = true, said = 'the paused' },
  schedule = { name = 'schedule', state = STATE_SCHEDULED, said = 'the schedules' },
  dead = { name = 'dead', state = STATE_DEAD, ended = true, said = 'the dead' },
  history = { name = 'history', state = STATE_IN_ROW, ended = true, said = 'the history' },
}
-- Those that are a sorted set of ids with a hash of records (rows, of what has ended) beside it, in the order in which they are looked through.
local sets = { places.due, places.paused, places.dead }
-- m and j of what a set keeps of a job; nil and the row of one that ended.
local function set_split(set, kept)
  if set.ended then
    return nil, kept
  end
  return record_split(kept)
end
local function set_of(id)
  for _, set in ipairs(sets) do
    local kept = call('HGET', K .. set.name .. ':h', id)
    if kept then
      return set, kept
    end
  end
end
