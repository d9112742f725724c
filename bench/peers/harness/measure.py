# SPDX-License-Identifier: Apache-2.0
"""What is measured of one peer under one setting. A run has two parts:

 backlog   the worker is held (stopped; a node of dureq is drained), n jobs are enqueued, then the worker is let go: enqueue rate, bytes per
           queued job, rate of the worker alone, Redis CPU of a job's whole life
 flow      producer and worker at the same time, nothing held: jobs a second from the first call to the last handler, Redis CPU

Each part ends with the delivery check: every job's handler began exactly once. The first run is not counted."""
import pathlib
import shutil
import statistics
import tempfile
import time

import measured
from harness.procs import Delay, Failed, Others, group_memory_mb, mono_us

NUMBERS_MAX = 1 << 20
N_MIN, N_MAX = 1000, 400000
BACKLOG_MAX = 300000
LIMIT_S = 60
QUIET = 0.05 # share of the processors that others may take during a run; a run with more is made again, as often as runs are wanted
PULSES, GAP_US = 200, 10000


def check(peer, n, said):
    """One byte counts a job's starts, so a job is off by what its byte differs from 1."""
    starts = peer.tally(n)
    lost, again = starts.count(0), sum(s - 1 for s in starts if s > 1)
    if lost or again:
        said.append(f'{lost} lost, {again} again')


def settle(server):
    """Acknowledgements of the last jobs are still to come when their handlers have begun."""
    time.sleep(0.25)
    return server.cpu_us()


def flow(peer, server, n, said):
    peer.expect(n)
    cpu, begun = server.cpu_us(), mono_us()
    peer.enqueue(n)
    ended = peer.wait(n, LIMIT_S)
    peer.producer.answer(LIMIT_S)
    cpu = settle(server) - cpu
    check(peer, n, said)
    return {'per_s': n * 1e6 / (ended - begun), 'store_us': cpu / n}


def backlog(peer, server, n, said):
    peer.expect(n)
    peer.pause()
    try:
        cpu, memory = server.cpu_us(), server.memory()
        peer.enqueue(n)
        took_us = int(float(peer.producer.answer(LIMIT_S)['us']))
        memory = server.memory() - memory
        begun = mono_us()
    finally:
        peer.resume()
    ended = peer.wait(n, LIMIT_S)
    cpu = settle(server) - cpu
    check(peer, n, said)
    return {'enqueue_per_s': n * 1e6 / took_us, 'bytes': memory / n, 'drain_per_s': n * 1e6 / (ended - begun), 'life_us': cpu / n}


def latency(peer, server, said):
    """Single jobs, 10 ms apart, on a system that does nothing else."""
    peer.expect(PULSES, record=1)
    peer.pulse(PULSES, GAP_US)
    peer.wait(PULSES, 30)
    settle(server)
    check(peer, PULSES, said)
    sorted_us = sorted(peer.latencies_us(PULSES))
    return {'p50_ms': sorted_us[PULSES // 2] / 1000, 'p99_ms': sorted_us[PULSES * 99 // 100] / 1000}


def calibrate(peer, server, seconds, said):
    """How many jobs make a part last about so long; this is the warm-up as well."""
    n = N_MIN
    per_s = flow(peer, server, n, said)['per_s']
    for _ in range(2):
        n = int(min(N_MAX, max(N_MIN, per_s * seconds)))
        per_s = flow(peer, server, n, said)['per_s']
    return int(min(N_MAX, max(N_MIN, per_s * seconds)))


def measure(peer, server, plan, said):
    n = calibrate(peer, server, plan['seconds'], said)
    runs = []
    others = Others([server.process.pgid, peer.producer.pgid, *(w.pgid for w in peer.workers)])
    if plan['backlog']:
        backlog(peer, server, min(n, BACKLOG_MAX), said)
    while len(runs) < plan['runs'] or (len(runs) < 2 * plan['runs'] and sum(r['others'] < QUIET for r in runs) < plan['runs']):
        others.begin()
        part = backlog(peer, server, min(n, BACKLOG_MAX), said) if plan['backlog'] else {}
        part.update(flow(peer, server, n, said))
        runs.append({**part, 'others': others.share()})
    runs = sorted(runs, key=lambda r: r['others'])[:plan['runs']]
    result = {key: statistics.median(r[key] for r in runs) for key in runs[0]}
    result.update(n=n, runs=len(runs), low=min(r['per_s'] for r in runs), high=max(r['per_s'] for r in runs))
    result['worker_mb'] = sum(group_memory_mb(w.pgid) for w in peer.workers)
    if plan['latency']:
        result.update(latency(peer, server, said))
    return result


def measure_row(peer_class, plan, tell):
    """One line of results; never raises for what a peer does."""
    row = {'peer': peer_class.name, 'day': measured.today(), 'commit': measured.commit(), **{k: plan[k] for k in ('durability', 'sleep_ms', 'delay_ms')}}
    folder = pathlib.Path(tempfile.mkdtemp(prefix='dureq-peers-'))
    peer, server, said = peer_class(), None, []
    try:
        server = peer.server(folder, plan['durability'])
        row['server'] = server.version()
        if plan['delay_ms']:
            server = Delay(server, folder, plan['proxy'], plan['delay_ms'])
        peer.start(server, folder, plan['sleep_ms'], NUMBERS_MAX)
        row.update(peer.version)
        row.update(measure(peer, server, plan, said))
        row['delivery'] = '; '.join(said) or 'exact'
    except (Failed, OSError) as e:
        row['failed'] = str(e)
        tell(f'{peer.name}: {e}')
        for log in folder.glob('*.log'):
            tell(log.read_text(errors='replace')[-500:])
    finally:
        for thing in (peer, server):
            if hasattr(thing, 'stop') and getattr(thing, 'producer', thing):
                thing.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return row
