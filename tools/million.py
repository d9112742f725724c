#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What lists and counts take with a million jobs: tools/million.py DUREQD [JOBS]

Fills a daemon of its own with JOBS (1,000,000), a quarter each pending, scheduled, completed and dead, a tenth of each in the queue `high`, and times GET
requests over one connection: of each the median and the longest of 50. "Middle" is after half of what there is. Prints a table for docs/performance.md and fails
when what has a limit exceeds it at the median."""
import http.client
import json
import pathlib
import re
import sys
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'tests' / 'api'))
from test_openapi import Daemon  # noqa: E402

LINES, TIMES, PAGE = 10000, 50, 100
LIMIT_MS, STATS_MS, BYTES = 20, 5, 4 << 20


class Store:
    def __init__(self, program, n):
        self.d = Daemon(program)
        self.n, self.c = n, http.client.HTTPConnection('127.0.0.1', self.d.port, timeout=120)

    def ask(self, method, path, body=None):
        self.c.request(method, path, body, {'Content-Type': 'application/x-ndjson'} if body else {})
        r = self.c.getresponse()
        text = r.read()
        if r.status != 200:
            sys.exit(f'{method} {path}: {r.status} {text[:300]}')
        return text

    def json(self, path):
        return json.loads(self.ask('GET', path))

    def counts(self):
        return self.json('/api/stats')['job_counts']

    def fill(self, what, **spec):
        began = time.monotonic()
        for at in range(0, self.n, LINES):
            some = [json.dumps({**spec, 'queue': 'high' if i % 10 == 0 else 'normal', 'payload': {'number': at + i, 'text': 'x' * 60}}) for i in range(min(LINES, self.n - at))]
            self.ask('POST', '/api/jobs', '\n'.join(some))
            while sum(self.counts().get(s, 0) for s in ('pending', 'running', 'retrying')) > 100000 and what not in ('pending', 'scheduled'):
                time.sleep(0.2)  # the node is behind: memory is for what has ended
        print(f'{what}: {self.n} accepted in {time.monotonic() - began:.0f} s', file=sys.stderr, flush=True)

    def settle(self, state):
        end = time.monotonic() + 3600
        while self.counts().get(state, 0) < self.n:
            if time.monotonic() > end:
                sys.exit(f'{state} is not reached: {self.counts()}')
            time.sleep(0.5)

    def memory(self):
        """What the daemon has in memory, in bytes."""
        text = pathlib.Path(f'/proc/{self.d.process.pid}/status').read_text()
        return int(re.search(r'VmRSS:\s+(\d+)', text)[1]) << 10

    def middle(self, query, n):
        """The cursor after half of n jobs."""
        cursor, left = '', n // 2
        while left > 0:
            page = self.json(f'/api/jobs?{query}&limit={min(1000, left)}' + (f'&cursor={urllib.parse.quote(cursor)}' if cursor else ''))
            left -= max(len(page['data']), 1 if page['scanned'] else 1000)
            cursor = page.get('next_cursor', '')
            if not cursor:
                break
        return cursor


def measure(store, path):
    took, size = [], 0
    for _ in range(TIMES):
        began = time.perf_counter()
        size = len(store.ask('GET', path))
        took.append((time.perf_counter() - began) * 1000)
    took.sort()
    return took[TIMES // 2], took[-1], size


def main():
    total = int(sys.argv[2]) if len(sys.argv) > 2 else 1000000
    store = Store(sys.argv[1], total // 4)
    try:
        store.fill('completed', task_type='noop')
        store.settle('completed')
        store.fill('dead', task_type='fail-always', retry_policy={'max_attempts': 1})
        store.settle('dead')
        between = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())
        store.fill('scheduled', task_type='nobody', delay='24h')
        store.fill('pending', task_type='nobody')
        print(store.counts(), file=sys.stderr)
        rows, faults = [('GET /api/stats', '/api/stats', STATS_MS)], []
        for state in ('pending', 'scheduled', 'completed', 'dead'):
            for name, query, n in ((state, f'status={state}', store.n), (f'{state}, queue', f'status={state}&queue=high', store.n // 10)):
                rows.append((f'{name}, first page', f'/api/jobs?{query}&limit={PAGE}', LIMIT_MS))
                rows.append((f'{name}, middle', f'/api/jobs?{query}&limit={PAGE}&cursor=' + urllib.parse.quote(store.middle(query, n)), LIMIT_MS))
        rows += [('all, first page', f'/api/jobs?limit={PAGE}', LIMIT_MS), ('all, since a time', f'/api/jobs?limit={PAGE}&since={between}', LIMIT_MS),
                 ('all, until a time', f'/api/jobs?limit={PAGE}&until={between}', LIMIT_MS),
                 ('completed, since a time that none is after', f'/api/jobs?status=completed&limit={PAGE}&since={between}', LIMIT_MS),
                 ('a tag that none has', f'/api/jobs?limit={PAGE}&tag=none', None), ('a text that none has', f'/api/jobs?limit={PAGE}&text=nothing-has-it', None),
                 ('completed, a type that none has', f'/api/jobs?status=completed&limit={PAGE}&type=none', None)]
        before = store.memory()
        print(f'With {total:,} jobs, a quarter each pending, scheduled, completed and dead; pages of {PAGE}:\n\n| request | median | longest | answer |\n| --- | --- | --- | --- |')
        for name, path, limit in rows:
            median, longest, size = measure(store, path)
            print(f'| {name} | {median:.1f} ms | {longest:.1f} ms | {size >> 10} KiB |', flush=True)
            if limit and median > limit:
                faults.append(f'{name}: {median:.1f} ms, the limit is {limit}')
        grown = store.memory() - before
        print(f'\nThe daemon has {before >> 20} MiB, and {grown >> 10} KiB more after all of them.')
        if grown > BYTES:
            faults.append(f'the daemon grew by {grown} bytes')
    finally:
        store.d.stop()
    print('\n'.join(faults) or 'all within their limits')
    sys.exit(bool(faults))


if __name__ == '__main__':
    main()
