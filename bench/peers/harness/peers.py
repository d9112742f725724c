# SPDX-License-Identifier: Apache-2.0
"""The peers: how each is installed into build/peers, started, and set. A setting is what its documents recommend for throughput; where they
leave a choice, a few values were tried and the fastest taken."""
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import time

import measured
from harness.procs import Failed, Postgres, Program, Redis, postgres_bin

HERE = pathlib.Path(__file__).resolve().parent.parent
ROOT = HERE.parent.parent
BUILD = ROOT / 'build' / 'peers'
POLICY = pathlib.Path('/usr/sbin/policy-rc.d')


def run(args, **kw):
    got = subprocess.run([str(a) for a in args], capture_output=True, text=True, check=False, **kw)
    if got.returncode:
        raise Failed(f'{" ".join(str(a) for a in args[:3])}: {(got.stderr or got.stdout).strip()[-300:]}')
    return got.stdout


def succeeds(args):
    try:
        return subprocess.run(args, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def need(command, what):
    if not shutil.which(command):
        raise Failed(f'{what} is not on this machine')


def apt_install(*packages):
    """Debian starts a service when it installs one: not while we do, unless the machine has a policy of its own."""
    if not shutil.which('apt-get') or os.getuid() != 0:
        raise Failed(f'as root:  apt-get install --no-install-recommends {" ".join(packages)}')
    ours = not POLICY.exists()
    if ours:
        POLICY.write_text('#!/bin/sh\nexit 101\n')
        POLICY.chmod(0o755)
    try:
        succeeds(['apt-get', 'update', '-qq'])
        run(['apt-get', 'install', '-y', '-qq', '--no-install-recommends', *packages], env={**os.environ, 'DEBIAN_FRONTEND': 'noninteractive'})
    finally:
        if ours:
            POLICY.unlink()


class Peer:
    """One that is measured. Its worker is stopped by a signal while a backlog is built."""

    name = keeps = settings = module = ''
    server = Redis
    batch = 1000 # jobs a bulk call
    concurrency = {0: 100, 1: 100} # by the handler's milliseconds
    workers_n = {0: 1, 1: 1}
    env: dict = {}
    folder, producer, workers, version = None, None, [], {}

    def __init__(self):
        tried = os.environ.get('CONCURRENCY')
        if tried:
            self.concurrency = dict.fromkeys(self.concurrency, int(tried))
        self.batch = int(os.environ.get('BATCH') or self.batch)

    def install(self):
        """Brings what is missing; Failed says what cannot be had."""

    def commands(self, sleep_ms):
        """Argument lists of producer and worker."""
        raise NotImplementedError

    def start(self, server, folder, sleep_ms, jobs_max):
        del jobs_max
        self.folder, self.workers = folder, []
        producer, worker = self.commands(sleep_ms)
        env = {**server.env, **self.env, 'PEER_SLEEP_MS': sleep_ms, 'PEER_CONCURRENCY': self.concurrency[sleep_ms]}
        log = folder / 'programs.log'
        self.producer = Program(producer, log, env)
        for _ in range(int(os.environ.get('WORKERS') or self.workers_n[sleep_ms])):
            self.workers.append(Program(worker, log, env))
        self.version = self.workers[0].hello

    def stop(self):
        for program in [*self.workers, self.producer]:
            if program:
                program.stop()

    def expect(self, n, record=0):
        for w in self.workers:
            w.ask('expect', n=n, record=record)

    def pause(self):
        for w in self.workers:
            w.kill(signal.SIGSTOP)

    def resume(self):
        for w in self.workers:
            w.kill(signal.SIGCONT)

    def enqueue(self, n):
        self.producer.tell('enqueue', n=n, first=0, batch=self.batch)

    def progress(self):
        """Handlers begun so far and when the last one was."""
        told = [w.ask('count') for w in self.workers]
        return sum(int(t['count']) for t in told), max(int(t['at_us']) for t in told)

    def wait(self, n, limit_s):
        """Until n handlers have begun since expect; when the last one did. Asking fifty times a second costs a worker well under 1 %."""
        until = time.monotonic() + limit_s
        while True:
            count, at_us = self.progress()
            if count >= n:
                return at_us
            if time.monotonic() > until:
                raise Failed(f'{count} of {n} jobs were handled in {limit_s} s')
            time.sleep(0.02)

    def tally(self, n):
        """Starts of each job."""
        total = [0] * n
        for w in self.workers:
            w.ask('dump', path=self.folder / 'counts')
            total = [a + b for a, b in zip(total, (self.folder / 'counts').read_bytes())]
        return total

    def pulse(self, n, gap_us):
        self.producer.ask('pulse', n=n, gap_us=gap_us, path=self.folder / 'sent')

    def latencies_us(self, n):
        def read(name):
            return struct.unpack(f'{n}q', (self.folder / name).read_bytes()[:8 * n])

        sent = read('sent')
        found = [0] * n
        for w in self.workers:
            w.ask('dump', path=self.folder / 'counts')
            found = [a or b for a, b in zip(found, read('counts.starts'))]
        return [b - a for a, b in zip(sent, found)]


class Dureq(Peer):
    """The roles of dureq-bench. What a handler counts is on its board, a file that the processes map: a head of two numbers, then for each job
    when it was enqueued and first started, how often, and by whom."""

    name = 'dureq'
    keeps = 'yes'
    settings = 'enqueue_many of 1,024; 100 threads, 400 jobs held'
    batch = 1024
    concurrency = {0: 400, 1: 400}
    threads = 100
    retention_ms = 0
    head, job = struct.Struct('qq'), struct.Struct('qqii')

    def install(self):
        run([ROOT / 'tools' / 'configure', 'build/bench', '--buildtype=release', '-Db_ndebug=false'], cwd=ROOT)
        run(['ninja', '-C', 'build/bench'], cwd=ROOT)

    def start(self, server, folder, sleep_ms, jobs_max):
        self.folder, self.workers = folder, []
        self.board, self.completed, self.n = folder / 'board', 0, jobs_max
        self.clear()
        options = [f'--url=unix://{server.env["PEER_SOCKET"]}', f'--board={self.board}']
        program = ROOT / 'build' / 'bench' / 'bench' / 'dureq-bench'
        mode = ['--mode=sleep', f'--sleep_us={sleep_ms * 1000}'] if sleep_ms else []
        concurrency = [f'--concurrency={self.concurrency[sleep_ms]}', f'--threads={self.threads}']
        log = folder / 'programs.log'
        self.producer = Program([program, '--role', 'producer', *options], log)
        self.workers.append(Program([program, '--role', 'node', *options, *mode, *concurrency], log))
        self.version = {'version': measured.commit(), 'runtime': ''}

    def clear(self):
        with open(self.board, 'r+b' if self.board.exists() else 'wb') as f:
            f.write(self.head.pack(self.n, 0))
            f.write(bytes(self.job.size * self.n))

    def expect(self, n, record=0):
        self.clear()

    def pause(self):
        self.workers[0].ask('drain', on=1)

    def resume(self):
        self.workers[0].ask('drain', on=0)

    def enqueue(self, n):
        self.completed += n
        self.producer.tell('enqueue', n=n, first=0, batch=self.batch, retention_ms=self.retention_ms)

    def wait(self, n, limit_s):
        """Stricter than for the others: until Redis has recorded the last completion."""
        told = self.workers[0].ask('wait', limit_s=limit_s + 5, completed=self.completed)
        return int(float(told['at_us']))

    def jobs(self, n):
        return list(self.job.iter_unpack(self.board.read_bytes()[self.head.size:self.head.size + self.job.size * n]))

    def tally(self, n):
        return [j[2] for j in self.jobs(n)]

    def pulse(self, n, gap_us):
        self.completed += n
        self.producer.ask('enqueue', n=n, first=0, batch=1, per_s=1e6 / gap_us)

    def latencies_us(self, n):
        return [j[1] - j[0] for j in self.jobs(n)]


class DureqNone(Dureq):
    name = 'dureq retention 0'
    keeps = 'no'
    settings = 'the same, finished jobs not kept'
    retention_ms = -1


class BullMQ(Peer):
    name = 'BullMQ'
    keeps = 'no'
    settings = 'addBulk of 1,000; one worker process, concurrency 100; removeOnComplete'
    env = {'NODE_PATH': BUILD / 'bullmq' / 'node_modules', 'NODE_ENV': 'production'}

    def install(self):
        need('node', 'Node.js')
        folder = BUILD / 'bullmq'
        wanted = (HERE / 'bullmq' / 'package.json').read_bytes()
        mark = folder / 'installed'
        if mark.exists() and mark.read_bytes() == wanted:
            return
        need('npm', 'npm')
        folder.mkdir(parents=True, exist_ok=True)
        (folder / 'package.json').write_bytes(wanted)
        run(['npm', 'install', '--no-audit', '--no-fund', '--no-package-lock'], cwd=folder)
        mark.write_bytes(wanted)

    def commands(self, sleep_ms):
        return ['node', HERE / 'bullmq' / 'producer.js'], ['node', HERE / 'bullmq' / 'worker.js']


class BullMQKept(BullMQ):
    name = 'BullMQ jobs kept'
    keeps = 'yes'
    settings = 'the same with its default, which keeps finished jobs'
    env = {**BullMQ.env, 'PEER_KEEP': 1}


class Sidekiq(Peer):
    name = 'Sidekiq'
    keeps = 'no; running jobs are lost with their process'
    settings = 'push_bulk of 1,000; two processes of 5 threads (10 for the 1 ms handler); log level warn'
    concurrency = {0: 5, 1: 10}
    workers_n = {0: 2, 1: 2}

    def install(self):
        if not succeeds(['/usr/bin/ruby', '-e', 'require "sidekiq"']):
            apt_install('ruby-sidekiq')

    def commands(self, sleep_ms):
        lib = HERE / 'sidekiq'
        sidekiq = shutil.which('sidekiq') or '/usr/bin/sidekiq'
        return ['/usr/bin/ruby', lib / 'producer.rb'], ['/usr/bin/ruby', sidekiq, '-r', lib / 'worker.rb', '-q', 'bench', '-c', self.concurrency[sleep_ms],
                                                        '-e', 'production']


class Celery(Peer):
    name = 'Celery'
    keeps = 'no; running jobs are lost with their process'
    settings = ('one kept producer (no bulk call exists); two workers with a pool of 10 threads (prefork and solo were slower), prefetch 128, '
                'results ignored, early acknowledgement')
    concurrency = {0: 10, 1: 10}
    workers_n = {0: 2, 1: 2}
    env = {'PEER_POOL': os.environ.get('POOL') or 'threads'}

    def install(self):
        if not succeeds(['/usr/bin/python3', '-c', 'import celery, redis']):
            apt_install('python3-celery', 'python3-redis')

    def commands(self, sleep_ms):
        return ['/usr/bin/python3', HERE / 'celery' / 'producer.py'], ['/usr/bin/python3', HERE / 'celery' / 'worker.py']


class GoPeer(Peer):
    folder_name = ''

    def install(self):
        need('go', 'Go')
        (BUILD / self.folder_name).mkdir(parents=True, exist_ok=True)
        run(['go', 'build', '-mod=readonly', '-o', BUILD / self.folder_name / 'program', '.'], cwd=HERE / self.folder_name)

    def commands(self, sleep_ms):
        program = BUILD / self.folder_name / 'program'
        return [program, 'producer'], [program, 'worker']


class Asynq(GoPeer):
    name = 'asynq'
    folder_name = 'asynq'
    keeps = 'no'
    concurrency = {0: 200, 1: 200}
    settings = '32 goroutines enqueue (no bulk call is released); concurrency 200; looks at an empty queue every 10 ms (default: 1 s)'


class River(GoPeer):
    name = 'River'
    folder_name = 'river'
    keeps = 'yes'
    settings = 'InsertManyFast of 1,000; 2,000 workers, fetch cooldown 2 ms, poll 20 ms; on PostgreSQL with 512 MB of shared buffers'
    server = Postgres
    concurrency = {0: 2000, 1: 2000}

    def install(self):
        try:
            postgres_bin()
        except Failed:
            apt_install('postgresql')
        super().install()


ALL = [Dureq, DureqNone, BullMQ, BullMQKept, Sidekiq, Celery, Asynq, River]
