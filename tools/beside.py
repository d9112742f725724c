#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does this tree go on where a commit left off, and work beside it?      make beside REV=main

Builds dureqd and dureqctl of REV, in a worktree under build/beside, and of this tree, and puts both to work on one Redis, in a prefix of one shard
and in one of four:

1. Jobs in every state, made by the old programs; the old node is killed. The new ones must read each as the old ones did, and bring it to its end.
2. Both nodes run, and jobs come from both sides: each ends once, a unique key has one holder, each side cancels jobs of the other. Then each node is killed
   under load, and what it ran ends on the other one.
3. What an old node does not know (workflows, schedules) is refused by its name while it lives, or works beside it. Once something needs a newer version, a
   program that is too old is refused, and is told which version it needs.

`dureqctl doctor` of the new side must find no fault after each. Prints a line for each thing checked. Exit status: 0; 1 when something was not so; 2 when
it could not be tried."""
import functools
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.dont_write_bytecode = True
# pylint: disable=wrong-import-position
import commits
import measured
from commits import Failed

PLACE = measured.ROOT / 'build/beside'
BUILD = ('build/beside', [], ['dureqd/dureqd', 'dureqctl/dureqctl'])
WAIT_S, CALL_S = 60, 60
LEASE_MS = '500'
REFUSED, NONE, WRONG = 5, 3, 1 # exit codes of dureqctl
ENDED = ('completed', 'dead', 'cancelled')
tell = functools.partial(commits.tell, 'beside')

# Each line of the ledger is one write: a run began, or its program came to its end.
HANDLER = '''#!/bin/sh
dir=${0%/*}
say() { echo "$1 $DUREQ_JOB_ID $DUREQ_NODE_ID" >>"$dir/ledger"; }
say began
case $DUREQ_TASK_TYPE in
*.ok) echo "log of $DUREQ_JOB_ID" >&2 ;;
*.fail) [ -e "$dir/mended" ] || { echo 'no such thing' >&2; exit 65; } ;;
*.retry) [ "$DUREQ_ATTEMPT" -gt 1 ] || exit 75 ;;
*.gate) while [ ! -e "$dir/gate" ]; do sleep 0.05; done ;;
*.slow) sleep 0.05 ;;
esac
say ended
printf '{"of": "%s"}' "$DUREQ_JOB_ID"
'''


def until(what, fits):
    end = time.monotonic() + WAIT_S
    while True:
        found = fits()
        if found:
            return found
        if time.monotonic() > end:
            raise Failed(f'waited {WAIT_S} s for: {what}')
        time.sleep(0.05)


# ---- what runs ----

class Server:
    """A Redis of its own, on a Unix socket."""

    def __init__(self, folder):
        self.url = f'unix://{folder}/redis.sock'
        program = os.environ.get('DUREQ_TEST_REDIS') or 'redis-server'
        self.process = subprocess.Popen([program, '--port', '0', '--unixsocket', f'{folder}/redis.sock', '--dir', str(folder), '--save', '', '--appendonly',
                                         'no', '--maxmemory-policy', 'noeviction'], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        until('a Redis', (folder / 'redis.sock').exists)

    def stop(self):
        self.process.kill()
        self.process.wait()


class Side:
    """The programs of one commit, on one prefix at a time."""

    def __init__(self, name, label, dureqd, dureqctl, folder, server):
        self.name, self.label, self.dureqd, self.dureqctl, self.folder, self.server = name, label, str(dureqd), str(dureqctl), folder, server
        self.env = {k: v for k, v in os.environ.items() if not k.startswith('DUREQ_')}
        listed = subprocess.run([self.dureqd, '--help'], capture_output=True, text=True, check=True, env=self.env).stdout
        self.options = ['--api-address', 'off'] if '--api-address' in listed else []
        self.prefix = self.shards = self.node = None

    def call(self, *words, text=''):
        """Exit code, what it printed, and what it said."""
        done = subprocess.run([self.dureqctl, '--server', self.server.url, '--prefix', self.prefix, *words], input=text, capture_output=True, text=True,
                              check=False, env=self.env, timeout=CALL_S)
        return done.returncode, done.stdout.strip(), done.stderr.strip()

    def ctl(self, *words, text=''):
        code, out, err = self.call(*words, text=text)
        if code:
            raise Failed(f'{self.name} dureqctl {" ".join(words)}: exit {code}: {err}')
        return out

    def job(self, id_):
        return json.loads(self.ctl('job', 'get', id_, '-o', 'json'))

    def holds(self, key):
        code, _, err = self.call('key', 'get', key)
        if code not in (0, NONE):
            raise Failed(f'{self.name} dureqctl key get: exit {code}: {err}')
        return code == 0

    def status(self, id_):
        return self.job(id_)['status']

    def lines(self, task_type, n, *more):
        """n jobs in one call; their ids."""
        out = self.ctl('enqueue', task_type, '--lines', '-', '-o', 'ndjson', *more, text=''.join(f'{i}\n' for i in range(n)))
        return [json.loads(line)['id'] for line in out.splitlines()]

    def spawn(self):
        words = ['--redis-url', self.server.url, '--prefix', self.prefix, '--shards', str(self.shards), '--node-id', self.name, '--lease-ms', LEASE_MS,
                 '--drain-timeout-ms', '10000', '--concurrency', '16', '--handler', f'work.*=exec:{self.folder}/handler', *self.options]
        with open(self.log(), 'ab') as log:
            return subprocess.Popen([self.dureqd, *words], stdout=log, stderr=log, env=self.env)

    def log(self):
        return self.folder / f'{self.prefix}-{self.name}.log'

    def said(self):
        path = self.log()
        return path.read_text(errors='replace') if path.exists() else ''

    def start(self):
        n = self.said().count('daemon.ready')
        self.node = self.spawn()
        until(f'the {self.name} node', lambda: self.said().count('daemon.ready') > n or self.node.poll() is not None)
        if self.node.poll() is not None:
            raise Failed(f'the {self.name} node did not start: {self.said()[-1000:]}')

    def end(self, sig=signal.SIGTERM):
        if self.node:
            self.node.send_signal(sig)
            self.node.wait(timeout=WAIT_S)
        self.node = None


class Trial:
    """One prefix: what was enqueued, and what was found."""

    def __init__(self, old, new, prefix, shards, folder):
        self.old, self.new, self.folder, self.faults, self.jobs, self.reruns = old, new, folder, [], [], 0
        for side in (old, new):
            side.prefix, side.shards = prefix, shards
        self.name = f'{prefix} ({shards} shard{"s" if shards > 1 else ""})'

    def expect(self, what, good, got=''):
        print(f'{"ok    " if good else "FAILED"} {self.name}: {what}{"" if good else f": {got}"}', flush=True)
        if not good:
            self.faults.append(what)

    def add(self, side, *words, text=''):
        id_ = side.ctl('enqueue', *words, text=text)
        self.jobs.append(id_)
        return id_

    def add_lines(self, side, *words):
        ids = side.lines(*words)
        self.jobs += ids
        return ids

    def ledger(self):
        path = self.folder / 'ledger'
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def began(self, id_):
        return any(word == 'began' and job == id_ for word, job, _ in self.ledger())

    def all(self):
        """Every job that there is, as the new side lists it."""
        out, cursor = [], []
        while True:
            page = json.loads(self.new.ctl('job', 'list', '--limit', '1000', *cursor, '-o', 'json'))
            out += page['data']
            if not page.get('next_cursor'):
                return {job['id']: job for job in out}
            cursor = ['--cursor', page['next_cursor']]

    def wait_ended(self, ids):
        def ended():
            jobs = self.all()
            return all(jobs.get(id_, {}).get('status') in ENDED for id_ in ids) and jobs
        return until(f'the end of {len(ids)} jobs', ended)

    def doctor(self, when):
        code, out, err = self.new.call('doctor')
        self.expect(f'the doctor finds no fault {when}', code == 0, f'{out[-600:]} {err}')

    def counts(self, when):
        """Each end is counted in the step that ends the job: as many as jobs, so none ended twice."""
        days = json.loads(self.new.ctl('stats', '--days', '2', '-o', 'json'))
        days = days.get('data', days) if isinstance(days, dict) else days
        total = {word: sum(day[word] for day in days) for word in ('enqueued', 'processed', 'dead', 'cancelled')}
        jobs = self.all()
        self.expect(f'all {len(self.jobs)} jobs are there {when}', set(self.jobs) <= set(jobs), len(set(self.jobs) - set(jobs)))
        left = [job['id'] for job in jobs.values() if job['status'] not in ENDED]
        self.expect(f'all have ended {when}', not left, left[:3])
        self.expect(f'as many ends as jobs {when}', total['enqueued'] == len(jobs) and sum(total[w] for w in ('processed', 'dead', 'cancelled')) ==
                    len(jobs) + self.reruns, f'{total}, {len(jobs)} jobs, {self.reruns} run again by hand')


# ---- 1: what the old ones left ----

def seed(t):
    """A job in every state: {name: (id, its state)}; which is none where it may change by itself."""
    old, at = t.old, {}

    def add(name, status, *words, text=''):
        at[name] = (t.add(old, *words, text=text), status)
        return at[name][0]

    old.start()
    old.ctl('queue', 'set', 'bulk', '--weight', '2', '--max-len', '100000', '--retention', '2h')
    old.ctl('queue', 'pause', 'bulk')
    done = add('completed', 'completed', 'work.ok', '{"a": [1, 2]}', '--tag', 'x', '--header', 'h=v', '--unique-key', 'kept', '--unique-for', '1h', '--request-id', 'r1',
               '--retention', '3h')
    dead = add('dead', 'dead', 'work.fail', '"payload"', '--unique-key', 'of the dead')
    add('dead, large', 'dead', 'work.fail', '-', text='x' * 100000)
    tried = add('retrying', 'retrying', 'work.retry', '--max-attempts', '3', '--initial-delay', '1h')
    running = add('running', None, 'work.gate', '--unique-key', 'of the running')
    gone = add('cancelled', 'cancelled', 'noop', '--delay', '1h', '--unique-key', 'of the cancelled')
    old.ctl('job', 'cancel', gone, '--reason', 'not wanted')
    add('scheduled', 'scheduled', 'work.ok', '--delay', '1h', '--unique-key', 'later', '--priority', '9')
    held = add('paused', 'paused', 'work.ok', '--delay', '1h')
    old.ctl('job', 'pause', held)
    add('pending', 'pending', 'work.ok', '1', '--queue', 'bulk', '--unique-key', 'waits', '--schedule-to-start-timeout', '1h')
    add('pending, large', 'pending', 'work.ok', '-', '--queue', 'bulk', text='y' * 100000)
    for i, id_ in enumerate(t.add_lines(old, 'noop', 300, '--queue', 'bulk')):
        at[f'line {i}'] = (id_, 'pending')
    for id_, status in ((done, 'completed'), (dead, 'dead'), (at['dead, large'][0], 'dead'), (tried, 'retrying'), (running, 'running')):
        until(f'{id_} {status}', lambda id_=id_, status=status: old.status(id_) == status)
    until('the start of the running one', lambda: t.began(running))
    add('soon', None, 'work.ok', '--delay', '1s')
    return at


def differences(old, new, at='job'):
    """What the old side says and the new one does not say so. The new one may say more."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [d for k, v in old.items() for d in differences(v, new.get(k), f'{at}.{k}')]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [d for i, v in enumerate(old) for d in differences(v, new[i], f'{at}[{i}]')]
    return [] if old == new else [f'{at}: {old!r} was, {new!r} is']


