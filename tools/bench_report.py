#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The rows of `make bench-long` into docs/benchmarks.md:  [LONG=0] bench_report.py BENCH_PROGRAM     (make bench-doc)

Shows each row as it comes. Rows that are not there yet are left out. ROWS takes some of them: then nothing is written. LONG=0
leaves out the big ones.
"""
import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / 'docs/benchmarks.md'
BEGIN, END = '<!-- bench -->', '<!-- end bench -->'


def said(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip()


def number(value):
    """Three digits that count, and all of them before the point."""
    return f'{value:,.0f}' if abs(value) >= 100 else f'{value:.3g}'


def line(row):
    target = f'{"at least" if row["at_least"] else "at most"} {number(row["target"])}'
    note = row['note'].replace('|', '/')
    result = 'failed' if row['value'] is None else f'{number(row["value"])} {row["unit"]}'
    return f'| `{row["name"]}` | {target} | {result} | {"yes" if row["met"] else "**no**"} | {note} |'


def main():
    env = dict(os.environ, JSON='1', LONG='')
    rows, long = [], os.environ.get('LONG', '1') != '0'
    with subprocess.Popen([sys.argv[1], *(['--long'] if long else [])], env=env, stdout=subprocess.PIPE, text=True, cwd=ROOT) as bench:
        for text in bench.stdout:
            row = json.loads(text)
            if row['value'] is None and row['note'].endswith(' yet'):
                print(f'{row["name"]}: {row["note"]}', flush=True)
                continue
            rows.append(row)
            print(line(row), flush=True)
    if bench.returncode or os.environ.get('ROWS'):
        return bench.returncode
    head = (f'`make bench-doc{"" if long else " LONG=0"}`, {datetime.date.today().isoformat()}, commit {said("git", "describe", "--always", "--dirty")}, {os.cpu_count()} cores, '
            f'{platform.system()} {platform.release().split("-")[0]}, {said("redis-server", "--version").split()[2].replace("v=", "Redis ")}:')
    lines = [head, '', '| row | target | result | met | |', '| --- | --- | --- | --- | --- |']
    lines += [line(row) for row in rows]
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    DOCUMENT.write_text(before + BEGIN + '\n' + '\n'.join(lines) + '\n' + END + rest.partition(END)[2])
    return 0


if __name__ == '__main__':
    sys.exit(main())
