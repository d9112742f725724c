#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The stream of events of a live dureqd: test_events.py DUREQD DUREQCTL

What is told; that who is cut off, slow or killed resumes without a gap or is told of one; that the stream and the jobs' own history agree while nodes are
killed (EVENTS_JOBS=100000 for the long form); that many listen at once. Ends with "N passed, N failed"."""
import collections
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time

from test_openapi import Daemon

WAIT_S = 60
MANY = int(os.environ.get('EVENTS_JOBS', '3000'))
CLIENTS = int(os.environ.get('EVENTS_CLIENTS', '1000'))
ENDS = {'job.completed': 'completed', 'job.dead': 'dead', 'job.cancelled': 'cancelled'}


class Late(Exception):
    pass


class Stream:
    """One connection: events as they come."""

    def __init__(self, port, query='', last_id=None, room=None, token=None):
        self.s = socket.socket()
        if room:
            self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        self.s.settimeout(WAIT_S)
        self.s.connect(('127.0.0.1', port))
        more = f'Last-Event-ID: {last_id}\r\n' if last_id else ''
        more += f'Authorization: Bearer {token}\r\n' if token else ''
        self.s.sendall(f'GET /api/events{"?" + query if query else ""} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n'.encode())
        self.raw, self.text, self.id, self.is_over = b'', b'', last_id, False
        while b'\r\n\r\n' not in self.raw:
            self.fill()
        head, self.raw = self.raw.split(b'\r\n\r\n', 1)
        self.status = int(head.split(b' ')[1])
        self.chunk = None

    def fill(self):
        got = self.s.recv(1 << 16)
        if not got:
            raise EOFError
        self.raw += got

    def feed(self):
        """What of the raw bytes is whole chunks becomes text."""
        while True:
            if self.chunk is None:
                line, sep, rest = self.raw.partition(b'\r\n')
                if not sep:
                    return
                self.chunk, self.raw = int(line, 16), rest
                if self.chunk == 0:
                    self.is_over = True
                    return
            if len(self.raw) < self.chunk + 2:
                return
            self.text += self.raw[:self.chunk]
            self.raw, self.chunk = self.raw[self.chunk + 2:], None

    def take(self):
        """Messages that are there; self.id is the last one's."""
        self.feed()
        whole, sep, self.text = self.text.rpartition(b'\n\n')
        out = []
        for block in whole.split(b'\n\n') if sep else []:
            for line in block.split(b'\n'):
                if line.startswith(b'id: '):
                    self.id = line[4:].decode()
                elif line.startswith(b'data: '):
                    out.append(json.loads(line[6:]))
        return out

    def until(self, fits, out=None):
        """Messages up to the first one that fits."""
        out = [] if out is None else out
        end = time.monotonic() + WAIT_S
        while True:
            for m in self.take():
                out.append(m)
                if fits(m):
                    return out
            if time.monotonic() > end or self.is_over:
                raise Late(f'{len(out)} messages, the last: {out[-3:]}')
            self.fill()

    def live(self):
        """Waits until the position is told: what happens from now on comes."""
        self.take()  # it may have come with the head
        while self.id is None:
            self.fill()
            self.take()
        return self

    def close(self):
        self.s.close()


class Run:
    def __init__(self, program, ctl):
        self.program, self.ctl, self.n, self.faults = program, ctl, 0, []
        self.d = Daemon(program)
        self.redis = f'unix://{self.d.dir.name}/s/redis.sock'

    def expect(self, what, good, got=''):
        self.n += 1
        print('[       OK ]' if good else '[  FAILED  ]', what, '' if good else str(got)[:1500], flush=True)
        if not good:
            self.faults.append(what)

    def raw(self, *words):
        """A command to Redis itself."""
        s = socket.socket(socket.AF_UNIX)
        s.connect(self.redis[7:])
        s.sendall(b'*%d\r\n' % len(words) + b''.join(b'$%d\r\n%s\r\n' % (len(w), w) for w in (w if isinstance(w, bytes) else w.encode() for w in words)))
        got = s.recv(1 << 16)
        s.close()
        return got

    def enqueue(self, specs):
        ids = []
        for at in range(0, len(specs), 1000):
            status, _, text = self.d.ask('POST', '/api/jobs', '\n'.join(json.dumps(s) for s in specs[at:at + 1000]), 'application/x-ndjson')
            assert status < 300, text
            ids += [json.loads(line)['id'] for line in text.decode().split('\n') if line]
        return ids

    def one(self, **spec):
        return self.enqueue([spec])[0]


def of(messages, id_):
    return [m['type'] for m in messages if m.get('job_id') == id_]


