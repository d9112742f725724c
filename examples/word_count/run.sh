#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Starts dureqd with the handlers of dureqd.yaml, has the workflow run, shows its report, stops the daemon.
#   DUREQD, DUREQCTL     the programs, when they are not in PATH
#   DUREQ_REDIS_URL      a server to use; without one dureqd starts a private redis-server for this run
#   DUREQ_PREFIX         key prefix; dureq unless set
#   WORD_COUNT_REPORT    where the report goes; else it is only shown
set -eu

cd "$(dirname "$0")"
dureqd=${DUREQD:-dureqd}
dureqctl=${DUREQCTL:-dureqctl}

# A state directory of our own: the private server of this run, found there by dureqd and dureqctl alike.
state=$(mktemp -d)
DUREQ_STATE_DIR=$state
export DUREQ_STATE_DIR
WORD_COUNT_REPORT=${WORD_COUNT_REPORT:-$state/report.txt}
export WORD_COUNT_REPORT
if [ -n "${DUREQ_REDIS_URL:-}" ]; then
    DUREQ_SERVER=$DUREQ_REDIS_URL
    export DUREQ_SERVER
fi

"$dureqd" --config dureqd.yaml 2>"$state/dureqd.log" &
pid=$!

stop() {
    kill "$pid" 2>/dev/null || true # SIGTERM: finish what runs, then stop
    wait "$pid" || true
    rm -rf "$state"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Ready when the node shows up; at most 20 s.
tries=0
until "$dureqctl" node list -o json 2>/dev/null | grep -q words.report; do
    tries=$((tries + 1))
    if [ "$tries" -gt 200 ] || ! kill -0 "$pid" 2>/dev/null; then
        cat "$state/dureqd.log" >&2
        exit 1
    fi
    sleep 0.1
done

"$dureqctl" workflow start workflow.json --wait --wait-timeout 30s
echo
cat "$WORD_COUNT_REPORT"
