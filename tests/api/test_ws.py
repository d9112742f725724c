#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The WebSocket of a live dureqd, by raw sockets: test_ws.py DUREQD DUREQCTL

The handshake and who may make it; frames good and bad, and the codes that the bad ones are closed with; events, positions and gaps in them; events that come
together, as digests, and snapshots; floods. Ends with
"N passed, N failed"."""
import base64
import hashlib
import json
import os
import socket
import struct
import sys
import time

from test_events import CLIENTS, WAIT_S, Late, Run, count_to, of

GUID = b'258EAFA5-E914-47DA-95CA-C5AB0DC85B11'


def frame(op, data=b'', fin=1, rsv=0, masked=True, length=None):
    n = len(data)
    head = bytes([fin << 7 | rsv << 4 | op])
    bit = 0x80 if masked else 0
    if length == 8 or n > 65535:
        head += bytes([bit | 127]) + struct.pack('>Q', n)
    elif length == 2 or n > 125:
        head += bytes([bit | 126]) + struct.pack('>H', n)
    else:
        head += bytes([bit | n])
    mask = os.urandom(4)
    return head + mask + bytes(c ^ mask[i & 3] for i, c in enumerate(data)) if masked else head + data


class Socket:
    def __init__(self, port, query='', more='', key=None, first=b''):
        self.s = socket.create_connection(('127.0.0.1', port), timeout=WAIT_S)
        key = base64.b64encode(os.urandom(16)).decode() if key is None else key
        self.s.sendall((f'GET /api/ws{"?" + query if query else ""} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n'
                        f'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{more}\r\n').encode() + first)
        self.raw, self.seq, self.code = b'', None, None
        while b'\r\n\r\n' not in self.raw:
            self.fill()
        self.head, self.raw = self.raw.split(b'\r\n\r\n', 1)
        self.status = int(self.head.split(b' ')[1])
        self.is_right = base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()) in self.head

    def fill(self):
        got = self.s.recv(1 << 16)
        if not got:
            raise EOFError
        self.raw += got

    def frame(self):
        """The next one: opcode, data."""
        while True:
            if len(self.raw) >= 2:
                n, at = self.raw[1] & 127, 2
                if n == 126 and len(self.raw) >= 4:
                    n, at = struct.unpack('>H', self.raw[2:4])[0], 4
                elif n == 127 and len(self.raw) >= 10:
                    n, at = struct.unpack('>Q', self.raw[2:10])[0], 10
                if (n < 126 or at > 2) and len(self.raw) >= at + n:
                    op, data = self.raw[0], self.raw[at:at + n]
                    self.raw = self.raw[at + n:]
                    assert op & 0x70 == 0 and op & 0x80
                    return op & 15, data
            self.fill()

    def message(self):
        while True:
            op, data = self.frame()
            if op == 1:
                m = json.loads(data)
                self.seq = m.get('seq', self.seq)
                return m
            if op == 8:
                self.code = struct.unpack('>H', data[:2])[0]
                raise EOFError

    def until(self, fits):
        out, end = [], time.monotonic() + WAIT_S
        while time.monotonic() < end:
            out.append(self.message())
            if fits(out[-1]):
                return out
        raise Late(str(out[-3:]))

    def live(self):
        m = self.message()
        assert m['type'] == 'stream.position', m
        return self

    def closed_with(self):
        """The code that the server closes with, after whatever else it sends."""
        try:
            while True:
                self.message()
        except EOFError:
            return self.code

    def close(self):
        self.s.close()


def handshakes(r):
    s = Socket(r.d.port)
    r.expect('a handshake', s.status == 101 and s.is_right, s.head)
    s.close()
    for what, more, key in (('no key', '', ''), ('a short key', '', 'YWJj'), ('a key that is none', '', '!' * 22 + '==')):
        s = Socket(r.d.port, more=more, key=key)
        r.expect(f'{what} is refused', s.status == 400, s.head)
        s.close()
    for what, more in (('a page of another origin', 'Origin: http://evil.example\r\n'), ('a page of another site', 'Sec-Fetch-Site: cross-site\r\n'),
                       ('a name that was turned to this machine', None)):
        if more is None:
            s = socket.create_connection(('127.0.0.1', r.d.port), timeout=WAIT_S)
            s.sendall(b'GET /api/ws HTTP/1.1\r\nHost: evil.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n'
                      b'Sec-WebSocket-Key: ' + base64.b64encode(b'x' * 16) + b'\r\n\r\n')
            status = int(s.recv(4096).split(b' ')[1])
            r.expect(f'{what} is refused', status == 421, status)
        else:
            s = Socket(r.d.port, more=more)
            r.expect(f'{what} is refused', s.status == 403, s.head)
        s.close()
    s = Socket(r.d.port, more=f'Origin: http://localhost\r\nSec-Fetch-Site: same-origin\r\n')
    r.expect('a page of its own may listen', s.status == 101, s.head)
    s.close()
    s = Socket(r.d.port, 'types=nonsense')
    r.expect('a filter that is none is refused', s.status == 400, s.head)
    s.close()


def frames(r):
    good = {'a text': frame(1, 'grüß'.encode()), 'bytes': frame(2, b'\0\xff'), 'a pong': frame(10, b'x'), 'an empty text': frame(1),
            'a text in pieces with a ping between': frame(1, b'a', fin=0) + frame(9, b'in between') + frame(0, b'b'),
            'one of 64 KiB': frame(2, b'x' * 65536)}
    for what, data in good.items():
        s = Socket(r.d.port, 'types=queue.*').live()
        s.s.sendall(data + frame(9, b'are you there'))
        while True:
            op, got = s.frame()
            if op == 10 and got == b'are you there':
                break
        r.expect(f'{what} is taken', True)
        s.close()
    bad = {'a frame that is not masked': (frame(1, b'x', masked=False), 1002), 'bits that nobody agreed on': (frame(1, b'x', rsv=4), 1002),
           'a code that there is not': (frame(3, b'x'), 1002), 'a control code that there is not': (frame(11, b'x'), 1002),
           'a ping in pieces': (frame(9, b'x', fin=0), 1002), 'a long ping': (frame(9, b'x' * 126), 1002),
           'a piece of nothing': (frame(0, b'x'), 1002), 'a text within a text': (frame(1, b'x', fin=0) + frame(1, b'y'), 1002),
           'a length that is longer than it must be': (frame(1, b'x', length=2), 1002), 'a text that is no UTF-8': (frame(1, b'\xc0\x80'), 1007),
           'a surrogate': (frame(1, b'\xed\xa0\x80'), 1007), 'a text that ends in a character': (frame(1, b'\xe2\x82'), 1007),
           'one that is too long': (frame(2, b'x' * 65537), 1009), 'pieces that are too long': (frame(2, b'x' * 65000, fin=0) + frame(0, b'x' * 1000), 1009),
           'a length of 2^63': (bytes([0x82, 0xff]) + b'\x80' + bytes(7) + bytes(4), 1009),
           'a goodbye of one byte': (frame(8, b'x'), 1002), 'a goodbye with 1005': (frame(8, struct.pack('>H', 1005)), 1002),
           'a goodbye with 999': (frame(8, struct.pack('>H', 999)), 1002), 'a goodbye that is no UTF-8': (frame(8, struct.pack('>H', 1000) + b'\xff'), 1007),
           'a goodbye': (frame(8, struct.pack('>H', 1000) + b'bye'), 1000), 'a goodbye without a word': (frame(8), 1000)}
    for what, (data, code) in bad.items():
        s = Socket(r.d.port, 'types=queue.*').live()
        s.s.sendall(data)
        got = s.closed_with()
        r.expect(f'{what}: closed with {code}', got == code, got)
        s.close()
    s = Socket(r.d.port, 'types=queue.*', first=frame(9, b'early'))
    op = 0
    while op != 10:
        op, got = s.frame()
    r.expect('a frame that comes with the handshake is read', got == b'early', got)
    s.close()


def events(r):
    s = Socket(r.d.port).live()
    at = s.seq
    ids = r.enqueue([{'task_type': 'noop'} for _ in range(200)])
    got = s.until(count_to(200))
    want = ['job.enqueued', 'job.started', 'job.completed']
    r.expect('events come', all(of(got, i) == want for i in ids), len(got))
    s.close()
    s = Socket(r.d.port, f'since={got[300]["seq"]}')
    rest = s.until(lambda m: m.get('seq') == got[-1]['seq'])
    r.expect('and go on from the middle of them', rest == got[301:], (len(rest), len(got)))
    s.close()
    s = Socket(r.d.port, f'since={at}&types=job.completed&job={ids[7]}')
    m = s.message()
    r.expect('with filters', (m['type'], m['job_id']) == ('job.completed', ids[7]), m)
    s.close()
    r.raw('XTRIM', '{dureq:0}:ev', 'MAXLEN', '0')
    s = Socket(r.d.port, f'since={at}')
    m = s.message()
    r.expect('a gap is told', m['type'] == 'stream.gap' and m['from'] == at, m)
    s.close()


def tell_progress(r, id_, *states):
    """Entries as the heartbeat of a node writes them, one for each state."""
    packed = int(id_, 32).to_bytes(13, 'big')
    for state in states:
        text = json.dumps({'done': state}).encode()
        r.raw('XADD', '{dureq:0}:ev', '*', 'e', b'P' + int(time.time() * 1000).to_bytes(6, 'big') + b'\0\1' + packed, 'x', packed + len(text).to_bytes(2, 'big') + text)


def coalesced(r):
    """What comes within the time of what came before comes after it, progress as its latest state; nothing else is left out."""
    slow, fast = Socket(r.d.port, 'coalesce=2s').live(), Socket(r.d.port).live()
    began = time.monotonic()
    id_ = r.one(task_type='noop')
    tell_progress(r, id_, 1, 2, 3)
    end = r.one(task_type='noop')
    done = lambda m: m['type'] == 'job.completed' and m['job_id'] == end
    all_, few = fast.until(done), slow.until(done)
    r.expect('what is coalesced waits', time.monotonic() - began >= 1.9, time.monotonic() - began)
    r.expect('each progress is told', [m['progress']['done'] for m in all_ if m['type'] == 'job.progress'] == [1, 2, 3], all_)
    r.expect('the latest, coalesced', [m['progress']['done'] for m in few if m['type'] == 'job.progress'] == [3], few)
    other = [[m['type'] for m in x if m['type'] not in ('job.progress', 'stream.position')] for x in (all_, few)]
    r.expect('and all else in its order', other[0] == other[1], other)
    slow.close()
    fast.close()
    for query, word in (('coalesce=5ms', 'coalesce'), ('coalesce=11s', 'coalesce'), ('coalesce=fast', 'coalesce'), ('digest=maybe', 'digest'), ('snapshot=all', 'snapshot')):
        s = Socket(r.d.port, query)
        while b'}' not in s.raw:
            s.fill()
        r.expect(f'{query} is refused', s.status == 400 and word in s.raw.decode(), (s.status, s.raw))
        s.close()


def sum_up(r, messages):
    n, jobs = {}, set()
    for m in messages:
        assert m.get('seq'), m
        for type_, k in m.get('events', {}).items():
            n[type_] = n.get(type_, 0) + k
        jobs |= set(m.get('jobs', []))
    return n, jobs


def digests(r):
    s = Socket(r.d.port, 'digest=1&coalesce=100ms&types=job.*').live()
    at = s.seq
    few = r.enqueue([{'task_type': 'noop'} for _ in range(5)])
    got, n = [], {}
    while n.get('job.completed') != 5:
        got += [m for m in s.until(lambda m: m['type'] == 'stream.digest') if m['type'] == 'stream.digest']
        n, jobs = sum_up(r, got)
    r.expect('a digest counts', n == {'job.enqueued': 5, 'job.started': 5, 'job.completed': 5} and jobs == set(few), (n, jobs))
    r.expect('and names the jobs', all(m['jobs_exact'] for m in got), got)
    middle = s.seq
    r.enqueue([{'task_type': 'noop'} for _ in range(2000)])
    got, n = [], {}
    while n.get('job.completed') != 2000:
        got += [m for m in s.until(lambda m: m['type'] == 'stream.digest') if m['type'] == 'stream.digest']
        n, _ = sum_up(r, got)
    r.expect('many events are few digests', n == {'job.enqueued': 2000, 'job.started': 2000, 'job.completed': 2000} and len(got) <= 200, (n, len(got)))
    r.expect('which say when they do not name all', any(not m['jobs_exact'] and len(m['jobs']) == 32 for m in got), [len(m['jobs']) for m in got])
    s.close()
    for since, want in ((at, 2005), (middle, 2000)):
        s = Socket(r.d.port, f'digest=1&types=job.completed&since={since}')
        got, n = [], {}
        while n.get('job.completed', 0) < want:
            got += [m for m in s.until(lambda m: m['type'] == 'stream.digest') if m['type'] == 'stream.digest']
            n, _ = sum_up(r, got)
        r.expect('a digest goes on from a position, nothing twice', n == {'job.completed': want}, n)
        s.close()


def snapshots(r):
    s = Socket(r.d.port, 'types=queue.paused&snapshot=counts,queues,nodes')
    seen = {}

    def has(fits):
        def look(m):
            if m['type'] == 'stream.snapshot':
                seen[m['of']] = m
            return fits()
        return look
    s.until(has(lambda: len(seen) == 3))
    r.expect('counts, queues and nodes come as a whole', set(seen) == {'counts', 'queues', 'nodes'}, seen)
    for of, path in (('counts', '/api/stats'), ('queues', '/api/queues')):
        end = time.monotonic() + WAIT_S
        while seen[of]['data'] != r.d.json('GET', path)[1] and time.monotonic() < end:
            s.until(has(lambda: True))
        r.expect(f'{of} are what {path} says', time.monotonic() < end, seen[of])
    r.expect('nodes too', [n['node_id'] for n in seen['nodes']['data']] == ['n1'], seen['nodes'])
    was = seen['counts']['data']['job_counts'].get('scheduled', 0)
    r.one(task_type='noop', delay='1h')
    got = s.until(has(lambda: seen['counts']['data']['job_counts'].get('scheduled') == was + 1))
    r.expect('a change is told without an event of its own that fits', all(m['type'] == 'stream.snapshot' for m in got), got)
    late = Socket(r.d.port, 'snapshot=counts')
    m = late.until(lambda m: m['type'] == 'stream.snapshot')[-1]
    r.expect('who comes later gets it at once', m['data']['job_counts'].get('scheduled') == was + 1, m)
    late.close()
    s.close()


def many(r):
    sockets = [Socket(r.d.port, 'types=job.completed').live() for _ in range(CLIENTS)]
    deaf = Socket(r.d.port)  # never reads
    began = time.monotonic()
    ids = r.enqueue([{'task_type': 'noop'} for _ in range(100)])
    bad = 0
    for s in sockets:
        got = s.until(count_to(100))
        bad += sorted(m['job_id'] for m in got) != sorted(ids)
    took = time.monotonic() - began
    r.expect(f'{len(sockets)} sockets have all of it', bad == 0, bad)
    print(f'    {100 * len(sockets)} frames in {took:.2f} s')
    for s in [*sockets, deaf]:
        s.close()


def floods(r):
    s = Socket(r.d.port, 'types=queue.*').live()
    s.s.settimeout(5)
    n, end = 0, time.monotonic() + 3
    burst = frame(9, b'x' * 125) * 200 + frame(1, b'y' * 1000) * 50
    try:
        while time.monotonic() < end:
            s.s.sendall(burst)
            n += 1
    except (OSError, EOFError):
        pass
    began = time.monotonic()
    status, _ = r.d.json('GET', '/api/stats')
    r.expect('a flood of frames disturbs nobody else', status == 200 and time.monotonic() - began < 10, time.monotonic() - began)
    with open(f'/proc/{r.d.process.pid}/status') as f:
        kib = next(int(line.split()[1]) for line in f if line.startswith('VmRSS'))
    is_sanitized = 'ASAN_OPTIONS' in os.environ or 'TSAN_OPTIONS' in os.environ  # they keep what was freed
    r.expect('and takes no memory', is_sanitized or kib < 200_000, kib)
    s.close()


def endings(r):
    s = Socket(r.d.port).live()
    r.d.stop(keep=True)
    r.expect('a daemon that stops says goodbye', s.closed_with() == 1001, s.code)
    s.close()
    r.d.start([])


def main():
    r = Run(sys.argv[1], sys.argv[2])
    try:
        for scene in (handshakes, frames, events, coalesced, digests, snapshots, many, floods, endings):
            try:
                scene(r)
            except (Late, EOFError, OSError) as e:
                r.expect(scene.__name__, False, repr(e))
    finally:
        r.d.stop()
    print(f'{r.n - len(r.faults)} passed, {len(r.faults)} failed')
    return 1 if r.faults else 0


if __name__ == '__main__':
    sys.exit(main())
