#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""House rules that no compiler checks: lint.py [FILE...]   (without files: the whole checkout; --list prints its C files)

 - no assignment inside the condition of if, while, do or switch
 - no strcpy strcat sprintf strtok strncpy gets atoi atol atof strtol strtoul strtoll strtoull
 - a function is at most 80 lines (from brace to brace), a file at most 1000
 - commands for Redis are written in src/redis and src/store only (store/*_calls.h)
 - every source has its SPDX line, no text has a path of somebody's machine
 - listed only, not a fault: src/x/y.c without a tests/{unit,integration}/test_x_y.c

A line with "lint: allow" in a comment is left out, and so is a function with "lint: long" there; both want the reason beside them.
Ends with the number of faults.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SPDX = 'SPDX-License-Identifier: Apache-2.0'
FUNCTION_MAX, FILE_MAX = 80, 1000
BANNED = re.compile(r'(?<![\w.>])(strcpy|strcat|sprintf|vsprintf|strtok|strncpy|strncat|gets|atoi|atol|atof|strtou?ll?)\s*\(')
COMMAND = re.compile(r'\b(dq_resp_(?:begin|arg)\w*|dq_keys_arg\w*|dq_call_(?:begin\w*|key|key_of|key_no|arg\w*|raw|number\w*))\s*\(')
CONDITION = re.compile(r'\b(if|while|switch)\s*\(')
ASSIGNMENT = re.compile(r'(?<![=!<>])=(?!=)|<<=|>>=')
COMMENT_OR_TEXT = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
MACHINE_PATH = re.compile(r'/(?:home/(?!user\b)[a-z][\w-]*|root|work/(?:main|shared)|Users/\w+|tmp/b-\w+)(?:/|\b)')
WITH_SPDX = {'.c', '.h', '.py', '.sh', '.ts', '.tsx', '.css'}
SPDX_NAMES = {'Makefile', 'meson.build', 'meson_options.txt'}
NOT_OURS = {'LICENSE', 'package-lock.json'}


def all_files():
    """What git knows or would add, relative to the root."""
    told = subprocess.run(['git', 'ls-files', '-co', '--exclude-standard'], cwd=ROOT, capture_output=True, text=True, check=True)
    return [pathlib.Path(name) for name in sorted(told.stdout.splitlines()) if (ROOT / name).is_file()]


def blank(text):
    """The code with comments and texts blanked, lines and columns kept."""
    return COMMENT_OR_TEXT.sub(lambda m: re.sub(r'[^\n]', ' ', m.group()), text)


def condition_at(code, start):
    """The text in the parentheses that open at start, without what stands in braces (compound literals, statement expressions)."""
    depth = braces = 0
    kept = []
    for char in code[start:]:
        braces += (char == '{') - (char == '}')
        depth += (char == '(') - (char == ')')
        if depth == 0:
            break
        kept.append(char if braces == 0 and char != '}' else ' ')
    return ''.join(kept)


def check_conditions(code):
    for found in CONDITION.finditer(code):
        hit = ASSIGNMENT.search(condition_at(code, found.end() - 1))
        if hit:
            yield code.count('\n', 0, found.end() - 1 + hit.start()) + 1, f'assignment inside the condition of {found.group(1)}'


def check_banned(code, is_test):
    for found in BANNED.finditer(code):
        if is_test and found.group(1).startswith(('ato', 'strto')) and found.group(1) != 'strtok':
            continue # a test knows what it reads
        yield code.count('\n', 0, found.start()) + 1, f'{found.group(1)} is banned (STYLE.md)'


def check_functions(code, lines):
    """A function is what stands between a { and a } in the first column."""
    began = None
    for number, line in enumerate(code.splitlines(), 1):
        if line.rstrip() == '{':
            began = number
        elif line.startswith('}') and began:
            length = number - began - 1
            if length > FUNCTION_MAX and not any('lint: long' in text for text in lines[began - 3:number]):
                yield began, f'function of {length} lines, at most {FUNCTION_MAX}'
            began = None


def check_c(text, lines, is_test):
    code = blank(text)
    yield from check_conditions(code)
    yield from check_banned(code, is_test)
    yield from check_functions(code, lines)


def check_text(path, lines):
    if len(lines) > FILE_MAX and path.suffix in {'.c', '.h', '.py', '.lua', '.ts', '.tsx'}:
        yield 1, f'{len(lines)} lines, at most {FILE_MAX}'
    if (path.suffix in WITH_SPDX or path.name in SPDX_NAMES) and not any(SPDX in line for line in lines[:4]):
        yield 1, f'no line "{SPDX}"'
    for number, line in enumerate(lines, 1):
        if MACHINE_PATH.search(line):
            yield number, 'path of a machine'


def check_commands(path, code):
    if path.parts[0] == 'src' and path.parts[1] not in {'redis', 'store'}:
        for found in COMMAND.finditer(code):
            yield code.count('\n', 0, found.start()) + 1, f'{found.group(1)} outside src/store: calls are written there'


def check_file(path):
    try:
        text = (ROOT / path).read_text()
    except UnicodeDecodeError:
        return []
    lines = text.splitlines()
    faults = list(check_text(path, lines))
    if path.suffix in {'.c', '.h'}:
        faults += check_c(text, lines, path.parts[0] == 'tests')
        faults += check_commands(path, blank(text))
    return [(n, what) for n, what in sorted(faults) if n > len(lines) or 'lint: allow' not in lines[n - 1]]


def untested(paths):
    """Sources without a test of their name."""
    tests = {p.name for p in paths if p.parts[0] == 'tests'}
    for path in paths:
        if path.parts[0] == 'src' and path.suffix == '.c' and f'test_{path.parts[1]}_{path.stem}.c' not in tests:
            yield path


def main():
    if sys.argv[1:] == ['--list']:
        print('\n'.join(str(p) for p in all_files() if p.suffix in {'.c', '.h'}))
        return 0
    paths = [pathlib.Path(p).resolve().relative_to(ROOT) for p in sys.argv[1:]] or all_files()
    count = 0
    for path in paths:
        if path.name in NOT_OURS:
            continue
        for number, what in check_file(path):
            print(f'{path}:{number}: {what}')
            count += 1
    if not sys.argv[1:]:
        alone = [str(p) for p in untested(paths)]
        print(f'{len(alone)} sources without a test of their name: {" ".join(alone)}' if alone else 'every source has its test')
    print(f'{len(paths)} files, {count} faults')
    return 1 if count else 0


if __name__ == '__main__':
    sys.exit(main())
