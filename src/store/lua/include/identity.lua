-- Which data this is, as far as Redis knows: its replication id. A server that starts makes a new one, and so does a replica that becomes a
-- master: a master that was demoted and promoted again has another one, though it kept its connections and its run id. '' when it does not tell.
local function identity()
  local info = redis.pcall('INFO', 'replication')
  return type(info) == 'string' and string.match(info, '\nmaster_replid:(%w+)') or ''
end
