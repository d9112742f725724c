-- Batches: what the end of an item's job does, in the same step as the end itself (docs/batches.md "How it works").
--   ended  an item's job ended, whatever ended it: noted
--   go     what was noted is written, what is in flight is topped up, the batch ends; once at the end of a script
-- All of it is in one function, which is called when a batch is met: who has none pays nothing, and Lua takes 200 locals in a function.
--#include "ids.lua"
--#include "entry.lua"
--#include "varint.lua"
--#include "stats.lua"
--#include "tell.lua"
--#include "deliver.lua"
local BATCH_CHUNK = 1000 -- items in a key of their own
local BATCH_RELEASES = 256 -- in a step,
local BATCH_BYTES = 1048576 -- and their bytes, of which the last item may make more
local BATCH_SMALL = 4096 -- items up to this are taken to have it
local BATCH_LOOKED = 8192 -- states that a step looks at, for what is to be done again
local BATCH_ONCE = 4294967295 -- stands for the number of an item: the one-time task
local BATCH_CONTEXT_MAX = 65536 -- its result, which each item gets
local BATCH_INLINE_MAX = 32768 -- larger payloads are keys of their own
local BATCH_RUNNING = 1 -- status, as in src/model/batch_state.h
local BATCH_COMPLETED = 2
local BATCH_FAILED = 3
local BATCH_CANCELLING = 4
local BATCH_CANCELLED = 5
local BATCH_LOADING = 6
local BATCH_FAILING = 0 -- flags, as numbers of bits: an item failed;
local BATCH_FAIL_FAST = 1 -- the others are cancelled then
local BATCH_OPEN = 2 -- items may come
local BATCH_NAMED = 3 -- items have ids of their own
local BATCH_TIMED_OUT = 4
local BATCH_AGAIN = 5 -- some items ended in an earlier attempt: their states say so
local BATCH_FILLING = 6 -- `wq` tops it up
local ONCE_NONE = 0 -- states of the one-time task
local ONCE_WAITS = 1
local ONCE_RELEASED = 2
local ONCE_DONE = 3
local ONCE_FAILED = 4
local GO_ITEMS = 4 -- kinds of what is left in `wq`, beside those of workflows
local GO_ITEMS_CANCEL = 5
local function batch_module()
  local HEAD = '>BBBBI2I2I2I4I4I4I4I4I4I4I4I6I6I6'
  local STATES = { c = 2, s = 3, d = 4, x = 5, q = 5 }
  local known, filled, told = {}, {}, {}

  local function has(b, bit)
    return math.floor(b.flags / 2 ^ bit) % 2 == 1
  end
  local function set(b, bit, on)
    if has(b, bit) ~= on then
      b.flags = b.flags + (on and 2 ^ bit or -(2 ^ bit))
    end
  end
  local function head(b)
    return pack(HEAD, b.version, b.status, b.flags, b.once, b.epoch, b.attempt, b.most, b.window, b.total, b.next, b.running, b.completed,
      b.skipped, b.failed, b.cancelled, b.started, b.finished, b.deadline) .. '\0\0\0\0'
  end
  local function adopt(b)
    b.over = {}
    known[b.id] = b
    return b
  end
  -- nil: there is none.
  local function of(id)
    if known[id] == nil then
      local text = call('GET', K .. 'bs:' .. id)
      known[id] = false
      if text and #text == 64 and string.byte(text) == 1 then
        local b = adopt({ id = id })
        b.version, b.status, b.flags, b.once, b.epoch, b.attempt, b.most, b.window, b.total, b.next, b.running, b.completed, b.skipped, b.failed,
          b.cancelled, b.started, b.finished, b.deadline = unpk(HEAD, text)
      end
    end
    return known[id] or nil
  end
  local function left_to_do(b, kind, at)
    call('RPUSH', K .. 'wq', pack('>c13BI2I3BI4', b.id, kind, b.epoch, 0, 0, at or 0))
    told.leader = true
  end

  -- part: what the job's envelope says of its item; how: 'c' done, 's' skipped, 'd' dead, 'x' cancelled, 'q' purged; why: the reason, or its result.
  local function item_ended(id, part, how, why)
    local bid, epoch, index = unpk('>c13I2I4', part, 2)
    local b = of(bid)
    if not b or b.epoch ~= epoch then
      return
    end
    b.changed = true
    b.over[#b.over + 1] = { index, id, how, why or '' }
  end

  local function once_ended(b, over)
    local _, id, how, why = unpack(over)
    if b.once ~= ONCE_RELEASED or call('HGET', K .. 'bd:' .. b.id, 'oj') ~= id then
      return
    end
    local done = how == 'c' or how == 's'
    if done and (#why > BATCH_CONTEXT_MAX or string.byte(why) == 98) then
      done, why = false, 'its result is no JSON, or over 64 KiB'
    end
    b.once = done and ONCE_DONE or ONCE_FAILED
    set(b, BATCH_FAILING, not done)
    if how == 's' then
      why = ''
    end
    call('HSET', K .. 'bd:' .. b.id, done and 'or' or 'oe', why, 'ot', now)
  end

  -- What items left: their states, results by chunk, and that they are in flight no more.
  local function settle(b)
    local asked, over, seen = {}, {}, {}
    for _, o in ipairs(b.over) do
      if o[1] == BATCH_ONCE then
        once_ended(b, o)
      elseif not seen[o[1]] then
        seen[o[1]] = true
        over[#over + 1], asked[#asked + 1] = o, o[1]
      end
    end
    b.over = {}
    if #over == 0 then
      return
    end
    local jobs = call('HMGET', K .. 'bj:' .. b.id, unpack(asked))
    local gone, bits, chunks, bare = {}, {}, {}, {}
    for i, o in ipairs(over) do
      local index, id, how, why = unpack(o)
      if jobs[i] == id then -- this very job is its item's current one
        gone[#gone + 1] = index
        local n = #bits
        bits[n + 1], bits[n + 2], bits[n + 3], bits[n + 4] = 'SET', 'u8', '#' .. index, STATES[how]
        if how == 'c' then
          b.completed = b.completed + 1
        elseif how == 's' then
          b.completed, b.skipped = b.completed + 1, b.skipped + 1
        elseif how == 'd' then
          b.failed = b.failed + 1
        else
          b.cancelled = b.cancelled + 1
        end
        local no = math.floor(index / BATCH_CHUNK)
        if why ~= '' or how ~= 'c' then
          local chunk = chunks[no] or {}
          chunks[no] = chunk
          chunk[#chunk + 1], chunk[#chunk + 2] = index, how == 'c' and why or 'e' .. why
        elseif has(b, BATCH_AGAIN) then
          bare[#bare + 1] = index
        end
      end
    end
    if #gone == 0 then
      return
    end
    b.running = b.running - #gone
    set(b, BATCH_FAILING, has(b, BATCH_FAILING) or b.failed + b.cancelled > 0)
    call('HDEL', K .. 'bj:' .. b.id, unpack(gone))
    call('BITFIELD', K .. 'bx:' .. b.id, unpack(bits))
    for no, chunk in pairs(chunks) do
      call('HSET', K .. 'br:' .. b.id .. ':' .. no, unpack(chunk))
    end
    for _, index in ipairs(bare) do -- why it failed before
      call('HDEL', K .. 'br:' .. b.id .. ':' .. math.floor(index / BATCH_CHUNK), index)
    end
  end

  -- A job into its lane, as an enqueued one. Returns its id.
  local function release(b, lane, front, index, name, tail)
    local about = '\3' .. b.id .. pack('>I2I4', b.epoch, index) .. name
    local payload
    if #tail > BATCH_INLINE_MAX then
      payload, tail = tail, varint(#tail)
      front = string.sub(front, 1, 3) .. string.char(string.byte(front, 4) + 2) .. string.sub(front, 5) -- its flag, J_BLOB
    end
    local ms, seq = entry_parts(call('XADD', K .. 'l:' .. lane, '*', 'j', front .. varint(#about) .. about .. tail))
    local id = id_pack(ms, seq, lane, id_shard(b.id))
    if payload then
      call('SET', K .. 'b:' .. id, payload)
    end
    filled[lane] = (filled[lane] or 0) + 1
    return id
  end
  local function once_release(b)
    local key = K .. 'bd:' .. b.id
    local about = call('HMGET', key, 'ol', 'oh', 'op')
    local id = release(b, tonumber(about[1]), about[2], BATCH_ONCE, '', about[3] or '')
    call('HSET', key, 'oj', id)
    call('HDEL', key, 'oe', 'or', 'ot')
    b.once = ONCE_RELEASED
  end

  -- Numbers of at most n items that are yet to be done, from b.next on, which moves beyond them. All are of one chunk.
  local function take_next(b, n)
    local list, from = {}, b.next
    local most = math.min(b.total, from - from % BATCH_CHUNK + BATCH_CHUNK)
    if not has(b, BATCH_AGAIN) then
      b.next = math.min(most, from + n)
      for i = from, b.next - 1 do
        list[#list + 1] = i
      end
      return list
    end
    local states = call('GETRANGE', K .. 'bx:' .. b.id, from, most - 1)
    local at = 1
    while #list < n do
      at = string.find(states, '[%z\4\5]', at)
      if not at then
        b.next = most
        return list
      end
      list[#list + 1] = from + at - 1
      at = at + 1
      b.next = from + at - 1
    end
    return list
  end
  local function read_heads(b)
    if not b.heads then
      local about = call('HMGET', K .. 'bd:' .. b.id, 'l', 'h0', 'h1', 's2s', 'or', 'large')
      b.lane, b.heads, b.s2s = tonumber(about[1]), { [0] = about[2], about[3] }, tonumber(about[4])
      b.context = b.once == ONCE_DONE and '{"upstream":' .. (about[5] and about[5] ~= '' and string.sub(about[5], 2) or 'null') .. ',"original":'
      b.at_once = math.max(1, math.floor(BATCH_BYTES / math.max(BATCH_SMALL, tonumber(about[6] or 65536))))
    end
  end
  -- Items from the nth of the list on: as many as can be read without more than a step's bytes.
  local function read_items(b, list, n)
    local first, last, base = list[n], list[n], list[n] - list[n] % BATCH_CHUNK
    while list[n + 1] and list[n + 1] < first + b.at_once do
      n = n + 1
      last = list[n]
    end
    return call('LRANGE', K .. 'bi:' .. b.id .. ':' .. base / BATCH_CHUNK, first - base, last - base), first, last
  end
  -- Some of the list, all of one chunk, until their bytes are used up. Returns how many, and what is left of the bytes.
  local function release_some(b, list, left)
    local jobs, bits, late = {}, {}, {}
    local items, first, last, n
    for i, index in ipairs(list) do
      if left <= 0 then
        break
      end
      if not last or index > last then
        items, first, last = read_items(b, list, i)
      end
      local item = items[index - first + 1]
      local kind, len = string.byte(item, 1, 2)
      local tail = string.sub(item, 3 + len)
      if b.context then
        tail = b.context .. (tail == '' and 'null' or tail) .. '}'
      end
      local id = release(b, b.lane, b.heads[kind], index, len > 0 and string.sub(item, 3, 2 + len) or string.format('%d', index), tail)
      left, n = left - #tail, i
      local at = #jobs
      jobs[at + 1], jobs[at + 2] = index, id
      if b.s2s then
        late[at + 1], late[at + 2] = now + b.s2s, id
      end
      if #list <= list[#list] - list[1] then -- else they are in a row
        at = #bits
        bits[at + 1], bits[at + 2], bits[at + 3], bits[at + 4] = 'SET', 'u8', '#' .. index, 1
      end
    end
    call('HSET', K .. 'bj:' .. b.id, unpack(jobs))
    if #bits > 0 then
      call('BITFIELD', K .. 'bx:' .. b.id, unpack(bits))
    else
      call('SETRANGE', K .. 'bx:' .. b.id, list[1], string.rep('\1', n))
    end
    if b.s2s then
      call('ZADD', K .. 's2s', unpack(late))
    end
    b.running = b.running + n
    return n, left
  end
  local function stops(b)
    return b.once == ONCE_FAILED or has(b, BATCH_FAILING) and has(b, BATCH_FAIL_FAST)
  end
  local function is_full(b)
    return b.status ~= BATCH_RUNNING or stops(b) or (b.once ~= ONCE_NONE and b.once ~= ONCE_DONE) or b.running >= b.window or b.next >= b.total
  end
  local function fill(b)
    local left, looked, bytes = BATCH_RELEASES, 0, BATCH_BYTES
    if b.status == BATCH_RUNNING and b.once == ONCE_WAITS then
      once_release(b)
    end
    while left > 0 and bytes > 0 and looked < BATCH_LOOKED and not is_full(b) do
      local from = b.next
      local list = take_next(b, math.min(left, b.window - b.running))
      looked = looked + (has(b, BATCH_AGAIN) and b.next - from or 0)
      if #list > 0 then
        read_heads(b)
        local n
        n, bytes = release_some(b, list, bytes)
        left = left - n
        b.next = list[n + 1] or b.next
      end
    end
    if not is_full(b) and not has(b, BATCH_FILLING) then
      set(b, BATCH_FILLING, true)
      left_to_do(b, GO_ITEMS)
    end
  end

  local function queues_of(b, n)
    for queue in string.gmatch(call('HGET', K .. 'bd:' .. b.id, 'queues') or '', '[^|]+') do
      if call('HINCRBY', K .. 'wn', queue, n) < 1 then
        call('HDEL', K .. 'wn', queue)
      end
    end
  end
  local function finish(b, status)
    b.status, b.finished, b.deadline = status, now, 0
    local about = call('HMGET', K .. 'bd:' .. b.id, 'keep', 'u')
    call('ZADD', K .. 'bo', now + tonumber(about[1] or 0), b.id)
    call('ZREM', K .. 'tm', 'x' .. b.id, 'l' .. b.id)
    if about[2] and call('GET', K .. 'u:' .. about[2]) == b.id then
      call('DEL', K .. 'u:' .. about[2])
    end
    queues_of(b, -1)
    tell(b.id)
  end
  -- It never began, and ends: the request that made it makes another.
  local function forget_request(b)
    local request = call('HGET', K .. 'bd:' .. b.id, 'rq')
    if request and call('GET', K .. 'r:' .. request) == b.id then
      call('DEL', K .. 'r:' .. request)
    end
  end
  local function timer(b, kind, ms)
    call('ZADD', K .. 'tm', now + ms, kind .. b.id)
    told.leader = true
  end
  -- Runs from now on: its time-out counts.
  local function begin(b)
    local limit = tonumber(call('HGET', K .. 'bd:' .. b.id, 'limit') or 0)
    b.status, b.changed = BATCH_RUNNING, true
    if limit > 0 then
      b.deadline = now + limit
      timer(b, 'x', limit)
    end
  end
  -- What failed, was cancelled or never began, or (all) everything, from the first item on.
  local function again(b, all)
    b.epoch, b.attempt = b.epoch % 65535 + 1, b.attempt + 1
    b.next, b.failed, b.cancelled, b.finished = 0, 0, 0, 0
    set(b, BATCH_FAILING, false)
    set(b, BATCH_TIMED_OUT, false)
    set(b, BATCH_FILLING, false) -- that of an epoch before counts no more
    set(b, BATCH_AGAIN, true)
    b.heads = nil
    if all then
      b.completed, b.skipped = 0, 0
      call('DEL', K .. 'bx:' .. b.id)
      if b.total > 0 then
        call('SETRANGE', K .. 'bx:' .. b.id, b.total - 1, '\0')
      end
    end
    if b.once == ONCE_FAILED or all and b.once ~= ONCE_NONE then
      b.once = ONCE_WAITS
    end
    begin(b)
  end
  local function ends(b)
    if b.running > 0 or b.once == ONCE_RELEASED then
      return
    end
    if b.status == BATCH_CANCELLING then
      finish(b, has(b, BATCH_TIMED_OUT) and BATCH_FAILED or BATCH_CANCELLED)
    elseif b.status == BATCH_RUNNING and (stops(b) or b.once ~= ONCE_WAITS and b.next >= b.total and not has(b, BATCH_OPEN)) then
      if not has(b, BATCH_FAILING) then
        finish(b, BATCH_COMPLETED)
      elseif b.attempt < b.most then
        again(b)
        return true
      else
        finish(b, BATCH_FAILED)
      end
    end
  end
  -- No item of it is released from now on; what is in flight is to be cancelled.
  local function halt(b, bit)
    if bit then
      set(b, bit, true)
    end
    b.status, b.changed = BATCH_CANCELLING, true
    call('ZREM', K .. 'tm', 'x' .. b.id)
    left_to_do(b, GO_ITEMS_CANCEL)
  end

  local function step(b)
    local was_stopped = stops(b)
    settle(b)
    if stops(b) and not was_stopped and b.status == BATCH_RUNNING and b.running > 0 then
      left_to_do(b, GO_ITEMS_CANCEL)
    end
    fill(b)
    if ends(b) then
      fill(b)
      ends(b)
    end
    told[#told + 1] = b.id .. pack('>BI4I4I4', b.status, b.total, b.completed, b.failed + b.cancelled)
    call('SET', K .. 'bs:' .. b.id, head(b))
    b.changed = nil
  end
  local function go()
    for _, b in pairs(known) do
      if b and b.changed then
        step(b)
      end
    end
    for lane, n in pairs(filled) do
      count(lane .. ':e', n)
      deliver(lane, n)
    end
    filled = {}
    if #told > 0 then
      event('G' .. pack('>I6', now) .. table.concat(told))
    end
    local leader = told.leader and call('HGET', sh, 'tk')
    if leader then
      redis.pcall('SPUBLISH', K .. 'w:' .. leader, 'W')
    end
    told = {}
  end
  return {
    known = known, of = of, adopt = adopt, ended = item_ended, go = go, begin = begin, again = again, halt = halt, has = has, set = set, timer = timer,
    finish = finish, forget_request = forget_request, queues_of = queues_of, left_to_do = left_to_do, stops = stops, head = head,
  }
end
local batch_made = {}
local function batches()
  batch_made[1] = batch_made[1] or batch_module()
  return batch_made[1]
end
