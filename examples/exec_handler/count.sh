#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# text.count: how many lines, words and bytes the payload has. Any program can be a handler:
#   standard input    the payload, byte for byte
#   environment       DUREQ_JOB_ID, DUREQ_ATTEMPT, DUREQ_QUEUE ... and headers as DUREQ_HEADER_<NAME>
#   standard output   the result
#   standard error    the log of the job
#   exit code         0 done; 75 and others: try again; 64 to 74 and 76 to 78: final; 79: skip
set -eu

echo "counting for job $DUREQ_JOB_ID, attempt $DUREQ_ATTEMPT" >&2

counts=$(wc)
# shellcheck disable=SC2086 # wc's three numbers are three words
set -- $counts
printf '{"lines":%d,"words":%d,"bytes":%d}\n' "$1" "$2" "$3"
