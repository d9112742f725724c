-- Steps of a job: what its handler does once, however often the job runs. `sp:` of the job has a field for each, its key: state u8 (0 begun, 1 done), number of the
-- run I2, ms at which it began I6 and ended I6 (0: not yet), then what it gave. Its field '' is how often the job began them anew I4, and their bytes
-- I4, keys included.
local STEP_BEGUN = 0
local STEP_DONE = 1
local STEP_HEAD_BYTES = 15
-- Refuses a run whose job is not its own any more: its entry was taken from its session.
local function step_lost(session, stream, entry)
  local pending = redis.pcall('XPENDING', K .. stream, 'g', entry, entry, 1)
  if pending.err or not pending[1] or pending[1][2] ~= session then
    return redis.error_reply('DQFENCED its job went on without this run')
  end
end
-- The job is repeated: what it did belongs to the round that is over.
local function steps_renew(id)
  local steps = K .. 'sp:' .. id
  local head = call('HGET', steps, '')
  if head then
    call('UNLINK', steps)
    call('HSET', steps, '', pack('>I4I4', unpk('>I4', head) + 1, 0))
  end
end
