-- What scripts must know of an envelope `j` (docs/redis-keys.md "Packed parts"): the unique key with how long it is held and its home
-- shard (nil: this one), the retention class (nil: the queue's), the schedule-to-start limit (nil: none), whether the payload is a key
-- of its own, the schedule of which it is an occurrence (nil: of none), what makes it a task of a workflow, or an item of a
-- batch (nil: nothing).
--#include "varint.lua"
local J_CTYPE = 2 -- numbers of bits, as DQ_J_CTYPE and so on of src/model/job.h (a test compares)
local J_PRIORITY = 3
local J_TIMEOUT = 4
local J_S2S = 5
local J_DLQ_AFTER = 7
local J_RETENTION = 8
local J_RETRY = 9
local J_UNIQUE = 10
local J_REQUEST = 11
local J_HEADERS = 12
local J_TAGS = 13
local J_TRACE = 14
local J_BLOB = 15
local J_MORE = 16
local MORE_SCHEDULE = 1 -- first byte of the part that names schedule and time
local MORE_TASK = 2 -- first byte of the part that names workflow and task
local MORE_ITEM = 3 -- first byte of the part that names batch and item
local function bit_set(flags, bit)
  return math.floor(flags / 2 ^ bit) % 2 == 1
end
-- What is in a part of J_MORE. Of a schedule: its id, whether the job's end is looked at, whether its death pauses the schedule; of a workflow: its id, then
-- which of its jobs this is and of which task.
local function more_schedule(part)
  local flags = string.byte(part, 21)
  return string.sub(part, 2, 14), flags % 2 == 1, flags >= 2
end
local function more_task(part)
  return unpk('>c13I2I3', part, 2)
end
-- What J_MORE names, which lies after parts that are of no other interest.
local function envelope_more(e, j, flags, at)
  local n, part, _
  if bit_set(flags, J_REQUEST) then
    _, at = lstr_read(j, at)
  end
  for bit = J_HEADERS, J_TAGS do
    if bit_set(flags, bit) then
      n, at = varint_read(j, at)
      for _ = 1, bit == J_HEADERS and 2 * n or n do
        _, at = lstr_read(j, at)
      end
    end
  end
  part = lstr_read(j, bit_set(flags, J_TRACE) and at + 25 or at)
  if string.byte(part) == MORE_SCHEDULE and #part == 21 then
    e.schedule, e.is_tracked, e.pauses = more_schedule(part)
  elseif string.byte(part) == MORE_TASK and #part >= 21 then
    e.task = part
  elseif string.byte(part) == MORE_ITEM and #part >= 20 then
    e.item = part
  end
end
local function envelope_read(j)
  local e = {}
  local flags, at = varint_read(j, 2)
  local n, _
  if bit_set(flags, J_CTYPE) then
    _, at = lstr_read(j, at)
  end
  if bit_set(flags, J_PRIORITY) then
    at = at + 1
  end
  for bit = J_TIMEOUT, J_DLQ_AFTER do
    if bit_set(flags, bit) then
      n, at = varint_read(j, at)
      if bit == J_S2S then
        e.s2s = n
      end
    end
  end
  if bit_set(flags, J_RETENTION) then
    e.class, at = varint_read(j, at)
  end
  if bit_set(flags, J_RETRY) then
    _, at = lstr_read(j, at)
  end
  if bit_set(flags, J_UNIQUE) then
    e.ukey, at = lstr_read(j, at)
    e.ukey_ms, at = varint_read(j, at)
    local home = unpk('>I2', j, at)
    if home > 0 then
      e.ukey_home = home - 1
    end
  end
  if bit_set(flags, J_MORE) then
    envelope_more(e, j, flags, at)
  end
  e.blob = bit_set(flags, J_BLOB)
  return e
end
-- The retention class of a job: its own, else its queue's, else the default.
local function class_of(e, lane)
  if e.class then
    return e.class
  end
  local name = call('LINDEX', K .. 'lane', lane - 1)
  local q = name and call('HGET', K .. 'q', string.match(name, '^[^|]*'))
  return q and unpk('>I6', q, 8) or RETENTION_DEFAULT_MS
end
