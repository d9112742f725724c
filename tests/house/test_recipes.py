#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The recipes work: test_recipes.py BUILDDIR PREFIX

Does what docs/recipes.md says, with an installed copy. Of each section the blocks that are named (```python charge.py) become files of a
directory, then the lines of its ```console blocks that begin with `$` are given to one shell, and what each prints must be what stands
under it; `...` stands for anything. A section whose language is not installed is left out, by name. Blocks of other kinds are looked at
where something here can read them.
"""
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from test_install import LIMIT_S, ROOT, Installed, run  # noqa: E402

NEEDS = {'js': 'node', 'php': 'php', 'python': 'python3', 'c': 'cc'}  # language of a block -> program
END = '---end of this command---'


def sections(text):
    """Heading and blocks (language, name, body) of each."""
    for part in re.split(r'^## ', text, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition('\n')
        yield title, re.findall(r'^```(\w*)(?: (\S+))?\n(.*?)^```$', body, re.MULTILINE | re.DOTALL)


class Shell:
    """One shell for the commands of a section, with a state directory of its own."""

    def __init__(self, env, work):
        self.env = {**env, 'DUREQ_STATE_DIR': str(work / 'state'), 'DUREQ_API_ADDRESS': 'off', 'TERM': 'dumb'}
        self.log = open(work / 'stderr', 'w+', encoding='utf-8', errors='replace')
        self.work = work
        self.shell = subprocess.Popen(['bash'], cwd=work, env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
                                      start_new_session=True)

    def told(self, command):
        """What it printed on standard output."""
        self.shell.stdin.write(f'{command}\necho; echo "{END}"\n'.encode())
        self.shell.stdin.flush()
        got, until = b'', time.monotonic() + LIMIT_S
        while not got.endswith(f'{END}\n'.encode()):
            ready, _, _ = select.select([self.shell.stdout], [], [], max(0, until - time.monotonic()))
            piece = os.read(self.shell.stdout.fileno(), 65536) if ready else b''
            if not piece:
                self.fail(f'$ {command}\nended early or took too long, after\n{got.decode(errors="replace")}')
            got += piece
        return got.decode(errors='replace')[:-len(END) - 1].rstrip('\n')

    def ready(self, command):
        """A person sees when the daemon is."""
        until, log = time.monotonic() + LIMIT_S, self.work / 'dureqd.log'
        events = [' daemon.ready '] + [' api.listening '] * ('--api-address' in command)
        while time.monotonic() < until:
            said = log.read_text(errors='replace') if log.exists() else ''
            if all(event in said for event in events):
                return
            select.select([], [], [], 0.05)
        self.fail('no daemon is ready')

    def fail(self, text):
        self.log.flush()
        daemon = self.work / 'dureqd.log'
        sys.exit(f'{text}\n--- standard error\n{(self.work / "stderr").read_text(errors="replace")}'
                 f'--- dureqd.log\n{daemon.read_text(errors="replace") if daemon.exists() else ""}')

    def end(self):
        """All that it started ends with it."""
        self.shell.stdin.write(b'kill $(jobs -p) 2>/dev/null; wait; exit\n')
        self.shell.stdin.close()
        try:
            self.shell.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.shell.pid, signal.SIGKILL)
        self.shell.stdout.close()
        self.log.close()


def pattern_of(expected):
    return re.escape(expected).replace(re.escape('...'), '.*').replace(r'\ \ ', r'\ +')


def expect(shell, command, expected):
    told = shell.told(command)
    if command.startswith('dureqd ') and command.endswith('&'):
        shell.ready(command)
    if not re.fullmatch(pattern_of(re.sub(' {2,}', '  ', expected)), re.sub(' {2,}', '  ', told)):
        shell.fail(f'$ {command}\nprinted\n{told}\nand the recipe says\n{expected}')


def commands_of(body):
    """Each `$` line and what stands under it."""
    for part in re.split(r'^\$ ', body, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition('\n')
        yield command, expected.rstrip('\n')


def do_section(title, blocks, env, work):
    work.mkdir()
    for _, name, body in blocks:
        if name:
            (work / name).write_text(body)
    shell, n = Shell(env, work), 0
    try:
        for language, _, body in blocks:
            for command, expected in commands_of(body) if language == 'console' else ():
                expect(shell, command, expected)
                n += 1
    finally:
        shell.end()
    print(f'{title}: {n} commands')
    return n


def missing(blocks):
    return [NEEDS[language] for language, name, _ in blocks if name and language in NEEDS and not shutil.which(NEEDS[language])]


def check_compose(blocks):
    yaml = [body for language, _, body in blocks if language == 'yaml']
    try:
        import yaml as parser
    except ImportError:
        print('compose file: left out, there is no yaml module')
        return
    services = parser.safe_load(yaml[0])['services']
    assert services['worker']['environment']['DUREQ_REDIS_URL'] == 'redis://redis:6379', services
    assert '--maxmemory-policy noeviction' in services['redis']['command'], services


def packages_of(stage):
    """What a stage of the Dockerfile installs."""
    text = stage.replace('\\\n', ' ')
    return set(re.search(r'install -y --no-install-recommends (.*?)(?:&&|\n)', text)[1].split())


def check_libraries(it, installed):
    """Each library that the programs are linked to comes with a package of the second stage."""
    if not shutil.which('dpkg-query') or 'VERSION_ID="12"' not in pathlib.Path('/etc/os-release').read_text():
        print('packages of the image: left out, this is no Debian 12')
        return
    for program in ('dureqd', 'dureqctl'):
        for path in re.findall(r'=> (/\S+)', run('ldd', it.root / 'bin' / program, env=it.env)):
            if path.startswith(str(it.root)):
                continue
            # A library may be known by its path before /lib became a link.
            names = [path, str(pathlib.Path(path).resolve()), str(pathlib.Path(path).resolve()).removeprefix('/usr')]
            owner = next((subprocess.run(['dpkg-query', '-S', n], capture_output=True, text=True, timeout=LIMIT_S, check=False).stdout.split(':')[0]
                          for n in names if subprocess.run(['dpkg-query', '-S', n], capture_output=True, timeout=LIMIT_S, check=False).returncode == 0), '')
            assert owner in installed | {'libc6'}, (program, path, owner)
    for name in sorted(installed):
        assert shutil.which('apt-cache') is None or run('apt-cache', 'pkgnames', name).split().count(name) == 1, name


def check_dockerfile(it, blocks):
    """What is installed to build is what tools/setup names, and the programs it runs are those of the recipe."""
    text = next(body for language, _, body in blocks if language == 'dockerfile')
    named = set(re.findall(r'^build\|([^|]+)\|', (ROOT / 'tools/setup').read_text(), re.MULTILINE))
    _, build, last = text.split('FROM')
    assert named <= packages_of(build) | {'python3'}, named - packages_of(build)
    check_libraries(it, packages_of(last))
    assert re.search(r'^RUN make -C /src install PREFIX=/usr/local$', build, re.MULTILINE) and 'COPY --from=build /usr/local /usr/local' in last


def check_unit(blocks, work):
    if not shutil.which('systemd-analyze'):
        print('worker.service: left out, there is no systemd-analyze')
        return
    unit = next(body for _, name, body in blocks if name == 'worker.service')
    path = work / 'worker.service'
    path.write_text(unit.replace('/usr/local/bin/worker', shutil.which('true')))
    told = subprocess.run(['systemd-analyze', 'verify', str(path)], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert 'worker.service' not in told.stderr, told.stderr


def main():
    build, prefix = sys.argv[1], sys.argv[2]
    top = pathlib.Path(tempfile.mkdtemp(prefix='dureq-recipes-'))
    try:
        it = Installed(build, prefix, top / 'dest')
        n_done = 0
        for i, (title, blocks) in enumerate(sections((ROOT / 'docs/recipes.md').read_text())):
            lacks = missing(blocks)
            if lacks:
                print(f'{title}: left out, there is no {", ".join(lacks)}')
            elif any(language == 'console' for language, _, _ in blocks):
                n_done += do_section(title, blocks, it.env, top / str(i))
            elif title.startswith('Dockerfile'):
                check_compose(blocks)
                check_dockerfile(it, blocks)
            elif title == 'systemd':
                check_unit(blocks, top)
        assert n_done >= 15, n_done  # the C, Python and HTTP ones at least
    finally:
        shutil.rmtree(top, ignore_errors=True)


if __name__ == '__main__':
    main()