def read(t, at):
    wrong, states = [], t.all()
    for name, (id_, status) in at.items():
        if name.startswith('line') and name != 'line 0':
            if states.get(id_, {}).get('status') != status:
                wrong.append(f'{name} is {states.get(id_, {}).get("status")}')
            continue
        if status:
            wrong += [f'{name}: {d}' for d in differences(t.old.job(id_), t.new.job(id_))]
            if states.get(id_, {}).get('status') != status:
                wrong.append(f'{name} is listed as {states.get(id_, {}).get("status")}')
    t.expect('each job reads as the old side reads it', not wrong, wrong[:5])
    same = [(words, t.old.call(*words), t.new.call(*words)) for words in (
        ('job', 'result', at['completed'][0]), ('key', 'get', 'kept', '-o', 'json'), ('key', 'get', 'later', '-o', 'json'),
        ('key', 'get', 'of the running', '-o', 'json'))]
    ttl = re.compile(r'"ttl":\s*"[^"]*"')
    t.expect('results and keys read the same', all(ttl.sub('', a[1]) == ttl.sub('', b[1]) and a[0] == b[0] == 0 for _, a, b in same),
             [s for s in same if s[1][:2] != s[2][:2]])
    logs = t.new.ctl('job', 'logs', at['completed'][0])
    t.expect('logs are read', f'log of {at["completed"][0]}' in logs, logs)
    again = t.new.ctl('enqueue', 'work.ok', '--request-id', 'r1')
    t.expect('a request id finds the job that the old side took for it', again == at['completed'][0], again)
    code, _, err = t.new.call('enqueue', 'work.ok', '--unique-key', 'kept', '--unique-for', '1h')
    t.expect('a unique key is held for the job of the old side', code == REFUSED and at['completed'][0] in err, f'{code} {err}')


