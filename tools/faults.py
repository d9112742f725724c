#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The fault tests with many rounds, and what they counted into docs/faults.md:  [JOBS=n] [KEEP=1] faults.py BUILD_DIR ROUNDS [PATTERN]

Each program of tests/fault tells in a line of its own what it did, how often, what was lost and how long recovery took. These lines go between
the marks of the document, with the command, the day and the machine. Ends with "N passed, N failed"; programs that failed are named
and nothing is written. JOBS programs run at a time (1), but for those that want the machine for themselves. With a PATTERN only some run,
and nothing is written; with KEEP=1 then it is, the rest as it was when it ran last with so many rounds.
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
FORGETFUL = ('everysec', 'torn', 'snapshot', 'nothing kept') # servers told not to keep all that they acknowledge
TOLD = re.compile(r'^([^\[\]:]+, \d shards?|poison|[a-z -]+): (.*)$')


def run(program, build, rounds):
    """(exit code, lines, seconds)"""
    began = time.monotonic()
    env = dict(os.environ, DUREQ_TEST_BUILD=str(build), DUREQ_TEST_SOURCE=str(ROOT), DUREQ_FAULT_ROUNDS=str(rounds))
    done = subprocess.run([program], env=env, cwd=build, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace', check=False)
    seconds = time.monotonic() - began
    log_of(program.name, build).write_text(f'{done.stdout}exit code {done.returncode}, {rounds} rounds, {seconds:.0f} s\n')
    return done.returncode, told_in(done.stdout), seconds


def log_of(name, build):
    return build / f'meson-logs/{name}.long.log'


def told_in(text):
    return [m.groups() for m in map(TOLD.match, text.splitlines()) if m]


def last_run(name, build, rounds):
    """What a program told when it ran last, and its seconds; ends with a message when that run does not count."""
    text = log_of(name, build).read_text() if log_of(name, build).exists() else ''
    end = re.search(rf'^exit code 0, {rounds} rounds, (\d+) s$', text, re.MULTILINE)
    if not end:
        sys.exit(f'KEEP: {name} has no good run with {rounds} rounds')
    return told_in(text), int(end.group(1))


def machine():
    server = subprocess.run(['redis-server', '--version'], capture_output=True, text=True, check=False).stdout
    version = re.search(r'v=(\S+)', server)
    return f'{os.cpu_count()} cores, {platform.system()} {platform.release()}, Redis {version.group(1) if version else "?"}'


def write(rows, rounds, jobs, seconds):
    text = DOCUMENT.read_text()
    kills = {False: 0, True: 0}
    for what, counted in rows:
        kills[what.startswith(FORGETFUL)] += sum(map(int, re.findall(r'(\d+) kills', counted)))
    command = f'make faults ROUNDS={rounds}' + (f' JOBS={jobs}' if jobs > 1 else '')
    lines = [f'`{command}`, {datetime.date.today().isoformat()}, {machine()}, {seconds / 60:.0f} minutes. {kills[False]} kills of nodes, producers and Redis behind '
             f'which nothing may be lost, {kills[True]} of a Redis that is told not to keep all.', '', '| fault | what was counted |', '| --- | --- |']
    told = {}
    for what, counted in rows:
        told.setdefault(what, []).append(counted)
    lines += [f'| {what} | {"<br>".join(counted)} |' for what, counted in told.items()]
    head, _, rest = text.partition(BEGIN)
    DOCUMENT.write_text(head + BEGIN + '\n' + '\n'.join(lines) + '\n' + END + rest.partition(END)[2])


def main():
    build, rounds, pattern = pathlib.Path(sys.argv[1]).resolve(), int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else ''
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
