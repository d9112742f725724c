#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Roles and tokens on every route of a live dureqd: test_tokens.py DUREQD DUREQCTL

No token, a wrong, an expired and a revoked one are 401 wherever a role is needed, and nothing is done; a role may do what the OpenAPI document says, and no
more; a viewer without the right sees no payload anywhere. Ends with "N passed, N failed"."""
import concurrent.futures
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

from test_openapi import Daemon, seed

RANK = {'anyone': 0, 'viewer': 1, 'operator': 2, 'admin': 3}
SECRETS = ('top-secret-payload', 'top-secret-result', 'top-secret-header')


class Run:
    def __init__(self, d, ctl):
        self.d, self.ctl, self.n, self.faults = d, ctl, 0, []

    def expect(self, what, good, got=''):
        self.n += 1
        if not good:
            print('[  FAILED  ]', what, got)
            self.faults.append(what)

    def ask(self, token, method, path, body=None, timeout=30):
        c = http.client.HTTPConnection('127.0.0.1', self.d.port, timeout=timeout)
        headers = {'Authorization': f'Bearer {token}'} if token else {}
        if body is not None:
            headers['Content-Type'] = 'application/json'
        c.request(method, path, body, headers)
        r = c.getresponse()
        text = '' if r.headers['Content-Type'] == 'text/event-stream' else r.read().decode()  # that has no end
        c.close()
        return r.status, r.headers, text

    def dureqctl(self, *args, env=None):
        r = subprocess.run([self.ctl, '--server', f'unix://{self.d.dir.name}/s/redis.sock', *args], capture_output=True, text=True, timeout=30, env=env)
        return r.returncode, r.stdout.strip()

    def make(self, role, *more):
        code, token = self.dureqctl('token', 'create', '--role', role, '--name', f'a-{role}', *more)
        self.expect(f'token create {role}', code == 0 and re.fullmatch(r'dq_[0-9a-f]{12}_[0-9a-f]{64}', token), token)
        return token


def each_route(r, ops, tokens):
    """A path that is nothing's, so that what is allowed does no harm."""
    for key, op in ops.items():
        method, pattern = key.split(' ')
        path, needs = re.sub(r'\{\w+\}', 'x', pattern), RANK[op['x-role']]
        if method == 'DELETE' and '{' not in pattern or pattern == '/api/dlq/redrive':
            path += '?type=nothing'
        body = '{"ids": ["x"]}' if '/bulk/' in pattern else '{' if method in ('POST', 'PUT') and 'requestBody' in op else None
        for name, token in tokens.items():
            status, headers, text = r.ask(token, method, path, body)
            rank = RANK.get(name, 0)
            if rank >= needs:
                hidden = name == 'viewer' and status == 403 and 'right to see payloads' in text
                r.expect(f'{name} may {key}', (status not in (401, 403) or hidden) and status < 500, (status, text))
            elif rank == 0:
                good = status == 401 and headers['WWW-Authenticate'] == 'Bearer' and json.loads(text)['code'] == 'no_token'
                r.expect(f'{name} may not {key}', good, (status, text))
            else:
                r.expect(f'{name} may not {key}', status == 403 and json.loads(text)['code'] == 'not_allowed', (status, text))


def payloads(r, ops, viewer, seer, v):
    for key, op in ops.items():
        method, pattern = key.split(' ')
        if method != 'GET' or op['x-role'] == 'admin':
            continue
        for id_ in (v['done'], v['dead'], v['secret']) if '{' in pattern else ('',):
            path = re.sub(r'\{\w+\}', id_, pattern)
            _, _, text = r.ask(viewer, 'GET', path + ('?limit=100' if pattern in ('/api/jobs', '/api/dlq') else ''))
            r.expect(f'{path} hides from a viewer', not any(s in text for s in SECRETS), text)
    for name in ('text', 'search'):
        status, _, _ = r.ask(viewer, 'GET', f'/api/jobs?{name}=top-secret')
        r.expect(f'a viewer may not search by {name}', status == 403, status)
    _, _, text = r.ask(seer, 'GET', '/api/jobs/' + v['secret'])
    r.expect('a viewer with the right sees all', all(s in text for s in SECRETS), text)


def raw(r, head):
    """A connection on which a head was sent."""
    s = socket.create_connection(('127.0.0.1', r.d.port), timeout=30)
    s.sendall(head.replace('\n', '\r\n').encode() + b'\r\n')
    return s


