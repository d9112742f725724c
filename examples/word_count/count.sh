#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# words.count: the payload is the name of a file, as JSON; the result says how many words it has.
set -eu

file=$(tr -d '"') # names here have neither quotes nor backslashes
[ -f "$file" ] || { echo "there is no file $file" >&2; exit 66; } # 64 to 74: no further attempts
printf '{"file": "%s", "words": %d}\n' "$file" "$(wc -w <"$file")"
