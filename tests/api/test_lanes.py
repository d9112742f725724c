#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Figures of a live dureqd with more lanes (pairs of queue and task type) than a step of Redis looks at: test_lanes.py DUREQD

LANES=100000 is the long form: then it also shows what each route takes, and what Redis says of its steps over 5 ms. Ends with "N passed, N failed"."""
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import time

from test_openapi import Daemon

LANES = int(os.environ.get('LANES', '4000'))  # more than are counted of a minute in one step, too
LONG = LANES >= 100000
PATHS = ('/api/stats', '/api/overview', '/metrics', '/api/queues')


class Checks:
    def __init__(self, d):
        self.d, self.passed, self.failed = d, 0, 0

    def __call__(self, what, good, shown=''):
        self.passed += bool(good)
        self.failed += not good
        if not good:
            print(f'[  FAILED  ] {what}', str(shown)[:2000])

    def redis(self, *words):
        return subprocess.run(['redis-cli', '-s', self.d.dir.name + '/s/redis.sock', *words], capture_output=True, text=True, timeout=60, check=True).stdout

    def commands(self):
        return int(re.search(r'total_commands_processed:(\d+)', self.redis('INFO', 'stats'))[1])


def fill(check, first, n):
    """A job each of n types, every tenth in the queue `high`."""
    for at in range(first, first + n, 5000):
        lines = '\n'.join(json.dumps({'task_type': f't{i}', 'queue': 'high' if i % 10 == 0 else 'normal'}) for i in range(at, min(at + 5000, first + n)))
        status, _, text = check.d.ask('POST', '/api/jobs', lines, 'application/x-ndjson')
        check('jobs are accepted', status == 200 and b'"error"' not in text, text[:500])


def figures(check, n):
    d = check.d
    d.until('/api/stats', lambda s: s['job_counts'].get('pending') == n)
    d.until('/api/overview', lambda o: o['counts'].get('pending') == n and sum(q['pending'] for q in o['queues']) == n)
    queues = {q['name']: q for q in d.until('/api/queues', lambda qs: sum(q['pending'] for q in qs) == n)}
    check('queues have theirs', queues['high']['pending'] == n // 10, queues['high'])
    check('nobody handles them', queues['normal']['unhandled'] == n - n // 10, queues['normal'])
    text = d.ask('GET', '/metrics')[2].decode()
    check('so do metrics', re.search(r'^dureq_cluster_queue_jobs\{queue="high",state="pending"\} ' + str(n // 10) + '$', text, re.M), text[-300:])
    check('in sum, too', f'dureq_cluster_jobs{{state="pending"}} {n}\n' in text, text[-300:])


def series(check, n):
    """What was counted lane by lane, in sum and of some."""
    for query, wanted in (('', n), ('&queue=high', n // 10), ('&type=t1*', sum(str(i).startswith('1') for i in range(n))), ('&type=t7', 1), ('&type=none', 0)):
        rows = check.d.json('GET', '/api/stats/series?by=minute&n=60' + query)[1]
        check(f'minutes count what was accepted: {query}', sum(r['enqueued'] for r in rows) == wanted, [r['enqueued'] for r in rows])
        rows = check.d.json('GET', '/api/stats/series?by=hour&n=2' + query)[1]
        check(f'so do hours: {query}', sum(r['enqueued'] for r in rows) == wanted, [r['enqueued'] for r in rows])
    check.d.until('/api/overview', lambda o: sum(r['enqueued'] for r in o['pulse']) == n)


def shared(check):
    """Who asks many at once, or again at once, is given what was found just now."""
    check.d.json('GET', '/api/stats')
    before = check.commands()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: check.d.json('GET', '/api/stats')[0], range(200)))
    check('all are answered', set(got) == {200}, set(got))
    check('without a walk for each', check.commands() - before < 400, check.commands() - before)


def timed(check):
    for path in PATHS:
        check.d.ask('GET', path)
        check.redis('SLOWLOG', 'RESET')
        took = []
        end = time.monotonic() + 20
        while time.monotonic() < end and len(took) < 200:
            began = time.monotonic()
            check('is answered', check.d.ask('GET', path)[0] == 200)
            took.append((time.monotonic() - began) * 1000)
        took.sort()
        slow = int(check.redis('SLOWLOG', 'LEN'))
        print(f'{path}: {len(took)} requests, median {took[len(took) // 2]:.1f} ms, longest {took[-1]:.0f} ms, steps of Redis over 5 ms: {slow}')
        if slow:
            print(check.redis('SLOWLOG', 'GET', '3')[:1500])
        check(f'{path}: no step of Redis over 5 ms', slow == 0, slow)


def main():
    d = Daemon(sys.argv[1])
    check = Checks(d)
    try:
        check.redis('CONFIG', 'SET', 'slowlog-log-slower-than', '5000', 'slowlog-max-len', '1000')
        fill(check, 0, LANES)
        figures(check, LANES)
        series(check, LANES)
        shared(check)
        if LONG:
            timed(check)
    finally:
        d.stop()
    print(f'{check.passed} passed, {check.failed} failed')
    sys.exit(check.failed > 0)


if __name__ == '__main__':
    main()
