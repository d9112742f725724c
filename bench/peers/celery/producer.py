# SPDX-License-Identifier: Apache-2.0
"""Sends numbered tasks. Celery has no bulk call; one producer that is kept is its fast way."""
import struct
import time

from lines import mono_us, serve
from tasks import app, noop

FILLER = 'x' * 169  # the whole is 200 bytes of JSON


def data(number):
    return {'i': f'{number:016x}', 'x': FILLER}


def enqueue(n, first, batch):
    del batch
    begun = mono_us()
    with app.producer_pool.acquire(block=True) as producer:
        for i in range(int(n)):
            noop.apply_async((data(int(first) + i),), producer=producer)
    return {'us': mono_us() - begun}


def pulse(n, gap_us, path):
    times = []
    with app.producer_pool.acquire(block=True) as producer:
        for i in range(int(n)):
            time.sleep(int(gap_us) / 1e6)
            times.append(mono_us())
            noop.apply_async((data(i),), producer=producer)
    with open(path, 'wb') as out:
        out.write(struct.pack(f'{len(times)}q', *times))


serve({'enqueue': enqueue, 'pulse': pulse})
