-- nil, or the error to return: the user may not run this. Asked before anything is changed.
local function forbidden(what, command, ...)
  if not redis.acl_check_cmd(command, ...) then
    return redis.error_reply("NOPERM this user has no permissions to run the '" .. command .. "' command on " .. what)
  end
end