def finish(t, at):
    """The new side brings each to its end."""
    new = t.new
    for name in ('mended', 'gate'):
        (t.folder / name).touch()
    new.start()
    t.wait_ended([at['soon'][0], at['running'][0]])
    new.ctl('queue', 'resume', 'bulk')
    new.ctl('job', 'run', at['scheduled'][0], at['retrying'][0])
    new.ctl('job', 'resume', at['paused'][0])
    new.ctl('job', 'retry', at['cancelled'][0])
    new.ctl('job', 'retry', '--force', at['completed'][0])
    new.ctl('dlq', 'redrive')
    t.reruns += 4
    jobs = t.wait_ended(t.jobs)
    wrong = [f'{name} is {jobs[id_]["status"]}' for name, (id_, _) in at.items() if jobs[id_]['status'] != 'completed']
    t.expect('the new side completes what the old one left, in every state', not wrong, wrong[:5])
    results = [json.loads(new.ctl('job', 'result', at[name][0], '-o', 'json'))['result'] for name in ('pending', 'scheduled', 'soon', 'running')]
    t.expect('each gave its result', [r['of'] for r in results] == [at[n][0] for n in ('pending', 'scheduled', 'soon', 'running')], results)
    held = [key for key in ('of the dead', 'of the running', 'of the cancelled', 'later', 'waits') if new.holds(key)]
    t.expect('their unique keys are let go', not held, held)
    t.doctor('when the old data are worked off')
    t.counts('when the old data are worked off')


