#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""dureqctl over HTTP does what it does over Redis: test_ctl_http.py DUREQD DUREQCTL

Each command that reads is run against the server itself and against the API, over TCP and over a Unix socket, and must print the same; those that change
something are run over HTTP, and what they did is looked at. Ends with "N passed, N failed"."""
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from test_openapi import Daemon

READS = [
    ['job', 'list'], ['job', 'list', '--status', 'dead', '-o', 'json'], ['job', 'list', '--type', 'e*', '-o', 'csv'],
    ['job', 'get', '{done}'], ['job', 'get', '{done}', '-o', 'json'], ['job', 'get', '0' * 20], ['job', 'get', 'x'],
    ['job', 'result', '{done}'], ['job', 'watch', '{done}', '-o', 'csv'],
    ['dlq', 'list'], ['dlq', 'list', '--group', 'type'], ['queue', 'list'], ['queue', 'get', 'normal'], ['queue', 'get', 'nromal'],
    ['node', 'list'], ['run', 'list'], ['stats'], ['stats', '--days', '2'], ['stats', '--by', 'hour'],
    ['job', 'cancel', '--status', 'pending', '--dry-run'], ['complete-words', '--', 'queue', 'get', ''],
]
AGES = re.compile(r'\d{4}-\d\d-\d\dT[\d:.]+Z|\b(\d+(\.\d+)?(ns|us|ms|s|m|h)\b)+( ago)?|now')


class Ctl:
    def __init__(self, program, directory):
        self.program, self.dir, self.faults = program, pathlib.Path(directory), []
        self.env = {k: v for k, v in os.environ.items() if not k.startswith('DUREQ_')} | {'HOME': directory, 'XDG_CONFIG_HOME': ''}

    def run(self, server, args, stdin='', env=None):
        r = subprocess.run([self.program] + (['--server', server] if server else []) + args, env=self.env | (env or {}), input=stdin,
                           capture_output=True, text=True, timeout=60)
        return r.returncode, r.stdout, r.stderr

    def expect(self, what, good, got):
        print(f'[{"       OK " if good else "  FAILED  "}] {what}')
        if not good:
            print('   ', got)
            self.faults.append(what)

    def same(self, servers, args):
        for _ in range(2):  # once more: a minute, or an hour, may end between two looks
            each = [self.run(s, args) for s in servers]
            texts = {(code, AGES.sub('T', out), AGES.sub('T', err)) for code, out, err in each}
            if len(texts) == 1:
                break
        self.expect(f'the same of {" ".join(args)}', len(texts) == 1, each)


def agree(c, server, d):
    """What dureqctl shows of minutes is what /api/metrics/series tells of them; hours are sums of minutes."""
    counts = ('enqueued', 'processed', 'failed', 'dead', 'cancelled')
    end = time.monotonic() + 30
    while True:
        code, out, err = c.run(server, ['stats', '--by', 'minute', '--last', '30', '-o', 'json'])
        rows = {r['at']: r for r in json.loads(out)} if code == 0 else {}
        told = {r['at']: r for r in d.json('GET', '/api/metrics/series?step=1m')[1]['data']}
        both = [(rows[at], told[at]) for at in rows if at in told]
        good = len(both) >= 29 and len(told) == 60 and sum(a['processed'] for a, _ in both) > 0 and all(
            all(a[k] == b[k] for k in (*counts, 'failure_ratio')) and (a['run_ms'] or {}).get('p95') == b['run_p95'] and (a['wait_ms'] or {}).get('p50') == b['wait_p50']
            for a, b in both)
        hour = time.strftime('%Y-%m-%dT%H:00:00Z', time.gmtime(time.time() - 3600))
        sums = [{k: sum(r[k] for r in d.json('GET', f'/api/metrics/series?step={step}&from={hour}')[1]['data']) for k in counts} for step in ('1m', '5m', '1h')]
        good = good and sums[0] == sums[1] == sums[2]
        if good or time.monotonic() > end:  # something may have ended between two looks
            break
    c.expect('stats and the series for charts agree', good, (code, err, both[-2:], sums))
    for query, part in (('metric=x', 'metric'), ('step=90s', 'step'), ('step=1m&from=2026-01-01T00:00:00Z', 'at most 1440'), ('from=2126-01-01T00:00:00Z', 'from'),
                        ('queue=none', 'queue'), ('metric=', 'metric')):
        status, value = d.json('GET', '/api/metrics/series?' + query)
        c.expect(f'{query} is refused', status in (400, 404) and part in value['error'], (status, value))
    status, value = d.json('GET', '/api/metrics/series?metric=dead&step=24h&from=2026-01-01T00:00:00Z')
    c.expect('days, of one figure', status == 200 and set(value['data'][-1]) == {'at', 'dead'} and value['data'][0]['at'] == '2026-01-01T00:00:00.000Z', value)


def changes(c, http, d):
    code, out, _ = c.run(http, ['enqueue', 'echo', '{"big": 9007199254740993}', '--wait'])
    c.expect('enqueue --wait prints the result byte for byte', code == 0 and '9007199254740993' in out, (code, out))
    code, out, _ = c.run(http, ['enqueue', 'later', '--text', '{no json', '--delay', '1h', '--unique-key', 'k', '--tag', 'a', '--header', 'h=v',
                                '--max-attempts', '7', '--retention', '1h', '-q'])
    job = d.json('GET', f'/api/jobs/{out.strip()}')[1]
    c.expect('enqueue carries its options', code == 0 and (job['payload'], job['tags'], job['headers'], job['unique_key'], job['retry_policy']
             ['max_attempts'], job['status']) == ('{no json', ['a'], {'h': 'v'}, 'k', 7, 'scheduled'), job)
    code, _, err = c.run(http, ['enqueue', 'later', '--unique-key', 'k'])
    c.expect('a held key has its exit code', code == 5 and job['id'] in err, (code, err))
    code, _, err = c.run(http, ['enqueue', 'later', '--queue', 'nromal'])
    c.expect('a queue that is not there is told with the nearest', code != 0 and "did you mean 'normal'" in err, (code, err))
    lines = ''.join(f'line {i}\n' for i in range(1000))
    code, out, err = c.run(http, ['enqueue', 'many', '--lines', '-'], lines)
    c.expect('enqueue --lines', code == 0 and '1000 jobs accepted, 0 refused' in out, (code, out, err))
    spec = json.dumps({'task_type': 'spec', 'payload': 1, 'delay': '2h', 'retry_policy': {'multiplier': 3, 'jitter': 0, 'non_retryable_errors': ['x']}})
    code, out, _ = c.run(http, ['enqueue', '--ndjson', '-', '-o', 'json'], spec + '\n{"task_type": ""}\n')
    rows = json.loads(out)
    policy = d.json('GET', f'/api/jobs/{rows[0]["id"]}')[1]['retry_policy']
    c.expect('enqueue --ndjson', 'code' in rows[1] and (policy['multiplier'], policy['jitter'], policy['non_retryable_errors']) == (3, 0, ['x']), rows)
    code, _, _ = c.run(http, ['job', 'cancel', job['id']])
    c.expect('job cancel', code == 0 and d.json('GET', f'/api/jobs/{job["id"]}')[1]['status'] == 'cancelled', code)
    code, _, err = c.run(http, ['job', 'pause', job['id']])
    c.expect('a wrong state has its exit code', code == 4, (code, err))
    code, out, err = c.run(http, ['job', 'cancel', '--type', 'many', '--yes'])
    c.expect('job cancel by filter', code == 0 and '1000' in out + err, (code, out, err))
    code, _, _ = c.run(http, ['queue', 'pause', 'low'])
    c.expect('queue pause', code == 0 and d.json('GET', '/api/queues/low')[1]['paused'] is True, code)


def refusals(c, http):
    code, _, err = c.run(http, ['doctor'])
    c.expect('doctor is refused by name', code == 2 and 'doctor looks at Redis itself' in err, (code, err))
    code, _, err = c.run(http, ['bench'])
    c.expect('bench is refused by name', code == 2 and 'bench measures Redis itself' in err, (code, err))
    code, _, err = c.run('http://127.0.0.1:1', ['stats'])
    c.expect('a server that is away has its exit code', code == 6 and 'http://127.0.0.1:1: ' in err, (code, err))
    for url in ('http://', 'http://a@b:1', 'http+unix://'):
        code, _, err = c.run(url, ['stats'])
        c.expect(f'{url} is no address', code == 2, (code, err))


class Slow(BaseHTTPRequestHandler):
    """A server that takes long: what is asked for goes on as an operation, which has ended at the second look."""
    protocol_version = 'HTTP/1.1'
    end, looks = 'completed', 0

    def answer(self, status):
        Slow.looks += status == 200
        state = Slow.end if Slow.looks > 1 else 'running'
        body = json.dumps({'id': 'op1', 'action': 'cancel', 'status': state, 'affected': 300 if Slow.looks > 1 else 7, 'affected_before': 4000}).encode()
        self.send_response(status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.rfile.read(int(self.headers.get('Content-Length', 0)))
        self.answer(202)

    def do_GET(self):
        self.answer(200 if self.path == '/api/operations/op1' else 404)

    def log_message(self, *_):
        pass


def goes_on(c):
    with ThreadingHTTPServer(('127.0.0.1', 0), Slow) as s:
        threading.Thread(target=s.serve_forever, daemon=True).start()
        url = f'http://127.0.0.1:{s.server_port}'
        code, out, err = c.run(url, ['job', 'cancel', '--type', 'many', '--yes'])
        c.expect('what goes on as an operation is waited for', code == 0 and Slow.looks == 2 and 'cancelled 4300 jobs' in out + err, (code, out, err))
        Slow.end, Slow.looks = 'stopped', 0
        code, out, err = c.run(url, ['job', 'cancel', '--type', 'many', '--yes'])
        c.expect('one that is stopped is told', code != 0 and 'after 4300 jobs' in err, (code, out, err))
        s.shutdown()


def contexts(c, http, redis):
    _, token, _ = c.run(redis, ['token', 'create', '--role', 'viewer', '--name', 'here'])
    path = c.dir / '.config/dureq/contexts.json'
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({'current': 'here', 'contexts': {'here': {'server': http, 'token': token.strip()}, 'away': {'server': 'http://127.0.0.1:1'}}}))
    path.chmod(0o644)
    code, _, err = c.run(None, ['stats'])
    c.expect('a token that others may read is refused', code == 7 and 'chmod 600' in err, (code, err))
    path.chmod(0o600)
    code, out, _ = c.run(None, ['stats', '-o', 'json'])
    c.expect('the current context is used', code == 0 and 'job_counts' in out, (code, out))
    code, _, err = c.run(None, ['queue', 'pause', 'low'])
    c.expect('its token is sent', code == 7 and 'role of an operator' in err, (code, err))
    code, _, err = c.run(None, ['--context', 'away', 'stats'])
    c.expect('a context is named', code == 6, (code, err))
    code, _, err = c.run(None, ['stats'], env={'DUREQ_CONTEXT': 'nowhere'})
    c.expect('a context that is not there is told', code == 2 and "no context 'nowhere'" in err, (code, err))


def main():
    d = Daemon(sys.argv[1])
    c = Ctl(sys.argv[2], d.dir.name)
    http, redis = f'http://127.0.0.1:{d.port}', f'unix://{d.dir.name}/s/redis.sock'
    try:
        done = d.json('POST', '/api/jobs', {'task_type': 'echo', 'payload': {'a': 1}, 'tags': ['x']})[1]['id']
        dead = d.json('POST', '/api/jobs', {'task_type': 'fail-always', 'payload': 1, 'retry_policy': {'max_attempts': 1}})[1]['id']
        for job in (done, dead):
            d.until(f'/api/jobs/{job}', lambda j: j['status'] in ('completed', 'dead'))
        for args in READS:
            c.same([redis, http, f'http+unix://{d.socket}'], [a.format(done=done) for a in args])
        agree(c, redis, d)
        changes(c, http, d)
        refusals(c, http)
        goes_on(c)
        contexts(c, http, redis)
    finally:
        d.stop()
    print(f'{len(READS)} commands compared, {len(c.faults)} failed')
    sys.exit(len(c.faults) > 0)


if __name__ == '__main__':
    main()
