#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Starts dureqd with two programs as handlers, gives it three jobs, shows what became of them, stops it.
#   DUREQD, DUREQCTL    the programs, when they are not in PATH
#   DUREQ_REDIS_URL     a server to use; without one dureqd starts a private redis-server for this run
#   DUREQ_PREFIX        key prefix; dureq unless set
set -eu

here=$(cd "$(dirname "$0")" && pwd)
dureqd=${DUREQD:-dureqd}
dureqctl=${DUREQCTL:-dureqctl}

# A state directory of our own: the private server of this run, found there by dureqd and dureqctl alike.
state=$(mktemp -d)
DUREQ_STATE_DIR=$state
export DUREQ_STATE_DIR
if [ -n "${DUREQ_REDIS_URL:-}" ]; then
    DUREQ_SERVER=$DUREQ_REDIS_URL
    export DUREQ_SERVER
fi

# Paths are quoted for dureqd, which splits the command like a shell does but expands nothing and runs no shell.
"$dureqd" \
    --handler "text.count=exec:'$here/count.sh'" \
    --handler "orders.sum=exec:'$here/sum.py'" \
    2>"$state/dureqd.log" &
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
until "$dureqctl" node list -o json 2>/dev/null | grep -q text.count; do
    tries=$((tries + 1))
    if [ "$tries" -gt 200 ] || ! kill -0 "$pid" 2>/dev/null; then
        cat "$state/dureqd.log" >&2
        exit 1
    fi
    sleep 0.1
done

echo "a shell script counts a text:"
printf 'to be or\nnot to be\n' | "$dureqctl" enqueue text.count - --wait --wait-timeout 20s

echo
echo "a Python script adds up orders, is told to come back later once, and ends:"
"$dureqctl" enqueue orders.sum '[{"amount": 19}, {"amount": 23}]' --wait --wait-timeout 20s

echo
echo "an order without an amount is final, no attempt is wasted on it:"
id=$("$dureqctl" enqueue orders.sum '[{"name": "broken"}]')
"$dureqctl" job wait "$id" --timeout 20s || true # exit code 1: the job is dead
"$dureqctl" job logs "$id"                       # its standard error
"$dureqctl" job delete "$id"