# ---- 2: side by side ----

def enqueue_both(t):
    ids = {}
    for side in (t.old, t.new):
        n = len(t.jobs)
        t.add_lines(side, 'noop', 1000)
        t.add_lines(side, 'work.slow', 100)
        t.add_lines(side, 'work.retry', 20, '--max-attempts', '3', '--initial-delay', '300ms')
        t.add_lines(side, 'work.fail', 10)
        t.add_lines(side, 'noop', 100, '--delay', '1s')
        ids[side.name] = t.jobs[n:]
    return ids


def keys_both(t):
    """Each key is wanted by both, first by this one, then by that one."""
    wrong = []
    for i in range(8):
        first, second = (t.old, t.new) if i % 2 else (t.new, t.old)
        id_ = t.add(first, 'work.gate', '--unique-key', f'both {i}')
        code, out, err = second.call('enqueue', 'work.gate', '--unique-key', f'both {i}')
        if code != REFUSED or id_ not in err:
            wrong.append(f'{second.name}: {code} {out} {err}')
        until(f'a run of {id_}', lambda id_=id_: t.began(id_))
        second.ctl('job', 'cancel', id_)
        until(f'{id_} cancelled', lambda id_=id_: t.new.status(id_) == 'cancelled')
        if first.holds(f'both {i}'):
            wrong.append(f'the key of {id_} is held after {second.name} cancelled it')
    t.expect('a unique key has one holder on both sides, and each cancels jobs of the other', not wrong, wrong[:3])


def nodes_of(jobs, ids):
    return {jobs[id_].get('node_id') for id_ in ids}


def together(t):
    for name in ('mended', 'gate'):
        (t.folder / name).unlink()
    (t.folder / 'ledger').write_text('')
    t.old.start()
    ids = enqueue_both(t)
    keys_both(t)
    jobs = t.wait_ended(t.jobs)
    for side in (t.old, t.new):
        t.expect(f'jobs that the {side.name} side enqueued run on both', {'old', 'new'} <= nodes_of(jobs, ids[side.name]), nodes_of(jobs, ids[side.name]))
    ended = [job for word, job, _ in t.ledger() if word == 'ended']
    t.expect('no program came to its end twice', len(ended) == len(set(ended)), len(ended) - len(set(ended)))
    t.doctor('after both worked side by side')
    t.counts('after both worked side by side')


def kill_each(t):
    for victim, other in ((t.new, t.old), (t.old, t.new)):
        ids = []
        for side in (t.old, t.new):
            ids += t.add_lines(side, 'work.slow', 150)
            ids += t.add_lines(side, 'noop', 50, '--delay', '500ms')
        until(f'runs on the {victim.name} node', lambda ids=ids, victim=victim: any(job in ids and node == victim.name for _, job, node in t.ledger()))
        victim.end(signal.SIGKILL)
        jobs = t.wait_ended(ids)
        wrong = [id_ for id_ in ids if jobs[id_]['status'] != 'completed']
        t.expect(f'the {victim.name} node is killed: its jobs end on the {other.name} one', not wrong, wrong[:3])
        victim.start()
    t.doctor('after each was killed')
    t.counts('after each was killed')


