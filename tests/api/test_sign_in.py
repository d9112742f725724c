#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Signing in, tokens that are limited to queues or task types, and proxies, at a live dureqd: test_sign_in.py DUREQD DUREQCTL

Ends with "N passed, N failed"."""
import collections
import concurrent.futures
import http.client
import json
import re
import socket
import subprocess
import sys
import time

from test_events import Stream
from test_openapi import Daemon, seed
from test_tokens import Run, until

PAGE = {'Sec-Fetch-Site': 'same-origin'}


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__('localhost', timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class Caller(Run):
    def send(self, method, path, body=None, unix=False, **fields):
        """Fields with _ for -."""
        c = Unix(self.d.socket) if unix else http.client.HTTPConnection('127.0.0.1', self.d.port, timeout=30)
        headers = {k.replace('_', '-'): v for k, v in fields.items()}
        if body is not None:
            body = body if isinstance(body, str) else json.dumps(body)
            headers['Content-Type'] = 'application/json'
        c.request(method, path, body, headers)
        r = c.getresponse()
        text = r.read().decode()
        c.close()
        return r.status, r.headers, json.loads(text) if text else None

    def metrics(self, token):
        c = http.client.HTTPConnection('127.0.0.1', self.d.port, timeout=30)
        c.request('GET', '/metrics', None, {'Authorization': token})
        text = c.getresponse().read().decode()
        c.close()
        return text

    def sign_in(self, token, **fields):
        status, headers, value = self.send('POST', '/api/login', {'token': token}, **fields)
        self.expect('signs in', status == 200, value)
        return headers['Set-Cookie'], value

    def audit(self, admin, action):
        return [e for e in self.send('GET', '/api/audit?limit=200', Authorization=admin)[2] if e['action'] == action]


    def sessions(self):
        """The tokens of all sessions that Redis has."""
        out = subprocess.run(['redis-cli', '-s', self.d.dir.name + '/s/redis.sock', 'HVALS', 'dureq:config:sessions'], capture_output=True, text=True,
                             timeout=30, check=True).stdout
        return [json.loads(line)['token'] for line in out.splitlines() if line]


def pair(cookie):
    return cookie.split(';')[0]


def cookies(r, token):
    cookie, me = r.sign_in(token['operator'])
    parts = [p.strip() for p in cookie.split(';')]
    r.expect('the cookie is for this server alone, and no script reads it',
             {'Path=/', 'HttpOnly', 'SameSite=Strict'} <= set(parts) and 'Secure' not in parts and parts[0].startswith(f'dureq-{r.d.port}=dqs_'), cookie)
    age = int(next(p for p in parts if p.startswith('Max-Age=')).split('=')[1])
    r.expect('its life is bounded', 12 * 3600 - 60 <= age <= 12 * 3600, age)
    r.expect('who signed in is told', (me['name'], me['role'], me['by']) == ('a-operator', 'operator', 'session') and me['expires_at'], me)
    r.expect('the cookie is no token of its own', r.send('GET', '/api/me', Authorization='Bearer ' + pair(cookie).split('=')[1])[0] == 401)
    old = 'dureq=' + pair(cookie).split('=')[1]
    r.expect('it is good by the name that the version before gave it', r.send('GET', '/api/me', Cookie=old)[2].get('by') == 'session')
    # It is good at once, for reading and for pages that change something.
    r.expect('it is known at once', r.send('GET', '/api/me', Cookie='a=b; ' + pair(cookie) + '; c=d')[2].get('by') == 'session')
    r.expect('a page may change something', r.send('POST', '/api/queues/low/pause', Cookie=pair(cookie), **PAGE)[0] == 200)
    origin = f'http://127.0.0.1:{r.d.port}'
    r.expect('a page may, by its origin', r.send('POST', '/api/queues/low/resume', Cookie=pair(cookie), Origin=origin)[0] == 200)
    r.expect('the audit names its token', r.audit('Bearer ' + token['admin'], 'queue.resume')[0]['actor'] == 'a-operator')
    # Pages elsewhere, and what is no page.
    for name, fields in {'nobody': {}, 'another site': {'Sec-Fetch-Site': 'cross-site'}, 'another port': {'Sec-Fetch-Site': 'same-site'},
                         'another origin': {'Origin': 'http://evil.example'}, 'no origin': {'Origin': 'null'}}.items():
        status, _, value = r.send('POST', '/api/queues/low/pause', Cookie=pair(cookie), **fields)
        r.expect(f'the cookie does not serve {name}', status == 403 and value['code'] == 'not_allowed', (status, value))
    status, _, value = r.send('POST', '/api/login', {'token': token['operator']}, Sec_Fetch_Site='cross-site')
    r.expect('another site signs nobody in', status == 403, value)
    # A role is a role.
    r.expect('it may what its token may', r.send('GET', '/api/tokens', Cookie=pair(cookie))[0] == 403)
    # Out.
    status, headers, value = r.send('POST', '/api/logout', Cookie=pair(cookie), **PAGE)
    r.expect('signing out takes the cookie back', status == 200 and 'Max-Age=0' in headers['Set-Cookie'] and value == {'status': 'signed_out'}, value)
    r.expect('and ends the session', r.send('GET', '/api/me', Cookie=pair(cookie))[0] == 401)
    r.expect('twice is fine', r.send('POST', '/api/logout', Cookie=pair(cookie), **PAGE)[0] == 200)


def refusals(r, token):
    for bad in ('', 'x', token['admin'][:-1] + ('0' if token['admin'][-1] != '0' else '1'), 'dq_000000000000_' + '0' * 64):
        status, headers, value = r.send('POST', '/api/login', {'token': bad})
        r.expect('no token, no session', status == 401 and value['code'] == 'no_token' and 'Set-Cookie' not in headers, (status, value))
    for body in ('{', '[]', '{}', '{"token": 1}', '{"token": "x", "more": 1}'):
        status, headers, value = r.send('POST', '/api/login', body)
        r.expect(f'{body} is no sign-in', status == 400 and 'Set-Cookie' not in headers, (status, value))
    status, _, value = r.send('POST', '/api/login', json.dumps({'token': 'x' * 5000}))
    r.expect('a sign-in is short', status == 413, (status, value))
    wrong = 'dureq=dqs_000000000000_' + '0' * 64
    r.expect('a wrong cookie is none', r.send('GET', '/api/me', Cookie=wrong)[0] == 401)
    r.expect('nobody is nobody', r.send('GET', '/api/me')[0] == 401)
    me = r.send('GET', '/api/me', Authorization='Bearer ' + token['viewer'])[2]
    r.expect('a token is told who it is', (me['name'], me['role'], me['payload'], me['by']) == ('a-viewer', 'viewer', False, 'token'), me)


def endings(r, token):
    own = r.make('operator')
    cookie, _ = r.sign_in(own)
    r.expect('a session is good', r.send('GET', '/api/stats', Cookie=pair(cookie))[0] == 200)
    r.send('DELETE', '/api/tokens/' + own.split('_')[1], Authorization='Bearer ' + token['admin'])
    r.expect('it ends with its token', r.send('GET', '/api/stats', Cookie=pair(cookie))[0] == 401)
    short = r.make('viewer', '--expires-in', '5s')
    cookie, me = r.sign_in(short)
    age = int(re.search(r'Max-Age=(\d+)', cookie)[1])
    r.expect('it lives no longer than its token', age <= 5 and me['expires_at'], cookie)
    r.expect('and ends then', until(lambda: r.send('GET', '/api/me', Cookie=pair(cookie))[0] == 401))
    many = r.make('viewer')
    first, _ = r.sign_in(many)
    made = time.time()
    until(lambda: time.time() > made + 0.01)  # of two of the same millisecond neither is the older
    for _ in range(64):
        last, _ = r.sign_in(many)
    r.expect('a token has 64 sessions at most: the oldest ended', r.send('GET', '/api/me', Cookie=pair(first))[0] == 401)
    r.expect('the newest is good', r.send('GET', '/api/me', Cookie=pair(last))[0] == 200)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for got in pool.map(lambda _: r.send('POST', '/api/login', {'token': many}), range(64)):
            r.expect('signs in beside others', got[0] == 200, got)
    last, _ = r.sign_in(many)
    own = many.split('_')[1]
    r.expect('many at once leave no more', r.sessions().count(own) <= 64, r.sessions().count(own))
    r.expect('and the newest is good', r.send('GET', '/api/me', Cookie=pair(last))[0] == 200)
    r.send('DELETE', '/api/tokens/' + own, Authorization='Bearer ' + token['admin'])
    r.expect('its sessions go with a token', r.sessions().count(own) == 0, r.sessions())


def audit(r, token):
    admin = 'Bearer ' + token['admin']
    status, _, made = r.send('POST', '/api/tokens', {'name': 'shop', 'role': 'operator', 'queues': ['a', 'b-*']}, Authorization=admin)
    r.expect('an admin makes a limited token', status == 201 and made['queues'] == ['a', 'b-*'] and 'task_types' not in made, made)
    r.expect('that is in the list', {k: v for k, v in made.items() if k != 'token'} in r.send('GET', '/api/tokens', Authorization=admin)[2])
    entry = r.audit(admin, 'token.create')[0]
    r.expect('and in the audit', (entry['actor'], entry['target'], entry['detail']) == ('a-admin', made['id'], 'shop operator queues=a,b-*'), entry)
    r.send('DELETE', '/api/tokens/' + made['id'], Authorization=admin)
    entry = r.audit(admin, 'token.revoke')[0]
    r.expect('as its end is', (entry['actor'], entry['target']) == ('a-admin', made['id']), entry)
    for body in ({'queues': []}, {'queues': ['*']}, {'queues': ['a,b']}, {'task_types': 'x'}, {'task_types': [1]}, {'queues': ['q'] * 101}):
        status, _, value = r.send('POST', '/api/tokens', {'name': 'n', 'role': 'viewer', **body}, Authorization=admin)
        r.expect(f'{body} is no limit', status == 400, (status, value))
    status, _, value = r.send('POST', '/api/tokens', {'name': 'n', 'role': 'admin', 'queues': ['q']}, Authorization=admin)
    r.expect('an admin has no limits', status == 400 and 'admin' in value['error'], value)


def two_daemons(r, token):
    """A browser sends the cookies of a host to all of its ports, and keeps one of a name."""
    other = Daemon(sys.argv[1])
    try:
        other.stop(keep=True)
        other.start(['--auth', 'tokens'])
        q = Caller(other, r.ctl)
        jar = {}
        for who, secret in ((r, token['operator']), (q, q.make('viewer'))):
            name, value = pair(who.sign_in(secret)[0]).split('=')
            jar[name] = value
        both = '; '.join(f'{k}={v}' for k, v in jar.items())
        for who, role in ((r, 'operator'), (q, 'viewer')):
            status, _, me = who.send('GET', '/api/me', Cookie=both)
            who.expect(f'the {role} is signed in beside the other', status == 200 and me['role'] == role, me)
        r.n, r.faults = r.n + q.n, r.faults + q.faults
    finally:
        other.stop()


def many_sessions(r, token):
    """What a request costs does not follow the number of all sessions."""
    n, of = 10000, token['viewer'].split('_')[1]
    record = {'token': of, 'created_at': '2026-11-30T00:00:00.000Z', 'expires_at': '2099-01-01T00:00:00.000Z', 'hash': '0' * 64}
    redis = ['redis-cli', '-s', r.d.dir.name + '/s/redis.sock']
    cookie, _ = r.sign_in(token['operator'])
    for at in range(0, n, 1000):
        fields = [x for i in range(at, at + 1000) for x in (f'{i:012x}', json.dumps({'id': f'{i:012x}', **record}))]
        subprocess.run([*redis, 'HSET', 'dureq:config:sessions', *fields], capture_output=True, timeout=60, check=True)

    def sent():
        out = subprocess.run([*redis, 'INFO', 'stats'], capture_output=True, text=True, timeout=30, check=True).stdout
        return int(re.search(r'total_net_output_bytes:(\d+)', out)[1])
    before, good = sent(), 0
    for _ in range(4):  # what is known of it is two seconds old at most
        good += r.send('GET', '/api/me', Cookie=pair(cookie))[0] == 200
        asked = time.monotonic()
        until(lambda: time.monotonic() > asked + 2.1)
    took = sent() - before
    r.expect('a session is good among 10,000 others', good == 4, good)
    r.expect('and is looked up alone', took < 1e6, f'{took} bytes')
    subprocess.run([*redis, 'DEL', 'dureq:config:sessions'], capture_output=True, timeout=60, check=True)


def proxies(r, token):
    """The daemon trusts 127.0.0.1 and 10.0.0.0/8."""
    operator = 'Bearer ' + token['operator']
    cookie, _ = r.sign_in(token['operator'], X_Forwarded_Proto='https')
    r.expect('behind a proxy with TLS the cookie is for TLS alone', cookie.startswith(f'__Host-dureq-{r.d.port}=') and 'Secure' in cookie, cookie)
    r.expect('it is good so', r.send('GET', '/api/me', Cookie=pair(cookie), X_Forwarded_Proto='https')[0] == 200)
    r.expect('and not in clear', r.send('GET', '/api/me', Cookie=pair(cookie))[0] == 401)
    r.expect('nor is it by its bare name', r.send('GET', '/api/me', Cookie=pair(cookie)[7:], X_Forwarded_Proto='https')[0] == 401)
    # By a Unix socket whoever may open it may do all, but not those for whom a proxy asks.
    r.expect('for itself', r.send('POST', '/api/queues/low/pause', unix=True)[0] == 200)
    for field in ('X-Forwarded-For', 'Forwarded', 'X-Real-IP'):
        status, _, value = r.send('POST', '/api/queues/low/resume', unix=True, **{field: '192.0.2.7'})
        r.expect(f'{field}: not for others', status == 401, (status, value))
    status, _, _ = r.send('POST', '/api/queues/low/resume', unix=True, X_Forwarded_For='192.0.2.7', Authorization=operator)
    r.expect('who have a token may', status == 200)


SECRET = 'a-secret-of-the-proxy'


def proxy_users(r, token):
    """The daemon has users that a proxy names, which proves itself by the socket or by a secret."""
    proof = {'X-Dureq-Proxy-Secret': SECRET}
    for unix, more in ((True, {}), (False, proof)):
        for user, role, payload in (('alice', 'admin', True), ('bob', 'operator', True), ('carol', 'viewer', False), ('dave', 'viewer', True)):
            status, _, me = r.send('GET', '/api/me', unix=unix, X_Forwarded_User=user, **more)
            r.expect(f'{user} is who the proxy says', status == 200 and me == {'name': user, 'role': role, 'payload': payload, 'by': 'proxy'}, me)
        r.expect('a viewer views', r.send('POST', '/api/queues/low/pause', unix=unix, X_Forwarded_User='carol', **more)[0] == 403)
        r.expect('a viewer sees no payload', r.send('GET', '/api/jobs?text=x', unix=unix, X_Forwarded_User='carol', **more)[0] == 403)
        r.expect('an operator acts', r.send('POST', '/api/queues/low/pause', unix=unix, X_Forwarded_User='bob', **more)[0] == 200)
        entry = r.send('GET', '/api/audit?limit=1', unix=unix, X_Forwarded_User='carol', **more)[2][0]
        r.expect('the audit names the user', (entry['actor'], entry['target']) == ('user:bob', 'low'), entry)
        r.expect('an operator is no admin', r.send('GET', '/api/tokens', unix=unix, X_Forwarded_User='bob', **more)[0] == 403)
        r.expect('an admin is', r.send('GET', '/api/tokens', unix=unix, X_Forwarded_User='alice', **more)[0] == 200)
        status, _, value = r.send('GET', '/api/stats', unix=unix, X_Forwarded_User='mallory', **more)
        r.expect('nobody else is let in', status == 403 and 'proxyUsers' in value['error'], (status, value))
        r.expect('a page elsewhere does nothing by it',
                 r.send('POST', '/api/queues/low/resume', unix=unix, X_Forwarded_User='alice', Sec_Fetch_Site='cross-site', **more)[0] == 403)
        status, _, me = r.send('GET', '/api/me', unix=unix, X_Forwarded_User='carol', Authorization='Bearer ' + token['operator'], **more)
        r.expect('a token that is sent counts', status == 200 and me['by'] == 'token', me)
        r.expect('and must be good', r.send('GET', '/api/me', unix=unix, X_Forwarded_User='alice', Authorization='Bearer x', **more)[0] == 401)
        status, _, value = r.send('POST', '/api/jobs', ' ' * 100000 + '{"task_type": "noop"}', unix=unix, X_Forwarded_User='bob', **more)
        r.expect('a large body is taken of a user', status == 201, (status, value))
    for fields in ({}, {'X-Dureq-Proxy-Secret': SECRET[:-1]}, {'X-Dureq-Proxy-Secret': ''}):
        status, _, value = r.send('GET', '/api/stats', X_Forwarded_User='alice', **fields)
        r.expect(f'{fields} is no proof', status == 403 and value['code'] == 'not_allowed', (status, value))
    r.expect('its proof alone lets nobody in', r.send('GET', '/api/stats', **proof)[0] == 401)
    r.expect('nor does the socket, when its proxy forgets to say who', r.send('GET', '/api/stats', unix=True)[0] == 401)
    r.expect('but a token does', r.send('GET', '/api/stats', unix=True, Authorization='Bearer ' + token['viewer'])[0] == 200)


def client_address(r):
    """With auth: local the audit has the address."""
    for given, actor in (('192.0.2.7', 'http:192.0.2.7'), ('evil, 198.51.100.9', 'http:198.51.100.9'), ('198.51.100.9:4711, 10.1.2.3', 'http:198.51.100.9'),
                         ('[2001:db8::1]:80', 'http:2001:db8::1'), ('10.9.9.9', 'http:10.9.9.9'), ('x', 'http:127.0.0.1'), ('', 'http:127.0.0.1')):
        r.send('POST', '/api/queues/low/pause', X_Forwarded_For=given)
        r.send('POST', '/api/queues/low/resume', X_Forwarded_For=given)
        got = r.send('GET', '/api/audit?limit=1')[2][0]['actor']
        r.expect(f'X-Forwarded-For {given!r}', got == actor, got)


def limited_items(r, v, shop, mail):
    """Jobs: of a queue (shop) and of a type (mail)."""
    def see(token, path):
        status, _, value = r.send('GET', path, Authorization=token)
        r.expect(f'{path} for a limited token', status == 200, (status, value))
        return value
    status, _, value = r.send('POST', '/api/jobs', {'task_type': 'nobody', 'queue': 'orders'}, Authorization=shop)
    r.expect('enqueues where it may', status == 201, value)
    own = value['id']
    for spec in ({'task_type': 'nobody'}, {'task_type': 'nobody', 'queue': 'normal'}, {'task_type': 'nobody', 'priority': 9}):
        status, _, value = r.send('POST', '/api/jobs', spec, Authorization=shop)
        r.expect(f'not {spec}', status == 403 and value['code'] == 'not_allowed', (status, value))
    several = [{'task_type': 'mail.a', 'delay': '1h'}, {'task_type': 'echo', 'delay': '1h'}, {'task_type': 'mail.b', 'delay': '1h'}]
    _, _, value = r.send('POST', '/api/jobs', several, Authorization=mail)
    r.expect('of several each by itself', [('id' in i, i.get('code')) for i in value] == [(True, None), (False, 'not_allowed'), (True, None)], value)
    mails = [value[0]['id'], value[2]['id']]
    seen = see(shop, '/api/jobs?limit=100')
    r.expect('sees its own jobs alone', [j['id'] for j in seen['data']] == [own] and seen['total'] == 1, seen)
    seen = see(mail, '/api/jobs?limit=1')
    more = see(mail, '/api/jobs?limit=1&cursor=' + seen['next_cursor'])
    r.expect('page by page', sorted([seen['data'][0]['id'], more['data'][0]['id']]) == sorted(mails), (seen, more))
    r.expect('a filter does not widen it', see(shop, '/api/jobs?queue=normal')['data'] == [] and see(mail, '/api/jobs?type=echo')['data'] == [])
    r.expect('nor is there a dead one', see(shop, '/api/dlq')['data'] == [] and see(mail, '/api/dlq/groups') == [])
    r.expect('nor one that runs', see(shop, '/api/runs') == [] and len(r.d.json('GET', '/api/stats')[1]) > 0)
    r.expect('sees its queue', [q['name'] for q in see(shop, '/api/queues')] == ['orders'])
    # By id, every route.
    for id_ in (v['later'], v['dead'], v['running'], v['schedule']):
        for method, path in (('GET', ''), ('GET', '/result'), ('GET', '/events'), ('GET', '/audit'), ('GET', '/runs'), ('GET', '/logs'), ('GET', '/steps'), ('GET', '/progress'),
                             ('POST', '/cancel'), ('POST', '/retry'), ('POST', '/run'), ('POST', '/pause'), ('DELETE', '')):
            status, _, value = r.send(method, f'/api/jobs/{id_}{path}', Authorization=shop)
            r.expect(f'{method} {path} of another job', status == 403 and 'limited' in value['error'], (status, value))
    # Bulk, item by item.
    _, _, value = r.send('POST', '/api/jobs/bulk/pause', {'ids': [v['later'], own, 'x', v['soon'], mails[0]]}, Authorization=shop)
    codes = {i['id']: i['code'] for i in value['refused']}
    r.expect('bulk does its own', value['affected'] == 1 and codes == {v['later']: 'not_allowed', 'x': 'invalid', v['soon']: 'not_allowed',
                                                                       mails[0]: 'not_allowed'}, value)
    _, _, value = r.send('POST', '/api/jobs/bulk/cancel?type=*', Authorization=mail)
    r.expect('bulk by a filter does its own', value.get('affected') == 2, value)
    _, _, value = r.send('POST', '/api/dlq/redrive?type=fail*', Authorization=mail)
    r.expect('so does redrive', value == {'affected': 0}, value)
    _, _, value = r.send('POST', '/api/audit/counts', {'ids': [own, v['later']]}, Authorization=shop)
    r.expect('counts are of its own', value == {own: 1}, value)
    # The others are as they were.
    states = {k: r.send('GET', '/api/jobs/' + v[k], Authorization=v['all'])[2]['status'] for k in ('later', 'dead', 'running', 'soon')}
    r.expect('nothing was done to others', states == {'later': 'scheduled', 'dead': 'dead', 'running': 'running', 'soon': 'scheduled'}, states)
    return own


def limited_waits(r, v, shop):
    """Whether it may wait is looked at before; what it may, it waits for without a thread."""
    began = time.monotonic()
    status, _, value = r.send('GET', f'/api/jobs/{v["later"]}/result?wait=25s', Authorization=shop)
    r.expect('does not wait for the job of another queue', status == 403 and time.monotonic() - began < 15, (status, value))
    own = r.send('POST', '/api/jobs', {'task_type': 'nobody', 'queue': 'orders', 'delay': '1h'}, Authorization=shop)[2]['id']
    n = 40  # more than there are threads
    with concurrent.futures.ThreadPoolExecutor(n) as pool:
        waits = [pool.submit(r.send, 'GET', f'/api/jobs/{own}/result?wait=25s', Authorization=shop) for _ in range(n)]
        r.expect('waits', until(lambda: f'dureq_http_requests_in_progress {n + 1}' in r.metrics(v['all'])), r.metrics(v['all'])[-500:])
        r.send('POST', f'/api/jobs/{own}/cancel', Authorization=shop)
        for got in [w.result() for w in waits]:
            r.expect('and is told of its end', got[0] == 200 and got[2]['status'] == 'cancelled', got)


def limited_others(r, v, shop, mail):
    for method, path, body in (('GET', '/api/schedules/' + v['schedule'], None), ('POST', f'/api/schedules/{v["schedule"]}/pause', None),
                               ('DELETE', '/api/schedules/' + v['schedule'], None), ('PUT', '/api/schedules/' + v['schedule'], v['spec']),
                               ('POST', '/api/schedules', v['spec']), ('PUT', '/api/schedules?key=k', {**v['spec'], 'task_type': 'mail.x'}),
                               ('POST', '/api/jobs', v['spec']), ('GET', '/api/unique-keys/order%2F7', None), ('DELETE', '/api/unique-keys/order%2F7', None),
                               ('GET', '/api/runs/' + v['run'], None), ('GET', '/api/audit', None), ('GET', '/api/audit?target=' + v['later'], None),
                               ('GET', '/api/stats/series', None), ('POST', '/api/queues/normal/pause', None), ('POST', '/api/queues/normal/purge', None)):
        for name, token in (('shop', shop), ('mail', mail)):
            if name == 'mail' and 'key=k' in path:
                continue
            status, _, value = r.send(method, path, body, Authorization=token)
            r.expect(f'{name}: {method} {path}', status == 403 and value['code'] == 'not_allowed', (status, value))
    r.expect('figures of what it may see', r.send('GET', '/api/stats/series?n=1&queue=orders', Authorization=shop)[0] == 200)
    r.expect('figures of its type', r.send('GET', '/api/stats/series?n=1&type=mail.*', Authorization=mail)[0] == 200)
    r.expect('not of a wider one', r.send('GET', '/api/stats/series?n=1&type=mail*', Authorization=mail)[0] == 403)
    r.expect('its queue is its own', r.send('POST', '/api/queues/orders/pause', Authorization=shop)[0] == 200)
    r.expect('and its audit', r.send('GET', '/api/audit?target=orders', Authorization=shop)[2][0]['actor'] == 'shop')
    r.expect('purges its type', r.send('POST', '/api/queues/normal/purge?type=mail.a', Authorization=mail)[0] == 200)
    status, _, value = r.send('PUT', '/api/schedules?key=taken', {**v['spec'], 'task_type': 'mail.x'}, Authorization=mail)
    r.expect('makes a schedule of its own', status == 201, value)
    r.expect('and sees it alone', [s['id'] for s in r.send('GET', '/api/schedules?limit=100', Authorization=mail)[2]['data']] == [value['id']])
    spec = {**v['spec'], 'queue': 'orders'}
    status, _, value = r.send('PUT', '/api/schedules?key=taken', spec, Authorization=shop)
    r.expect('does not take one by its key', status == 403, (status, value))


def limited_history(r, v, shop, mail):
    """Events, as they come and of before, and runs: of what the token may see."""
    streams = {token: Stream(r.d.port, token=token[7:]).live() for token in (shop, mail)}
    every = v['all']
    ids = {}
    for name, spec in (('other', {'task_type': 'echo'}), ('mail', {'task_type': 'mail.a', 'delay': '1h'}), ('shop', {'task_type': 'echo', 'queue': 'orders'})):
        status, _, value = r.send('POST', '/api/jobs', spec, Authorization=every)
        r.expect('is accepted', status == 201, value)
        ids[name] = value['id']
    for verb in ('pause', 'resume'):
        for queue in ('low', 'orders'):
            r.send('POST', f'/api/queues/{queue}/{verb}', Authorization=every)
    r.send('POST', f'/api/jobs/{ids["mail"]}/cancel', Authorization=every)
    seen = set()

    def is_all(m):
        seen.add((m['type'], m.get('job_id', m.get('queue'))))
        return {('queue.resumed', 'orders'), ('job.completed', ids['shop'])} <= seen
    told = streams[shop].until(is_all)
    r.expect('hears of its queue alone', {m['queue'] for m in told if m['type'] != 'stream.position'} == {'orders'}, told)
    told = [m for m in streams[mail].until(lambda m: m['type'] == 'job.cancelled') if m['type'].startswith('job.')]
    r.expect('hears of jobs of its type alone', {m['task_type'] for m in told} == {'mail.a'} and {m['job_id'] for m in told} == {ids['mail']}, told)
    for stream in streams.values():
        stream.close()
    socket_fields = {'Upgrade': 'websocket', 'Connection': 'Upgrade', 'Sec_WebSocket_Version': '13', 'Sec_WebSocket_Key': 'dGhlIHNhbXBsZSBub25jZQ=='}
    status, _, value = r.send('GET', '/api/ws?snapshot=counts', Authorization=shop, **socket_fields)
    r.expect('no snapshots of all', status == 403 and 'limited' in value['error'], (status, value))
    for token, fits in ((shop, lambda m: m['queue'] == 'orders'), (mail, lambda m: m.get('task_type', '').startswith('mail.') or m['type'].startswith('queue.'))):
        data = r.send('GET', '/api/history/events?limit=1000', Authorization=token)[2]['data']
        r.expect('events of before are its own', data and all(map(fits, data)), [m for m in data if not fits(m)])
    data = r.send('GET', '/api/history/events?limit=1000', Authorization=every)[2]['data']
    r.expect('there are others', {'node.joined', 'workflow.started'} & {m['type'] for m in data}, collections.Counter(m['type'] for m in data))
    runs = r.send('GET', '/api/history/runs?limit=100', Authorization=shop)[2]['data']
    queues = {r.send('GET', '/api/jobs/' + m['job_id'], Authorization=every)[2]['queue'] for m in runs}
    r.expect('runs of before are its own', ids['shop'] in {m['job_id'] for m in runs} and queues == {'orders'}, (runs, queues))
    r.expect('none is of its type', r.send('GET', '/api/history/runs', Authorization=mail)[2]['data'] == [])
    status, _, value = r.send('GET', '/api/history/runs?job_id=' + ids['other'], Authorization=shop)
    r.expect('nor of another job', status == 403 and 'limited' in value['error'], value)
    status, _, value = r.send('GET', '/api/history/runs?job_id=' + ids['shop'], Authorization=shop)
    r.expect('but of its own', [m['job_id'] for m in value['data']] == [ids['shop']], value)


def limited_operations(r, v, shop, mail):
    """An operation reaches as far as the token of who started it."""
    every = v['all']
    specs = [{'task_type': 'nobody', 'queue': queue, 'delay': '2h', 'tags': ['bulk']} for queue in ('orders', 'normal', 'orders')]
    ids = [i['id'] for i in r.send('POST', '/api/jobs', specs, Authorization=every)[2]]
    wanted = {'action': 'cancel', 'filter': {'tag': 'bulk'}}
    def look():
        value = r.send('POST', '/api/operations', {**wanted, 'dry_run': True}, Authorization=shop)[2]
        return value['matched'] == 2 and {j['queue'] for j in value['data']} == {'orders'}
    r.expect('a preview is of its own', until(look))  # it leaves out what came in its own millisecond
    status, _, started = r.send('POST', '/api/operations', wanted, Authorization=shop)
    r.expect('starts one', status == 202 and started['queues'] == ['orders'] and started['action'] == 'cancel', started)
    path = '/api/operations/' + started['id']
    r.expect('that ends', until(lambda: r.send('GET', path, Authorization=shop)[2]['status'] == 'completed'), r.send('GET', path, Authorization=shop))
    value = r.send('GET', path, Authorization=shop)[2]
    r.expect('having done its own', (value['affected'], value['refused']) == (2, 0), value)
    states = [r.send('GET', '/api/jobs/' + i, Authorization=every)[2]['status'] for i in ids]
    r.expect('and no other', states == ['cancelled', 'scheduled', 'cancelled'], states)
    kept = json.loads(subprocess.run(['redis-cli', '-s', r.d.dir.name + '/s/redis.sock', 'HGET', '{dureq:0}:op:' + started['id'], 'spec'], capture_output=True,
                                     text=True, timeout=30, check=True).stdout)
    r.expect('who knows of no limits finds no action in it', 'action' not in kept and kept['limited_action'] == 'cancel', kept)
    status, _, other = r.send('POST', '/api/operations', {'action': 'run', 'filter': {'tag': 'nothing'}}, Authorization=every)
    r.expect('another starts one', status == 202, other)
    listed = r.send('GET', '/api/operations?limit=100', Authorization=shop)[2]['data']
    r.expect('sees what it started alone', [o['id'] for o in listed] == [started['id']], listed)
    r.expect('who started none sees none', r.send('GET', '/api/operations', Authorization=mail)[2]['data'] == [])
    r.expect('others see all', {started['id'], other['id']} <= {o['id'] for o in r.send('GET', '/api/operations', Authorization=every)[2]['data']})
    for token, id_ in ((mail, started['id']), (shop, other['id'])):
        for method, more in (('GET', ''), ('POST', '/stop')):
            status, _, value = r.send(method, f'/api/operations/{id_}{more}', Authorization=token)
            r.expect(f'{method} of what another started', status == 403 and 'limited' in value['error'], (status, value))


def limited_routes(r, ops, shop):
    """A route that says nothing of limits is closed to who has some."""
    for key, op in ops.items():
        method, pattern = key.split(' ')
        path = re.sub(r'\{\w+\}', 'x', pattern)
        if op['x-limited'] != 'refused' or op['x-role'] == 'admin':
            continue
        body = '{}' if 'requestBody' in op else None
        status, _, value = r.send(method, path, body, Authorization=shop)
        r.expect(f'{key} is closed to a limited token', status == 403 and 'limited' in value['error'], (status, value))


def main():
    d = Daemon(sys.argv[1])
    v = seed(d)
    assert d.ask('PUT', '/api/queues/orders', {'weight': 1})[0] == 200
    d.stop(keep=True)
    d.start(['--trusted-proxies', '127.0.0.1,10.0.0.0/8'])
    r = Caller(d, sys.argv[2])
    try:
        client_address(r)
        d.stop(keep=True)
        d.start(['--auth', 'tokens', '--trusted-proxies', '127.0.0.1,10.0.0.0/8'])
        token = {role: r.make(role) for role in ('viewer', 'operator', 'admin')}
        v['all'] = 'Bearer ' + token['operator']
        cookies(r, token)
        refusals(r, token)
        endings(r, token)
        audit(r, token)
        two_daemons(r, token)
        many_sessions(r, token)
        proxies(r, token)
        shop = 'Bearer ' + r.dureqctl('token', 'create', '--role', 'operator', '--name', 'shop', '--queues', 'orders')[1]
        mail = 'Bearer ' + r.dureqctl('token', 'create', '--role', 'operator', '--name', 'mail', '--types', 'mail.*')[1]
        ops = {f'{m.upper()} {path}': op for path, item in r.send('GET', '/api/openapi.json')[2]['paths'].items() for m, op in item.items()}
        r.expect('what ran goes on', until(lambda: r.send('GET', '/api/runs', Authorization=v['all'])[2]))
        v['run'] = r.send('GET', '/api/runs', Authorization=v['all'])[2][0]['id']
        limited_routes(r, ops, shop)
        limited_items(r, v, shop, mail)
        limited_others(r, v, shop, mail)
        limited_waits(r, v, shop)
        limited_history(r, v, shop, mail)
        limited_operations(r, v, shop, mail)
        d.stop(keep=True)
        for more, why in ((['--proxy-users', 'alice=admin'], 'takes dureqd.auth: tokens'), (['--auth', 'tokens', '--proxy-users', 'alice=king'], "'alice=king'"),
                          (['--auth', 'tokens', '--proxy-users', 'alice=admin', '--proxy-secret', 'short'], 'at least 16 bytes')):
            got = subprocess.run([sys.argv[1], '--state-dir', d.dir.name + '/s', '--api-address', '127.0.0.1:0', *more], capture_output=True, text=True, timeout=60)
            r.expect(f'{more} does not start', got.returncode != 0 and why in got.stderr and 'short' not in got.stderr, (got.returncode, got.stderr))
        d.start(['--auth', 'tokens', '--proxy-users', 'alice=admin,bob=operator,carol=viewer,dave=viewer+payload', '--proxy-secret', SECRET])
        proxy_users(r, token)
    finally:
        d.stop()
    print(f'{r.n - len(r.faults)} passed, {len(r.faults)} failed')
    sys.exit(len(r.faults) > 0)


if __name__ == '__main__':
    main()