def what_is_told(r):
    s = Stream(r.d.port).live()
    done = r.one(task_type='echo', payload=1)
    dead = r.one(task_type='fail-always', payload=1, retry_policy={'max_attempts': 2, 'initial_delay': '10ms', 'jitter': 0})
    later = r.one(task_type='echo', delay='1h')
    for verb in ('pause', 'resume', 'reschedule', 'cancel'):
        status, text = r.d.json('POST', f'/api/jobs/{later}/{verb}', {'delay': '2h'} if verb == 'reschedule' else None)
        if verb == 'resume':
            r.d.until(f'/api/jobs/{later}', lambda j: j['status'] == 'completed')
            later2 = later
            later = r.one(task_type='echo', delay='1h')
        else:
            r.expect(f'{verb} is taken', status == 200, text)
    r.d.json('POST', '/api/queues/low/pause')
    r.d.json('POST', '/api/queues/low/resume')
    held = r.d.json('POST', '/api/workflows', {'name': 'held', 'tasks': [{'name': 'a', 'task_type': 'nobody'}]})[1]['workflow_id']
    for verb in ('suspend', 'resume', 'cancel'):
        status, text = r.d.json('POST', f'/api/workflows/{held}/{verb}')
        r.expect(f'{verb} of a workflow is taken', status == 200, text)
    flow = r.d.json('POST', '/api/workflows', {'name': 'w', 'tasks': [{'name': 'a', 'task_type': 'echo'}, {'name': 'b', 'task_type': 'echo',
                                                                                                           'depends_on': ['a']}]})[1]['workflow_id']
    all_ = []
    seen = set()

    def is_all(m):
        seen.add((m['type'], m.get('job_id')))
        return {('workflow.completed', flow), ('job.dead', dead)} <= seen
    s.until(is_all, all_)
    r.expect('a job that ends well', of(all_, done) == ['job.enqueued', 'job.started', 'job.completed'], of(all_, done))
    failed = ['job.started', 'job.failed']
    r.expect('a job that fails twice', of(all_, dead) == ['job.enqueued', *failed, 'job.retrying', 'job.dispatched', *failed, 'job.dead'], of(all_, dead))
    errors = [(m['attempt'], m.get('error', ''), m['run_id'], m['node_id'], m['task_type'], m['queue']) for m in all_
              if m.get('job_id') == dead and m['type'] == 'job.failed']
    r.expect('its failures have attempt, run, node, type, queue and error',
             [(e[0], bool(e[1]), *e[2:]) for e in errors] == [(i, True, f'{dead}.{i}', 'n1', 'fail-always', 'normal') for i in (1, 2)], errors)
    r.expect('a job that is paused and resumed', of(all_, later2) == ['job.scheduled', 'job.paused', 'job.resumed', 'job.started', 'job.completed'],
             of(all_, later2))
    r.expect('a job that is rescheduled and cancelled', of(all_, later) == ['job.scheduled', 'job.rescheduled', 'job.cancelled'], of(all_, later))
    queue = [m['type'] for m in all_ if m.get('queue') == 'low']
    r.expect('a queue that is paused and resumed', queue == ['queue.paused', 'queue.resumed'], queue)
    told = [m['type'] for m in all_ if m.get('workflow_id') == flow]
    task = ['workflow.task.dispatched', 'workflow.task.completed']
    r.expect('a workflow', sorted(told) == sorted(['workflow.started', *task, *task, 'workflow.completed']) and told[-1] == 'workflow.completed', told)
    told = [m['type'] for m in all_ if m.get('workflow_id') == held]
    r.expect('a workflow that is suspended and resumed',
             [t for t in told if t.count('.') == 1] == ['workflow.started', 'workflow.suspended', 'workflow.resumed', 'workflow.cancelled'], told)
    audit = [a['action'] for a in r.d.json('GET', f'/api/audit?limit=100&target={held}')[1]]
    r.expect('its audit', list(reversed(audit)) == ['workflow.suspend', 'workflow.resume', 'workflow.cancel'], audit)
    s.close()
    status, page = r.d.json('GET', '/api/history/events?limit=1000')
    back = list(reversed(page['data']))
    types = {m['type'] for m in back}
    r.expect('history has what came before', {'node.joined', 'leader.elected'} <= types, types)
    for m in all_:
        m.pop('seq', None)
    r.expect('history is the stream', back[-len(all_):] == all_ or all(m in back for m in all_), (len(back), len(all_)))
    few, cursor = [], ''
    while True:
        status, page = r.d.json('GET', f'/api/history/events?limit=3&job_id={dead}' + (f'&cursor={cursor}' if cursor else ''))
        assert status == 200, (page, cursor)
        few += page['data']
        cursor = page.get('next_cursor')
        if not cursor:
            break
    r.expect('history in pages, of one job', list(reversed(of(few, dead))) == of(all_, dead) and len(few) == len(of(all_, dead)), few)
    for query, word in (('types=job.*,nonsense', 'types'), ('since=%21', 'position'), ('format=xml', 'format'), ('job=1', 'job')):
        status, text = r.d.json('GET', '/api/events?' + query)
        r.expect(f'{query} is refused', status == 400 and word in text['error'], text)


