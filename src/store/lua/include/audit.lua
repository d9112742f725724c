-- An operator's action, kept 30 days (housekeeping trims by time).
local function audit(actor, action, target, detail)
  call('XADD', K .. 'au', '*', 'at', now, 'actor', actor, 'action', action, 'target', target, 'detail', detail or '')
end
