#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each public header opens with an example, and all examples compile: test_header_examples.py INCLUDE-DIR CC... -- [CXX]

An example is whole functions behind a line that begins with "Example:", indented by four more than the comment's text. It may use its own
header and <stdio.h>."""
import pathlib
import re
import subprocess
import sys

WARNINGS = ['-Wall', '-Wextra', '-Wpedantic', '-Werror', '-Wno-unused-function', '-fsyntax-only']
COMMENT = re.compile(r'^/\*.*?\*/', re.S | re.M)
INDENT = ' ' * 7


def examples_of(comment, first_line):
    """(line number, code) of each, from one comment that begins in column one."""
    code, at, awaited = [], 0, False
    for number, line in enumerate(comment.split('\n'), first_line):
        text = line.removesuffix('*/').rstrip()
        if text.lstrip().startswith('Example:'):
            awaited = True
        if awaited and text.startswith(INDENT):
            at = at or number
            code.append(text[len(INDENT):])
        elif code and not text:
            code.append('')
        elif code:
            yield at, '\n'.join(code)
            code, at, awaited = [], 0, False
    if code:
        yield at, '\n'.join(code)


def compiles(command, include, header, path, line, code):
    text = f'#include <{header}>\n#include <stdio.h>\n#line {line} "{path}"\n{code}\n'
    told = subprocess.run(command + WARNINGS + ['-I', str(include), '-'], input=text, capture_output=True, text=True, check=False)
    if told.returncode:
        print(told.stderr)
    return told.returncode == 0


def check_header(include, path, ways):
    """The number of faults."""
    text, header, failed, opening = path.read_text(), path.relative_to(include).as_posix(), 0, False
    for n, comment in enumerate(found for found in COMMENT.finditer(text) if 'SPDX' not in found.group()):
        for line, code in examples_of(comment.group(), text.count('\n', 0, comment.start()) + 1):
            opening = opening or n == 0
            for way, command in ways:
                good = compiles(command, include, header, path, line, code)
                failed += not good
                print(f'[{"       OK" if good else "  FAILED "} ] {header.replace("/", "_")}_line_{line}_{way}')
    if not opening:
        print(f'[  FAILED  ] {header.replace("/", "_")} has no example in its first comment')
    return failed + (not opening)


def main():
    include, rest = pathlib.Path(sys.argv[1]), sys.argv[2:]
    at = rest.index('--')
    ways = [('c99', rest[:at] + ['-std=c99', '-Wstrict-prototypes', '-x', 'c'])]
    if rest[at + 1:]:
        ways.append(('c++11', rest[at + 1:] + ['-std=c++11', '-x', 'c++']))
    failed = sum(check_header(include, path, ways) for path in sorted(include.rglob('*.h')))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