def filters(r):
    streams = {q: Stream(r.d.port, q).live() for q in ('types=job.completed', 'queue=high', 'type=ec*', 'types=job.*&type=noop')}
    ids = [r.one(task_type=t, queue=q) for t in ('echo', 'noop') for q in ('normal', 'high')]
    one = Stream(r.d.port, f'job={ids[0]}&types=job.completed', last_id=streams['type=ec*'].id)
    wants = {'types=job.completed': lambda m: m['type'] == 'job.completed', 'queue=high': lambda m: m['queue'] == 'high',
             'type=ec*': lambda m: m['task_type'] == 'echo', 'types=job.*&type=noop': lambda m: m['task_type'] == 'noop'}
    for q, s in streams.items():
        seen = collections.Counter()
        n = {'types=job.completed': 4}.get(q, 2)

        def is_last(m):
            seen[m['type']] += 1
            return seen['job.completed'] == n
        got = s.until(is_last)
        r.expect(f'{q} gives nothing else', all(wants[q](m) for m in got), got)
        s.close()
    got = one.until(lambda m: True)
    r.expect('one job, from a position on', of(got, ids[0]) == ['job.completed'], got)
    one.close()


def is_chain(all_, ids):
    """Each job was enqueued, started and completed once, in this order."""
    by = collections.defaultdict(list)
    for m in all_:
        by[m.get('job_id')].append(m['type'])
    bad = {i: by[i] for i in ids if by[i] != ['job.enqueued', 'job.started', 'job.completed']}
    return not bad, list(bad.items())[:3]


def count_to(n):
    seen = set()

    def is_last(m):
        if m['type'] in ENDS:
            seen.add(m['job_id'])
        return len(seen) == n
    return is_last


def cut_off(r):
    """A connection that is cut again and again, in the middle of entries too."""
    s = Stream(r.d.port, 'types=job.*').live()
    ids = r.enqueue([{'task_type': 'noop'} for _ in range(2000)])
    all_, is_last, n_cuts, over = [], count_to(len(ids)), 0, False
    while not over:
        got = s.take()
        keep = got[:1 + len(all_) % 97]  # as if the rest had been lost on its way
        for m in keep:
            all_.append(m)
            over = is_last(m) or over
        if len(keep) < len(got) or n_cuts < 3:
            s.close()
            s = Stream(r.d.port, 'types=job.*', last_id=all_[-1]['seq'] if all_ else s.id)
            n_cuts += 1
        elif not over:
            s.fill()
    s.close()
    good, bad = is_chain(all_, ids)
    r.expect(f'{n_cuts} cuts: nothing is missing, nothing comes twice', good and len(all_) == 3 * len(ids) and n_cuts >= 3, (len(all_), bad))


def slow(r):
    """Reads nothing while more goes on than is held for it."""
    s = Stream(r.d.port, 'types=job.*', room=4096).live()
    other = Stream(r.d.port, 'types=job.*').live()
    ids, quick = [], []
    for _ in range(5):  # less at a time than the ring holds: whoever reads is not overtaken, however slow all is
        ids += r.enqueue([{'task_type': 'noop'} for _ in range(3000)])
        other.until(count_to(3000), quick)
    good, bad = is_chain(quick, ids)
    r.expect('who is quick misses nothing beside who is slow', good, bad)
    other.close()
    all_ = []
    is_all = count_to(len(ids))
    try:
        s.until(lambda m: m['type'] == 'stream.gap' or is_all(m), all_)
    except (EOFError, ConnectionError):
        pass  # it was cut off, and can resume
    gap = all_[-1] if all_[-1]['type'] == 'stream.gap' else None
    before = [m for m in all_ if m['type'] != 'stream.gap']
    r.expect('who is slow is told of the gap, or cut off', len(before) < len(quick) and (gap is None or gap['from'] == before[-1]['seq']), all_[-2:])
    s.close()
    t = Stream(r.d.port, 'types=job.*', last_id=gap['from'] if gap else before[-1]['seq'])
    is_last = count_to(len(ids))
    over = any([is_last(m) for m in before])
    rest = [] if over else t.until(is_last)
    t.close()
    r.expect('and finds all that it missed in the streams', [(m['type'], m['job_id']) for m in before + rest] == [(m['type'], m['job_id']) for m in quick],
             (len(before), len(rest), len(quick)))


