#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What programs written for the Go version of dureq read, of each of its routes that exist: test_ancestor.py DUREQD

A table of keys and JSON types. What may be absent there ends with '?'; of what is there a type must fit, and what must be there is. Routes that come with a
later version are listed, so that the table grows with them. Ends with "N passed, N failed"."""
import sys

from test_openapi import Daemon, seed

S, I, N, B, O, L, ANY = str, int, (int, float), bool, dict, list, object
POLICY = {'max_attempts': I, 'initial_delay': I, 'max_delay': I, 'multiplier': N, 'jitter': N, 'non_retryable_errors?': L,
          'pause_after_err_count?': I, 'pause_retry_delay?': I}
SCHEDULE = {'type': S, 'run_at?': S, 'interval?': S, 'cron_expr?': S, 'regular_interval?': I, 'at_times?': L, 'included_days?': L, 'starts_at?': S,
            'ends_at?': S, 'timezone?': S, 'overlap_policy?': S, 'catchup_window?': S, 'max_backfill_per_tick?': I, 'jitter?': S}
JOB = {'id': S, 'task_type': S, 'payload?': ANY, 'schedule?': SCHEDULE, 'retry_policy?': POLICY, 'status': S, 'attempt': I,
       'consecutive_errors?': I, 'last_error?': S, 'last_run_at?': S, 'next_run_at?': S, 'completed_at?': S, 'paused_at?': S, 'resume_at?': S, 'tags?': L,
       'headers?': O, 'unique_key?': S, 'dlq_after?': I, 'priority?': I, 'schedule_to_start_timeout?': S, 'heartbeat_timeout?': S, 'created_at': S,
       'updated_at': S}
RUN = {'id': S, 'job_id': S, 'node_id': S, 'status': S, 'attempt': I, 'error?': S, 'started_at?': S, 'finished_at?': S, 'duration?': I, 'progress?': ANY}
ENTRY = {'job_id': S, 'next_run_at?': S, 'schedule': SCHEDULE}
POOL = {'running_workers': I, 'idle_workers': I, 'max_concurrency': I}
NODE = {'node_id': S, 'task_types': L, 'started_at': S, 'last_heartbeat': S, 'pool_stats': POOL, 'active_run_ids?': L}
PROGRESS = {'run_id': S, 'status': S, 'progress?': ANY}
PAGE = {'total': I}


def page(of):
    return {'data': [of], **PAGE}


def table(v):
    return [
        ('GET', '/api/jobs', None, page(JOB)),
        ('GET', f'/api/jobs/{v["done"]}', None, JOB),
        ('GET', f'/api/jobs/{v["dead"]}', None, {**JOB, 'last_error': S}),
        ('GET', f'/api/jobs/{v["later"]}', None, {**JOB, 'next_run_at': S, 'unique_key': S, 'retry_policy': POLICY, 'schedule': SCHEDULE}),
        ('PUT', f'/api/jobs/{v["later"]}/payload', {'payload': 1}, {'status': 'updated', 'job_id': S}),
        ('GET', f'/api/jobs/{v["dead"]}/runs', None, [{**RUN, 'finished_at': S, 'duration': I}]),
        ('GET', f'/api/jobs/{v["running"]}/progress', None, [PROGRESS]),
        ('POST', '/api/audit/counts', {'ids': [v['later']]}, {v['later']: I}),
        ('GET', '/api/schedules', None, page({**ENTRY, 'next_run_at': S})),
        ('GET', f'/api/schedules/{v["schedule"]}', None, ENTRY),
        ('GET', '/api/nodes', None, [NODE]),
        ('GET', '/api/nodes/n1', None, NODE),
        ('GET', '/api/nodes/n1/drain', None, {'node_id': S, 'draining': B}),
        ('GET', '/api/runs', None, [RUN]),
        ('GET', f'/api/runs/{v["run"]}', None, RUN),
        ('GET', f'/api/runs/{v["run"]}/progress', None, PROGRESS),
        ('GET', '/api/history/runs', None, page({**RUN, 'started_at': S, 'finished_at': S, 'duration': I})),
        ('GET', f'/api/history/runs?job_id={v["dead"]}&status=failed', None, page(RUN)),
        ('GET', '/api/dlq', None, page(JOB)),
        ('GET', '/api/queues', None, [{'name': S, 'weight': I, 'paused': B, 'size': I}]),
        ('GET', '/api/stats', None, {'job_counts': {'pending?': I, 'running': I, 'completed': I, 'dead': I}, 'active_schedules': I, 'active_runs': I,
                                     'active_nodes': I}),
        ('GET', '/api/stats/daily', None, [{'date': S, 'processed': I, 'failed': I}]),
        ('GET', '/api/redis/info', None, {'mode': S, 'nodes': [{'addr': S, 'role': S, 'sections': O}]}),
        ('GET', '/api/sync-retries', None, {'pending': I, 'failed': I, 'recent': L}),
        ('GET', '/api/unique-keys/order%2F7', None, {'exists': B, 'job_id': S}),
        ('GET', '/api/health', None, {'status': 'ok'}),
        ('GET', '/api/workflows', None, {'data': [{'id': S, 'workflow_name': S, 'status': S, 'created_at': S}]}),
        ('GET', f'/api/workflows/{v["workflow"]}', None, {'id': S, 'workflow_name': S, 'status': S, 'tasks': O, 'created_at': S}),
        ('POST', '/api/workflows/validate', v['flow'], {'valid': B}),
        ('POST', f'/api/jobs/{v["paused"]}/cancel', None, {'status': 'cancelled', 'job_id': S}),
        ('POST', f'/api/jobs/{v["dead"]}/retry', None, {'status': 'retried', 'job_id': S}),
        ('POST', f'/api/runs/{v["ended_run"]}/requeue', None, {'status': 'requeued', 'run_id': S}),
        ('DELETE', f'/api/jobs/{v["done"]}', None, {'status': 'deleted', 'job_id': S}),
        ('POST', '/api/jobs/bulk/cancel', {'ids': [v['soon']]}, {'affected': I}),
        ('POST', '/api/jobs/bulk/retry', {'ids': [v['soon']]}, {'affected': I}),
        ('POST', '/api/jobs/bulk/delete', {'ids': [v['soon']]}, {'affected': I}),
        ('POST', '/api/nodes/n1/drain', None, {'status': 'draining', 'node_id': S}),
        ('DELETE', '/api/nodes/n1/drain', None, {'status': 'active', 'node_id': S}),
        ('POST', '/api/queues/low/pause', None, {'status': 'paused', 'queue': S}),
        ('POST', '/api/queues/low/resume', None, {'status': 'resumed', 'queue': S}),
        ('POST', f'/api/workflows/{v["workflow"]}/cancel', {}, {'status': 'cancelled', 'workflow_id': S}),
        ('DELETE', '/api/unique-keys/order%2F7', None, {'status': 'deleted'}),
    ]


def faults(want, got, at='$'):
    if isinstance(want, dict):
        if not isinstance(got, dict):
            return [f'{at}: no object: {got!r}']
        out = []
        for name, kind in want.items():
            bare = name.rstrip('?')
            if bare in got:
                out += faults(kind, got[bare], f'{at}.{bare}')
            elif bare == name:
                out.append(f'{at}: {name} is missing')
        return out
    if isinstance(want, list):
        if not isinstance(got, list) or not got:
            return [f'{at}: no list with something in it: {got!r}']
        return [f for i, one in enumerate(got) for f in faults(want[0], one, f'{at}[{i}]')]
    if isinstance(want, str):
        return [] if got == want else [f'{at}: {got!r} is not {want!r}']
    if want is ANY:
        return []
    good = isinstance(got, want) and (want is bool or not isinstance(got, bool))
    return [] if good else [f'{at}: {got!r} is of another type']


def main():
    d = Daemon(sys.argv[1])
    passed = failed = 0
    try:
        v = seed(d)
        for method, path, body, want in table(v):
            status, answer = d.json(method, path, body)
            found = faults(want, answer) if status < 300 else [f'{status}: {answer}']
            passed += not found
            failed += bool(found)
            if found:
                print(f'[  FAILED  ] {method} {path}')
                for f in found[:5]:
                    print('   ', f)
    finally:
        code = d.stop()
    print(f'{passed} passed, {failed} failed')
    sys.exit(failed > 0 or code != 0)


if __name__ == '__main__':
    main()
