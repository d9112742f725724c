-- Calls that end, change or start again what exists are refused (DQSCHEMA) to a program that was connected already when the prefix began to ask for a newer
-- one: it would leave out what it does not know of, as that a workflow hears of the end of its task. Who connects is refused by <prefix>:meta; sessions are
-- told by their heartbeats.
if tonumber(call('HGET', sh, 'mv') or 0) > SCRIPTS_VERSION then
  return redis.error_reply('DQSCHEMA the prefix asks for scripts ' .. call('HGET', sh, 'mv') .. ', this program knows up to ' .. SCRIPTS_VERSION ..
    '; a newer dureq is needed')
end
