# SPDX-License-Identifier: Apache-2.0
"""The Celery application that producer and worker share, with the settings that its documents recommend for many short tasks: results ignored,
no rate limits, no events, a large prefetch, acknowledged early (the default)."""
import mmap
import multiprocessing
import os
import struct
import threading
import time

from celery import Celery

from lines import mono_us

NUMBERS_MAX = 1 << 20
SLEEP_S = float(os.environ.get('PEER_SLEEP_MS', '0')) / 1000
app = Celery('bench', broker='redis+socket://' + os.environ['PEER_SOCKET'])
app.conf.update(
    task_ignore_result=True,
    task_default_queue='bench',
    worker_disable_rate_limits=True,
    worker_send_task_events=False,
    worker_redirect_stdouts=False,
    worker_prefetch_multiplier=int(os.environ.get('PEER_PREFETCH', '128')),
    broker_connection_retry_on_startup=True,
)

# Before the pool forks: one byte a job, a slot of 16 bytes a thread (its count, its last time), start times.
counts = mmap.mmap(-1, NUMBERS_MAX)
starts = mmap.mmap(-1, 8 * 65536)
slots = mmap.mmap(-1, 16 * 256)
_next_slot = multiprocessing.Value('i', 0)
_mine = threading.local()


def my_slot():
    at = getattr(_mine, 'at', None)
    if at is None:
        with _next_slot.get_lock():
            at = _mine.at = 16 * _next_slot.value
            _next_slot.value += 1
    return at


@app.task(name='bench.noop')
def noop(data):
    number, now, at = int(data['i'], 16), mono_us(), my_slot()
    if number < 65536 and not counts[number]:
        struct.pack_into('q', starts, 8 * number, now)
    counts[number] += 1
    struct.pack_into('qq', slots, at, struct.unpack_from('q', slots, at)[0] + 1, now)
    if SLEEP_S:
        time.sleep(SLEEP_S)