# ---- 3: what needs a later version ----

WORKFLOW = {'name': 'three', 'tasks': [{'name': 'a', 'task_type': 'work.ok'}, {'name': 'b', 'task_type': 'work.ok', 'depends_on': ['a']},
                                       {'name': 'c', 'task_type': 'work.ok', 'depends_on': ['a', 'b']}]}
NEEDS = {'a workflow': (('workflow', 'start', '-', '--wait', '--wait-timeout', '30s'), json.dumps(WORKFLOW)),
         'a schedule': (('schedule', 'create', 'work.ok', '--every', '1s', '--max-occurrences', '2'), '')}


def works(t, what):
    words, text = NEEDS[what]
    code, out, err = t.new.call(*words, text=text)
    if code:
        return code, err
    if what == 'a schedule':
        until('its occurrences', lambda: json.loads(t.new.ctl('schedule', 'get', out, '-o', 'json'))['status'] == 'completed')
    return 0, out


def later_versions(t):
    refused = []
    for what in NEEDS:
        code, said = works(t, what)
        if code == 0:
            t.expect(f'{what} works beside the old node', True)
        else:
            refused.append(what)
            t.expect(f'{what} is refused while the old node lives, and the answer names it', re.search(r'too old.*\bold\b', said), said)
    if not refused:
        return
    t.old.end()
    for what in refused:
        t.expect(f'{what} works once the old node is gone', works(t, what)[0] == 0, works(t, what))
    code, _, err = t.old.call('stats')
    t.expect('the old dureqctl is refused from then on, and told the version it needs', code == WRONG and re.search(r'scripts \d+.*newer dureq is needed', err),
             f'{code} {err}')
    node = t.old.spawn()
    code = node.wait(timeout=WAIT_S)
    t.expect('so is the old node', code == 1 and re.search(r'scripts \d+.*newer dureq is needed', t.old.said()), f'{code} {t.old.said()[-400:]}')
    t.doctor('at the end')


# ---- all of it ----

def trial(sides, prefix, shards, folder):
    t = Trial(*sides, prefix, shards, folder)
    for name in ('ledger', 'gate', 'mended'):
        (folder / name).unlink(missing_ok=True)
    try:
        at = seed(t)
        t.old.end(signal.SIGKILL)
        read(t, at)
        finish(t, at)
        together(t)
        kill_each(t)
        later_versions(t)
        t.new.end()
    except (Failed, subprocess.TimeoutExpired) as e:
        t.expect('the trial comes to its end', False, e)
    finally:
        for side in sides:
            side.end(signal.SIGKILL)
    if t.faults:
        for side in sides:
            tell(f'the log of the {side.name} node ends with\n{side.said()[-3000:]}')
    return t.faults


def run(rev, new):
    commit = commits.full_hash(rev)
    with commits.place(PLACE), commits.worktree(PLACE / 'old', commit) as tree, tempfile.TemporaryDirectory(prefix='dureq-beside-') as name:
        folder = pathlib.Path(name)
        tell(f'building {rev}')
        old = commits.build(tree, *BUILD, PLACE / 'old.log')
        folder.chmod(0o755)
        (folder / 'handler').write_text(HANDLER)
        (folder / 'handler').chmod(0o755)
        server = Server(folder)
        try:
            label = measured.git('describe', '--always', commit)
            sides = [Side('old', label, *old, folder, server), Side('new', measured.commit(), *new, folder, server)]
            print(f'{sides[1].label} beside {label}, {measured.today()}', flush=True)
            faults = [f for prefix, shards in (('one', 1), ('four', 4)) for f in trial(sides, prefix, shards, folder)]
        finally:
            server.stop()
    print(f'{sides[1].label} beside {label}: ' + (f'{len(faults)} faults' if faults else 'no fault'))
    return int(bool(faults))


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rev, built = os.environ.get('REV'), sys.argv[1] if len(sys.argv) == 2 else None
    if not rev or not built:
        print(__doc__)
        tell('usage: make beside REV=commit')
        return 2
    try:
        return run(rev, [pathlib.Path(built).resolve() / program for program in BUILD[2]])
    except Failed as e:
        tell(e)
    return 2


if __name__ == '__main__':
    sys.exit(main())
