-- Statistics of minutes summed into hours, and of hours into days, each once: what was summed last is remembered in the same step.
-- A budget of fields bounds a call. What was summed has its own end from then on.
local function roll_one(from, to, from_ms, to_ms)
  local all = call('HGETALL', from)
  for i = 1, #all, 2 do
    call('HINCRBY', to, all[i], all[i + 1])
  end
  if #all > 0 then
    call('PEXPIRE', to, to_ms)
    call('PEXPIRE', from, math.max(from_ms, 1))
  end
  return #all / 2
end
-- Sums finished units, up to number `last`, into units of n. what: field that remembers, prefixes of the two, n, how many units back it begins,
-- ms of a unit, ms that one is kept after its end, ms that a sum is kept. Returns whether more is left.
local function roll(what, last)
  local field, from, to, n, back, unit_ms, from_ms, to_ms = unpack(what)
  local done = tonumber(call('HGET', sh, field) or last - back)
  local fields, start = 0, done
  while done < last and done - start < 600 and fields < 1000 do
    done = done + 1
    local left_ms = (done + 1) * unit_ms + from_ms - now
    fields = fields + roll_one(K .. from .. done, K .. to .. math.floor(done / n), left_ms, to_ms)
  end
  if done > start or not call('HGET', sh, field) then
    call('HSET', sh, field, done)
  end
  return done < last, done
end
