#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The fault tests with many rounds, and what they counted into docs/faults.md:  [JOBS=n] faults.py BUILD_DIR ROUNDS [PATTERN]

Each program of tests/fault tells in a line of its own what it did, how often, what was lost and how long recovery took. These lines go between
the marks of the document, with the command, the day and the machine. Ends with "N passed, N failed"; programs that failed are named
and nothing is written. JOBS programs run at a time (1), but for those that want the machine for themselves.
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
    (build / f'meson-logs/{program.name}.long.log').write_text(done.stdout)
    return done.returncode, [m.groups() for m in map(TOLD.match, done.stdout.splitlines()) if m], time.monotonic() - began


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
    names = [source.stem for source in sorted((ROOT / 'tests/fault').glob('test_fault_*.c')) if pattern in source.stem]

    def run_one(name):
        code, told[name], seconds = run(build / 'tests' / name, build, rounds)
        print(f'{"ok    " if code == 0 else "FAILED"} {name:28} {seconds:5.0f} s', flush=True)
        failed.extend([name] if code else [])

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        list(pool.map(run_one, (name for name in names if name not in ALONE)))
    for name in names:
        if name in ALONE:
            run_one(name)
    if not failed and not pattern:
        write([row for name in names for row in told[name]], rounds, jobs, time.monotonic() - began)
    for name in failed:
        print(f'FAILED {name}: {build}/meson-logs/{name}.long.log')
    print(f'{len(names) - len(failed)} passed, {len(failed)} failed')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
