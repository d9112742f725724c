# SPDX-License-Identifier: Apache-2.0
"""A Celery worker, started as its own command starts it, with a thread that answers the harness. Counters are in memory that the pool's
processes share; a byte or a slot has one writer at a time."""
import os
import platform
import struct
import threading

import celery
from celery.signals import worker_ready

import tasks
from lines import serve


def expect(n, record):
    del record  # the start times of the first jobs are always noted
    tasks.counts[:int(n)] = bytes(int(n))
    tasks.starts[:] = bytes(len(tasks.starts))
    tasks.slots[:] = bytes(len(tasks.slots))


def count():
    pairs = list(struct.iter_unpack('qq', tasks.slots))
    return {'count': sum(p[0] for p in pairs), 'at_us': max(p[1] for p in pairs)}


def answer(n_all=tasks.NUMBERS_MAX):
    def dump(path):
        with open(path, 'wb') as out:
            out.write(tasks.counts[:n_all])
        with open(path + '.starts', 'wb') as out:
            out.write(tasks.starts[:])

    serve({'expect': expect, 'count': count, 'dump': dump},
          {'version': celery.__version__, 'runtime': 'python-' + platform.python_version()})
    os.kill(os.getpid(), 15)


@worker_ready.connect
def begin(**_):
    threading.Thread(target=answer, daemon=True).start()


tasks.app.worker_main(['--quiet', 'worker', '--loglevel=ERROR', '--without-gossip', '--without-mingle', '--without-heartbeat', '--queues=bench',
                       '--pool=' + os.environ['PEER_POOL'], '--concurrency=' + os.environ['PEER_CONCURRENCY']])
