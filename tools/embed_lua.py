#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Embed Lua scripts in C: embed_lua.py OUT.c OUT.h FILE.lua...

Puts in include/ parts (--#include "x.lua" on a line of its own), drops comments and indentation, and writes byte arrays with the
SHA1 that EVALSHA needs. A `#!lua` line stays first. `-- keys:` names the known keys; their number goes into the table.
"""
import hashlib
import pathlib
import re
import sys

INCLUDE = re.compile(r'^--#include "([\w.]+)"$', re.M)


def text_of(path):
    """The script as Redis gets it."""
    def part(match):
        return (path.parent / 'include' / match.group(1)).read_text()

    lines = INCLUDE.sub(part, path.read_text()).split('\n')
    kept = [line.strip() for line in lines]
    return '\n'.join(line for line in kept if line and not line.startswith('--')) + '\n'


def key_count(path):
    head = re.search(r'^-- keys:(.*)$', path.read_text(), re.M)
    if not head:
        sys.exit(f'{path}: no "-- keys:" line')
    return len([word for word in head.group(1).split() if word != '...'])


def byte_array(name, data):
    rows = [', '.join(map(str, data[i:i + 24])) for i in range(0, len(data), 24)]
    return f'static const char {name}[] = {{\n    ' + ',\n    '.join(rows) + ', 0\n};\n'


def main():
    out_c, out_h, *files = map(pathlib.Path, sys.argv[1:])
    arrays, rows, ids = [], [], []
    for path in sorted(files):
        data, name = text_of(path).encode('ascii'), path.stem
        ids.append(f'    DQ_SCRIPT_{name.upper()},\n')
        arrays.append(byte_array(name, data))
        rows.append(f'    {{"{name}", "{hashlib.sha1(data).hexdigest()}", {key_count(path)}, {name}, sizeof {name} - 1}},\n')
    note = '/* Made by tools/embed_lua.py; do not edit. */\n'
    out_h.write_text(note + '#pragma once\n\nenum {\n' + ''.join(ids) + '    DQ_SCRIPT_COUNT\n};\n')
    out_c.write_text(note + '#include "store/script.h"\n\n' + '\n'.join(arrays)
                     + '\nconst dq_script dq_scripts[] = {\n' + ''.join(rows) + '};\n')


main()
