# SPDX-License-Identifier: Apache-2.0
"""Processes: the programs of peers, which speak in lines, and the servers that they work on. Every one runs on the same cores, in a process
group of its own that is killed when the harness ends.

A program says "ok key=value ..." when it is ready and then answers lines "name key=value ..." with "ok key=value ..." or "error text".
A producer knows: enqueue n= first= batch=  (answers us=)   pulse n= gap_us= path=  (single jobs; writes the time before each call to path)
A worker knows:   expect n= record=   count  (answers count= at_us= of the last handler)   dump path=  (a byte for each job; and start times)
Times are microseconds of CLOCK_MONOTONIC. Job numbers go from 0 and stand in the payload."""
import glob
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import time

from measured import TICK_US, machine_cpu_us

CORES = os.environ.get('CORES', '0,1')


def mono_us():
    return time.monotonic_ns() // 1000


class Failed(Exception):
    """Something a peer or a server did not do; the row says so and the run goes on."""


def group_files(pgid, name):
    """The file /proc/PID/name of each process of a group, and of its leader's children that left it as PostgreSQL's do."""
    for stat in glob.glob('/proc/[0-9]*/stat'):
        try:
            fields = pathlib.Path(stat).read_text().rsplit(')', 1)[1].split()
            if str(pgid) in fields[1:3]:
                yield pathlib.Path(stat).with_name(name).read_text()
        except OSError:
            continue # gone meanwhile


def group_cpu_us(pgid):
    """Processor time of a group, ended children included."""
    return sum(sum(map(int, text.rsplit(')', 1)[1].split()[11:15])) for text in group_files(pgid, 'stat')) * TICK_US


class Others:
    """How much of the machine processes that are not ours take; begin() to share()."""

    def __init__(self, pgids):
        self.pgids = [*pgids, os.getpgid(0)]

    def read(self):
        return mono_us(), machine_cpu_us() - sum(group_cpu_us(p) for p in self.pgids)

    def begin(self):
        self.begun = self.read()

    def share(self):
        """Of all processors' time since begin()."""
        (a, cpu), (b, more) = self.begun, self.read()
        return max(0, more - cpu) / (b - a) / os.cpu_count()


def group_memory_mb(pgid):
    """Resident memory of a group; what processes share counts once. Without the board, which is the harness's."""
    kb, counts = 0, True
    for text in group_files(pgid, 'smaps'):
        for line in text.splitlines():
            word, *rest = line.split()
            if not word.endswith(':'):
                counts = not line.endswith('/board')
            elif word == 'Pss:' and counts:
                kb += int(rest[0])
    return kb / 1024


class Process:
    """One process group on the cores of the run."""

    def __init__(self, args, log, **popen):
        env = popen.pop('env', None)
        self.log = open(log, 'ab') # pylint: disable=consider-using-with
        self.proc = subprocess.Popen(['taskset', '-c', CORES, *map(str, args)], stderr=self.log, start_new_session=True, # pylint: disable=consider-using-with
                                     env={**os.environ, **{k: str(v) for k, v in (env or {}).items()}}, **popen)
        self.pgid = self.proc.pid

    def kill(self, sig):
        os.killpg(self.pgid, sig)

    def stop(self, sig=signal.SIGTERM, limit_s=5):
        try:
            self.kill(signal.SIGCONT)
            self.kill(sig)
            self.proc.wait(limit_s)
        except (subprocess.TimeoutExpired, ProcessLookupError):
            pass
        try:
            self.kill(signal.SIGKILL) # whatever it left behind
        except ProcessLookupError:
            pass
        self.proc.wait()
        self.log.close()


