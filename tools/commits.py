# SPDX-License-Identifier: Apache-2.0
"""Programs of another commit, built in a worktree under build/. For tools/bench_against.py and tools/beside.py."""
import contextlib
import fcntl
import shutil
import subprocess
import sys

import measured


class Failed(Exception):
    pass


def tell(who, text):
    print(f'{who}: {text}', file=sys.stderr, flush=True)


def full_hash(rev):
    try:
        return measured.git('rev-parse', '--verify', '--quiet', rev + '^{commit}')
    except subprocess.CalledProcessError:
        raise Failed(f'{rev} is no commit here') from None


def remove(tree):
    """Also what a killed run left."""
    shutil.rmtree(tree, ignore_errors=True)
    measured.git('worktree', 'prune')


@contextlib.contextmanager
def worktree(tree, commit):
    remove(tree)
    measured.git('worktree', 'add', '--detach', '--force', str(tree), commit)
    try:
        yield tree
    finally:
        remove(tree)


def build(tree, directory, options, programs, log):
    """The programs of a tree, built in `directory` of it; where they are. What is told goes to the file `log`."""
    steps = (
        (['tools/configure', directory, *options], False),
        (['ninja', '-C', directory, 'src/store/scripts.h'], True), # older commits do not say that the programs need it
        (['ninja', '-C', directory, *programs], False),
    )
    with open(log, 'wb') as out:
        for words, may_fail in steps:
            if subprocess.run(words, cwd=tree, stdout=out, stderr=out, check=False).returncode and not may_fail:
                raise Failed(f'{" ".join(words)} failed:\n{log.read_text(errors="replace")[-3000:]}')
    return [tree / directory / program for program in programs]


@contextlib.contextmanager
def place(path):
    """A folder under build/ for one run at a time; gone afterwards."""
    path.mkdir(parents=True, exist_ok=True)
    with open(path.with_suffix('.lock'), 'w', encoding='utf-8') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failed('another one runs in this tree') from None
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
