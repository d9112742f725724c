#!lua flags=allow-oom
-- What became of a batch of jobs of one session, with all that follows from it.
-- keys: {p:0}:sh {p:0}:s:SESSION {p:0}:loc {p:0}:due {p:0}:due:h {p:0}:dead {p:0}:dead:h {p:0}:ev
-- argv: call_no session shard event n_stats (field increment)... then segments up to the end; `stream` is 'l:LANE' or 'f:LANE':
--   'c' stream n entry...  class bytes  n x (id row)     completed or skipped, kept in history of that retention class
--   'n' stream n entry...  (f: only) n x (id)            completed, not kept
--   'r' stream n entry...  n x (delay_ms id record)      due again after the delay
--   'f' stream n entry...  n x (m j)                     ready again now
--   'd' stream n entry...  n x (id row)                  dead
--   'p' stream n entry...  n x (delay_ms|-1 id record)   paused, resumed by itself after the delay
--   'u' n  n x (index id key)       unique keys to let go; index: of the job among all entries of this call, from 0
--   'U' n  n x (index id key)       the same for keys of another shard: left in the outbox
--   'o' n  n x (index id log)       logs to keep beside the row
--   'a' n  n x (id)                 starts that had been reported
--   'g' n  n x (id)                 progress to drop
--   'b' n  n x (index id)           payload keys to drop with a job that is not kept
-- returns: packed answer, kept for a repeat: call_no I6, n_refused I2, n_refused x index I2
--#include "base.lua"
--#include "ids.lua"
--#include "wake.lua"
--#include "front.lua"
--#include "history.lua"
--#include "session.lua"
local ss = KEYS[2]
local call_no, shard = tonumber(ARGV[1]), tonumber(ARGV[3])
local s = call('HMGET', ss, 'st', 'n', 'a')
local err = fenced(s[1])
if err then
  return err
end
if tonumber(s[2] or 0) == call_no then
  return s[3]
end

local index, refused, n_refused = 0, nil, 0
local refused_list = {}
-- Let go of n entries of a stream. All were ours in the usual case; else an entry that is gone was taken from this session, and
-- what the call says of its job does not count.
local function let_go(stream, at, n)
  local key = K .. stream
  if call('XACK', key, 'g', unpack(ARGV, at, at + n - 1)) == n then
    call('XDEL', key, unpack(ARGV, at, at + n - 1))
    index = index + n
    return true
  end
  for i = 0, n - 1 do
    if call('XDEL', key, ARGV[at + i]) == 0 then
      refused = refused or {}
      refused[index + i] = true
      n_refused = n_refused + 1
      refused_list[n_refused] = pack('>I2', index + i)
    end
  end
  index = index + n
  return false
end

local waited = call('EXISTS', K .. 'wt') == 1
local function tell(id)
  local who = call('HGET', K .. 'wt', id)
  if who then
    call('HDEL', K .. 'wt', id)
    for channel in string.gmatch(who, '[^ ]+') do
      call('SPUBLISH', K .. 'd:' .. channel, id)
    end
  end
end

