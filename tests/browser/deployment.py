# SPDX-License-Identifier: Apache-2.0
"""A dureqd with a Redis of its own, in a fresh directory, and jobs in every state: what the browser tests look at."""
import json
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

START_S = 30
BIG = 9223372036854775807
HOSTILE = '<script>document.title="owned"</script><img src=x onerror=document.title="owned"><svg onload=document.title="owned">'
BIDI = 'evil\u202egnp.exe\u0007'
RTL = '\u202ecod.exe'
TAGGED = '<script>document.title="owned"</script>'


class Deployment:
    def __init__(self, dureqd, dureqctl, *settings):
        self.dureqctl = dureqctl
        self.state = pathlib.Path(tempfile.mkdtemp(prefix='dureq-browser-'))
        self.log = self.state / 'log'
        self.command = [dureqd, '--state-dir', self.state / 'state', '--insecure-state-dir', 'true', '--node-id', 'wk-a1', '--drain-timeout-ms', '100',
                        '--handler', 'file.sha256=exec:/usr/bin/sha256sum -- {payload}',
                        '--handler', 'invoice.render=exec:/bin/sh -c "echo render 48 lines >&2; echo pool exhausted, 32 of 32 >&2; exit 3"',
                        '--handler', 'mail.send=exec:/bin/sh -c "echo 550 mailbox unavailable >&2; exit 1"', *settings]
        self.process = None
        self.port = 0
        self.asks = 'tokens' in settings
        self.token = None
        self.start()

    def start(self):
        """The port stays the same when it is started again."""
        self.log.write_text('')
        with open(self.log, 'ab') as log:
            self.process = subprocess.Popen([*self.command, '--api-address', f'127.0.0.1:{self.port}'],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + START_S
        while time.monotonic() < end and self.process.poll() is None:
            found = re.search(r'api.listening.*address=127\.0\.0\.1:(\d+)', self.log.read_text(errors='replace'))
            if found:
                self.port = int(found.group(1))
                if self.asks and not self.token:
                    self.token = self.make_token('root', 'admin')
                self.wait_for(lambda: self.get('/api/stats').get('active_nodes') == 1, 'a node')
                return
            time.sleep(0.02)
        raise RuntimeError(f'dureqd did not start:\n{self.log.read_text(errors="replace")}')

    def stop(self, keep=False):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if not keep:
            shutil.rmtree(self.state, ignore_errors=True)

    @property
    def url(self):
        return f'http://127.0.0.1:{self.port}'

    def make_token(self, name, role, *more):
        return self.ctl('token', 'create', '--name', name, '--role', role, *more).split()[0]

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        fields = {**({'Content-Type': 'application/json'} if data else {}), **({'Authorization': f'Bearer {self.token}'} if self.token else {})}
        request = urllib.request.Request(self.url + path, data, fields, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as refused:
            raise RuntimeError(f'{method} {path}: {refused.code} {refused.read().decode()}') from refused

    def get(self, path):
        return self.call('GET', path)

    def ctl(self, *words, text=None):
        """What it says; text: what it reads."""
        told = subprocess.run([self.dureqctl, '--server', f'unix://{self.state}/state/redis.sock', *words], input=text, capture_output=True, text=True, check=False)
        if told.returncode:
            raise RuntimeError(f'dureqctl {words}: {told.stderr}')
        return told.stdout

    @staticmethod
    def wait_for(what, name, seconds=20):
        end = time.monotonic() + seconds
        while True:
            try:
                found = what()
            except OSError:
                found = None
            if found:
                return found
            if time.monotonic() > end:
                raise RuntimeError(f'waited {seconds} s for {name}')
            time.sleep(0.02)


def month_end():
    """A workflow that stays as it is: done up to a fan-out, then one task that retries in an hour, one that sleeps, and one that waits for both."""
    def task(name, *after, task_type='echo', **spec):
        return {'name': name, 'task_type': task_type, 'payload': {'task': name, 'n': BIG}, 'depends_on': list(after), **spec}

    render = [f'render-{i}' for i in range(12)]
    return {'name': 'month-end', 'input': {'period': '2027-02', 'n': BIG}, 'tasks': [
        task('collect'), task('rates', 'collect'), task('usage', 'collect'), task('discounts', 'collect'), task('check', 'rates', 'usage', 'discounts'),
        *(task(name, 'check') for name in render),
        task('post-ledger', *render, task_type='mail.send', retry_policy={'max_attempts': 5, 'initial_delay': '1h', 'max_delay': '2h'}),
        {'name': 'archive', 'task_type': 'sleep', 'payload': {'duration_ms': 3600000}, 'timeout': '2h', 'depends_on': ['check']},
        task('send', 'post-ledger', 'archive')]}


def chained(n, width=25):
    """A workflow of n tasks in layers that does not fold: each needs two of the layer before."""
    names = ['abcdefghijklmnopqrstuvwxyz'[i % 26] + '-' + 'abcdefghijklmnopqrstuvwxyz'[i // 26 % 26] + '-' + str(i) for i in range(n)]
    return {'name': f'{n} tasks', 'tasks': [{'name': name, 'task_type': 'echo', 'payload': i, 'depends_on': sorted({
        names[(i // width - 1) * width + (i * k) % width] for k in (1, 7)}) if i >= width else []} for i, name in enumerate(names)]}


def seed(server, many=6):
    """Jobs in every state; returns the ids of those that tests name."""
    def put(**spec):
        return server.call('POST', '/api/jobs', spec)['id']

    once = {'max_attempts': 1}
    server.call('PUT', '/api/queues/bulk', {'weight': 1})
    server.call('PUT', '/api/queues/media', {'weight': 2})
    server.call('POST', '/api/queues/bulk/pause')
    ids = {
        'big': put(task_type='echo', payload={'invoice_id': BIG, 'least': -9223372036854775808, 'amount': 1284.50, 'tenant': '4127',
                                              'lines': list(range(48)), 'delivery': {'channel': 'email', 'attach_pdf': True},
                                              'locale': 'de-DE', 'note': None}, tags=['billing', 'month-end'], request_id='bill-run-0312-8841'),
        'hostile': put(task_type='echo', payload={'html': HOSTILE, 'name': BIDI}, headers={'x-name': '<i>slanted</i>'}),
        'sleeping': put(task_type='sleep', payload={'duration_ms': 3600000}, timeout='2h'),
        'scheduled': put(task_type='echo', payload={'when': 'later'}, delay='3h'),
        'paused': put(task_type='echo', payload='held', delay='9h'),
        'cancelled': put(task_type='echo', payload='stopped', delay='9h'),
        'retrying': put(task_type='mail.send', payload={'to': 'billing@example.com'}, retry_policy={'max_attempts': 5, 'initial_delay': '1h', 'max_delay': '2h'}),
    }
    server.call('POST', f'/api/jobs/{ids["paused"]}/pause')
    server.call('POST', f'/api/jobs/{ids["cancelled"]}/cancel?reason=not%20needed')
    server.call('POST', '/api/jobs', [{'task_type': 'invoice.render', 'payload': {'tenant': str(4100 + i), 'period': '2027-02'},
                                       'retry_policy': once} for i in range(12)])
    server.call('POST', '/api/jobs', [{'task_type': 'fail-always', 'payload': {'n': i}, 'retry_policy': once} for i in range(5)])
    server.call('POST', '/api/jobs', [{'task_type': 'echo', 'payload': {'n': i}} for i in range(many)])
    server.call('POST', '/api/jobs', [{'task_type': 'echo', 'queue': 'bulk', 'payload': {'bulk': i}} for i in range(3)])
    ids['unhandled'] = put(task_type='image.resize', queue='media', payload={'w': 640})

    for spec in ({'type': 'CRON', 'cron_expr': '*/5 * * * *'}, {'type': 'DAILY', 'at_times': [{'hour': 2, 'minute': 30, 'second': 0}], 'timezone': 'America/New_York'},
                 {'type': 'DURATION', 'interval': '4h'}):
        server.call('POST', '/api/schedules', {'task_type': 'noop', 'schedule': spec})

    ids['flow'] = server.call('POST', '/api/workflows', month_end())['workflow_id']
    ids['flow done'] = server.call('POST', '/api/workflows', {'name': 'report', 'tasks': [
        {'name': 'fetch', 'task_type': 'echo', 'payload': {'n': BIG}}, {'name': 'parse', 'task_type': 'echo', 'depends_on': ['fetch'], 'result_from': 'fetch'}]})['workflow_id']
    ids['flow failed'] = server.call('POST', '/api/workflows', {'name': f'{TAGGED} {RTL}', 'input': {'html': HOSTILE, 'n': BIG}, 'tasks': [
        {'name': TAGGED, 'task_type': 'mail.send', 'retry_policy': once}, {'name': f'after {RTL}', 'task_type': 'echo', 'depends_on': [TAGGED]}]})['workflow_id']

    def settled():
        counts = server.get('/api/stats')['job_counts']
        flows = [server.get(f'/api/workflows/{ids[name]}')['status'] for name in ('flow', 'flow done', 'flow failed')]
        return (counts.get('dead', 0) >= 17 and counts.get('completed', 0) >= many + 2 and counts.get('retrying', 0) >= 2 and counts.get('running', 0) >= 2
                and flows == ['running', 'completed', 'failed'])
    server.wait_for(settled, 'the seed to settle')
    ids['dead'] = server.get('/api/dlq?type=invoice.render&limit=1')['data'][0]['id']
    return ids
