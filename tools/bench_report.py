#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The rows of `make bench-long` into docs/benchmarks.md:  [LONG=0] bench_report.py BENCH_PROGRAM     (make bench-doc)

Shows each row as it comes. Rows that are not there yet are left out. ROWS takes some of them: then nothing is written. LONG=0
leaves out the big ones.
"""
import json
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
# pylint: disable=wrong-import-position
import measured

ROOT = measured.ROOT
DOCUMENT = ROOT / 'docs/benchmarks.md'
BEGIN, END = '<!-- bench -->', '<!-- end bench -->'
GROUP_S = 0.1 # rows that come closer together are of one group, measured at a time


def number(value):
    """Three digits that count, and all of them before the point."""
    return f'{value:,.0f}' if abs(value) >= 100 else f'{value:.3g}'


def line(row):
    target = f'{"at least" if row["at_least"] else "at most"} {number(row["target"])}'
    note = row['note'].replace('|', '/')
    result = 'failed' if row['value'] is None else f'{number(row["value"])} {row["unit"]}'
    return f'| `{row["name"]}` | {target} | {result} | {"yes" if row["met"] else "**no**"} | {measured.percent(row["others"])} | {note} |'


class Others:
    """Which share of the machine others took while a group of rows was measured."""

    def __init__(self, pid):
        self.pid, self.last = pid, 0.0
        self.before = self.read()

    def read(self):
        return time.monotonic(), measured.machine_cpu_us() - measured.process_cpu_us(self.pid)

    def share(self):
        """Since the group before; the group's own processes have ended by now, and count as ours."""
        (then, before), (now, after) = self.before, self.read()
        if now - then >= GROUP_S:
            self.before = now, after
            self.last = max(0.0, after - before) / 1e6 / (now - then) / os.cpu_count()
        return self.last


def document(rows, head):
    lines = [f'{head}. Others took {measured.spread([row["others"] for row in rows])} of the machine meanwhile:', '',
             '| row | target | result | met | others | |', '| --- | --- | --- | --- | --- | --- |']
    return lines + [line(row) for row in rows]


def write(lines):
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    DOCUMENT.write_text(before + BEGIN + '\n' + '\n'.join(lines) + '\n' + END + rest.partition(END)[2])


def main():
    env = dict(os.environ, JSON='1', LONG='')
    rows, long = [], os.environ.get('LONG', '1') != '0'
    server = subprocess.run(['redis-server', '--version'], capture_output=True, text=True, check=True).stdout.split()[2].replace('v=', 'Redis ')
    head = (f'`make bench-doc{"" if long else " LONG=0"}`, {measured.today()}, commit {measured.commit()}, {os.cpu_count()} cores, {measured.kernel()}, {server}')
    with subprocess.Popen([sys.argv[1], *(['--long'] if long else [])], env=env, stdout=subprocess.PIPE, text=True, cwd=ROOT) as bench:
        others = Others(bench.pid)
        for text in bench.stdout:
            row = {**json.loads(text), 'others': others.share()}
            if row['value'] is None and row['note'].endswith(' yet'):
                print(f'{row["name"]}: {row["note"]}', flush=True)
                continue
            rows.append(row)
            print(line(row), flush=True)
    if bench.returncode or os.environ.get('ROWS'):
        return bench.returncode
    write(document(rows, head))
    return 0


if __name__ == '__main__':
    sys.exit(main())
