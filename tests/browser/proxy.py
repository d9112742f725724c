# SPDX-License-Identifier: Apache-2.0
"""nginx in front of a server, below a path of its own: once it leaves the path, once it takes it away."""
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

START_S = 10
CONFIG = '''daemon off; worker_processes 1; pid {here}/pid; error_log {here}/log;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {here}/t1; proxy_temp_path {here}/t2; fastcgi_temp_path {here}/t3; uwsgi_temp_path {here}/t4; scgi_temp_path {here}/t5;
  server {{ listen 127.0.0.1:{leaves}; location {path}/ {{ proxy_pass http://127.0.0.1:{port}; proxy_set_header Host $http_host; }} }}
  server {{ listen 127.0.0.1:{takes}; location {path}/ {{ proxy_pass http://127.0.0.1:{port}/; proxy_set_header Host $http_host; }} }}
}}
'''


def program():
    return shutil.which('nginx') or shutil.which('nginx', path='/usr/sbin:/usr/local/sbin')


def free_ports(n):
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(('127.0.0.1', 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def answers(port):
    try:
        socket.create_connection(('127.0.0.1', port), 1).close()
        return True
    except OSError:
        return False


class Proxy:
    def __init__(self, port, path):
        self.here = pathlib.Path(tempfile.mkdtemp(prefix='dureq-nginx-'))
        leaves, takes = free_ports(2)
        self.urls = {'leaves the path': f'http://127.0.0.1:{leaves}{path}', 'takes the path': f'http://127.0.0.1:{takes}{path}'}
        config = self.here / 'conf'
        config.write_text(CONFIG.format(here=self.here, leaves=leaves, takes=takes, path=path, port=port))
        self.process = subprocess.Popen([program(), '-e', self.here / 'log', '-c', config, '-p', self.here], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + START_S
        while not (answers(leaves) and answers(takes)):
            if time.monotonic() > end or self.process.poll() is not None:
                log = (self.here / 'log').read_text(errors='replace')
                self.close()
                raise RuntimeError(f'nginx did not start:\n{log}')
            time.sleep(0.02)

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.here, ignore_errors=True)
