# SPDX-License-Identifier: Apache-2.0
"""Tables of results, for the terminal and, between two markers, for docs/benchmarks.md."""
import os
import pathlib
import platform

import measured

BEGIN, END = '<!-- peers -->', '<!-- end peers -->'
TARGETS = (6, 6, 6, 2)
NOISY = 0.1
DURABILITY = {'off': 'append-only file off', 'everysec': 'append-only file, every second', 'always': 'append-only file, always'}


def number(value, digits=0):
    return f'{value:,.{digits}f}'


def machine():
    cpu = next((line.split(':', 1)[1].strip() for line in pathlib.Path('/proc/cpuinfo').read_text().splitlines() if line.startswith('model name')), platform.machine())
    name = next((line.split('=', 1)[1].strip('"') for line in pathlib.Path('/etc/os-release').read_text().splitlines() if line.startswith('PRETTY_NAME=')), '')
    return f'{cpu}, {os.cpu_count()} processors, {measured.kernel()}, {name}'


def find(rows, peer, durability='off', sleep_ms=0, delay_ms=0):
    for r in rows:
        if (r['peer'], r['durability'], r['sleep_ms'], r['delay_ms']) == (peer, durability, sleep_ms, delay_ms) and 'per_s' in r:
            return r
    return None


def table(head, lines):
    out = ['| ' + ' | '.join(head) + ' |', '|' + ' --- |' * len(head)]
    return out + ['| ' + ' | '.join(line) + ' |' for line in lines]


def measured_when(r):
    return f'{r.get("day", "day unknown")}, commit {r.get("commit", "unknown")}'


def of_when(rows):
    """(What is said above a table of these rows, whether each line says it for itself.)"""
    days = sorted({measured_when(r) for r in rows})
    when = days[0] if len(days) == 1 else 'measured when each line says'
    return f'{when}; others took {measured.spread([r["others"] for r in rows if "others" in r])} of the machine', len(days) > 1


def main_rows(rows, peers):
    found = [(p, find(rows, p.name)) for p in peers]
    return [(p, r) for p, r in found if r and 'life_us' in r]


def main_table(rows, peers):
    found, lines = main_rows(rows, peers), []
    said, each = of_when([r for _, r in found])
    for p, r in found:
        latency = f'{r["p50_ms"]:.2f}, {r["p99_ms"]:.2f}' if 'p50_ms' in r else ''
        lines.append([p.name, number(r['per_s']), f'{number(r["low"])} to {number(r["high"])}', number(r['drain_per_s']), number(r['enqueue_per_s']),
                      f'{r["life_us"]:.1f}', f'{r["store_us"]:.1f}', number(r['bytes']), latency, number(r['worker_mb']), measured.percent(r['others']), r['delivery']] +
                     ([measured_when(r)] if each else []))
    return [f'No-op handler, append-only file off ({said}):', ''] + table(['queue', 'jobs/s', 'lowest to highest', 'worker alone, jobs/s', 'enqueue/s', 'Redis us a job, backlog', 'the same, flow', 'bytes a queued job',
                  'idle latency ms, p50, p99', 'worker MB', 'others', 'delivery'] + (['measured'] if each else []), lines)


def settings_table(rows, peers, columns, title):
    """jobs/s (and Redis CPU) of each peer under several settings; columns: [(title, find's arguments)]."""
    found = [(p, [find(rows, p.name, **how) for _, how in columns]) for p in peers]
    found = [(p, line) for p, line in found if any(line)]
    said, each = of_when([r for _, line in found for r in line if r])
    lines = [[p.name] + [f'{number(r["per_s"])} ({r["store_us"]:.1f} us)' + ('' if r['delivery'] == 'exact' else ' ' + r['delivery']) if r else '-' for r in line] +
             [', '.join(measured.percent(r['others']) if r else '-' for r in line)] + ([of_cells(line)] if each else []) for p, line in found]
    best = ['**dureq beside the fastest on Redis**'] + [ahead(rows, peers, how) for _, how in columns] + [''] * (1 + each)
    return [f'{title} ({said}):', ''] + table(['queue', *(head for head, _ in columns), 'others'] + (['measured'] if each else []), lines + [best])


def of_cells(line):
    """When the cells of a line were measured, each of them when they differ."""
    when = [measured_when(r) if r else '-' for r in line]
    return when[0] if len(set(when) - {'-'}) == 1 and '-' not in when else '; '.join(when)


def is_ours(peer):
    return peer.name.startswith('dureq')