def trimmed(r):
    s = Stream(r.d.port).live()
    at = s.id
    s.close()
    first = r.one(task_type="echo", payload=1)
    r.d.until(f'/api/jobs/{first}', lambda j: j['status'] == 'completed')
    r.raw('XTRIM', '{dureq:0}:ev', 'MAXLEN', '0')
    s = Stream(r.d.port, last_id=at)
    got = s.until(lambda m: m['type'] == 'stream.gap')
    r.expect('who resumes behind what was trimmed is told of the gap first', got[0]['type'] == 'stream.gap' and got[0]['from'] == at, got)
    second = r.one(task_type='echo', payload=1)
    got = s.until(lambda m: m['type'] == 'job.completed')
    r.expect('and goes on', of(got, second) == ['job.enqueued', 'job.started', 'job.completed'], got)
    r.raw('DEL', '{dureq:0}:ev')
    r.one(task_type="echo", payload=1)
    got = s.until(lambda m: m['type'] == 'job.completed')
    r.expect('who listens while events are deleted is told', [m['type'] for m in got].count('stream.gap') == 1, got)
    s.close()


def ends_while_told(r):
    """One whose end is noticed when it is told something takes nothing from those who came after it."""
    bad = Stream(r.d.port).live()
    good = [Stream(r.d.port).live() for _ in range(3)]
    bad.s.sendall(b'x')  # no request: from now on nothing is read of it
    bad.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    bad.close()
    first = r.one(task_type='echo', payload=1)
    for s in good:
        s.until(lambda m: (m['type'], m.get('job_id')) == ('job.completed', first))
    second = r.one(task_type='echo', payload=1)
    for s in good:
        r.expect('others hear what follows the end of one', bool(s.until(lambda m: (m['type'], m.get('job_id')) == ('job.completed', second))))
        s.close()


def revoked(r):
    r.d.stop(keep=True)
    r.d.start(['--auth', 'tokens'])
    out = subprocess.run([r.ctl, '--server', r.redis, 'token', 'create', '--role', 'viewer', '--name', 'v'], capture_output=True, text=True, timeout=60)
    token = out.stdout.strip()
    end = time.monotonic() + WAIT_S
    while True:
        s = Stream(r.d.port, token=token)
        if s.status == 200 or time.monotonic() > end:
            break
        s.close()
        time.sleep(0.05)
    r.expect('a viewer may listen', s.status == 200, s.status)
    s.live()
    subprocess.run([r.ctl, '--server', r.redis, 'enqueue', 'fail-always', '1', '--max-attempts', '1'], check=True, capture_output=True, timeout=60)
    got = s.until(lambda m: m['type'] == 'job.dead')
    r.expect('who may see no payloads sees no errors', not any('error' in m for m in got), got)
    subprocess.run([r.ctl, '--server', r.redis, 'token', 'revoke', token.split('_')[1]], check=True, capture_output=True, timeout=60)
    s.s.settimeout(WAIT_S)
    try:
        while True:
            s.fill()
    except (EOFError, ConnectionError):
        r.expect('a stream ends with its token', True)
    except OSError as e:
        r.expect('a stream ends with its token', False, e)
    r.d.stop(keep=True)
    r.d.start([])


def many_listen(r):
    n = CLIENTS
    ids = r.enqueue([{'task_type': 'noop', 'delay': '1h'} for _ in range(50)])
    streams = [Stream(r.d.port, f'job={ids[i % 50]}' if i % 2 else 'types=job.completed') for i in range(n)]
    for s in streams:
        s.live()
    began = time.monotonic()
    status, text = r.d.json('POST', '/api/jobs/bulk/run', {'ids': ids})
    r.expect('all are run', status == 200, text)
    bad = 0
    for i, s in enumerate(streams):
        got = s.until(count_to(1) if i % 2 else count_to(50))
        want = [(t, ids[i % 50]) for t in ('job.dispatched', 'job.started', 'job.completed')]
        good = [(m['type'], m['job_id']) for m in got] == want if i % 2 else sorted(m['job_id'] for m in got) == sorted(ids)
        bad += not good
        s.close()
    r.expect(f'{n} listen, each to its own', bad == 0, bad)
    print(f'    {n} clients had theirs after {time.monotonic() - began:.2f} s')


