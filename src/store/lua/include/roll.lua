-- Statistics of minutes summed into hours, and of hours into days, each once: what was summed last is remembered in the same step.
-- A budget of fields bounds a call.
local function roll_one(from, to, keep_ms)
  local all = call('HGETALL', from)
  for i = 1, #all, 2 do
    call('HINCRBY', to, all[i], all[i + 1])
  end
  if #all > 0 then
    call('PEXPIRE', to, keep_ms)
  end
  return #all / 2
end
-- Sums finished units of `small` ms, up to number `last`, into units of n. Returns whether more is left.
local function roll(field, from, to, n, last, back, keep_ms)
  local done = tonumber(call('HGET', sh, field) or last - back)
  local fields, start = 0, done
  while done < last and done - start < 600 and fields < 1000 do
    done = done + 1
    fields = fields + roll_one(K .. from .. done, K .. to .. math.floor(done / n), keep_ms)
  end
  if done > start or not call('HGET', sh, field) then
    call('HSET', sh, field, done)
  end
  return done < last, done
end
