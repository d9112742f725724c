#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""libdureq.so exports what the public headers declare, and nothing else: test_symbols.py LIBRARY INCLUDE-DIR"""
import pathlib
import re
import subprocess
import sys

# DUREQ_API type name(...): the name is the last word before the first parenthesis.
DECLARED = re.compile(r'\bDUREQ_API\b[^;{(]*?\b(dureq_\w+)\s*\(')
COMMENT = re.compile(r'/\*.*?\*/|//[^\n]*', re.S)


def exported(library):
    told = subprocess.run(['nm', '-D', '--defined-only', library], capture_output=True, text=True, check=True)
    return {line.split()[-1].split('@')[0] for line in told.stdout.splitlines() if line.split()[-2] != 'A'}


def declared(include):
    names = set()
    for header in pathlib.Path(include).rglob('*.h'):
        names |= set(DECLARED.findall(COMMENT.sub('', header.read_text())))
    return names


def check(what, names):
    print(f'[{"  FAILED " if names else "       OK"} ] {what}')
    if names:
        print(f'{what}: not so for {" ".join(sorted(names))}')
    return bool(names)


def main():
    library, include = sys.argv[1:]
    given, wanted = exported(library), declared(include)
    # A sanitizer puts names of its own into everything it builds.
    ours = {name for name in given if not name.startswith(('__asan', '__odr_asan', '__ubsan', '__tsan', '___asan', '__gcov', '__llvm'))}
    failed = check('exported_names_begin_with_dureq', {name for name in ours if not name.startswith('dureq_')})
    failed += check('declared_functions_are_exported', wanted - given)
    failed += check('exported_functions_are_declared', {name for name in ours & given if name.startswith('dureq_')} - wanted)
    return 1 if failed or not wanted else 0


if __name__ == '__main__':
    sys.exit(main())
