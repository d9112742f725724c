#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Embed Lua scripts in C: embed_lua.py OUT.c OUT.h FILE.lua...

Puts in include/ parts (--#include "x.lua" on a line of its own; a part includes what it needs, and comes once), shortens them, and writes
byte arrays with the SHA1 that EVALSHA needs. A `#!lua` line stays first. `-- keys:` names the known keys; their number goes into the table.

Shortening matters because two scripts go out as text with each call, and the server takes the SHA1 of it each time: functions and tables
of a part that the script does not use go, and so do comments, blanks, named numbers and long names of locals. A name that is also a field
or a table key anywhere in the script stays as it is.
"""
import hashlib
import pathlib
import re
import sys

INCLUDE = re.compile(r'^--#include "([\w.]+)"$')


def rows_of(path, seen=None):
    """[(file, line number, text)] of a script with its parts put in, each where it is named first."""
    seen = set() if seen is None else seen
    folder = path.parent if path.parent.name == 'include' else path.parent / 'include'
    rows = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        part = INCLUDE.match(line)
        if not part:
            rows.append((path, number, line))
        elif part.group(1) not in seen:
            seen.add(part.group(1))
            rows += rows_of(folder / part.group(1), seen)
    return rows


DECLARED = re.compile(r'local (?:function )?([A-Za-z_]\w*)( = |\()')
CONTINUES = re.compile(r'\s|end|[})]')


def used_in(chunk):
    """Names in it that are neither fields nor keys of a table."""
    found, depth, tokens = set(), 0, TOKEN.findall('\n'.join(chunk)) + ['']
    for i, token in enumerate(tokens):
        depth += (token == '{') - (token == '}')
        is_key = depth and tokens[i + 1] == '=' and tokens[i - 1] in ('{', ',', '\n')
        if NAME.match(token) and tokens[i - 1] not in ('.', ':') and not is_key:
            found.add(token)
    return found


def name_of(chunk):
    """What a statement declares and nothing else; None when it may have to happen even if nobody uses that."""
    found = DECLARED.match(chunk[0])
    is_function = found and found.group(2) == '('
    return found.group(1) if found and (is_function or '(' not in TOKEN.findall('\n'.join(chunk))) else None


def used_only(lines):
    """Without functions, tables and values at the outermost level whose name appears nowhere else."""
    chunks = []
    for line in lines:
        if chunks and CONTINUES.match(line):
            chunks[-1].append(line)
        else:
            chunks.append([line])
    while True:
        words = [used_in(chunk) for chunk in chunks]
        idle = [i for i, chunk in enumerate(chunks) if name_of(chunk) and sum(name_of(chunk) in w for w in words) == 1]
        if not idle:
            return [line for chunk in chunks for line in chunk]
        chunks = [chunk for i, chunk in enumerate(chunks) if i not in idle]


def text_of(path):
    """The script as Redis gets it."""
    kept = used_only([line for _, _, line in rows_of(path) if line.strip() and not line.lstrip().startswith('--')])
    return '\n'.join(line.strip() for line in kept) + '\n'


TOKEN = re.compile(r"""--[^\n]*|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[A-Za-z_]\w*|\d+(?:\.\d+)?|\.\.\.|\.\.|[=~<>]=|\n|[^\s\w]""")
BLANK = re.compile(r'^(\w\w|--|\[\[|\d\.\.|\.\.)')  # end of one token and begin of the next that would become another
NAME = re.compile(r'[A-Za-z_]\w*$')
CONSTANT = re.compile(r'[A-Z][A-Z0-9_]+$')
KEYWORDS = set('and break do else elseif end false for function if in local nil not or repeat return then true until while'.split())


def short_names():
    letters = 'abcdefghijklmnopqrstuvwxyz'
    yield from letters
    for first in letters:
        for second in letters:
            yield first + second


def locals_of(tokens):
    """Names that are declared: after `local` and `for`, and the parameters of functions."""
    found, i = set(), 0
    while i < len(tokens):
        if tokens[i] in ('local', 'for') and tokens[i + 1] != 'function':
            i += 1
            while NAME.match(tokens[i]) and tokens[i] not in KEYWORDS:
                found.add(tokens[i])
                i += 2 if tokens[i + 1] == ',' else 1
        elif tokens[i] == 'function':
            if tokens[i - 1] == 'local':
                found.add(tokens[i + 1])
            i = tokens.index('(', i) + 1
            while tokens[i] != ')':
                found.add(tokens[i])
                i += 1
        else:
            i += 1
    return {name for name in found if NAME.match(name)}


def fixed_of(tokens):
    """Names that are fields, methods or table keys."""
    found, depth = set(), 0
    for i, token in enumerate(tokens):
        depth += (token == '{') - (token == '}')
        if token in ('.', ':') and i + 1 < len(tokens):
            found.add(tokens[i + 1])
        elif depth and NAME.match(token) and tokens[i + 1] == '=' and tokens[i - 1] in ('{', ','):
            found.add(token)
    return found


def fold(lines):
    """Without `local NAME = 1`: the number stands where its name stood, since a name would cost each call of the script."""
    numbers, kept = {}, []
    for line in lines:
        if len(line) == 4 and line[0] == 'local' and CONSTANT.match(line[1]) and line[2] == '=' and line[3][0].isdigit():
            numbers[line[1]] = line[3]
        else:
            kept.append([numbers.get(token, token) for token in line])
    return kept


def shorten(text):
    head, text = text.split('\n', 1)
    lines = fold([[t for t in TOKEN.findall(line) if not t.startswith('--')] for line in text.split('\n')])
    tokens = [token for line in lines for token in line] + ['']
    taken = set(tokens)
    names = (name for name in short_names() if name not in taken and name not in KEYWORDS)
    often = sorted(locals_of(tokens) - fixed_of(tokens), key=lambda name: (-tokens.count(name), name))
    new = {name: next(names) for name in often if len(name) > 1}
    out = [head]
    for line in lines:
        made = ''
        for i, token in enumerate(line):
            token = new.get(token, token) if i == 0 or line[i - 1] not in ('.', ':') else token
            made += ' ' * bool(made and BLANK.search(made[-1] + token[:2])) + token
        if made:
            out.append(made)
    return '\n'.join(out) + '\n'


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
        data, name = shorten(text_of(path)).encode('ascii'), path.stem
        ids.append(f'    DQ_SCRIPT_{name.upper()},\n')
        arrays.append(byte_array(name, data))
        rows.append(f'    {{"{name}", "{hashlib.sha1(data).hexdigest()}", {key_count(path)}, {name}, sizeof {name} - 1}},\n')
    note = '/* Made by tools/embed_lua.py; do not edit. */\n'
    out_h.write_text(note + '#pragma once\n\nenum {\n' + ''.join(ids) + '    DQ_SCRIPT_COUNT\n};\n')
    out_c.write_text(note + '#include "store/script.h"\n\n' + '\n'.join(arrays)
                     + '\nconst dq_script dq_scripts[] = {\n' + ''.join(rows) + '};\n')


if __name__ == '__main__':
    main()