def bodies(r, good):
    """The room for bodies (256 MiB of all together) is for who is let in: of others none is read."""
    wrong = 'dq_000000000000_' + '0' * 64
    head = 'Host: localhost\nContent-Type: application/json\n'

    def fill(_):
        s = raw(r, f'POST /api/jobs HTTP/1.1\n{head}Authorization: Bearer {wrong}\nContent-Length: 16000000\n')
        try:
            s.sendall(bytes(15000000))  # the rest never comes
        except OSError:
            pass  # it was told, and nobody reads any more
        return s
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        held = list(pool.map(fill, range(20)))
    padded = ' ' * 15000000 + '{"task_type": "noop"}'
    status, _, text = r.ask(good, 'POST', '/api/jobs', padded)
    r.expect('large bodies of nobody keep no large body of somebody out', status == 201, (status, text))
    end = time.monotonic() + 20  # somebody's own body may not be given back yet
    while True:
        now = re.search(r'^dureq_http_held_bytes (\S+)$', r.ask(good, 'GET', '/metrics')[2], re.M)
        if float(now[1]) < 1e6 or time.monotonic() > end:
            break
        time.sleep(0.05)
    r.expect('and take no room', float(now[1]) < 1e6, now[1])
    for s in held:
        s.close()
    for method, more in (('POST', f'Authorization: Bearer {wrong}\nContent-Length: 5000\n'), ('POST', f'Authorization: Bearer {wrong}\nTransfer-Encoding: chunked\n'),
                         ('POST', f'Cookie: dureq=dqs_000000000000_{"0" * 64}\nSec-Fetch-Site: same-origin\nContent-Length: 5000\n'),
                         ('GET', 'Content-Length: 5000\n'), ('GET', 'Transfer-Encoding: chunked\n')):
        s = raw(r, f'{method} /api/jobs HTTP/1.1\n{head}Expect: 100-continue\n{more}')
        answer = s.recv(65536).decode()
        s.close()
        r.expect(f'{method} {more!r} is answered before its body', answer.startswith('HTTP/1.1 401') and '"no_token"' in answer, answer)
    status, _, text = r.ask(wrong, 'POST', '/api/jobs', '{"task_type": "noop"}')
    r.expect('a small one is judged with its body', status == 401 and 'no_token' in text, (status, text))
    s = raw(r, f'POST /api/jobs HTTP/1.1\n{head}Expect: 100-continue\nAuthorization: Bearer {good}\nContent-Length: 5000\nConnection: close\n')
    r.expect('who is known is told to go on', s.recv(65536).startswith(b'HTTP/1.1 100 '))
    s.sendall(b' ' * 4979 + b'{"task_type": "noop"}')
    r.expect('and is heard', s.recv(65536).startswith(b'HTTP/1.1 201 '))
    s.close()


def endings(r, admin):
    short = r.make('admin', '--expires-in', '1ms')
    status, _, _ = r.ask(short, 'GET', '/api/stats')
    r.expect('an expired token is refused', status == 401, status)
    gone = r.make('operator')
    r.expect('a new token is known at the latest after two seconds', until(lambda: r.ask(gone, 'GET', '/api/stats')[0] == 200))
    status, _, text = r.ask(admin, 'DELETE', '/api/tokens/' + gone.split('_')[1])
    r.expect('it is revoked', status == 200, text)
    began = time.monotonic()
    r.expect('a revoked token is refused', until(lambda: r.ask(gone, 'GET', '/api/stats')[0] == 401))
    r.expect('within five seconds', time.monotonic() - began < 5)
    status, _, text = r.ask(admin, 'GET', '/api/tokens')
    r.expect('secrets are not listed', status == 200 and admin.split('_')[2] not in text and 'hash' not in text, text)


def away(r):
    """Redis stands still: who asks meanwhile waits for one look, not for those of all before."""
    redis = subprocess.run(['redis-cli', '-s', r.d.dir.name + '/s/redis.sock', 'INFO', 'server'], capture_output=True, text=True, timeout=30, check=True).stdout
    pid = int(re.search(r'process_id:(\d+)', redis)[1])
    unknown = 'dq_000000000000_' + '0' * 64
    os.kill(pid, signal.SIGSTOP)
    try:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            began = time.monotonic()
            got = list(pool.map(lambda _: r.ask(unknown, 'GET', '/api/stats', timeout=120)[0], range(8)))
            took = time.monotonic() - began
    finally:
        os.kill(pid, signal.SIGCONT)
    r.expect('whether it is a token cannot be told', set(got) == {503}, got)
    r.expect('all are told at once', took < 40, took)
    r.expect('it is told again', until(lambda: r.ask(unknown, 'GET', '/api/stats')[0] == 401))


def until(fits):
    end = time.monotonic() + 10
    while not fits():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def main():
    d = Daemon(sys.argv[1])
    v = seed(d)
    v['secret'] = d.json('POST', '/api/jobs', {'task_type': 'echo', 'payload': [SECRETS[0], SECRETS[1]], 'headers': {'h': SECRETS[2]}})[1]['id']
    d.until(f'/api/jobs/{v["secret"]}', lambda j: j['status'] == 'completed')
    d.stop(keep=True)
    d.start(['--auth', 'tokens'])
    r = Run(d, sys.argv[2])
    try:
        tokens = {role: r.make(role) for role in ('viewer', 'operator', 'admin')}
        seer = r.make('viewer', '--payload')
        doc = json.loads(r.ask(None, 'GET', '/api/openapi.json')[2])
        ops = {f'{m.upper()} {path}': op for path, item in doc['paths'].items() for m, op in item.items()}
        r.expect('tokens are known at the latest after two seconds', until(lambda: r.ask(seer, 'GET', '/api/stats')[0] == 200))
        wrong = tokens['admin'][:-1] + ('0' if tokens['admin'][-1] != '0' else '1')
        each_route(r, ops, {**tokens, 'nobody': None, 'wrong': wrong, 'no token': 'x', 'empty': 'dq__', 'other': 'dq_000000000000_' + '0' * 64})
        payloads(r, ops, tokens['viewer'], seer, v)
        bodies(r, tokens['operator'])
        endings(r, tokens['admin'])
        status, _, text = r.ask(tokens['operator'], 'POST', '/api/queues/low/pause')
        r.expect('an operator acts', status == 200, text)
        entry = json.loads(r.ask(tokens['viewer'], 'GET', '/api/audit?limit=1')[2])[0]
        r.expect('the audit names the token', (entry['actor'], entry['target']) == ('a-operator', 'low'), entry)
        status, _, _ = r.ask(None, 'POST', '/api/queues/low/resume')
        r.expect('nothing was done for nobody', status == 401 and json.loads(r.ask(seer, 'GET', '/api/queues/low')[2])['paused'], status)
        away(r)
    finally:
        d.stop()
    print(f'{r.n - len(r.faults)} passed, {len(r.faults)} failed')
    sys.exit(len(r.faults) > 0)


if __name__ == '__main__':
    main()
