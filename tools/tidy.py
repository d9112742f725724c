#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""clang-tidy over what a build directory compiles: tidy.py BUILDDIR [FILE...]

A file without faults is not looked at again until its preprocessed text, .clang-tidy or this script changes; what was said of it is kept in
build/lint. One clang-tidy for each processor. Prints what is found and, last, how many files had faults.
"""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
CLEAN = ROOT / 'build/lint'
FINDING = re.compile(r'^\S+:\d+:\d+: (warning|error): ')
ANALYZER = ROOT / 'tools/analyzer.h'


def commands(build):
    """{source: command} for our own C files, each once."""
    found = {}
    for entry in json.loads((build / 'compile_commands.json').read_text()):
        source = (pathlib.Path(entry['directory']) / entry['file']).resolve()
        if source.suffix == '.c' and ROOT in source.parents and build not in source.parents:
            found.setdefault(source, (entry['directory'], shlex.split(entry['command'])))
    return found


def key_of(directory, command, settings):
    """A hash of all that the verdict depends on, or None when the file does not compile."""
    at = command.index('-o')
    words = [w for w in command[:at] + command[at + 2:] if w not in {'-MD', '-c'} and not w.startswith('-MQ') and not w.startswith('-MF')]
    words = [w for w in words if not w.endswith(('.o', '.o.d'))]
    told = subprocess.run(words + ['-E'], cwd=directory, capture_output=True, check=False)
    if told.returncode:
        return None
    return hashlib.sha1(settings + told.stdout).hexdigest()


def brief(text):
    """Errors with their notes; of warnings, which are no faults, the first line."""
    kept, keep = [], True
    for line in text.replace(f'{ROOT}/', '').replace('build/meson/../../', '').replace('../../', '').splitlines():
        if FINDING.match(line):
            keep = ': error: ' in line
            kept.append(line)
        elif keep:
            kept.append(line)
    return '\n'.join(kept)


def tidy(build, source, directory, command, settings):
    """(source, output, clean?)"""
    key = key_of(directory, command, settings)
    if key and (CLEAN / key).exists():
        return source, (CLEAN / key).read_text(), True
    words = ['clang-tidy', '--quiet', '-p', str(build), '--extra-arg=-Wno-unknown-warning-option']
    if ROOT / 'src/base' not in source.parents and '-std=c99' not in command:
        words += ['--extra-arg=-include', f'--extra-arg={ANALYZER}', f'--extra-arg=-I{ROOT}/src', f'--extra-arg=-I{ROOT}/include']
    told = subprocess.run(words + [str(source)], capture_output=True, text=True, check=False)
    output = brief(told.stdout)
    if told.returncode == 0 and key:
        (CLEAN / key).write_text(output)
    if told.returncode and not output:
        output = told.stderr
    return source, output, told.returncode == 0


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    CLEAN.mkdir(parents=True, exist_ok=True)
    only = {pathlib.Path(p).resolve() for p in sys.argv[2:]}
    todo = {s: c for s, c in commands(build).items() if not only or s in only}
    settings = (ROOT / '.clang-tidy').read_bytes() + pathlib.Path(__file__).read_bytes() + ANALYZER.read_bytes()
    faults = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(tidy, build, source, *where, settings) for source, where in sorted(todo.items())]
        for job in concurrent.futures.as_completed(jobs):
            source, output, clean = job.result()
            faults += not clean
            if output:
                print(output.strip())
            if not clean:
                print(f'^^^ {source.relative_to(ROOT)}')
    print(f'{len(todo)} files, {faults} with faults')
    return 1 if faults else 0


if __name__ == '__main__':
    sys.exit(main())
