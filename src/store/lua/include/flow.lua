-- Workflows: what a task's end does to those that depend on it, in the same step as the end itself (docs/workflows.md "How it works").
--   flow_ended  a task's job ended, whatever ended it: noted
--   flow_go     what was noted spreads along the edges, releases what is ready, and is written; once at the end of a script
-- A cell says which job is its task's current one, and only that one's end counts: a repeated, late or superseded end moves nothing. What one step
-- cannot do is left in `wq` with its position, which moves in the same step as the counters, so that each edge counts once.
--#include "ids.lua"
--#include "due_ids.lua"
--#include "entry.lua"
--#include "envelope.lua"
--#include "flow_status.lua"
--#include "moved.lua"
--#include "records.lua"
--#include "sets.lua"
--#include "stats.lua"
--#include "tell.lua"
--#include "deliver.lua"
local IMAGE_HEAD = 64 -- numbers of src/flow/image.h (a test compares)
local IMAGE_TASK = 32
local IMAGE_EDGE = 6
local IMAGE_TASK_FORM = '>I4I4I4I4I4I4I4BB'
local IMAGE_SEGMENT = 262144
local IMAGE_ALLOW_FAILURE = 0 -- flags of a task, as numbers of bits
local IMAGE_ALL_DONE = 1
local IMAGE_ANY_FAILED = 2
local IMAGE_BLOB = 3
local IMAGE_S2S = 4
local IMAGE_PIPED = 6
local IMAGE_LATER = 0 -- of its other flags: its record begins with when it may start;
local IMAGE_NEVER_REUSED = 1
local INLINE_MAX = 32768 -- larger payloads are keys of their own
local PIPED_MAX = 1048576
local MANY_EDGES = 255
local CELL_AT = 64 -- of a workflow's cells, after its header
local CELL_BYTES = 32
local CELL_WAITS = 0 -- states of a task
local CELL_RELEASED = 1
local CELL_COMPLETED = 2
local CELL_SKIPPED = 3
local CELL_FAILED = 4
local CELL_CANCELLED = 5
local CELL_UNREACHED = 6
local MARK_BAD = 1 -- of what a task hands to those that depend on it: it failed, or was not reached;
local MARK_AFTER = 2 -- it runs although the workflow has failed
local FLOW_FAILING = 0 -- its flags, as numbers of bits: a task failed for good;
local FLOW_CANCELS = 1 -- what was released is cancelled then
local FLOW_TIMED_OUT = 2
local FLOW_RESETS = 5 -- its tasks are being set back for a retry: its counts are those of the ones that were looked at
local FLOW_RESETS_SINCE = 8 -- version of scripts: an older leader would never take it back
local FLOW_QUEUES = 4 -- tasks that may not start yet are in its list wm (bit 3 is FLOW_HOLDS)
local GO_EDGES = 1 -- kinds of what is left in `wq`
local GO_ROOTS = 2
local GO_CANCEL = 3
local GO_RESET = 6 -- these three, one after the other, make up a retry (flow_again); 4 and 5 are of batches
local GO_RECOUNT = 7
local GO_AGAIN = 8
local GO_NEXT = 9 -- tasks of wm to release
local GO_HOLD = 10 -- jobs that wait in lanes to hold: it was suspended
local GO_RESUME = 11 -- jobs that are held to let go
local FLOW_CANCEL_WHY = 'its workflow was cancelled'
local FLOW_HEAD = '>BBBI2I2I3I3I3I3I3I3I3I6I6c16I2I2'
local FLOW_CELL = '>BBI2I3c13I6I6'
local FLOW_TODO = '>c13BI2I3BI4'
local flows = {}
local flow_todo = {}
local function marks_both(a, b)
  if a == b or b == 0 then
    return a
  end
  return a == 0 and b or MARK_BAD + MARK_AFTER
end
local function marks_after(marks)
  return marks >= MARK_AFTER and MARK_AFTER or 0
end
local flow_made = {} -- by lane: how many were released,
local flow_ready = {} -- and may start now
local flow_fresh = {} -- of all: for the event
local flow_told = {}
local tasks_told = {}

