#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run failed tests once more, by themselves: rerun_failed.py BUILDDIR [option of meson test...]

Tests run side by side, and a machine that is shared with others can hold one up for longer than any limit. For a run that decides about a
change (.ci/run), the programs that failed, FEW at most, run once more, one at a time; what they say then counts, in place of what they said
first, and each is named: a name that comes again is a fault to look into. More failures are no accident: then nothing is run again.
"""
import json
import pathlib
import subprocess
import sys

FEW = 3
GOOD = {'OK', 'EXPECTEDFAIL', 'SKIP'}


def read(log):
    return [json.loads(line) for line in log.read_text(errors='replace').splitlines()] if log.exists() else []


def main():
    build, options = sys.argv[1], sys.argv[2:]
    log = pathlib.Path(build, 'meson-logs/testlog.json')
    results = read(log)
    failed = [t for t in results if t['result'] not in GOOD]
    if not failed or len(failed) > FEW:
        return 0
    names = [t['name'].split(' / ')[-1] for t in failed]
    subprocess.run(['meson', 'test', '-C', build, '--no-rebuild', '--logbase', 'again', '--num-processes', '1', '--print-errorlogs', *options, *names],
                   check=False)
    again = {t['name']: t for t in read(pathlib.Path(build, 'meson-logs/again.json'))}
    log.write_text(''.join(json.dumps(again.get(t['name'], t)) + '\n' for t in results))
    for t in failed:
        if again.get(t['name'], t)['result'] in GOOD:
            print(f'AGAIN {t["name"]}: failed beside others ({t["result"].lower()}), passed by itself')
    return 0


if __name__ == '__main__':
    sys.exit(main())
