#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every route of a live dureqd, good and bad, against the OpenAPI document that it serves: test_openapi.py DUREQD

The schemas are closed, so a member that the document lacks is a fault as one that is missing is. Each answer is also tried with one member
renamed: then it must not fit any more. Ends with "N passed, N failed", one for each operation."""
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse

WAIT_S = 30


class Daemon:
    def __init__(self, program):
        self.program = program
        self.dir = tempfile.TemporaryDirectory(prefix='dureq-api-')
        self.socket = self.dir.name + '/api.sock'
        self.start([])

    def start(self, more):
        self.process = subprocess.Popen(
            [self.program, '--state-dir', self.dir.name + '/s', '--api-address', '127.0.0.1:0,unix:' + self.socket, '--node-id', 'n1', '--lease-ms',
             '1000', '--drain-timeout-ms', '100', *more], stderr=subprocess.PIPE, text=True, env={**os.environ, 'DUREQ_CONFIG_PATH': ''})
        said = []
        self.port = None
        for line in self.process.stderr:
            said.append(line)
            found = re.search(r'api\.listening address=127\.0\.0\.1:(\d+)', line)
            self.port = int(found[1]) if found else self.port
            if 'daemon.ready' in line:
                break
        if not self.port:
            sys.exit('dureqd did not start: ' + ''.join(said))

    def ask(self, method, path, body=None, content_type='application/json'):
        c = http.client.HTTPConnection('127.0.0.1', self.port, timeout=WAIT_S)
        data = body if body is None or isinstance(body, str) else json.dumps(body)
        c.request(method, path, data, {'Content-Type': content_type} if data is not None else {})
        r = c.getresponse()
        text = b'' if r.headers['Content-Type'] == 'text/event-stream' else r.read()  # that has no end
        c.close()
        return r.status, r.headers, text

    def json(self, method, path, body=None):
        status, _, text = self.ask(method, path, body)
        return status, json.loads(text)

    def until(self, path, fits):
        end = time.monotonic() + WAIT_S
        while True:
            status, value = self.json('GET', path)
            if status == 200 and fits(value):
                return value
            if time.monotonic() > end:
                sys.exit(f'{path} did not come to what was waited for: {value}')
            time.sleep(0.02)

    def stop(self, keep=False):
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=WAIT_S)
        if not keep:
            self.dir.cleanup()
        return self.process.returncode


class Schemas:
    def __init__(self, doc):
        self.all = doc['components']['schemas']

    def faults(self, schema, value, at='$'):
        """What of the value does not fit, as texts."""
        if '$ref' in schema:
            return self.faults(self.all[schema['$ref'].rsplit('/', 1)[1]], value, at)
        for word in ('oneOf', 'anyOf'):
            if word in schema:
                each = [self.faults(s, value, at) for s in schema[word]]
                n = sum(not f for f in each)
                good = n == 1 if word == 'oneOf' else n >= 1
                return [] if good else [f'{at}: fits {n} of {word}: {each}']
        return self.type_faults(schema, value, at)

    def type_faults(self, schema, value, at):
        kinds = {'string': str, 'integer': int, 'number': (int, float), 'boolean': bool, 'object': dict, 'array': list, 'null': type(None)}
        want = schema.get('type')
        if want and (not isinstance(value, kinds[want]) or (isinstance(value, bool) and want != 'boolean')):
            return [f'{at}: is no {want}: {value!r}']
        out = []
        if 'enum' in schema and value not in schema['enum']:
            out.append(f'{at}: {value!r} is none of {schema["enum"]}')
        if schema.get('format') == 'date-time' and not re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z', value):
            out.append(f'{at}: {value!r} is no time')
        if schema.get('format') == 'duration-text' and not re.fullmatch(r'-?(\d+(\.\d+)?(ns|us|ms|s|m|h))+', value):
            out.append(f'{at}: {value!r} is no duration')
        if want == 'array':
            for i, v in enumerate(value):
                out += self.faults(schema['items'], v, f'{at}[{i}]')
        if want == 'object':
            out += self.object_faults(schema, value, at)
        return out

    def object_faults(self, schema, value, at):
        known, more = schema.get('properties', {}), schema.get('additionalProperties')
        out = [f'{at}: {name} is missing' for name in schema.get('required', []) if name not in value]
        for name, v in value.items():
            if name in known:
                out += self.faults(known[name], v, f'{at}.{name}')
            elif more is False:
                out.append(f'{at}: {name} is not described')
            elif isinstance(more, dict):
                out += self.faults(more, v, f'{at}.{name}')
        return out


def first_object(value):
    if isinstance(value, list):
        return next((found for found in map(first_object, value) if found), None)
    return value if isinstance(value, dict) and value else None


def seed(d):
    """Jobs in every state; what paths are made of."""
    def add(**spec):
        status, r = d.json('POST', '/api/jobs', spec)
        assert status == 201, r
        return r['id']
    v = {'key': 'order/7', 'name': 'normal'}
    v['done'] = add(task_type='echo', payload={'a': 1}, tags=['x'], headers={'h': 'v'}, request_id='r1', timeout='1m', priority=5)
    v['dead'] = add(task_type='fail-always', payload='"x"', retry_policy={'max_attempts': 1})
    v['running'] = add(task_type='sleep', payload={'duration_ms': 60000})
    v['later'] = add(task_type='echo', payload=[1], delay='1h', unique_key=v['key'], retention='1h', dlq_after=2,
                     retry_policy={'max_attempts': 2, 'initial_delay': '1s', 'non_retryable_errors': ['no']})
    v['waiting'] = add(task_type='nobody', payload_base64='AAE=', content_type='application/octet-stream')
    v['paused'] = add(task_type='echo', delay='1h')
    v['soon'] = add(task_type='echo', delay='1h')
    v['dead_too'] = add(task_type='fail-always', payload=2, retry_policy={'max_attempts': 1})
    d.until(f'/api/jobs/{v["done"]}', lambda j: j['status'] == 'completed')
    d.until(f'/api/jobs/{v["dead"]}', lambda j: j['status'] == 'dead')
    d.until(f'/api/jobs/{v["running"]}', lambda j: j['status'] == 'running')
    made = d.json('POST', '/api/tokens', {'name': 'ci', 'role': 'operator'})[1]
    v['token'], v['token_text'] = made['id'], made['token']
    spec = {'task_type': 'echo', 'payload': 1, 'schedule': {'type': 'DURATION', 'interval': '1h'}}
    status, made = d.json('POST', '/api/schedules', spec)
    assert status == 201, made
    v['schedule'], v['spec'] = made['id'], spec
    v['flow'] = {'name': 'w', 'tasks': [{'name': 'a', 'task_type': 'nobody'}, {'name': 'b', 'task_type': 'nobody', 'depends_on': ['a']}]}
    status, made = d.json('POST', '/api/workflows', v['flow'])
    assert status == 201, made
    v['workflow'] = made['workflow_id']
    v['held_flow'] = d.json('POST', '/api/workflows', v['flow'])[1]['workflow_id']
    assert d.json('POST', f'/api/workflows/{v["held_flow"]}/suspend')[0] == 200
    v['bad_flow'] = d.json('POST', '/api/workflows', v['flow'])[1]['workflow_id']
    assert d.json('POST', f'/api/workflows/{v["bad_flow"]}/cancel')[0] == 200
    v['items'] = {'name': 'b', 'item_task_type': 'echo', 'onetime_task_type': 'echo', 'onetime_payload': 1, 'items': [{'id': 'a', 'payload': 1}]}
    status, made = d.json('POST', '/api/batches', v['items'])
    assert status == 201, made
    v['batch'] = made['batch_id']
    d.until(f'/api/batches/{v["batch"]}', lambda b: b['status'] == 'completed')
    v['open'] = d.json('POST', '/api/batches', {'name': 'o', 'item_task_type': 'nobody', 'open': True})[1]['batch_id']
    v['bad'] = d.json('POST', '/api/batches', {'name': 'f', 'item_task_type': 'nobody', 'items': [{}]})[1]['batch_id']
    assert d.json('POST', f'/api/batches/{v["bad"]}/cancel')[0] == 200
    counted = d.json('POST', '/api/batches', {'name': 'c', 'item_task_type': 'nobody', 'open': True})[1]['batch_id']
    for items in ([{}] * 1000, []):  # as many as go in one call, and none
        status, added = d.json('POST', f'/api/batches/{counted}/items', items)
        assert (status, added['total_items']) == (200, 1000), (status, added)
    assert d.json('POST', '/api/batches/' + ('1' if counted[0] == '0' else '0') + counted[1:] + '/items', [])[0] == 404
    assert d.json('POST', f'/api/batches/{counted}/cancel')[0] == 200
    v['run'] = d.until('/api/runs', lambda runs: len(runs) == 1)[0]['id']
    d.until(f'/api/jobs/{v["dead_too"]}', lambda j: j['status'] == 'dead')
    v['ended_run'] = v['dead_too'] + '.1'
    status, made = d.json('POST', '/api/operations', {'action': 'resume', 'filter': {'queue': 'low'}})
    assert status == 202, made
    v['operation'] = made['id']
    status, made = d.json('POST', '/api/operations', {'action': 'resume', 'filter': {'queue': 'high'}})
    v['stopped'] = made['id']
    return v


def good_calls(v):
    """Of each operation: path, query, body; several in their order. {id} and the like come from v."""
    far = {'delay': '2h'}
    jobs = {
        'GET /api/jobs/{id}': [(v[k], '', None) for k in ('done', 'dead', 'running', 'later', 'waiting')],
        'GET /api/jobs/{id}/result': [(v['done'], '', None), (v['dead'], 'wait=1s', None)],
        'GET /api/jobs/{id}/runs': [(v['done'], '', None), (v['dead'], '', None)],
        'GET /api/jobs/{id}/progress': [(v['running'], '', None), (v['later'], '', None)],
        'GET /api/jobs/{id}/logs': [(v['done'], '', None)],
        'GET /api/jobs/{id}/steps': [(v['done'], '', None)],
        'GET /api/jobs/{id}/events': [(v['done'], '', None)],
        'GET /api/jobs/{id}/audit': [(v['later'], '', None)],
        'PUT /api/jobs/{id}/payload': [(v['later'], '', {'payload': {'b': 2}})],
        'POST /api/jobs/{id}/reschedule': [(v['later'], '', far)],
        'POST /api/jobs/{id}/pause': [(v['paused'], '', None)],
        'POST /api/jobs/{id}/resume': [(v['paused'], '', None)],
        'POST /api/jobs/{id}/run': [(v['soon'], '', None)],
        'POST /api/jobs/{id}/cancel': [(v['waiting'], 'reason=enough', None)],
        'POST /api/jobs/{id}/retry': [(v['dead'], '', None)],
        'DELETE /api/jobs/{id}': [(v['done'], '', None)],
        'GET /api/runs/{id}': [(v['run'], '', None)],
        'GET /api/runs/{id}/progress': [(v['run'], '', None)],
        'POST /api/runs/{id}/requeue': [(v['ended_run'], '', None)],
        'GET /api/nodes/{id}': [('n1', '', None)],
        'GET /api/nodes/{id}/drain': [('n1', '', None)],
        'POST /api/nodes/{id}/drain': [('n1', '', None)],
        'DELETE /api/nodes/{id}/drain': [('n1', '', None)],
        'GET /api/queues/{name}': [('normal', '', None)],
        'PUT /api/queues/{name}': [('more', '', {'weight': 2, 'retention': '1h', 'max_len': None, 'retry_policy': {'max_attempts': 3}})],
        'POST /api/queues/{name}/pause': [('more', '', None)],
        'POST /api/queues/{name}/resume': [('more', '', None)],
        'POST /api/queues/{name}/purge': [('more', '', None)],
        'DELETE /api/queues/{name}': [('more', 'force=1', None)],
        'GET /api/schedules/{id}': [(v['schedule'], '', None)],
        'PUT /api/schedules/{id}': [(v['schedule'], '', {'task_type': 'echo', 'payload': 2})],
        'GET /api/schedules/{id}/preview': [(v['schedule'], 'n=3', None)],
        'POST /api/schedules/{id}/pause': [(v['schedule'], '', None)],
        'POST /api/schedules/{id}/resume': [(v['schedule'], '', None)],
        'POST /api/schedules/{id}/trigger': [(v['schedule'], '', None)],
        'POST /api/schedules/{id}/backfill': [(v['schedule'], 'from=2026-11-01T00:00:00Z&to=2026-11-01T02:00:00Z', None)],
        'DELETE /api/schedules/{id}': [(v['schedule'], '', None)],
        'GET /api/workflows/{id}': [(v['workflow'], '', None)],
        'GET /api/workflows/{id}/graph': [(v['workflow'], '', None)],
        'GET /api/workflows/{id}/tasks': [(v['workflow'], 'limit=5', None)],
        'POST /api/workflows/{id}/retry': [(v['bad_flow'], '', None)],
        'POST /api/workflows/{id}/suspend': [(v['workflow'], '', None)],
        'POST /api/workflows/{id}/resume': [(v['held_flow'], '', None)],
        'POST /api/workflows/{id}/cancel': [(v['workflow'], '', {'reason': 'enough'})],
        'GET /api/operations/{id}': [(v['operation'], '', None)],
        'GET /api/batches/{id}': [(v['batch'], '', None), (v['open'], '', None)],
        'GET /api/batches/{id}/items': [(v['batch'], 'limit=5', None)],
        'GET /api/batches/{id}/items/{item}': [(v['batch'], '', None)],
        'GET /api/batches/{id}/results': [(v['batch'], 'limit=5', None)],
        'GET /api/batches/{id}/results/{item}': [(v['batch'], '', None)],
        'POST /api/batches/{id}/items': [(v['open'], '', [{'payload': 2}])],
        'POST /api/batches/{id}/seal': [(v['open'], '', None)],
        'POST /api/batches/{id}/retry': [(v['bad'], '', {'retry_failed_only': True})],
        'POST /api/batches/{id}/cancel': [(v['open'], '', {'reason': 'enough'})],
        'DELETE /api/tokens/{id}': [(v['token'], '', None)],
        'GET /api/unique-keys/{key}': [(v['key'], '', None), ('none', '', None)],
        'DELETE /api/unique-keys/{key}': [(v['key'], '', None)],
    }
    plain = {
        'GET /api/jobs': ['limit=100', 'status=dead,completed&sort=oldest', 'limit=1&type=e*&payload=1'],
        'GET /api/dlq': ['limit=5'],
        'GET /api/dlq/groups': ['', 'by=type'],
        'GET /api/stats/daily': ['days=2'],
        'GET /api/stats/series': ['by=minute&n=5', 'by=day&queue=normal'],
        'GET /api/metrics/series': ['', 'metric=processed,wait_p95&step=5m&queue=normal&type=e*&from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z', 'step=24h'],
        'GET /api/audit': ['limit=5'],
        'GET /api/history/events': ['limit=100', 'limit=5&types=job.*', 'since=2026-01-01T00:00:00Z&until=2126-01-01T00:00:00Z'],
        'GET /api/events': ['', 'format=sse&types=job.*&queue=normal&type=e*'],
        'GET /api/workflows': ['limit=5'],
        'GET /api/batches': ['limit=5'],
        'GET /api/schedules': ['limit=5'],
        'GET /api/redis/info': ['', 'section=memory'],
        'GET /api/history/runs': ['limit=2', 'status=failed&task_type=fail-always'],
        'GET /api/operations': ['limit=5'],
    }
    bodies = {
        'POST /api/jobs': [{'task_type': 'echo', 'delay': '1h'}, [{'task_type': 'echo', 'delay': '1h'}, {'task_type': ''}]],
        'POST /api/schedules': [v['spec']],
        'POST /api/schedules/preview': [v['spec']['schedule']],
        'POST /api/workflows': [v['flow']],
        'POST /api/batches': [v['items']],
        'POST /api/workflows/validate': [v['flow'], {'name': 'w', 'tasks': []}],
        'POST /api/login': [{'token': v['token_text']}],
        'POST /api/tokens': [{'name': 'a', 'role': 'viewer', 'queues': ['q'], 'task_types': ['t.*', 'u']}, {'name': 'b', 'role': 'admin', 'expires_in': '1h', 'payload': True}],
        'POST /api/audit/counts': [{'ids': [v['later']]}],
        'POST /api/operations': [{'action': 'resume', 'dry_run': True}, {'action': 'resume', 'filter': {'type': 'none'}}],
    }
    for verb in ('cancel', 'retry', 'delete', 'run', 'pause', 'resume'):
        bodies[f'POST /api/jobs/bulk/{verb}'] = [{'ids': ['0' * 20, 'x']}]
    return jobs, plain, bodies


# What takes something away comes late, and what acts on all of a kind last.
LATE, LAST = ('cancel', 'retry', 'requeue', 'purge'), ('dlq/redrive', 'DELETE')


def order(op):
    return (any(word in op for word in LAST), any(word in op for word in LATE), not op.startswith('PUT'), op)


class Check:
    def __init__(self, d, doc, v):
        self.d, self.schemas, self.v = d, Schemas(doc), v
        self.jobs, self.plain, self.bodies = good_calls(v)
        self.faults = []

    def answer(self, what, op, status, text):
        if not text:
            return self.faults.append(f'{what}: no body')
        if status == 200 and 'text/plain' in op['responses']['200']['content']:
            return None  # test_metrics.py reads it
        value = json.loads(text)
        schema = op['responses'].get(str(status), op['responses']['default'])['content']['application/json']['schema']
        self.faults += [f'{what}: {status}: {f}' for f in self.schemas.faults(schema, value)]
        object_ = first_object(value)
        if status < 300 and object_ and schema.get('$ref', '').rsplit('/', 1)[1] not in ('Any', 'AuditCounts'):
            name = next(iter(object_))
            object_[name + '_renamed'] = object_.pop(name)
            if not self.schemas.faults(schema, value):
                self.faults.append(f'{what}: {name} can be renamed without being noticed')
        return None

    def call(self, key, op, path, query, body, wants_good):
        method = key.split(' ')[0]
        target = path + ('?' + query if query else '')
        status, headers, text = self.d.ask(method, target, body)
        if status == 200 and headers['Content-Type'] == 'text/event-stream' in op['responses']['200']['content']:
            return
        kind = next(iter(op['responses']['200']['content'])) if status == 200 else 'application/json'
        if headers['Content-Type'].split(';')[0] != kind:
            self.faults.append(f'{key}: Content-Type {headers["Content-Type"]}')
        if (status < 300) != wants_good or status >= 500:
            self.faults.append(f'{method} {target}: {status} {text[:300]!r}')
        self.answer(f'{method} {target}', op, status, text)

    def good(self, key, op):
        pattern = key.split(' ')[1]
        for value, query, body in self.jobs.get(key, []):
            pattern = pattern.replace('{item}', 'a')
            self.call(key, op, re.sub(r'\{\w+\}', urllib.parse.quote(value, safe=''), pattern), query, body, True)
        for query in self.plain.get(key, []):
            self.call(key, op, pattern, query, None, True)
        for body in self.bodies.get(key, []):
            self.call(key, op, pattern, '', body, True)
        if key == 'PUT /api/schedules':
            for _ in range(2):
                self.call(key, op, pattern, 'key=nightly', self.v['spec'], True)
            return
        if key == 'POST /api/operations/{id}/stop':  # test_operations.py stops one
            self.d.until(f'/api/operations/{self.v["stopped"]}', lambda o: o['status'] == 'completed')
            self.call(key, op, pattern.replace('{id}', self.v['stopped']), '', {'reason': 'enough'}, False)
            return
        if '{' in pattern and key not in self.jobs:
            self.faults.append(f'{key}: no good call is known to this test')
        if '{' not in pattern and key not in self.bodies:
            self.call(key, op, pattern, '', None, 'search' not in pattern and pattern != '/api/ws')  # which wants more than HTTP

    def bad(self, key, op):
        path = re.sub(r'\{\w+\}', 'x', key.split(' ')[1])
        self.call(key, op, path, 'colour=red', None, False)
        self.call(key, op, path, 'where=x', None, False)
        for p in op['parameters']:
            schema = p['schema']
            if p['in'] != 'query':
                continue
            if not p.get('description') and 'search' not in path:
                self.faults.append(f'{key}: parameter {p["name"]} has no description')
            values = [schema['minimum'] - 1, schema['maximum'] + 1, 'x'] if 'minimum' in schema else []
            values += ['x'] if 'enum' in schema or 'items' in schema or 'format' in schema else []
            for v in values:
                self.call(key, op, path, f'{p["name"]}={v}', None, False)
        if 'requestBody' in op:
            self.call(key, op, path, '', '{', False)
            self.call(key, op, path, '', {'colour': 'red'}, 'validate' in path)  # which says what is wrong with it
        if not op['summary']:
            self.faults.append(f'{key}: no text')


def main():
    d = Daemon(sys.argv[1])
    n_failed = n_passed = 0
    try:
        status, doc = d.json('GET', '/api/openapi.json')
        assert status == 200 and doc['openapi'] == '3.1.0'
        check = Check(d, doc, seed(d))
        ops = {f'{m.upper()} {path}': op for path, item in doc['paths'].items() for m, op in item.items()}
        ids = [op['operationId'] for op in ops.values()]
        assert len(ids) == len(set(ids)) and len(ids) > 50
        for key in sorted(ops, key=order):
            check.faults = []
            check.bad(key, ops[key])
            check.good(key, ops[key])
            print(f'[{"  FAILED  " if check.faults else "       OK "}] {key}')
            for f in check.faults:
                print('   ', f)
            n_failed += bool(check.faults)
            n_passed += not check.faults
    finally:
        code = d.stop()
    print(f'{n_passed} passed, {n_failed} failed')
    sys.exit(n_failed > 0 or code != 0)


if __name__ == '__main__':
    main()