local function image_read(def, at, n)
  local seg = math.floor(at / IMAGE_SEGMENT)
  local from = at - seg * IMAGE_SEGMENT
  local key = K .. 'wp:' .. def .. ':'
  local part = call('GETRANGE', key .. seg, from, from + n - 1)
  while #part < n do
    seg = seg + 1
    local next_part = call('GETRANGE', key .. seg, 0, n - #part - 1)
    if next_part == '' then
      break
    end
    part = part .. next_part
  end
  return part
end
-- n tasks, n roots, n edges, n lanes, where roots, edges, names, records and lanes begin, length
local function image_head(def)
  return unpk('>I4I4I4I4I4I4I4I4I4I4', image_read(def, 4, 40))
end

-- nil: it is gone.
local function flow_of(id)
  local f = flows[id]
  if f == nil then
    local key = K .. 'ws:' .. id
    local head = call('GETRANGE', key, 0, CELL_AT - 1)
    f = false
    if #head == CELL_AT and string.byte(head) == 1 then
      f = { id = id, key = key, met = {}, marks = {}, incs = {} }
      f.version, f.status, f.flags, f.epoch, f.graph, f.n, f.active, f.ended, f.failed, f.skipped, f.unreached, f.most, f.started, f.finished,
        f.def, f.attempt, f.attempts = unpk(FLOW_HEAD, head)
    end
    flows[id] = f
  end
  return f or nil
end
local function flow_head(f)
  return pack(FLOW_HEAD, f.version, f.status, f.flags, f.epoch, f.graph, f.n, f.active, f.ended, f.failed, f.skipped, f.unreached, f.most,
    f.started, f.finished, f.def, f.attempt, f.attempts) .. '\0\0\0\0'
end
local function cell_at(task)
  return CELL_AT + CELL_BYTES * task
end
local function cell_write(f, task, state, marks, inc, met, job, released)
  call('SETRANGE', f.key, cell_at(task), pack(FLOW_CELL, state, marks, inc, met, job, released, state == CELL_RELEASED and 0 or now))
end

-- What follows from the end of a task spreads later, with the others of this call. edges: of its envelope, nil when they are in the image.
local function todo_add(f, kind, task, mark, at, edges)
  flow_todo[#flow_todo + 1] = { f, kind, task, mark, at, edges }
end
local function flag_put(f, bit, on)
  if bit_set(f.flags, bit) ~= on then
    f.flags, f.changed = f.flags + (on and 2 ^ bit or -2 ^ bit), true
  end
end
local function fails(f)
  if not bit_set(f.flags, FLOW_FAILING) then
    flag_put(f, FLOW_FAILING, true)
    if bit_set(f.flags, FLOW_CANCELS) then
      todo_add(f, GO_CANCEL, 0, 0, 0)
    end
  end
end

-- What a worker says of the end of a task's job: how, part and why of flow_ended.
local function task_end(packed)
  local n = string.byte(packed, 2)
  return string.sub(packed, 1, 1), string.sub(packed, 3, 2 + n), string.sub(packed, 3 + n)
end
-- part: what the job's envelope says of its task; how: 'c' done, 's' skipped, 'd' dead, 'x' cancelled, 'q' purged.
local function flow_ended(id, part, how, why)
  local wid, inc, task, image_flags, n_edges = unpk('>c13I2I3BB', part, 2)
  local f = flow_of(wid)
  if not f then
    return
  end
  local cell = call('GETRANGE', f.key, cell_at(task), cell_at(task) + CELL_BYTES - 1)
  if #cell < CELL_BYTES then
    return
  end
  local state, marks, cell_inc, met, job, released = unpk(FLOW_CELL, cell)
  if state ~= CELL_RELEASED or cell_inc ~= inc or job ~= id then
    return
  end
  local is_bad = how ~= 'c' and how ~= 's'
  if how == 'x' and (f.status ~= FLOW_RUNNING or bit_set(f.flags, FLOW_FAILING) and bit_set(f.flags, FLOW_CANCELS)) then
    marks = marks_both(marks, MARK_BAD) -- it was cancelled with all others: a retry does it again, whatever is allowed
  end
  state = how == 'c' and CELL_COMPLETED or how == 's' and CELL_SKIPPED or how == 'd' and CELL_FAILED or CELL_CANCELLED
  cell_write(f, task, state, marks, inc, met, job, released)
  tasks_told[#tasks_told + 1] = how .. wid .. id
  f.changed = true
  f.active, f.ended = f.active - 1, f.ended + 1
  if is_bad then
    f.failed = f.failed + 1
  elseif how == 's' then
    f.skipped = f.skipped + 1
  end
  if why and why ~= '' then
    call('HSET', K .. 'wr:' .. wid, (how == 'c' and 'r' or 'e') .. task, why)
  end
  is_bad = is_bad and not bit_set(image_flags, IMAGE_ALLOW_FAILURE)
  if f.status ~= FLOW_RUNNING then
    return
  end
  if is_bad then
    fails(f)
  end
  if n_edges > 0 then
    todo_add(f, GO_EDGES, task, is_bad and MARK_BAD or marks_after(marks), 0, n_edges < MANY_EDGES and string.sub(part, 22) or nil)
  end
end

-- record, its length, name, where its edges begin, how many, how many it depends on, lane, flags, other flags
local function task_read(f, task)
  return unpk(IMAGE_TASK_FORM, image_read(f.def, IMAGE_HEAD + IMAGE_TASK * task, IMAGE_TASK))
end
local function flow_lane(f, index)
  f.lanes = f.lanes or {}
  local lane = f.lanes[index]
  if not lane then
    local packed = call('GETRANGE', K .. 'wp:' .. f.def .. ':l', 3 * index, 3 * index + 2)
    lane = #packed == 3 and unpk('>I3', packed) or 0
    f.lanes[index] = lane
  end
  return lane
end
-- A JSON string of what programs wrote, which may be no UTF-8, or be cut within a character.
local UTF8 = {
  '^[%z\1-\127]+', '^[\194-\223][\128-\191]', '^\224[\160-\191][\128-\191]', '^[\225-\236\238\239][\128-\191][\128-\191]', '^\237[\128-\159][\128-\191]',
  '^\240[\144-\191][\128-\191][\128-\191]', '^[\241-\243][\128-\191][\128-\191][\128-\191]', '^\244[\128-\143][\128-\191][\128-\191]',
}
local function text_json(s)
  local parts, at = {}, 1
  while at <= #s do
    local to
    for _, form in ipairs(UTF8) do
      to = to or select(2, string.find(s, form, at))
    end
    parts[#parts + 1] = to and string.sub(s, at, to) or '\239\191\189'
    at = (to or at) + 1
  end
  return cjson.encode(table.concat(parts))
end
-- Whether the results that the template names are few enough bytes to be read at all.
local function piped_fit(f, template)
  local _, n = unpk('>BI3', template)
  local at, bytes = 5, 0
  for _ = 1, n do
    local task, len = unpk('>I3I2', template, at)
    at = at + 5 + len
    bytes = bytes + call('HSTRLEN', K .. 'wr:' .. f.id, 'r' .. task)
  end
  return bytes <= PIPED_MAX
end
-- Payload of a task that gets results, from its template (src/flow/image.c): {"upstream": result or { name: result }, "original": ...}.
-- What has none is null, and if it failed the reason is beside it. A result that is no JSON is kept as base64, with 'b' before it.
local function payload_piped(f, template)
  local is_map, n = unpk('>BI3', template)
  local at, values, errors = 5, {}, {}
  local key = 'upstream'
  for i = 1, n do
    local task, len = unpk('>I3I2', template, at)
    local name = string.sub(template, at + 5, at + 4 + len)
    local kept, why = unpack(call('HMGET', K .. 'wr:' .. f.id, 'r' .. task, 'e' .. task))
    local value = kept and string.sub(kept, 2) or 'null'
    at = at + 5 + len
    if kept and string.byte(kept) == 98 then
      value = is_map == 1 and '{"base64":"' .. value .. '"}' or '"' .. value .. '"'
      key = is_map == 1 and key or 'upstream_base64'
    elseif not kept and why and string.byte(call('GETRANGE', f.key, cell_at(task), cell_at(task))) ~= CELL_SKIPPED then
      errors[#errors + 1] = (is_map == 1 and name .. ':' or '') .. text_json(why)
    end
    values[i] = is_map == 1 and name .. ':' .. value or value
  end
  local all, wrong = table.concat(values, ','), table.concat(errors, ',')
  if is_map == 1 then
    all, wrong = '{' .. all .. '}', wrong ~= '' and '{' .. wrong .. '}' or ''
  end
  return '{"' .. key .. '":' .. all .. (wrong ~= '' and (is_map == 1 and ',"errors":' or ',"error":') .. wrong or '') .. string.sub(template, at)
end
local flow_due = {} -- at: the first of those that were made for later
-- A job that may start at a time.
local function due_add(lane, home, at, j)
  local id = due_id(lane, home)
  local first = set_first('due')
  set_put('due', { at, id }, { id, record(moved_fresh(id, at, at), j) })
  if (not first or at < first) and (not flow_due.at or at < flow_due.at) then
    flow_due.at = at
  end
  return id
end
-- Its job, as an enqueued one. Returns what it cost; nil: it could not be made.
local function task_release(f, task, marks, inc, met, at, len, lane_index, image_flags, other_flags)
  local rec = image_read(f.def, at, len)
  local due = now
  if bit_set(other_flags, IMAGE_LATER) then
    local is_time, ms = unpk('>BI6', rec)
    due = is_time == 1 and ms or now + ms
    rec = string.sub(rec, 8)
  end
  local n_about, more_at = unpk('>BI4', rec)
  local envelope = 6 + n_about
  local head, tail = string.sub(rec, envelope, envelope + more_at - 1), string.sub(rec, envelope + more_at)
  local payload
  if bit_set(image_flags, IMAGE_PIPED) then
    if not piped_fit(f, tail) then
      return nil
    end
    tail = payload_piped(f, tail)
    if #tail > INLINE_MAX then
      payload, tail = tail, varint(#tail)
      head = string.sub(head, 1, 3) .. string.char(string.byte(head, 4) + 2) .. string.sub(head, 5) -- its flag, J_BLOB
    end
  end
  local about = '\2' .. f.id .. pack('>I2', inc) .. string.sub(rec, 6, 5 + n_about)
  local j = head .. string.char(#about) .. about .. tail
  local lane = flow_lane(f, lane_index)
  local id, ms, seq
  if due > now then
    id = due_add(lane, id_shard(f.id), due, j)
    ms, seq = id_unpack(id)
  else
    ms, seq = entry_parts(call('XADD', K .. 'l:' .. lane, '*', 'j', j))
    id = id_pack(ms, seq, lane, id_shard(f.id))
    flow_ready[lane] = (flow_ready[lane] or 0) + 1
  end
  local bytes = #tail + (payload and #payload or 0)
  if bit_set(image_flags, IMAGE_BLOB) then
    call('COPY', K .. 'wp:' .. f.def .. ':b' .. task, K .. 'b:' .. id)
    bytes = bytes + call('STRLEN', K .. 'b:' .. id)
  end
  if payload then
    call('SET', K .. 'b:' .. id, payload)
  end
  if bit_set(image_flags, IMAGE_S2S) then
    call('ZADD', K .. 's2s', math.max(due, now) + envelope_read(j).s2s, id)
  end
  cell_write(f, task, CELL_RELEASED, marks, inc, met, id, now)
  f.active = f.active + 1
  flow_made[lane] = (flow_made[lane] or 0) + 1
  flow_fresh[#flow_fresh + 1] = pack('>BI2I3I6I4', 0, 1, lane, ms, seq)
  tasks_told[#tasks_told + 1] = 'r' .. f.id .. id
  return 6 + math.floor(bytes / 8192)
end
-- Whether a task of it may start now.
local function flow_has_room(f)
  return f.status == FLOW_RUNNING and not bit_set(f.flags, FLOW_HOLDS) and (f.most == 0 or f.active < f.most)
end
-- A task that is complete and may not start yet queues up in wm, with those that came before it. Its cell says that it waits, for which nothing is left to wait.
local function task_queue(f, task, marks, inc, met)
  if met > 0 then
    call('SETRANGE', f.key, cell_at(task), pack('>BBI2I3', CELL_WAITS, marks, inc, met))
  end
  call('RPUSH', K .. 'wm:' .. f.id, pack('>I3', task))
  flag_put(f, FLOW_QUEUES, true)
  return 3
end
-- All that it depends on has ended. Returns what it cost.
local function task_decide(f, task, marks, inc, met)
  local at, len, _, _, n_outs, _, lane, image_flags, other_flags = task_read(f, task)
  local failing = bit_set(f.flags, FLOW_FAILING)
  local is_bad = marks % 2 == MARK_BAD
  local runs
  if bit_set(image_flags, IMAGE_ALL_DONE) then
    runs = true
  elseif bit_set(image_flags, IMAGE_ANY_FAILED) then
    runs = is_bad
  else
    runs = not is_bad and (not failing or marks >= MARK_AFTER)
  end
  f.changed = true
  if runs and not f.is_next and (bit_set(f.flags, FLOW_QUEUES) or not flow_has_room(f)) then
    return task_queue(f, task, marks, inc, met)
  end
  if runs then
    local cost = task_release(f, task, failing and marks_both(marks, MARK_AFTER) or marks, inc, met, at, len, lane, image_flags, other_flags)
    if cost then
      return cost
    end
    local allowed = bit_set(image_flags, IMAGE_ALLOW_FAILURE)
    cell_write(f, task, CELL_FAILED, marks, inc, met, NO_ID, 0)
    call('HSET', K .. 'wr:' .. f.id, 'e' .. task, 'the results it is to get take over 1 MiB')
    f.ended, f.failed = f.ended + 1, f.failed + 1
    if not allowed then
      fails(f)
    end
    if n_outs > 0 then
      todo_add(f, GO_EDGES, task, allowed and marks_after(marks) or MARK_BAD, 0)
    end
    return 20
  end
  local skipped = bit_set(image_flags, IMAGE_ANY_FAILED)
  cell_write(f, task, skipped and CELL_SKIPPED or CELL_UNREACHED, marks, inc, met, NO_ID, 0)
  f.ended = f.ended + 1
  if skipped then
    f.skipped = f.skipped + 1
  else
    f.unreached = f.unreached + 1
  end
  if n_outs > 0 then
    todo_add(f, GO_EDGES, task, skipped and marks_after(marks) or MARK_BAD, 0)
  end
  return 3
end
-- One edge to a task counts. Returns what it cost.
local function edge_met(f, task, n_deps, mark)
  local met, marks, inc = f.met[task], f.marks[task], f.incs[task]
  if not met then
    local state
    state, marks, inc, met = unpk('>BBI2I3', call('GETRANGE', f.key, cell_at(task), cell_at(task) + 6))
    if state ~= CELL_WAITS then
      return 1
    end
  end
  met, marks = met + 1, marks_both(marks, mark)
  if met < n_deps then
    f.met[task], f.marks[task], f.incs[task] = met, marks, inc
    return 1
  end
  f.met[task] = nil
  return task_decide(f, task, marks, inc, met)
end

-- Each takes what is to be done and how much may be done; returns how much is left, and whether it was all.
local function go_edges(t, left)
  local f, _, task, mark, at, edges = unpack(t, 1, 6)
  local n
  if edges then
    n = #edges / IMAGE_EDGE
  else
    local _, _, _, outs_at, n_outs = task_read(f, task)
    f.edges_at = f.edges_at or select(6, image_head(f.def))
    n = math.min(n_outs - at, left)
    edges = image_read(f.def, f.edges_at + IMAGE_EDGE * (outs_at + at), IMAGE_EDGE * n)
    t[5] = at + n
    n_outs = n_outs - t[5]
    t[7] = n_outs
  end
  for i = 0, n - 1 do
    if left <= 0 then
      t[5], t[7] = at + i, 1 -- those of an envelope are in the image, too
      return left
    end
    local to, n_deps = unpk('>I3I3', edges, 1 + IMAGE_EDGE * i)
    left = left - edge_met(f, to, n_deps, mark)
  end
  return left, (t[7] or 0) == 0
end
local function go_roots(t, left)
  local f, at = t[1], t[5]
  local _, n, _, _, roots_at = image_head(f.def)
  local roots = image_read(f.def, roots_at + 4 * at, 4 * math.min(n - at, math.ceil(left / 3)))
  for i = 1, #roots, 4 do
    if left <= 0 then
      t[5] = at + (i - 1) / 4
      return left
    end
    left = left - task_decide(f, unpk('>I4', roots, i), 0, 0, 0)
  end
  t[5] = at + #roots / 4
  return left, t[5] >= n
end
-- Tasks of wm, in their order, as many as may start. What is in it twice, or has ended meanwhile, is passed over.
local function go_next(t, left)
  local f = t[1]
  while left > 0 and flow_has_room(f) do
    local packed = call('LPOP', K .. 'wm:' .. f.id)
    if not packed then
      flag_put(f, FLOW_QUEUES, false)
      break
    end
    local task = unpk('>I3', packed)
    local state, marks, inc, met = unpk('>BBI2I3', call('GETRANGE', f.key, cell_at(task), cell_at(task) + 6))
    left = left - 2
    if state == CELL_WAITS then
      f.is_next = true
      left = left - task_decide(f, task, marks, inc, met)
      f.is_next = nil
    end
  end
  f.goes_on = bit_set(f.flags, FLOW_QUEUES) and flow_has_room(f) or nil
  return left, not f.goes_on
end
-- ---- a retry: what failed, was cancelled or not reached, and what ran because or after something failed, begins again; the rest stays ----
-- Nothing of it runs when it begins, and nothing is released before all edges of what stays have counted.
local function go_reset(t, left)
  local f, at = t[1], t[5]
  local cells = call('GETRANGE', f.key, cell_at(at), cell_at(math.min(f.n, at + 512)) - 1)
  local n, parts, told = #cells / CELL_BYTES, {}, {}
  local rows = image_read(f.def, IMAGE_HEAD + IMAGE_TASK * at, IMAGE_TASK * n)
  for i = 0, n - 1 do
    local state, marks, inc = unpk(FLOW_CELL, cells, 1 + CELL_BYTES * i)
    local image_flags, other_flags = string.byte(rows, 29 + IMAGE_TASK * i, 30 + IMAGE_TASK * i)
    local stays = marks == 0 and (state == CELL_COMPLETED or state == CELL_SKIPPED) and not bit_set(other_flags, IMAGE_NEVER_REUSED)
    if (state == CELL_FAILED or state == CELL_CANCELLED) and marks == 0 then
      stays = bit_set(image_flags, IMAGE_ALLOW_FAILURE)
    end
    if stays then
      f.ended = f.ended + 1
      f.failed = f.failed + ((state == CELL_FAILED or state == CELL_CANCELLED) and 1 or 0)
      f.skipped = f.skipped + (state == CELL_SKIPPED and 1 or 0)
      parts[i + 1] = string.sub(cells, 1 + CELL_BYTES * i, CELL_BYTES * (i + 1))
    else
      if state ~= CELL_WAITS then
        told[#told + 1], told[#told + 2] = 'e' .. (at + i), 'r' .. (at + i)
      end
      parts[i + 1] = pack(FLOW_CELL, CELL_WAITS, 0, inc % 65535 + 1, 0, NO_ID, 0, 0)
    end
  end
  call('SETRANGE', f.key, cell_at(at), table.concat(parts))
  if #told > 0 then
    call('HDEL', K .. 'wr:' .. f.id, unpack(told))
  end
  f.changed = true
  t[5] = at + n
  if t[5] >= f.n then
    flag_put(f, FLOW_RESETS, false)
    todo_add(f, GO_RECOUNT, 0, 0, 0)
  end
  return left - math.ceil(n / 4), t[5] >= f.n
end
local function met_write(f)
  for task, met in pairs(f.met) do
    call('SETRANGE', f.key, cell_at(task), pack('>BBI2I3', CELL_WAITS, f.marks[task], f.incs[task], met))
  end
  f.met = {}
end
local function edge_recount(f, to)
  if not f.met[to] then
    local state, marks, inc, met = unpk('>BBI2I3', call('GETRANGE', f.key, cell_at(to), cell_at(to) + 6))
    if state ~= CELL_WAITS then
      return
    end
    f.met[to], f.marks[to], f.incs[to] = met, marks, inc
  end
  f.met[to] = f.met[to] + 1
end
-- t[3]: the task, t[5]: the next of its edges.
local function go_recount(t, left)
  local f = t[1]
  f.edges_at = f.edges_at or select(6, image_head(f.def))
  while left > 0 and t[3] < f.n do
    local n, n_outs = 0, 0
    if string.byte(call('GETRANGE', f.key, cell_at(t[3]), cell_at(t[3]))) > CELL_RELEASED then
      local _, outs_at
      _, _, _, outs_at, n_outs = task_read(f, t[3])
      n = math.min(n_outs - t[5], left)
      local edges = n > 0 and image_read(f.def, f.edges_at + IMAGE_EDGE * (outs_at + t[5]), IMAGE_EDGE * n) or ''
      for i = 0, n - 1 do
        edge_recount(f, (unpk('>I3', edges, 1 + IMAGE_EDGE * i)))
      end
    end
    left, t[5] = left - 2 - n, t[5] + n
    if t[5] >= n_outs then
      t[3], t[5] = t[3] + 1, 0
    end
  end
  met_write(f)
  if t[3] >= f.n then
    todo_add(f, GO_AGAIN, 0, 0, 0)
  end
  return left, t[3] >= f.n
end
local function go_again(t, left)
  local f, at = t[1], t[5]
  local most = math.min(f.n - at, 256)
  local cells = call('GETRANGE', f.key, cell_at(at), cell_at(at + most) - 1)
  local rows = image_read(f.def, IMAGE_HEAD + IMAGE_TASK * at, IMAGE_TASK * most)
  for i = 0, most - 1 do
    if left <= 0 then
      t[5] = at + i
      return left
    end
    local state, marks, inc, met = unpk(FLOW_CELL, cells, 1 + CELL_BYTES * i)
    if state == CELL_WAITS and not f.met[at + i] and met == unpk('>I4', rows, 21 + IMAGE_TASK * i) then
      left = left - task_decide(f, at + i, marks, inc, met)
    end
  end
  f.changed = true
  t[5] = at + most
  return left - math.ceil(most / 8), t[5] >= f.n
end
local function flow_begin(f)
  local limit = tonumber(call('HGET', K .. 'wf:' .. f.id, 'limit') or 0)
  f.status = FLOW_RUNNING
  if limit > 0 then
    call('HSET', K .. 'wf:' .. f.id, 'deadline', now + limit)
    call('ZADD', K .. 'tm', now + limit, 'x' .. f.id)
    flow_told.leader = true
  end
end
-- One that is suspended stays so.
local function flow_again(f)
  f.epoch, f.attempt = f.epoch % 65535 + 1, math.max(f.attempt, 1) + 1
  f.flags = (bit_set(f.flags, FLOW_CANCELS) and 2 or 0) + (bit_set(f.flags, FLOW_HOLDS) and 8 or 0)
  if tonumber(call('HGET', sh, 'mv') or 0) >= FLOW_RESETS_SINCE then
    f.flags = f.flags + 2 ^ FLOW_RESETS
  end
  call('DEL', K .. 'wm:' .. f.id)
  f.ended, f.failed, f.skipped, f.unreached, f.finished = 0, 0, 0, 0, 0
  f.changed = true
  call('RPUSH', K .. 'wq', pack(FLOW_TODO, f.id, GO_RESET, f.epoch, 0, 0, 0))
  flow_told.leader = true
  flow_told[#flow_told + 1] = string.char(FLOW_RUNNING) .. f.id
  flow_begin(f)
end
local flow_goes = {
  [GO_EDGES] = go_edges, [GO_ROOTS] = go_roots, [GO_RESET] = go_reset, [GO_RECOUNT] = go_recount, [GO_AGAIN] = go_again, [GO_NEXT] = go_next,
}
local function flow_wanted(f, kind)
  return f and (f.status == FLOW_RUNNING or (kind == GO_CANCEL or kind == GO_RESET) and f.status == FLOW_CANCELLING)
end
-- What queues up in wm goes on where there is room for it.
local function queues_go_on()
  for _, f in pairs(flows) do
    if f and f.changed and not f.goes_on and bit_set(f.flags, FLOW_QUEUES) and flow_has_room(f) then
      f.goes_on = true
      todo_add(f, GO_NEXT, 0, 0, 0)
    end
  end
end
-- go_cancel: how to cancel what was released; nil where that is left to the leader, as is all that flow_goes has no function for.
local function flow_spread(budget, go_cancel)
  local left, i, rest = budget, 1, {}
  flow_goes[GO_CANCEL] = go_cancel
  queues_go_on()
  while flow_todo[i] do
    local t = flow_todo[i]
    local f, kind, _, mark = unpack(t, 1, 4)
    local done = not flow_wanted(f, kind)
    if not done and left > 0 and flow_goes[kind] then
      left, done = flow_goes[kind](t, left)
    elseif not done then
      rest[#rest + 1] = pack(FLOW_TODO, f.id, kind, f.epoch, t[3], mark, t[5])
      done = true
    end
    i = done and i + 1 or i
    if not flow_todo[i] then
      queues_go_on()
    end
  end
  if #rest > 0 then
    call('RPUSH', K .. 'wq', unpack(rest))
  end
  flow_todo = {}
  return #rest
end

local function flow_finish(f, status)
  f.status, f.finished = status, now
  if bit_set(f.flags, FLOW_HOLDS) or bit_set(f.flags, FLOW_QUEUES) then
    call('UNLINK', K .. 'wm:' .. f.id, K .. 'wh:' .. f.id)
    flag_put(f, FLOW_HOLDS, false)
    flag_put(f, FLOW_QUEUES, false)
  end
  local about = call('HMGET', K .. 'wf:' .. f.id, 'keep', 'u', 'limit')
  call('ZADD', K .. 'we', now + tonumber(about[1] or 0), f.id)
  if about[3] then
    call('ZREM', K .. 'tm', 'x' .. f.id)
    call('HDEL', K .. 'wf:' .. f.id, 'deadline')
  end
  if about[2] and call('GET', K .. 'u:' .. about[2]) == f.id then
    call('DEL', K .. 'u:' .. about[2])
  end
  for queue in string.gmatch(call('HGET', K .. 'wd:' .. f.def, 'queues') or '', '[^|]+') do
    if call('HINCRBY', K .. 'wn', queue, -1) < 1 then
      call('HDEL', K .. 'wn', queue)
    end
  end
  flow_told[#flow_told + 1] = string.char(status) .. f.id
  tell(f.id)
end
local function flow_write(f)
  met_write(f)
  if f.changed then
    local failing = bit_set(f.flags, FLOW_FAILING)
    if f.status == FLOW_RUNNING and f.ended == f.n and failing and math.max(f.attempt, 1) < f.attempts then
      flow_again(f)
    elseif f.status == FLOW_RUNNING and f.ended == f.n then
      flow_finish(f, failing and FLOW_FAILED or FLOW_COMPLETED)
    elseif f.status == FLOW_CANCELLING and f.active == 0 and not bit_set(f.flags, FLOW_RESETS) then
      flow_finish(f, bit_set(f.flags, FLOW_TIMED_OUT) and FLOW_FAILED or FLOW_CANCELLED)
    end
    call('SETRANGE', f.key, 0, flow_head(f))
    f.changed = nil
  end
end
-- Returns how much was left in `wq` by this.
local function flow_go(budget, go_cancel)
  local rest = flow_spread(budget, go_cancel)
  for _, f in pairs(flows) do
    if f then
      flow_write(f)
    end
  end
  if #flow_fresh > 0 then
    event('A' .. pack('>I6', now) .. table.concat(flow_fresh))
    flow_fresh = {}
  end
  for lane, n in pairs(flow_made) do
    count(lane .. ':e', n)
  end
  for lane, n in pairs(flow_ready) do
    deliver(lane, n)
  end
  flow_made, flow_ready = {}, {}
  if #tasks_told > 0 then
    event('T' .. pack('>I6', now) .. table.concat(tasks_told))
    tasks_told = {}
  end
  if #flow_told > 0 then
    event('W' .. pack('>I6', now) .. table.concat(flow_told))
  end
  local leader = (rest > 0 or flow_told.leader or flow_due.at) and call('HGET', sh, 'tk')
  if leader and (rest > 0 or flow_told.leader) then
    redis.pcall('SPUBLISH', K .. 'w:' .. leader, 'W')
  end
  if leader and flow_due.at then
    redis.pcall('SPUBLISH', K .. 'w:' .. leader, 'D' .. string.format('%.0f', flow_due.at))
  end
  due_ids_save()
  flow_told, flow_due.at = {}, nil
  return rest
end
