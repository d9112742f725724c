#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each public header compiles alone, as C99 and as C++11: test_headers.py INCLUDE-DIR CC... -- [CXX]"""
import pathlib
import subprocess
import sys

WARNINGS = ['-Wall', '-Wextra', '-Wpedantic', '-pedantic-errors', '-Werror', '-Wundef', '-fsyntax-only']


def compiles(command, include, header, language):
    """Included twice, with no other header before it and no feature macro."""
    text = f'#include <{header}>\n#include <{header}>\ntypedef int dureq_test_is_not_empty;\n'
    told = subprocess.run(command + WARNINGS + ['-I', str(include), '-x', language, '-'], input=text, capture_output=True, text=True,
                          check=False)
    if told.returncode:
        print(told.stderr)
    return told.returncode == 0


def main():
    include, rest = pathlib.Path(sys.argv[1]), sys.argv[2:]
    at = rest.index('--')
    ways = [('c99', rest[:at] + ['-std=c99', '-Wstrict-prototypes'], 'c'), ('c17', rest[:at] + ['-std=c17'], 'c')]
    if rest[at + 1:]:
        ways += [('c++11', rest[at + 1:] + ['-std=c++11'], 'c++'), ('c++17', rest[at + 1:] + ['-std=c++17'], 'c++')]
    failed = 0
    for header in sorted(include.rglob('*.h')):
        name = header.relative_to(include).as_posix()
        for way, command, language in ways:
            good = compiles(command, include, name, language)
            failed += not good
            print(f'[{"       OK" if good else "  FAILED "} ] {name.replace("/", "_")}_{way}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
