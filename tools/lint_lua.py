#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""luacheck over the scripts as Redis gets them: lint_lua.py OUTDIR

Writes each script of src/store/lua with its parts put in to OUTDIR and lints that: a part alone has no meaning. What is found is told by
the file and line where it was written. A part gives more than each script uses, so what is unused counts only outside the parts; a part
that no script includes, or of which nobody uses a function, is a fault.
"""
import pathlib
import re
import subprocess
import sys

from embed_lua import rows_of

ROOT = pathlib.Path(__file__).resolve().parent.parent
LUA = ROOT / 'src/store/lua'
FOUND = re.compile(r'^(.*?):(\d+):(\d+): \(([EW])(\d+)\) (.*)$')
UNUSED = re.compile(r'[23][1-3]\d$')
UNUSED_FUNCTION = '211'


def assemble(path):
    """[(origin, line number, text)] of a script with its parts. Its first line, for Redis, is no Lua."""
    return [(origin, n, '' if text.startswith('#!') else text) for origin, n, text in rows_of(path)]


def luacheck(out):
    told = subprocess.run(['luacheck', '--codes', '--no-color', '--formatter', 'plain', '--config', str(ROOT / '.luacheckrc'), str(out)],
                          capture_output=True, text=True, check=False)
    if told.returncode > 2:
        sys.exit(told.stdout + told.stderr)
    return [FOUND.match(line).groups() for line in told.stdout.splitlines() if FOUND.match(line)]


def judge(found, scripts):
    """{(place, what)} to report. Unused in a part only when unused by every script that has the part."""
    faults, idle = set(), {}
    for file, line, _, kind, code, what in found:
        origin, number, _ = scripts[pathlib.Path(file).name][int(line) - 1]
        place = f'{origin.relative_to(ROOT)}:{number}'
        if origin.parent.name != 'include' or kind == 'E' or not UNUSED.match(code):
            faults.add((place, f'({kind}{code}) {what}'))
        elif code == UNUSED_FUNCTION:
            idle.setdefault((origin, place, what), set()).add(file)
    for (origin, place, what), files in idle.items():
        if len(files) == sum(any(row[0] == origin for row in rows) for rows in scripts.values()):
            faults.add((place, f'{what}, in every script that includes it'))
    return faults


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for stale in out.glob('*.lua'):
        stale.unlink()
    scripts = {path.name: assemble(path) for path in sorted(LUA.glob('*.lua'))}
    for name, rows in scripts.items():
        (out / name).write_text('\n'.join(text for _, _, text in rows) + '\n')
    faults = judge(luacheck(out), scripts)
    used = {row[0] for rows in scripts.values() for row in rows}
    faults |= {(f'{part.relative_to(ROOT)}:1', 'no script includes it') for part in (LUA / 'include').glob('*.lua') if part not in used}
    for place, what in sorted(faults):
        print(f'{place}: {what}')
    print(f'{len(scripts)} scripts, {len(faults)} faults')
    return 1 if faults else 0


if __name__ == '__main__':
    sys.exit(main())
