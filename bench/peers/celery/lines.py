# SPDX-License-Identifier: Apache-2.0
"""The words that bench/peers/run speaks with producers and workers (see there)."""
import sys
import time


def mono_us():
    return time.monotonic_ns() // 1000


def say(answer=None):
    sys.stdout.write('ok' + ''.join(f' {k}={v}' for k, v in (answer or {}).items()) + '\n')
    sys.stdout.flush()


def serve(commands, first=None):
    say(first)
    for line in sys.stdin:
        name, *pairs = line.split()
        try:
            say(commands[name](**dict(p.split('=', 1) for p in pairs)))
        except Exception as e:  # pylint: disable=broad-except
            print(f'error {e}', flush=True)
