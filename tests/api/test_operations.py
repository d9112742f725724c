#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Operations of a live dureqd: test_operations.py DUREQD DUREQCTL

Each action does what it says to what is older than it; a redrive goes on after its daemon was killed, with exact counts, and leaves alone what died later
(DUREQ_TEST_OPERATION_JOBS of them, 10,000 when not set). Ends with "N passed, N failed"."""
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

from test_openapi import WAIT_S, Daemon

N_JOBS = int(os.environ.get('DUREQ_TEST_OPERATION_JOBS', 10000))
N_LATER = 50
LONG_S = 60 + N_JOBS / 200


class Redis:
    def __init__(self):
        self.dir = tempfile.TemporaryDirectory(prefix='dureq-op-')
        self.socket = self.dir.name + '/r.sock'
        self.process = subprocess.Popen(['redis-server', '--port', '0', '--unixsocket', self.socket, '--save', '', '--dir', self.dir.name],
                                        stdout=subprocess.DEVNULL)
        end = time.monotonic() + WAIT_S
        while not os.path.exists(self.socket):
            if time.monotonic() > end:
                sys.exit('redis-server did not start')
            time.sleep(0.02)
        self.url = 'unix://' + self.socket

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=WAIT_S)
        self.dir.cleanup()


class Shared(Daemon):
    """A daemon on a server that outlives it."""
    def __init__(self, program, url, name, more=()):
        self.url, self.name, self.more = url, name, list(more)
        super().__init__(program)

    def start(self, more):
        self.process = subprocess.Popen(
            [self.program, '--redis-url', self.url, '--shards', '2', '--api-address', '127.0.0.1:0', '--node-id', self.name, '--lease-ms', '1000',
             '--drain-timeout-ms', '100', *self.more, *more], stderr=subprocess.PIPE, text=True, env={**os.environ, 'DUREQ_CONFIG_PATH': ''})
        self.port = None
        for line in self.process.stderr:
            found = re.search(r'api\.listening address=127\.0\.0\.1:(\d+)', line)
            self.port = int(found[1]) if found else self.port
            if 'daemon.ready' in line:
                break
        if not self.port:
            sys.exit('dureqd did not start')
        threading.Thread(target=self.process.stderr.read, daemon=True).start()  # a full pipe would stop it

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=WAIT_S)
        self.dir.cleanup()
        return code

    def end(self):
        if self.process.poll() is None:
            self.kill()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=WAIT_S)
        self.dir.cleanup()


class Checks:
    def __init__(self):
        self.passed = self.failed = 0

    def __call__(self, what, good, shown=''):
        self.passed += bool(good)
        self.failed += not good
        if not good:
            print(f'[  FAILED  ] {what}', shown)


def until(what, fits, limit_s=WAIT_S):
    end = time.monotonic() + limit_s
    while True:
        value = fits()
        if value:
            return value
        if time.monotonic() > end:
            sys.exit(f'did not come: {what}')
        time.sleep(0.02)


def enqueue(d, n, **spec):
    ids = []
    while n > 0:
        part = min(n, 1000)
        status, answer = d.json('POST', '/api/jobs', [spec] * part)
        assert status == 200, answer
        ids += [a['id'] for a in answer]
        n -= part
    return ids


def count(d, state):
    return d.json('GET', '/api/stats')[1]['job_counts'].get(state, 0)


def start(d, **body):
    status, answer = d.json('POST', '/api/operations', body)
    assert status == 202, (status, answer)
    return answer['id']


def ended(d, op, limit_s=LONG_S):
    def look():
        r = d.json('GET', f'/api/operations/{op}')[1]
        return r if r['status'] not in ('running', 'stopping') else None
    return until(f'the end of {op}', look, limit_s)


def states(d, ids):
    return {d.json('GET', f'/api/jobs/{i}')[1].get('status') for i in ids}


def groups(check, d):
    """Dead jobs of one error, by the name that their group has: of those alone, however they are numbered."""
    once = {'max_attempts': 1}
    ended(d, start(d, action='delete', filter={'status': 'dead'}))
    fail = enqueue(d, 30, task_type='fail-always', retry_policy=once)
    late = [enqueue(d, 1, task_type='nobody', schedule_to_start_timeout='100ms')[0] for _ in range(3)]
    until('their deaths', lambda: count(d, 'dead') == 33)
    rows = d.json('GET', '/api/dlq/groups')[1]
    check('each error has a group with a name', [g['count'] for g in rows] == [30, 3] and all(re.fullmatch('[0-9a-f]{16}', g['group']) for g in rows), rows)
    check('and no two the same', rows[0]['group'] != rows[1]['group'], rows)
    of = {'group': rows[1]['group']}

    def look():  # what died in the millisecond of the preview is not in it
        p = d.json('POST', '/api/operations', {'action': 'delete', 'filter': {**of, 'status': 'dead'}, 'dry_run': True})[1]
        return p if p['matched'] == 3 else None
    preview = until('a preview of the group', look)
    check('a preview counts the group alone', preview['matched_exact'] and {j['id'] for j in preview['data']} == set(late), preview)
    r = ended(d, start(d, action='delete', filter={**of, 'status': 'dead'}, as_of=preview['as_of']))
    check('it is done to the group', r['affected'] == 3 and states(d, late) == {None} and states(d, fail) == {'dead'}, r)
    r = ended(d, start(d, action='redrive', filter={'group': rows[0]['group'], 'type': 'fail-*'}))
    check('with other filters', r['affected'] == 30, r)
    until('their second deaths', lambda: count(d, 'dead') == 30)
    check('another group is none of it', ended(d, start(d, action='redrive', filter=of))['affected'] == 0)
    for bad in ({'group': 'x'}, {'group': of['group'].upper() + '0'}):
        status, answer = d.json('POST', '/api/operations', {'action': 'redrive', 'filter': bad})
        check(f'{bad} is refused', status == 400 and 'group' in answer['error'], answer)
    status, answer = d.json('POST', '/api/operations', {'action': 'retry', 'filter': of})
    check('a group of others than dead ones is refused', status == 400 and 'dead' in answer['error'], answer)
    ended(d, start(d, action='delete', filter={'status': 'dead'}))


def refusals(check, d):
    for body, word in (({}, 'action'), ({'action': 'explode'}, 'action'), ({'action': 'retry', 'filter': {'colour': 'red'}}, 'filter'),
                       ({'action': 'retry', 'filter': {'queue': ''}}, 'queue'), ({'action': 'retry', 'filter': []}, 'filter'),
                       ({'action': 'retry', 'filter': {'status': 'pending'}}, 'status'), ({'action': 'retry', 'as_of': 'now'}, 'as_of'),
                       ({'action': 'retry', 'as_of': '2500-01-01T00:00:00Z'}, 'as_of'), ({'action': 'retry', 'matched': -1}, 'matched'),
                       ({'action': 'retry', 'force': 1}, 'force'), ({'action': 'retry', 'fiter': {}}, 'fiter'),
                       ({'action': 'retry', 'filter': {'queue': 'a', 'colour': 'b'}}, 'filter'),
                       ({'action': 'retry', 'reason': 'x' * 1025}, 'reason')):
        status, answer = d.json('POST', '/api/operations', body)
        check(f'{body} is refused', status == 400 and word in answer['error'], (status, answer))
    status, _ = d.json('GET', '/api/operations/none')
    check('one that is not there is not found', status == 404, status)
    status, _ = d.json('POST', '/api/operations/none/stop')
    check('nor stopped', status == 404, status)


def actions(check, d):
    """One after the other on a handful of jobs, and a bystander of another type."""
    ids, other = enqueue(d, 7, task_type='nobody', delay='1h'), enqueue(d, 1, task_type='else', delay='1h')
    mine = {'type': 'nobody'}
    for action, before, after in (('pause', 'scheduled', 'paused'), ('resume', 'paused', 'pending'), ('cancel', 'pending', 'cancelled'),
                                  ('retry', 'cancelled', 'pending'), ('cancel', 'pending', 'cancelled')):
        check(f'{action} finds them {before}', states(d, ids) == {before}, states(d, ids))
        status, preview = d.json('POST', '/api/operations', {'action': action, 'filter': mine, 'dry_run': True})
        check(f'the preview of {action} counts them', status == 200 and (preview['matched'], preview['matched_exact']) == (7, True), preview)
        check(f'the preview of {action} shows them', len(preview['data']) == 7)
        check('and does nothing', states(d, ids) == {before})
        r = ended(d, start(d, action=action, filter=mine, as_of=preview['as_of'], matched=7, reason='a test'))
        check(f'{action} is done to them', states(d, ids) == {after}, states(d, ids))
        check(f'{action} counts what it did', (r['status'], r['affected'], r['refused'], r['matched']) == ('completed', 7, 0, 7), r)
    later = enqueue(d, 1, task_type='nobody', delay='1h')
    check('run', ended(d, start(d, action='run', filter=mine))['affected'] == 1 and states(d, later) == {'pending'})
    d.json('POST', f'/api/jobs/{later[0]}/cancel')
    def look():
        preview = d.json('POST', '/api/operations', {'action': 'delete', 'filter': mine, 'dry_run': True})[1]
        return preview if preview['matched'] == 8 else None
    preview = until('another millisecond', look)  # what ended in that of as_of may have ended after it
    newer = enqueue(d, 1, task_type='nobody', delay='1h')[0]
    d.json('POST', f'/api/jobs/{newer}/cancel')
    r = ended(d, start(d, action='delete', filter=mine, as_of=preview['as_of']))
    check('delete takes what had ended before the preview', r['affected'] == 8 and states(d, ids) == {None}, r)
    check('and leaves what ended later', states(d, [newer]) == {'cancelled'})
    check('no action touched a bystander', states(d, other) == {'scheduled'})
    page = d.json('GET', '/api/operations?limit=3')[1]
    more = d.json('GET', f'/api/operations?limit=100&cursor={page["next_cursor"]}')[1]
    found = [o['id'] for o in page['data'] + more['data']]
    check('each is on record, the newest first', len(found) == 7 and found == sorted(found, reverse=True), found)
    audit = [a for a in d.json('GET', '/api/audit?limit=100')[1] if a['action'] == 'operation.start']
    check('and in the audit, with who it was', len(audit) == 7 and {a['actor'] for a in audit} == {page['data'][0]['actor']}, audit)


def stopping(check, d):
    enqueue(d, 3000, task_type='nobody', queue='low')
    had = count(d, 'cancelled')
    op = start(d, action='cancel', filter={'queue': 'low'})
    status, r = d.json('POST', f'/api/operations/{op}/stop', {'reason': 'too many'})
    if status == 409:  # it was quicker
        r = ended(d, op)
        check('it was done', r['status'] == 'completed' and r['affected'] == 3000, r)
    else:
        check('a stop is taken', status == 200 and r['status'] in ('stopping', 'stopped'), (status, r))
        r = ended(d, op)
        check('it ends so', r['status'] in ('stopped', 'completed') and r.get('stopped_because') == 'too many', r)
    check('what was done is counted, and nothing more is done', r['affected'] == count(d, 'cancelled') - had, (r, count(d, 'cancelled') - had))
    status, _ = d.json('POST', f'/api/operations/{op}/stop')
    check('what has ended cannot be stopped', status == 409, status)
    ended(d, start(d, action='cancel', filter={'queue': 'low'}))


def runs_of(d, ids):
    """How often each was started, of the dead ones."""
    out, cursor = {}, None
    while True:
        page = d.json('GET', '/api/dlq?limit=1000' + (f'&cursor={cursor}' if cursor else ''))[1]
        out |= {j['id']: j['runs'] for j in page['data']}
        cursor = page.get('next_cursor')
        if not cursor:
            return {i: out.get(i) for i in ids}


def killed(check, program, redis, started):
    d = Shared(program, redis.url, 'first')
    started.append(d)
    dead = {'task_type': 'fail-always', 'retry_policy': {'max_attempts': 1}}
    old = enqueue(d, N_JOBS, **dead)
    until('their deaths', lambda: count(d, 'dead') == N_JOBS, LONG_S)
    began = time.monotonic()
    preview = d.json('POST', '/api/operations', {'action': 'redrive', 'filter': {'status': 'dead'}, 'dry_run': True})[1]
    check('a preview takes its time only', time.monotonic() - began < WAIT_S, time.monotonic() - began)
    check('it counts', preview['matched'] == N_JOBS, preview['matched'])
    check('and shows some', len(preview['data']) == 10)
    new = enqueue(d, N_LATER, **dead)
    until('later deaths', lambda: count(d, 'dead') == N_JOBS + N_LATER)
    op = start(d, action='redrive', filter={'status': 'dead'}, as_of=preview['as_of'], matched=preview['matched'])
    before = until('its first steps', lambda: d.json('GET', f'/api/operations/{op}')[1].get('affected'))
    d.kill()
    check('it was under way when its daemon was killed', 0 < before < N_JOBS, before)
    d = Shared(program, redis.url, 'second')
    started.append(d)
    r = ended(d, op)
    check('another daemon ended it', r['status'] == 'completed', r)
    check('each was counted once', (r['affected'], r['refused']) == (N_JOBS, 0), r)
    until('their second deaths', lambda: count(d, 'dead') == N_JOBS + N_LATER, LONG_S)
    runs = set(runs_of(d, old).values())
    check('each was retried once', runs == {2}, runs)
    runs = set(runs_of(d, new).values())
    check('what died later was left alone', runs == {1}, runs)
    check('nothing is left of it in the shards', not op_leftovers(redis), op_leftovers(redis))
    r = ended(d, start(d, action='delete', filter={'status': 'dead'}))
    check('all are deleted', r['affected'] == N_JOBS + N_LATER and count(d, 'dead') == 0, r)
    return d


def op_leftovers(redis):
    out = []
    for shard in (0, 1):
        r = subprocess.run(['redis-cli', '-s', redis.socket, 'HGETALL', f'{{dureq:{shard}}}:opn'], capture_output=True, text=True, timeout=30,
                           check=True)
        out += r.stdout.split()
    return out


def by_hand(check, d, ctl, redis):
    """dureqctl, over HTTP and over Redis; what it starts there is taken up by a daemon, too."""
    def run(*args, server=None):
        r = subprocess.run([ctl, '--server', server or f'http://127.0.0.1:{d.port}', *args], capture_output=True, text=True, timeout=60,
                           env={**os.environ, 'HOME': d.dir.name}, check=False)
        return r.returncode, r.stdout, r.stderr
    ids = enqueue(d, 3, task_type='nobody', delay='1h')
    code, out, err = run('operation', 'start', 'pause', '--type', 'nobody', '--dry-run')
    check('a dry run shows them', code == 0 and all(i in out for i in ids) and '3 jobs' in err, (code, out, err))
    check('and leaves them', states(d, ids) == {'scheduled'})
    for server, action, after in ((None, 'pause', 'paused'), (redis.url, 'resume', 'pending')):
        code, out, err = run('operation', 'start', action, '--type', 'nobody', '-o', 'json', server=server)
        check(f'{action} is started', code == 0, (code, out, err))
        ended(d, json.loads(out)['id'])
        check(f'{action} is done', states(d, ids) == {after}, states(d, ids))
    code, out, err = run('operation', 'get', json.loads(run('operation', 'list', '-o', 'json')[1])['data'][0]['id'])
    check('get shows it', code == 0 and 'resume' in out and 'completed' in out, (code, out, err))
    code, out, err = run('operation', 'list')
    check('list shows them', code == 0 and 'pause' in out and 'delete' in out, (code, out, err))
    code, _, _ = run('operation', 'stop', 'none')
    check('stop of none says so', code == 3, code)
    code, _, _ = run('operation', 'start', 'explode')
    check('an action that is none is refused', code == 2, code)
    code, out, err = run('doctor', server=redis.url)
    check('the doctor finds nothing', code == 0, (code, out, err))


def revoked(check, program, ctl, redis, started):
    """Its daemon dies, and its token is revoked before another takes it up."""
    def run(*args):
        return subprocess.run([ctl, '--server', redis.url, *args], capture_output=True, text=True, timeout=30, check=True).stdout.strip()
    token = run('token', 'create', '--role', 'operator', '--name', 'short')
    d = Shared(program, redis.url, 'fourth')
    started.append(d)
    enqueue(d, N_JOBS, task_type='revoked', delay='1h')
    d.stop()
    d = Shared(program, redis.url, 'fifth', ['--auth', 'tokens'])
    started.append(d)
    c = http.client.HTTPConnection('127.0.0.1', d.port, timeout=WAIT_S)
    c.request('POST', '/api/operations', json.dumps({'action': 'cancel', 'filter': {'type': 'revoked'}}),
              {'Authorization': 'Bearer ' + token, 'Content-Type': 'application/json'})
    answer = json.loads(c.getresponse().read())
    d.kill()
    c.close()
    run('token', 'revoke', token.split('_')[1])
    d = Shared(program, redis.url, 'sixth')
    started.append(d)
    r = ended(d, answer['id'])
    check('what a token started ends with it', (r['status'], r.get('stopped_because')) == ('stopped', 'its token was revoked'), r)
    check('the rest is as it was', r['affected'] < N_JOBS, r)
    check('the sixth ends well', d.stop() == 0)


def main():
    check, started, redis = Checks(), [], Redis()
    try:
        d = killed(check, sys.argv[1], redis, started)
        n = len(d.json('GET', '/api/operations?limit=100')[1]['data'])
        check('two are on record', n == 2, n)
        check('the second ends well', d.stop() == 0)
        subprocess.run(['redis-cli', '-s', redis.socket, 'FLUSHALL'], capture_output=True, timeout=30, check=True)
        d = Shared(sys.argv[1], redis.url, 'third')
        started.append(d)
        refusals(check, d)
        actions(check, d)
        stopping(check, d)
        by_hand(check, d, sys.argv[2], redis)
        groups(check, d)
        check('the third ends well', d.stop() == 0)
        revoked(check, sys.argv[1], sys.argv[2], redis, started)
    finally:
        for d in started:
            d.end()
        redis.stop()
    print(f'{check.passed} passed, {check.failed} failed')
    sys.exit(check.failed > 0)


if __name__ == '__main__':
    main()
