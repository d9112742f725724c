#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The fault tests with many rounds, and what they counted into docs/faults.md:  [JOBS=n] [KEEP=1] faults.py BUILD_DIR ROUNDS [PATTERN]

Each program of tests/fault tells in a line of its own what it did, how often, what was lost and how long recovery took. These lines go between
the marks of the document, with the command, the commit, the day and the machine. Ends with "N passed, N failed"; programs that failed are named
and nothing is written. JOBS programs run at a time (1), except those that want the machine for themselves. With a PATTERN only some run,
and nothing is written; with KEEP=1 then it is, the rest as it was when it ran last, of this commit and with so many rounds.
"""
import concurrent.futures
import datetime
import os
import pathlib
import platform
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / 'docs/faults.md'
BEGIN, END = '<!-- faults -->', '<!-- end faults -->'
ALONE = ('test_fault_load', 'test_fault_node_kill', 'test_fault_redis_kill')
ROUNDS_MAX = 1000 # FAULT_ROUNDS_MAX of tests/lib/fault_wait.h
FORGETFUL = ('everysec', 'torn', 'snapshot', 'nothing kept') # servers told not to keep all that they acknowledge
TOLD = re.compile(r'^([^\[\]:]+, \d shards?|poison|[a-z -]+): (.*)$')


def run(program, build, rounds):
    """(exit code, lines, seconds)"""
    began = time.monotonic()
    env = dict(os.environ, DUREQ_TEST_BUILD=str(build), DUREQ_TEST_SOURCE=str(ROOT), DUREQ_FAULT_ROUNDS=str(rounds))
    done = subprocess.run([program], env=env, cwd=build, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace', check=False)
    seconds = time.monotonic() - began
    log_of(program.name, build).write_text(f'{done.stdout}exit code {done.returncode}, {rounds} rounds, {commit()}, {seconds:.0f} s\n')
    return done.returncode, told_in(done.stdout), seconds


def log_of(name, build):
    return build / f'meson-logs/{name}.long.log'


def told_in(text):
    return [m.groups() for m in map(TOLD.match, text.splitlines()) if m]


def last_run(name, build, rounds):
    """What a program told when it ran last, and its seconds; ends with a message when that run does not count."""
    text = log_of(name, build).read_text() if log_of(name, build).exists() else ''
    end = re.search(rf'^exit code 0, {rounds} rounds, {re.escape(commit())}, (\d+) s$', text, re.MULTILINE)
    if not end:
        sys.exit(f'KEEP: {name} has no good run of this commit with {rounds} rounds')
    return told_in(text), int(end.group(1))


def commit():
    """As in tests/lib/test_report.c: documents do not make it dirty, since reports are documents."""
    def git(*words):
        return subprocess.run(['git', *words], cwd=ROOT, capture_output=True, text=True, check=False)
    try:
        name = git('describe', '--always').stdout.strip()
    except FileNotFoundError:
        name = ''
    if not name:
        return 'unknown'
    return name + ('-dirty' if git('diff-index', '--quiet', 'HEAD', '--', '.', ':(exclude,top)docs').returncode else '')


def machine():
    server = subprocess.run(['redis-server', '--version'], capture_output=True, text=True, check=False).stdout
    version = re.search(r'v=(\S+)', server)
    return f'{os.cpu_count()} cores, {platform.system()} {re.match("[0-9.]*", platform.release()).group()}, Redis {version.group(1) if version else "?"}'


def kills_of(rows, *beginnings):
    return sum(int(n) for what, counted in rows if what.startswith(beginnings) for n in re.findall(r'(\d+) kills', counted))


def told_kills(rows):
    nodes, producers, redis = kills_of(rows, 'kill, '), kills_of(rows, 'producers killed'), kills_of(rows, 'always')
    return (f'{nodes + producers + redis} kills at random instants under load after which nothing may be lost: {nodes} of nodes, {producers} of producers, '
            f'{redis} of Redis. {kills_of(rows, *FORGETFUL)} under load of a Redis that is told not to keep all. '
            f'{kills_of(rows, "killed ")} of nodes at a fixed step of the one job that they have in hand.')


def write(rows, rounds, jobs, seconds):
    text = DOCUMENT.read_text()
    command = f'make faults ROUNDS={rounds}' + (f' JOBS={jobs}' if jobs > 1 else '')
    lines = [f'`{command}`, {commit()}, {datetime.date.today().isoformat()}, {machine()}, {seconds / 60:.0f} minutes. {told_kills(rows)}', '',
             '| fault | what was counted |', '| --- | --- |']
    told = {}
    for what, counted in rows:
        told.setdefault(what, []).append(counted)
    lines += [f'| {what} | {"<br>".join(counted)} |' for what, counted in told.items()]
    head, _, rest = text.partition(BEGIN)
    DOCUMENT.write_text(head + BEGIN + '\n' + '\n'.join(lines) + '\n' + END + rest.partition(END)[2])


def main():
    build, pattern = pathlib.Path(sys.argv[1]).resolve(), sys.argv[3] if len(sys.argv) > 3 else ''
    rounds = int(sys.argv[2]) if sys.argv[2].isdecimal() else 0
    if not 1 <= rounds <= ROUNDS_MAX:
        sys.exit(f'ROUNDS={sys.argv[2]}: it is a number from 1 to {ROUNDS_MAX}')
    jobs, began, told, failed = int(os.environ.get('JOBS') or 1), time.monotonic(), {}, []
    everything = [source.stem for source in sorted((ROOT / 'tests/fault').glob('test_fault_*.c'))]
    names = [name for name in everything if pattern in name]
    kept = {name: last_run(name, build, rounds) for name in everything if name not in names} if os.environ.get('KEEP') == '1' else {}

    def run_one(name):
        code, told[name], seconds = run(build / 'tests' / name, build, rounds)
        print(f'{"ok    " if code == 0 else "FAILED"} {name:28} {seconds:5.0f} s', flush=True)
        failed.extend([name] if code else [])

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        list(pool.map(run_one, (name for name in names if name not in ALONE)))
    for name in names:
        if name in ALONE:
            run_one(name)
    if not failed and (kept or names == everything):
        told.update({name: rows for name, (rows, _) in kept.items()})
        write([row for name in everything for row in told[name]], rounds, jobs, time.monotonic() - began + sum(s for _, s in kept.values()))
    for name in failed:
        print(f'FAILED {name}: {build}/meson-logs/{name}.long.log')
    print(f'{len(names) - len(failed)} passed, {len(failed)} failed')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