class Program(Process):
    """A producer or a worker."""

    def __init__(self, args, log, env=None):
        super().__init__(args, log, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pending = b''
        try:
            self.hello = self.answer(60)
        except Failed:
            self.stop()
            raise

    def tell(self, name, **words):
        line = ' '.join([name, *(f'{k}={v}' for k, v in words.items())])
        self.proc.stdin.write(line.encode() + b'\n')
        self.proc.stdin.flush()

    def answer(self, limit_s=60):
        until = time.monotonic() + limit_s
        out = self.proc.stdout.fileno()
        while b'\n' not in self.pending:
            ready, _, _ = select.select([out], [], [], max(0, until - time.monotonic()))
            got = os.read(out, 65536) if ready else b''
            if not got:
                raise Failed(f'{"ended" if ready else "did not answer"}, see {self.log.name}')
            self.pending += got
        line, self.pending = self.pending.split(b'\n', 1)
        word, *pairs = line.decode().split()
        if word != 'ok':
            raise Failed(line.decode())
        return dict(p.split('=', 1) for p in pairs)

    def ask(self, name, limit_s=60, **words):
        self.tell(name, **words)
        return self.answer(limit_s)


class Redis:
    """A private redis-server on a Unix socket, with what rows need to read of it."""

    name = 'redis-server'

    def __init__(self, folder, durability):
        self.socket = str(folder / 'redis.sock')
        args = ['redis-server', '--port', 0, '--unixsocket', self.socket, '--dir', folder, '--save', '', '--appendonly', 'no' if durability == 'off' else 'yes',
                '--auto-aof-rewrite-min-size', '4gb']
        if durability != 'off':
            args += ['--appendfsync', durability]
        self.process = Process(args, folder / 'redis.log', stdout=subprocess.DEVNULL)
        self.wire = wait_for(lambda: self.open())
        self.env = {'PEER_SOCKET': self.socket}

    def open(self):
        wire = socket.socket(socket.AF_UNIX)
        wire.settimeout(30)
        wire.connect(self.socket)
        return wire

    def info(self):
        self.wire.sendall(b'INFO\r\n')
        text = self.wire.recv(65536)
        size = int(text.split(b'\r\n', 1)[0][1:])
        while len(text) < size:
            text += self.wire.recv(65536)
        return dict(line.split(':', 1) for line in text.decode().splitlines() if ':' in line)

    def cpu_us(self):
        info = self.info()
        return (float(info['used_cpu_user']) + float(info['used_cpu_sys'])) * 1e6

    def memory(self):
        """Without the buffers of connections and of the append-only file."""
        info = self.info()
        return int(info['used_memory']) - int(info['mem_clients_normal']) - int(info.get('mem_aof_buffer', 0))

    def version(self):
        return 'Redis ' + self.info()['redis_version']

    def stop(self):
        self.wire.close()
        self.process.stop()


class Postgres:
    """A private PostgreSQL on a Unix socket. It will not run as root, so it then runs as the user that its package made."""

    name = 'postgres'
    settings = {'off': ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off'], 'everysec': ['synchronous_commit=off'], 'always': []}

    def __init__(self, folder, durability):
        self.bin = postgres_bin()
        self.folder = folder
        self.runas = ['setpriv', '--reuid=postgres', '--regid=postgres', '--clear-groups'] if os.getuid() == 0 else []
        if self.runas:
            shutil.chown(folder, 'postgres')
            folder.chmod(0o755)
        data = folder / 'data'
        made = subprocess.run([*self.runas, self.bin / 'initdb', '-U', 'bench', '-A', 'trust', '-D', data], capture_output=True, check=False)
        if made.returncode:
            raise Failed(made.stderr.decode()[-200:])
        args = [*self.runas, self.bin / 'postgres', '-D', data, '-k', folder, '-c', 'listen_addresses=', '-c', 'shared_buffers=512MB', '-c', 'max_wal_size=8GB']
        for setting in self.settings[durability]:
            args += ['-c', setting]
        self.process = Process(args, folder / 'postgres.log', stdout=subprocess.DEVNULL)
        self.env = {'PEER_DATABASE': f'host={folder} user=bench dbname=postgres'}
        wait_for(lambda: self.query('select 1'))

    def query(self, sql):
        got = subprocess.run(['psql', '-h', self.folder, '-U', 'bench', '-d', 'postgres', '-Atc', sql], capture_output=True, text=True, check=False)
        if got.returncode:
            raise OSError(got.stderr)
        return got.stdout.strip()

    def cpu_us(self):
        return group_cpu_us(self.process.pgid)

    def memory(self):
        return int(self.query("select coalesce(pg_total_relation_size(to_regclass('river_job')), 0)"))

    def version(self):
        return 'PostgreSQL ' + self.query('show server_version').split()[0]

    def stop(self):
        self.process.stop(signal.SIGINT)


def postgres_bin():
    found = sorted(glob.glob('/usr/lib/postgresql/*/bin/postgres'))
    if not found:
        raise Failed('PostgreSQL is not installed')
    return pathlib.Path(found[-1]).parent


def wait_for(fn, limit_s=20):
    until = time.monotonic() + limit_s
    while True:
        try:
            return fn()
        except OSError as e:
            if time.monotonic() > until:
                raise Failed(f'no server: {e}') from e
            time.sleep(0.02)


class Delay:
    """A server seen over a longer way: the same readings, another socket."""

    def __init__(self, server, folder, program, delay_ms):
        self.process = Process([program, server.socket, folder / 'far.sock', delay_ms * 1000], folder / 'proxy.log', stdout=subprocess.DEVNULL)
        self.server, self.env = server, {'PEER_SOCKET': str(folder / 'far.sock')}
        wait_for(lambda: os.stat(folder / 'far.sock'))

    def __getattr__(self, name):
        return getattr(self.server, name)

    def stop(self):
        self.process.stop()
        self.server.stop()
