#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Is this tree slower than a commit?      make bench-against REV=main [ROWS=throughput,mem_kept] [PAIRS=20] [NEW=commit]

Builds REV, and NEW unless it is the tree as it stands, in worktrees under build/against, and runs their bench programs in turns, row by row: old, new,
new, old, old, new ... Two runs side by side are a pair and give one ratio of costs: above 1 the new one is worse, also where more is better, as with
jobs a second. For each row it prints the median of the ratios and an interval that holds the true median in at least 95 of 100 such measurements: the
two ratios that the sign test leaves (the 6th and the 15th of 20 in order), which asks nothing of how they are spread.

The last column: "better", "ok", "slower" when the interval lies below 1, below the limit of 1.02 (rows of latency: 1.05), wholly above it; "undecided"
when the limit lies within: more pairs, or a quieter machine, tell.

Exit status: 0; 1 when a row is slower; 2 when a row could not be compared.
ROWS takes rows and groups of `dureq-bench --list`; without it the nine that every change is held to. A row takes about 5 s a run (ROW_S)."""
import functools
import json
import math
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.dont_write_bytecode = True
# pylint: disable=wrong-import-position
import commits
import measured
from commits import Failed

ROOT = measured.ROOT
PLACE = ROOT / 'build/against'
PROGRAM = 'bench/dureq-bench'
BUILD = ('build/bench', ['--buildtype=release', '-Db_ndebug=false'], [PROGRAM]) # as `make bench` does
ROWS = 'redis_cpu_hist,redis_cpu_ret0,throughput,throughput_1ms,node_cpu,client_cpu,latency_idle,mem_queued,mem_kept'
PAIRS_MIN = 6 # fewer give no interval of 95 %
LIMIT, LIMIT_LATENCY = 1.02, 1.05
OTHERS_MAX = 0.10 # of the machine: above, the result says so


tell = functools.partial(commits.tell, 'bench-against')


# ---- what is compared ----

class Side:
    """A commit, or the tree as it stands, and its bench program."""

    def __init__(self, label, program):
        self.label, self.program = label, program
        listed = subprocess.run([program, '--list'], capture_output=True, text=True, check=True).stdout
        self.group_of = dict(line.split()[:2] for line in listed.splitlines() if line.strip())

    def run(self, rows, row_s):
        """{row: (value, at_least)}, and why others have none."""
        env = dict(os.environ, JSON='1', LONG='', ROWS=','.join(rows), ROW_S=str(row_s))
        done = subprocess.run([self.program], env=env, stdout=subprocess.PIPE, text=True, check=False, cwd=ROOT)
        if done.returncode:
            raise Failed(f'{self.label}: dureq-bench ended with {done.returncode}')
        found = [json.loads(line) for line in done.stdout.splitlines()]
        return ({r['name']: (r['value'], r['at_least']) for r in found if r['value'] is not None},
                {r['name']: r['note'] for r in found if r['value'] is None})


def short_form(tree, row_s):
    """A commit from before ROW_S repeats each row for 45 s: its constant is made smaller in the worktree, nothing else."""
    main = tree / 'bench/main.c'
    text = main.read_text()
    if 'ROW_S' in text:
        return
    text, n = re.subn(r'(#define REPEAT_MS\s+)\d+', rf'\g<1>{row_s * 1000}', text)
    if n:
        main.write_text(text)
    else:
        tell(f'{tree.name} cannot run short; this takes longer')


def build(tree, log):
    program, = commits.build(tree, *BUILD, log)
    kept = log.with_suffix('.bench') # the tree may be edited and built while this runs
    shutil.copy2(program, kept)
    return kept


def side_of(name, rev, row_s):
    tell(f'building {rev}')
    with commits.worktree(PLACE / name, commits.full_hash(rev)) as tree:
        short_form(tree, row_s)
        return Side(measured.git('describe', '--always', commits.full_hash(rev)), build(tree, PLACE / f'{name}.log'))


def this_tree():
    tell('building this tree')
    return Side(measured.commit(), build(ROOT, PLACE / 'new.log'))


# ---- which rows ----

def chosen(asked, new, old):
    """{group: [rows that both have]}"""
    groups = {}
    for word in (w.strip() for w in asked.split(',')):
        rows = [row for row, group in new.group_of.items() if word in (row, group)] if word not in new.group_of else [word]
        if word and not rows:
            raise Failed(f'{word} is no row or group of {new.label}')
        for row in rows:
            if row not in old.group_of:
                tell(f'{old.label} has no row {row}: left out')
            elif row not in groups.setdefault(new.group_of[row], []):
                groups[new.group_of[row]].append(row)
    return {group: rows for group, rows in groups.items() if rows}


# ---- the numbers ----

def cost_ratio(old, new, at_least):
    """New cost over old. None when a value says nothing."""
    if old <= 0 or new <= 0:
        return None
    return old / new if at_least else new / old


def interval(ratios):
    """The k-th smallest and k-th largest, with the largest k that leaves out at most 2.5 % on each side."""
    n, k, below = len(ratios), 0, 0.0
    while below + math.comb(n, k) / 2**n <= 0.025:
        below += math.comb(n, k) / 2**n
        k += 1
    ordered = sorted(ratios)
    return (ordered[k - 1], ordered[n - k]) if k else (-math.inf, math.inf)


def limit_of(row):
    return LIMIT_LATENCY if row.startswith('latency') else LIMIT


def verdict(row, low, high):
    if low > limit_of(row):
        return '**slower**'
    if high < 1:
        return 'better'
    return 'ok' if high <= limit_of(row) else 'undecided'


class Row:
    def __init__(self, name):
        self.name, self.old, self.new, self.ratios, self.why = name, [], [], [], ''

    def add(self, old, new):
        for values, why in (old, new):
            if self.name not in values:
                self.why = why.get(self.name, 'not measured')
                return
        ratio = cost_ratio(old[0][self.name][0], new[0][self.name][0], new[0][self.name][1])
        if ratio is None:
            self.why = 'a value of 0 or less'
            return
        self.old.append(old[0][self.name][0])
        self.new.append(new[0][self.name][0])
        self.ratios.append(ratio)

    def line(self):
        """The row of the table, and the exit status that follows."""
        n = len(self.ratios)
        if n < PAIRS_MIN:
            return f'| `{self.name}` | | | | | {n} | **not compared** {self.why} |', 2
        low, high = interval(self.ratios)
        word = verdict(self.name, low, high)
        return (f'| `{self.name}` | {statistics.median(self.old):.4g} | {statistics.median(self.new):.4g} | {statistics.median(self.ratios):.3f} '
                f'| {low:.3f} to {high:.3f} | {n} | {word}{" " + self.why if self.why else ""} |'), int(word == '**slower**')


def machine_us():
    return measured.machine_cpu_us() - measured.process_cpu_us(os.getpid())


def measure(sides, groups, pairs, row_s):
    """Rows as they are known when it ends or is interrupted, and what others took of the machine."""
    rows = {name: Row(name) for names in groups.values() for name in names}
    others = []
    try:
        for pair in range(pairs):
            for names in groups.values():
                order = ('old', 'new') if pair % 2 == 0 else ('new', 'old')
                then, before = time.monotonic(), machine_us()
                found = {side: sides[side].run(names, row_s) for side in order}
                others.append(max(0.0, machine_us() - before) / 1e6 / (time.monotonic() - then) / os.cpu_count())
                for name in names:
                    rows[name].add(found['old'], found['new'])
            tell(f'pair {pair + 1} of {pairs}: ' + ', '.join(f'{r.name} {r.ratios[-1]:.3f}' for r in rows.values() if r.ratios))
    except KeyboardInterrupt:
        tell('interrupted')
    return rows, others


def report(sides, rows, others):
    print(f'{sides["new"].label} against {sides["old"].label}, {measured.today()}, {os.cpu_count()} cores. Others took '
          f'{measured.spread(others)} of the machine, {measured.percent(statistics.median(others or [0]))} in half of the pairs. '
          'Ratios of cost: above 1 the new one is worse.\n')
    print('| row | old | new | new/old | 95 % interval | pairs | |\n| --- | --- | --- | --- | --- | --- | --- |')
    lines = [row.line() for row in rows.values()]
    print('\n'.join(text for text, _ in lines))
    if others and statistics.median(others) > OTHERS_MAX:
        print('\nThe machine was not idle: the intervals are wider than they need be.')
    return max((status for _, status in lines), default=2)


def main():
    if len(sys.argv) > 1:
        print(__doc__)
        return 0 if sys.argv[1] in ('-h', '--help') else 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rev, pairs, row_s = os.environ.get('REV'), int(os.environ.get('PAIRS') or 20), int(os.environ.get('ROW_S') or 5)
    if not rev or pairs < PAIRS_MIN:
        tell(f'usage: make bench-against REV=commit [ROWS=a,b] [PAIRS=20, at least {PAIRS_MIN}] [NEW=commit]')
        return 2
    try:
        with commits.place(PLACE):
            sides = {'old': side_of('old', rev, row_s), 'new': side_of('new', os.environ['NEW'], row_s) if os.environ.get('NEW') else this_tree()}
            return report(sides, *measure(sides, chosen(os.environ.get('ROWS') or ROWS, sides['new'], sides['old']), pairs, row_s))
    except Failed as e:
        tell(e)
    return 2


if __name__ == '__main__':
    sys.exit(main())
