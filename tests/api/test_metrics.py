#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""/metrics and the health routes of a live dureqd: test_metrics.py DUREQD SOURCE

Both formats are read strictly, values follow what was done, names are those of docs/metrics.md, and so are the names that the sample alerts and the dashboard
use. With promtool (Debian: prometheus) it checks both too. Ends with "N passed, N failed"."""
import http.client
import json
import math
import os
import re
import shutil
import subprocess
import sys
import time

from test_openapi import Daemon

SUFFIXES = {'counter': ('_total',), 'gauge': ('',), 'histogram': ('_bucket', '_sum', '_count')}
SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)')


class Checks:
    def __init__(self):
        self.passed = self.failed = 0

    def __call__(self, what, good, shown=''):
        self.passed += bool(good)
        self.failed += not good
        if not good:
            print(f'[  FAILED  ] {what}', shown if good is False else (good, shown))


def labels_of(text):
    out, at = {}, 0
    while text and at < len(text):
        m = LABEL.match(text, at)
        if not m or m[1] in out:
            raise ValueError(f'labels {text!r}')
        out[m[1]] = re.sub(r'\\(.)', lambda e: '\n' if e[1] == 'n' else e[1], m[2])
        at = m.end()
    return out


class Scrape:
    """The text as families and samples; raises ValueError where it is not as the format says."""
    def __init__(self, text, is_open):
        self.types, self.samples = {}, {}
        family = None
        lines = text.split('\n')
        if lines.pop() != '':
            raise ValueError('the last line does not end')
        if is_open and lines.pop() != '# EOF':
            raise ValueError('no EOF')
        for line in lines:
            if line.startswith('# HELP '):
                family = line.split(' ')[2]
                if family in self.types:
                    raise ValueError(f'{family} comes twice')
            elif line.startswith('# TYPE '):
                _, _, name, kind = line.split(' ')
                if name != family:
                    raise ValueError(line)
                self.types[name] = kind
            elif line.startswith('# UNIT ') and is_open:
                if not family.endswith('_' + line.split(' ')[3]):
                    raise ValueError(line)
            else:
                self.add(line, family, is_open)
        self.check_histograms()

    def add(self, line, family, is_open):
        m = SAMPLE.fullmatch(line)
        if not m:
            raise ValueError(line)
        kind = self.types[family]
        base = family[:-len('_total')] if kind == 'counter' and not is_open else family
        if m[1] not in [base + s for s in SUFFIXES[kind]]:
            raise ValueError(f'{m[1]} within {family}')
        key = (m[1], tuple(sorted(labels_of(m[2]).items())))
        if key in self.samples:
            raise ValueError(f'{line} comes twice')
        self.samples[key] = float(m[3])

    def check_histograms(self):
        for (name, labels), _ in list(self.samples.items()):
            if not name.endswith('_count'):
                continue
            own = dict(labels)
            buckets = sorted((float(dict(ls)['le']), v) for (n, ls), v in self.samples.items()
                             if n == name[:-6] + '_bucket' and {k: x for k, x in ls if k != 'le'} == own)
            if buckets[-1] != (math.inf, self.samples[(name, labels)]):
                raise ValueError(f'{name}{own}: the last bucket is not the count')
            if any(a[1] > b[1] for a, b in zip(buckets, buckets[1:])):
                raise ValueError(f'{name}{own}: buckets shrink')

    def value(self, name, **labels):
        return self.samples.get((name, tuple(sorted(labels.items()))))

    def names(self):
        return {n for n, _ in self.samples}


def get(d, path, headers=None):
    c = http.client.HTTPConnection('127.0.0.1', d.port, timeout=30)
    c.request('GET', path, headers=headers or {})
    r = c.getresponse()
    text = r.read().decode()
    c.close()
    return r.status, r.headers['Content-Type'], text


def scrape(d, is_open=False):
    status, kind, text = get(d, '/metrics', {'Accept': 'application/openmetrics-text; version=1.0.0,text/plain;q=0.5'} if is_open else {})
    assert status == 200, (status, text)
    assert kind.startswith('application/openmetrics-text' if is_open else 'text/plain; version=0.0.4'), kind
    return Scrape(text, is_open), text


def until(d, fits):
    end = time.monotonic() + 30
    while True:
        s, _ = scrape(d)
        if fits(s) or time.monotonic() > end:
            return s
        time.sleep(0.1)


def named(name):
    return {name, name + '_bucket', name + '_sum', name + '_count'}


def documented(source):
    """Names of the table, and those of the samples that they have."""
    out = {}
    for line in open(f'{source}/docs/metrics.md', encoding='utf-8'):
        cells = [c.strip() for c in line.split('|')]
        if len(cells) > 4 and cells[2] in SUFFIXES:
            for name in re.findall(r'`([a-z_]+)`', cells[1]):
                out[name] = cells[2]
    return out


def counts(check, d, before):
    job = {'task_type': 'echo', 'payload': 1}
    for _ in range(3):
        d.json('POST', '/api/jobs', job)
    d.json('POST', '/api/jobs', {'task_type': 'fail-always', 'queue': 'low', 'retry_policy': {'max_attempts': 1}})
    echo = {'queue': 'normal', 'task_type': 'echo'}
    dead = {'queue': 'low', 'task_type': 'fail-always'}
    s = until(d, lambda s: s.value('dureq_cluster_job_outcomes_total', outcome='completed', **echo) == 3 and
              s.value('dureq_cluster_job_outcomes_total', outcome='dead', **dead) == 1 and
              s.value('dureq_job_outcomes_total', outcome='dead', **dead) == 1)
    was = before.value('dureq_cluster_jobs_enqueued_total', **echo) or 0
    check('accepted jobs are counted', s.value('dureq_cluster_jobs_enqueued_total', **echo) == was + 3, s.samples)
    check('completed ones too', s.value('dureq_cluster_job_outcomes_total', outcome='completed', **echo) == 3)
    check('and dead ones', s.value('dureq_cluster_job_outcomes_total', outcome='dead', **dead) == 1)
    check('a death is no failed attempt of others', s.value('dureq_cluster_job_outcomes_total', outcome='dead', **echo) == 0)
    check('the process counts its own runs', s.value('dureq_job_outcomes_total', outcome='completed', **echo) == 3)
    check('runs have their times', s.value('dureq_job_run_seconds_count', **echo) == 3)
    check('in the deployment, too', s.value('dureq_cluster_job_run_seconds_count', **echo) == 3)
    check('and waits', s.value('dureq_cluster_job_wait_seconds_count', **echo) == 3)
    check('dead jobs are there', s.value('dureq_cluster_jobs', state='dead') == 1)
    check('a node is alive', s.value('dureq_cluster_nodes') == 1)
    check('answers are counted', s.value('dureq_http_responses_total', code='201') == 4)
    again, _ = scrape(d)
    check('what did not happen again is not counted again', again.value('dureq_cluster_job_outcomes_total', outcome='completed', **echo) == 3)
    return s


def queues(check, d):
    d.json('POST', '/api/queues/low/pause')
    d.json('POST', '/api/jobs', {'task_type': 'nobody', 'queue': 'high'})
    s = until(d, lambda s: s.value('dureq_cluster_queue_jobs', queue='high', state='pending') == 1)
    check('a queue tells what waits in it', s.value('dureq_cluster_queue_jobs', queue='high', state='pending') == 1)
    check('and that it is paused', s.value('dureq_cluster_queue_paused', queue='low') == 1)
    check('and when not', s.value('dureq_cluster_queue_paused', queue='high') == 0)
    aged = until(d, lambda s: s.value('dureq_cluster_queue_oldest_age_seconds', queue='high') > 0)
    check('its oldest job has an age', aged.value('dureq_cluster_queue_oldest_age_seconds', queue='high') > 0)
    check('no queue is left out', s.value('dureq_cluster_queue_jobs', queue='other', state='pending') is None)


def many(check, d):
    """More queues and types than have labels: sums stay whole, and series bounded."""
    for i in range(230):
        status, text = d.json('PUT', f'/api/queues/q{i}', {})
        assert status == 200, text
    jobs = [{'task_type': f't{i}', 'queue': f'q{i % 230}'} for i in range(450)]
    status, answer = d.json('POST', '/api/jobs', jobs)
    assert status == 200 and all('id' in a for a in answer), answer
    def accepted(s):
        return sum(v for (n, ls), v in s.samples.items() if n == 'dureq_cluster_jobs_enqueued_total' and
                   (dict(ls)['queue'] == 'other' or dict(ls)['queue'].startswith('q')))
    s = until(d, lambda s: accepted(s) == 450)
    pairs = {ls for (n, ls) in s.samples if n == 'dureq_cluster_jobs_enqueued_total'}
    check('every job is counted once', accepted(s) == 450, accepted(s))
    check('pairs are bounded', len(pairs) == 201, len(pairs))
    check('the rest is in others', s.value('dureq_cluster_jobs_enqueued_total', queue='other', task_type='other') >= 250)
    rows = {dict(ls)['queue'] for (n, ls) in s.samples if n == 'dureq_cluster_queue_jobs'}
    check('queues are bounded', len(rows) == 201 and 'other' in rows, len(rows))
    waiting = sum(v for (n, ls), v in s.samples.items() if n == 'dureq_cluster_queue_jobs' and dict(ls)['state'] == 'pending')
    check('what waits is whole', waiting == s.value('dureq_cluster_jobs', state='pending'), waiting)
    _, text = scrape(d)
    check('an answer is bounded', len(text) < 4 << 20, len(text))


def health(check, d):
    for path in ('/livez', '/readyz', '/healthz'):
        status, kind, text = get(d, path, {'Host': 'monitor.example'})
        check(f'{path} is open to anyone', status == 200 and kind == 'application/json' and json.loads(text)['status'] == 'ok', text)
    status, _, _ = get(d, '/metrics', {'Host': 'monitor.example'})
    check('/metrics is not, by another name', status == 421, status)


def used_names(text):
    words = re.findall(r'\b((?:dureq|process)_[a-z_]+)\b', text)
    return {w for w in words}


def samples_files(check, source, known):
    rules = f'{source}/packaging/prometheus/dureq.rules.yml'
    text = open(rules, encoding='utf-8').read()
    exprs = re.findall(r'expr: (?:\|\n((?:          .*\n)+)|(.*))', text)
    names = set().union(*(used_names(a or b) for a, b in exprs))
    check('there are alerts', len(exprs) > 8 and len(names) > 8, names)
    check('alerts use known names', names <= known, names - known)
    board = json.load(open(f'{source}/packaging/grafana/dureq.json', encoding='utf-8'))
    names = set()
    for panel in board['panels']:
        for target in panel['targets']:
            names |= used_names(target['expr'])
    check('the dashboard uses known names', len(names) > 8 and names <= known, names - known)
    ids = [p['id'] for p in board['panels']]
    check('its panels have their own numbers', len(ids) == len(set(ids)))
    try:
        import yaml
        loaded = yaml.safe_load(text)
        check('alerts are YAML', all(r['alert'] and r['expr'] and r['annotations']['summary'] for g in loaded['groups'] for r in g['rules']))
    except ImportError:
        print('[ SKIPPED  ] alerts as YAML: no PyYAML')
    return rules


def promtool(check, rules, text):
    tool = shutil.which('promtool')
    if not tool:
        print('[ SKIPPED  ] promtool is not there (Debian: prometheus)')
        return
    r = subprocess.run([tool, 'check', 'rules', rules], capture_output=True, text=True, timeout=60, check=False)
    check('promtool reads the rules', r.returncode == 0, r.stdout + r.stderr)
    r = subprocess.run([tool, 'check', 'metrics'], input=text, capture_output=True, text=True, timeout=60, check=False)
    check('promtool reads the metrics', r.returncode == 0, r.stdout + r.stderr)


def away(check, d):
    """Redis gone: the process still tells what it is."""
    pid = int(re.search(r'process_id:(\d+)', json.dumps(d.json('GET', '/api/redis/info?section=server')[1]).replace('"', '').replace(': ', ':'))[1])
    os.kill(pid, 19)
    try:
        began = time.monotonic()
        status, _, text = get(d, '/metrics')
        s = Scrape(text, False)
        check('without an answer of Redis the process tells its own', status == 200 and s.value('dureq_redis_up') == 0 and
              s.value('dureq_node_concurrency') > 0, text[:300])
        check('within the time of a scrape', time.monotonic() - began < 12, time.monotonic() - began)
        check('and nothing of the deployment', not any(n.startswith('dureq_cluster') for n in s.names()))
    finally:
        os.kill(pid, 18)


def main():
    check = Checks()
    source = sys.argv[2]
    d = Daemon(sys.argv[1])
    try:
        health(check, d)
        before, _ = scrape(d)
        check('counters begin with nothing', all(v == 0 for (n, _), v in before.samples.items() if n.startswith('dureq_cluster') and
                                                 n.endswith('_total')))
        s = counts(check, d, before)
        opened, _ = scrape(d, is_open=True)
        check('OpenMetrics has the same samples', opened.names() == s.names(), opened.names() ^ s.names())
        table = documented(source)
        known = set().union(*(named(n) if kind == 'histogram' else {n} for n, kind in table.items()))
        families = {n: kind for n, kind in s.types.items()}
        check('the table has every name', families == table, set(families.items()) ^ set(table.items()))
        queues(check, d)
        _, text = scrape(d)
        promtool(check, samples_files(check, source, known), text)
        many(check, d)
        away(check, d)
    finally:
        code = d.stop()
    check('it ends well', code == 0, code)
    print(f'{check.passed} passed, {check.failed} failed')
    sys.exit(check.failed > 0)


if __name__ == '__main__':
    main()
