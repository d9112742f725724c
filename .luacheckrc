-- SPDX-License-Identifier: Apache-2.0
-- For the scripts as Redis gets them, with their parts put in (tools/lint_lua.py).
std = "lua51"
read_globals = { "redis", "KEYS", "ARGV", "cjson", "cmsgpack", "struct", "bit" }
max_line_length = false