def ahead(rows, peers, how):
    """jobs/s under one setting: how many times those of the fastest Redis-backed peer (in brackets: with retention 0)."""
    ours = [find(rows, p.name, **how) for p in peers if is_ours(p)]
    theirs = [r for r in (find(rows, p.name, **how) for p in peers if p.server.name == 'redis-server' and not is_ours(p)) if r]
    if not theirs or not all(ours):
        return '-'
    best = max(theirs, key=lambda r: r['per_s'])
    times = [f'{r["per_s"] / best["per_s"]:.1f}' for r in ours]
    return times[0] + ''.join(f' ({t})' for t in times[1:]) + f' times {best["peer"]}; asked: {TARGETS[0]}'


def ratios(ours, theirs):
    """How many times better ours is: jobs/s, Redis CPU with a backlog and in flow, bytes of a queued job."""
    return [ours['per_s'] / theirs['per_s'], theirs['life_us'] / ours['life_us'], theirs['store_us'] / ours['store_us'], theirs['bytes'] / ours['bytes']]


def verdict(rows, peers):
    """dureq beside each Redis-backed peer, and what is asked beside the one that does most jobs a second."""
    ours = [find(rows, p.name) for p in peers if is_ours(p)]
    theirs = [find(rows, p.name) for p in peers if p.server.name == 'redis-server' and not is_ours(p)]
    ours, theirs = ([r for r in some if r and 'life_us' in r] for some in (ours, theirs))
    if not ours or not theirs:
        return []
    best = max(theirs, key=lambda r: r['per_s'])
    lines = []
    for r in sorted(theirs, key=lambda r: -r['per_s']):
        each = [ratios(o, r) for o in ours]
        lines.append([r['peer']] + [f'{values[0]:.1f}' + ''.join(f' ({v:.1f})' for v in values[1:]) for values in zip(*each)])
    lines.append(['target'] + [f'at least {t}' for t in TARGETS])
    met = ['yes' if value >= target else 'no' for value, target in zip(ratios(ours[0], best), TARGETS)]
    lines.append([f'met beside {best["peer"]}'] + met)
    out = [f'How many times better dureq is (in brackets: with retention 0). The Redis-backed peer with most jobs a second is {best["peer"]}; the targets are '
           'meant beside it:', '']
    return out + table(['beside', 'jobs/s', 'Redis CPU a job, backlog', 'the same, flow', 'bytes a queued job'], lines)


def versions(rows, peers):
    lines = []
    for p in peers:
        r = next((r for r in rows if r['peer'] == p.name and 'version' in r), None)
        if r:
            runtime = f', {r["runtime"].replace("-", " ", 1)}' if r.get('runtime') else ''
            lines.append([p.name, r['version'] + runtime, r['server'], p.settings, p.keeps])
    return table(['queue', 'version', 'server', 'settings', 'keeps finished jobs'], lines)


def document(rows, peers, absent):
    """The lines between the markers."""
    runs = sorted({r['runs'] for r in rows if 'runs' in r})
    others = max((r['others'] for r in rows if 'others' in r), default=0)
    said, _ = of_when([r for r in rows if 'per_s' in r])
    out = [f'`make bench-peers` on {machine()}; medians of {" or ".join(map(str, runs))} runs; {said}.']
    if others > NOISY:
        out[0] += ' **The machine was not idle**, so jobs a second are too few and ratios of them rough; Redis CPU and bytes hold better.'
    out += ['', *versions(rows, peers), '']
    out += [f'- {name}: not measured, {why}.' for name, why in absent] + ([''] if absent else [])
    out += [*main_table(rows, peers), '', *verdict(rows, peers), '']
    out += settings_table(rows, peers, [(DURABILITY[d], {'durability': d}) for d in DURABILITY],
                          'jobs/s, and in brackets the CPU of the server a job, by what is written to disk; River: `fsync` off, `synchronous_commit` off, on') + ['']
    out += settings_table(rows, peers, [('1 ms handler', {'sleep_ms': 1}), ('1 ms of round trip', {'delay_ms': 1})],
                          'With a handler of 1 ms, and with 1 ms more of round trip between programs and server (no-op handler); append-only file off')
    return out


def write(path, lines):
    """Puts the lines between the markers; the rest of the file stays."""
    text = path.read_text()
    if BEGIN not in text or END not in text:
        raise SystemExit(f'{path} has no {BEGIN} and {END}')
    before, rest = text.split(BEGIN, 1)
    path.write_text(before + BEGIN + '\n\n' + '\n'.join(lines) + '\n\n' + END + rest.split(END, 1)[1])
