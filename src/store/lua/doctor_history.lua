#!lua flags=allow-oom
-- One step through the history. What takes many steps (the sums over a bucket's rows, the order list) is put together by the caller, who
-- comes back with what does not fit.
-- keys: {p:0}:sh
-- argv: shard repair('1' or '') then
--   'buckets'                            more: 'b', bucket, width
--   'bucket' bucket                      more: 'n', rows, bytes (hz), cancelled (hn); then 'p', part. None when the bucket went
--   'part' bucket part cursor limit      more: 'r', ids, bytes, cancelled, rows in the part
--   'order' bucket from limit            more: 'i', ids, elements
--   'unlisted' bucket id                 a row that no order list names
--   'sum' bucket 'hz'|'hn' by            a counter that is wrong by so much
-- returns: as doctor_keys
--#include "base.lua"
--#include "doctor.lua"
--#include "doctor_job.lua"
--#include "side.lua"
local op, bucket = ARGV[3], ARGV[4]

local function width_of(number)
  for _, b in ipairs(call('ZRANGE', K .. 'hx', 0, -1)) do
    local no, width = string.match(b, '^(%d+):%d+:(%d+)$')
    if no == number then
      return tonumber(width)
    end
  end
end
local function row_key(id, width)
  return K .. 'h:' .. bucket .. ':' .. string.format('%d', math.floor(id_ms(id) / width))
end

local run = {}
local function orphan_counters(name, known)
  for _, field in ipairs(call('HKEYS', K .. name)) do
    if not known[field] then
      fault('bucket_orphan', K .. name, '', 'counts for bucket ' .. field .. ', which is not there', function()
        call('HDEL', K .. name, field)
      end)
    end
  end
end
function run.buckets()
  local known, top = {}, tonumber(call('HGET', sh, 'bn') or 0) or 0
  for _, member in ipairs(call('ZRANGE', K .. 'hx', 0, -1)) do
    local no, width = string.match(member, '^(%d+):%d+:(%d+)$')
    if not no then
      fault('unreadable', K .. 'hx', '', "'" .. member .. "' names no bucket", function()
        call('ZREM', K .. 'hx', member)
      end)
    else
      known[no] = true
      tally('buckets')
      more[#more + 1] = { 'b', no, tonumber(width) }
      if tonumber(no) > top then
        fault('small_state', sh, '', 'bn is behind bucket ' .. no, function()
          call('HSET', sh, 'bn', no)
        end)
        top = tonumber(no)
      end
    end
  end
  orphan_counters('hz', known)
  orphan_counters('hn', known)
  orphan_counters('hr', known)
end

function run.bucket()
  if not width_of(bucket) then
    return
  end
  local rows = 0
  more[1] = { 'n' }
  for i, part in ipairs(call('SMEMBERS', K .. 'hp:' .. bucket)) do
    rows = rows + (ask('HLEN', K .. 'h:' .. bucket .. ':' .. part) or 0)
    more[i + 1] = { 'p', part }
  end
  local counted = tonumber(call('HGET', K .. 'hr', bucket) or 0)
  if counted ~= rows then
    fault('history_rows', K .. 'hr', '', 'bucket ' .. bucket .. ' has ' .. rows .. ' rows, hr says ' .. (counted or 'no number'), function()
      call('HSET', K .. 'hr', bucket, rows)
    end)
  end
  more[1] = { 'n', rows, tonumber(call('HGET', K .. 'hz', bucket) or 0) or 0, tonumber(call('HGET', K .. 'hn', bucket) or 0) or 0 }
end

-- Whether it is cancelled, and the bytes beside it.
local function look_row(key, width, id, row)
  local wrong = #id ~= ID_BYTES and 'is not an id' or id_wrong(id)
  if wrong or row_key(id, width) ~= key then
    fault('misplaced', key, not wrong and id or '', 'a row ' .. (wrong or 'in a part where nobody looks for it'))
    return false, 0
  end
  local state, m, j, logged = row_of(row)
  if not state then
    fault('unreadable', key, id, 'its row cannot be read')
    return false, 0
  end
  local e, why = envelope_of(j)
  if why or m ~= '' and moved_wrong(id, m) then
    fault('unreadable', key, id, why or moved_wrong(id, m))
  elseif state ~= STATE_COMPLETED and state ~= STATE_CANCELLED then
    fault('row_state', key, id, 'its row says state ' .. state)
  elseif in_history(id, tonumber(bucket)) then
    fault('twice', key, id, 'is in two buckets of the history')
  elseif e and e.blob and call('EXISTS', K .. 'b:' .. id) == 0 then
    fault('blob_missing', key, id, 'its payload is gone')
  end
  tally(state == STATE_CANCELLED and 'cancelled' or 'completed')
  return state == STATE_CANCELLED, side_bytes(id, e or {}, logged)
end
function run.part()
  local key, width = K .. 'h:' .. bucket .. ':' .. ARGV[5], width_of(bucket)
  if not width then
    return
  end
  local step = call('HSCAN', key, ARGV[6] == '' and '0' or ARGV[6], 'COUNT', paced(key, call('HLEN', key), ARGV[7]))
  local ids, bytes, cancelled = {}, 0, 0
  for i = 1, #step[2], 2 do
    local id, row = step[2][i], step[2][i + 1]
    local is_cancelled, beside = look_row(key, width, id, row)
    cancelled = cancelled + (is_cancelled and 1 or 0)
    bytes = bytes + #row + ROW_OVERHEAD + beside
    ids[#ids + 1] = #id == ID_BYTES and id or NO_ID
  end
  more[1] = { 'r', table.concat(ids), bytes, cancelled, call('HLEN', key) }
  return step[1] == '0' and '' or step[1]
end

function run.order()
  local ids = {}
  local list = call('LRANGE', K .. 'ho:' .. bucket, ARGV[5], ARGV[5] + ARGV[6] - 1)
  for i, element in ipairs(list) do
    if #element % ID_BYTES ~= 0 or #element == 0 then
      fault('unreadable', K .. 'ho:' .. bucket, '', 'element ' .. (ARGV[5] + i - 1) .. ' is no list of ids')
    else
      ids[#ids + 1] = element
    end
  end
  more[1] = { 'i', table.concat(ids), #list }
end
function run.unlisted()
  local id, width = ARGV[5], width_of(bucket)
  if width and call('HEXISTS', row_key(id, width), id) == 1 then
    fault('history_order', K .. 'ho:' .. bucket, id, 'has a row and is in no list', function()
      call('RPUSH', K .. 'ho:' .. bucket, id)
    end)
  end
end
function run.sum()
  local name, by = ARGV[5], ARGV[6]
  if not width_of(bucket) then
    return
  end
  local is = tonumber(call('HGET', K .. name, bucket) or 0)
  local number = tonumber(is) and string.format('%.0f', is) or 'no number'
  fault(name == 'hz' and 'history_bytes' or 'history_cancelled', K .. name, '', 'bucket ' .. bucket .. ': ' .. number .. ', off by ' .. by,
    function()
      call('HINCRBY', K .. name, bucket, -by)
    end)
end
local cursor = run[op]()
return answer(cursor or '')
