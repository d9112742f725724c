#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sum up a run of `meson test`: count_results.py BUILDDIR...

A test program that tells of its cases (cmocka, or a last line "N passed, N failed") counts by its cases, any other one as one. A program
that dies or runs out of time counts as a failure besides the cases it had finished. Prints what failed and, last, "N passed, N failed";
fails when anything failed or nothing ran.
"""
import json
import pathlib
import re
import sys

CASE = re.compile(r'^\[ *(RUN|OK|FAILED|SKIPPED|ERROR) *\] (\S+)$', re.M)
SUMMARY = re.compile(r'^(\d+) passed, (\d+) failed$', re.M)
GOOD = {'OK', 'EXPECTEDFAIL'}


def cases_of(text):
    """(passed, failed names, skipped) of the cases that a program tells of."""
    seen = {'RUN': [], 'OK': [], 'FAILED': [], 'SKIPPED': [], 'ERROR': []}
    for kind, name in CASE.findall(text):
        if name not in seen[kind]:
            seen[kind].append(name)
    ended = set(seen['OK'] + seen['FAILED'] + seen['SKIPPED'] + seen['ERROR'])
    failed = seen['FAILED'] + [n for n in seen['ERROR'] if n not in seen['FAILED']]
    unfinished = [name for name in seen['RUN'] if name not in ended]
    return len(seen['OK']), failed + unfinished, len(seen['SKIPPED'])


def count_program(test):
    """(passed, failed names, skipped) of one line of the log."""
    text = test.get('stdout', '') + '\n' + test.get('stderr', '')
    result = test['result']
    if result == 'SKIP':
        return 0, [], 1
    passed, failed, skipped = cases_of(text)
    told = SUMMARY.findall(text)
    if told and not passed and not failed:
        passed, failed = int(told[-1][0]), ['a check'] * int(told[-1][1])
    if result not in GOOD and not failed:
        failed = [f'({result.lower()})']
    if result in GOOD and not passed and not skipped:
        passed = 1
    return passed, failed, skipped


def main():
    passed = failed = skipped = programs = 0
    for build in sys.argv[1:]:
        log = pathlib.Path(build, 'meson-logs/testlog.json')
        lines = log.read_text(errors='replace').splitlines() if log.exists() else []
        for line in lines:
            test = json.loads(line)
            ok, bad, skip = count_program(test)
            programs += 1
            passed, failed, skipped = passed + ok, failed + len(bad), skipped + skip
            for name in bad:
                print(f'FAILED {test["name"]}: {name}')
    if not programs:
        print('no test ran')
        failed += 1
    print(f'{programs} test programs' + (f', {skipped} cases skipped' if skipped else ''))
    print(f'{passed} passed, {failed} failed')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
