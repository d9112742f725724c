#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The fault tests with many rounds, and what they counted into docs/faults.md:  faults.py BUILD_DIR ROUNDS [PATTERN]

Each program of tests/fault tells in a line of its own what it did, how often, what was lost and how long recovery took. These lines go between
the marks of the document, with the command, the day and the machine. Ends with "N passed, N failed"; programs that failed are named
and nothing is written.
"""
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


def write(rows, rounds, seconds):
    text = DOCUMENT.read_text()
    lines = [f'`make faults ROUNDS={rounds}`, {datetime.date.today().isoformat()}, {machine()}, {seconds / 60:.0f} minutes.', '',
             '| fault | what was counted |', '| --- | --- |']
    told = {}
    for what, counted in rows:
        told.setdefault(what, []).append(counted)
    lines += [f'| {what} | {"<br>".join(counted)} |' for what, counted in told.items()]
    head, _, rest = text.partition(BEGIN)
    DOCUMENT.write_text(head + BEGIN + '\n' + '\n'.join(lines) + '\n' + END + rest.partition(END)[2])


def main():
    build, rounds, pattern = pathlib.Path(sys.argv[1]).resolve(), int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else ''
    rows, failed, passed, began = [], [], 0, time.monotonic()
    for source in sorted((ROOT / 'tests/fault').glob('test_fault_*.c')):
        if pattern not in source.stem:
            continue
        code, told, seconds = run(build / 'tests' / source.stem, build, rounds)
        print(f'{"ok    " if code == 0 else "FAILED"} {source.stem:28} {seconds:5.0f} s', flush=True)
        passed += code == 0
        failed += [source.stem] if code else []
        rows += told
    if not failed and not pattern:
        write(rows, rounds, time.monotonic() - began)
    for name in failed:
        print(f'FAILED {name}: {build}/meson-logs/{name}.long.log')
    print(f'{passed} passed, {len(failed)} failed')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
