# SPDX-License-Identifier: Apache-2.0
"""What a table of measurements says of itself: which commit, on which day, and how much of the machine others took meanwhile. For tools/bench_report.py
and bench/peers."""
import datetime
import functools
import os
import pathlib
import platform
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
TICK_US = 1e6 / os.sysconf('SC_CLK_TCK')


def git(*words, root=ROOT):
    return subprocess.run(['git', *words], capture_output=True, text=True, check=True, cwd=root).stdout.strip()


def describe(root):
    """Documents are not measured, and runs write them: a change there makes no other commit of it."""
    changed = git('status', '--porcelain', '--untracked-files=no', '--', '.', ':(exclude)docs', root=root)
    return git('describe', '--always', root=root) + ('-dirty' if changed else '')


@functools.cache
def commit():
    """Asked once a run: the first call is made before anything is measured."""
    return describe(ROOT)


def today():
    return datetime.date.today().isoformat()


def kernel():
    """Without what a machine's builder put after the version."""
    return f'{platform.system()} {platform.release().split("-")[0]}'


def machine_cpu_us():
    """What the whole machine has worked, stolen time included."""
    fields = list(map(int, pathlib.Path('/proc/stat').read_text().split('\n', 1)[0].split()[1:9]))
    return (sum(fields) - fields[3] - fields[4]) * TICK_US # without idle and waiting for a disk


def process_cpu_us(pid):
    """Processor time of a process and of those it has waited for."""
    return sum(map(int, pathlib.Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[11:15])) * TICK_US


def percent(share):
    return f'{100 * share:.0f} %'


def spread(shares):
    """Least to most, or the one there is."""
    ends = [percent(end(shares)) for end in (min, max)] if shares else [percent(0)]
    return ' to '.join(dict.fromkeys(ends))