def node(r, name):
    return subprocess.Popen([r.program, '--server', r.redis, '--node-id', name, '--lease-ms', '1000', '--concurrency', '50', '--drain-timeout-ms', '100'],
                            stderr=subprocess.DEVNULL, env={**os.environ, 'DUREQ_CONFIG_PATH': ''})


def agrees(r):
    """The stream and what the jobs say of themselves, while nodes are killed."""
    s = Stream(r.d.port, 'types=job.*').live()
    policy = {'max_attempts': 2, 'initial_delay': '1ms', 'jitter': 0}
    specs = [{'task_type': 'fail-always' if i % 7 == 0 else 'sleep' if i % 50 == 1 else 'noop', 'payload': {'duration_ms': 300}, 'retry_policy': policy,
              'retention': '24h'} for i in range(MANY)]
    nodes = [node(r, f'k{i}') for i in range(2)]
    began = time.monotonic()
    ids, all_, is_last, n_kills = [], [], count_to(MANY), 0
    over = False
    while not over:
        if len(ids) < MANY and len(ids) - sum(m['type'] in ENDS for m in all_[-20000:]) < MANY:
            ids += r.enqueue(specs[len(ids):len(ids) + 1000])
        if len(all_) > n_kills * MANY // 2 and n_kills < 6:
            victim = n_kills % 2
            nodes[victim].send_signal(signal.SIGKILL)
            nodes[victim].wait()
            nodes[victim] = node(r, f'k{victim}')
            n_kills += 1
        for m in s.take():
            all_.append(m)
            over = is_last(m) or over
        if not over:
            s.fill()
    s.close()
    print(f'    {MANY} jobs, {len(all_)} events, {n_kills} kills, {time.monotonic() - began:.1f} s')
    for p in nodes:
        p.send_signal(signal.SIGTERM)
    for p in nodes:
        p.wait()
    by = collections.defaultdict(list)
    for m in all_:
        by[m.get('job_id')].append(m)
    r.expect('nothing was missing', not any(m['type'] == 'stream.gap' for m in all_))
    seen, cursor, bad = 0, '', []
    while True:
        _, page = r.d.json('GET', '/api/jobs?limit=1000' + (f'&cursor={cursor}' if cursor else ''))
        for j in page['data']:
            told = by.get(j['id'])
            if told is None:
                continue
            seen += 1
            kinds = [m['type'] for m in told]
            failures = [(a['attempt'], a.get('error')) for a in j.get('attempts', []) if a['outcome'] in ('retry', 'failed', 'fail', 'timed_out')]
            said = [(m['attempt'], m.get('error')) for m in told if m['type'] == 'job.failed']
            good = kinds[0] == 'job.enqueued' and sum(k in ENDS for k in kinds) == 1 and ENDS[kinds[-1]] == j['status']
            good = good and [e for _, e in failures] == [e for _, e in said] and len(failures) == len(said)
            if not good:
                bad.append((j['id'], j['status'], failures, said, kinds))
        cursor = page.get('next_cursor')
        if not cursor:
            break
    r.expect('stream and jobs agree', not bad and seen == MANY, (seen, len(bad), bad[:3]))
    r.expect('nodes were killed meanwhile', n_kills >= 1, n_kills)


def on_the_command_line(r):
    def start(server, *more):
        return subprocess.Popen([r.ctl, '--server', server, 'events', '-o', 'ndjson', *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    _, page = r.d.json('GET', '/api/history/events?limit=1')
    at = Stream(r.d.port).live()
    first = r.one(task_type='echo')
    r.d.until(f'/api/jobs/{first}', lambda j: j['status'] == 'completed')
    for server in (r.redis, f'http://127.0.0.1:{r.d.port}', f'http+unix://{r.d.socket}'):
        p = start(server, '--since', at.id, '--types', 'job.completed,node.*')
        line = json.loads(p.stdout.readline())
        r.expect(f'dureqctl events from a position, {server.split(":")[0]}', (line['type'], line['job_id']) == ('job.completed', first), line)
        p.terminate()
        p.communicate(timeout=WAIT_S)
    p = start(r.redis, '--types', 'x')
    _, err = p.communicate(timeout=WAIT_S)
    r.expect('dureqctl events says which types there are', p.returncode == 2 and 'job.completed' in err, err)
    at.close()


def main():
    r = Run(sys.argv[1], sys.argv[2])
    try:
        for scene in (what_is_told, filters, cut_off, slow, trimmed, on_the_command_line, many_listen, agrees, ends_while_told, revoked):
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