-- The arguments from `at`, n items of `width`, without those of refused jobs.
local function kept(base, at, n, width)
  local out = {}
  for i = 0, n - 1 do
    if not (refused and refused[base + i]) then
      for w = 0, width - 1 do
        out[#out + 1] = ARGV[at + i * width + w]
      end
    end
  end
  return out
end

local p = 6 + 2 * tonumber(ARGV[5])
local n_args = #ARGV
local soonest
local woken = {}
while p <= n_args do
  local kind = ARGV[p]
  if kind == 'c' or kind == 'n' or kind == 'r' or kind == 'f' or kind == 'd' or kind == 'p' then
    local stream, n = ARGV[p + 1], tonumber(ARGV[p + 2])
    local entries = p + 3
    local base = index
    local moved = string.byte(stream) == 102
    local lane = string.sub(stream, 3)
    local all = let_go(stream, entries, n)
    p = entries + n
    if kind == 'c' or kind == 'd' then
      local dead = kind == 'd'
      local class, bytes
      if not dead then
        class, bytes = tonumber(ARGV[p]), ARGV[p + 1]
        p = p + 2
      end
      local rows = all and n or 0
      local ids = {}
      local list
      if not all then
        list = kept(base, p, n, 2)
        rows = #list / 2
      end
      for i = 0, rows - 1 do
        ids[i + 1] = list and list[i * 2 + 1] or ARGV[p + i * 2]
      end
      if rows > 0 then
        if dead then
          local z = {}
          for i = 1, rows do
            z[i * 2 - 1], z[i * 2] = now, ids[i]
          end
          call('ZADD', KEYS[6], unpack(z))
        end
        local key
        if dead then
          key = KEYS[7]
        else
          local bucket = bucket_of(class)
          key = K .. 'h:' .. bucket
          call('RPUSH', K .. 'ho:' .. bucket, table.concat(ids))
          call('HINCRBY', K .. 'hz', bucket, bytes)
        end
        if list then
          call('HSET', key, unpack(list))
        else
          call('HSET', key, unpack(ARGV, p, p + 2 * n - 1))
        end
        if moved then
          call('HDEL', KEYS[3], unpack(ids))
        end
        if waited then
          for i = 1, rows do
            tell(ids[i])
          end
        end
      end
      p = p + 2 * n
    elseif kind == 'n' then
      if moved then
        local ids = all and { unpack(ARGV, p, p + n - 1) } or kept(base, p, n, 1)
        if #ids > 0 then
          call('HDEL', KEYS[3], unpack(ids))
        end
        if waited then
          for i = 1, #ids do
            tell(ids[i])
          end
        end
        p = p + n
      elseif waited then
        for i = 0, n - 1 do
          if not (refused and refused[base + i]) then
            local ms, seq = string.match(ARGV[entries + i], '(%d+)-(%d+)')
            tell(id_of(tonumber(ms), tonumber(seq), tonumber(lane), shard))
          end
        end
      end
    elseif kind == 'f' then
      for i = 0, n - 1 do
        if not (refused and refused[base + i]) then
          front_add(lane, ARGV[p + i * 2], ARGV[p + i * 2 + 1])
          woken[lane] = (woken[lane] or 0) + 1
        end
      end
      p = p + 2 * n
    else
      local z, h, gone, k = {}, {}, {}, 0
      for i = 0, n - 1 do
        if not (refused and refused[base + i]) then
          local delay, id = tonumber(ARGV[p + i * 3]), ARGV[p + i * 3 + 1]
          local at = delay < 0 and '+inf' or now + delay
          k = k + 1
          z[k * 2 - 1], z[k * 2] = at, id
          h[k * 2 - 1], h[k * 2] = id, ARGV[p + i * 3 + 2]
          gone[k] = id
          if kind == 'r' and (not soonest or at < soonest) then
            soonest = at
          end
        end
      end
      if k > 0 then
        local set = kind == 'r' and KEYS[4] or K .. 'paused'
        if kind == 'r' and soonest then
          local head = call('ZRANGE', set, 0, 0, 'WITHSCORES')
          if head[2] and tonumber(head[2]) <= soonest then
            soonest = nil
          end
        end
        call('ZADD', set, unpack(z))
        call('HSET', set .. ':h', unpack(h))
        if moved then
          call('HDEL', KEYS[3], unpack(gone))
        end
      end
      p = p + 3 * n
    end
  else
    local n = tonumber(ARGV[p + 1])
    local at = p + 2
    if kind == 'a' then
      call('HDEL', K .. 'run:' .. ARGV[2], unpack(ARGV, at, at + n - 1))
      p = at + n
    elseif kind == 'g' then
      call('HDEL', K .. 'pg', unpack(ARGV, at, at + n - 1))
      p = at + n
    elseif kind == 'b' then
      for i = 0, n - 1 do
        if not (refused and refused[tonumber(ARGV[at + i * 2])]) then
          call('UNLINK', K .. 'b:' .. ARGV[at + i * 2 + 1])
        end
      end
      p = at + n * 2
    else
      for i = 0, n - 1 do
        local idx, id, v = tonumber(ARGV[at + i * 3]), ARGV[at + i * 3 + 1], ARGV[at + i * 3 + 2]
        if not (refused and refused[idx]) then
          if kind == 'u' then
            if call('GET', K .. 'u:' .. v) == id then
              call('DEL', K .. 'u:' .. v)
            end
          elseif kind == 'U' then
            call('HSET', K .. 'ob', 'r' .. v, id)
          else
            call('SET', K .. 'lg:' .. id, v)
          end
        end
      end
      p = at + n * 3
    end
  end
end

ids_save()
local answer = pack('>I6I2', call_no, n_refused) .. table.concat(refused_list)
call('HSET', ss, 'n', call_no, 'a', answer)
if index > n_refused then
  local n_stats = tonumber(ARGV[5])
  if n_stats > 0 then
    local minute = K .. 'st:' .. math.floor(now / 60000)
    local fresh = call('EXISTS', minute) == 0
    for i = 6, 4 + 2 * n_stats, 2 do
      call('HINCRBY', minute, ARGV[i], ARGV[i + 1])
    end
    if fresh then
      call('PEXPIRE', minute, 172800000)
    end
  end
  call('XADD', KEYS[8], 'MAXLEN', '~', call('HGET', sh, 'en') or 16384, '*', 'e',
    'C' .. pack('>I6I2', now, n_refused) .. table.concat(refused_list) .. ARGV[4])
  for lane, n in pairs(woken) do
    wake(lane, n)
  end
  if soonest then
    local ticker = call('HGET', sh, 'tk')
    if ticker then
      call('SPUBLISH', K .. 'w:' .. ticker, 'D' .. soonest)
    end
  end
end
return answer
