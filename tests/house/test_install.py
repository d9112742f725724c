#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What `make install` puts there works: test_install.py BUILDDIR PREFIX

Installs below a directory of its own, and does what README.md says with the copy: builds the C program, dynamically and statically, starts
the daemon, enqueues, waits. The sample of settings is read, the unit names the programs, and `make uninstall` leaves nothing.
"""
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LIMIT_S = 60


def run(*words, **options):
    told = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=LIMIT_S, check=False, **options)
    if told.returncode:
        sys.exit(f'{shlex.join(str(w) for w in words)} ended with {told.returncode}:\n{told.stdout}{told.stderr}')
    return told.stdout


class Installed:
    def __init__(self, build, prefix, dest):
        self.build, self.prefix, self.dest = build, prefix, dest
        self.root = pathlib.Path(str(dest) + prefix)
        run('meson', 'install', '-C', build, '--no-rebuild', '--quiet', env={**os.environ, 'DESTDIR': str(dest)})
        self.libdir = next(self.root.rglob('libdureq.so')).parent
        self.env = {**os.environ, 'PKG_CONFIG_PATH': str(self.libdir / 'pkgconfig'), 'PKG_CONFIG_SYSROOT_DIR': str(dest),
                    'LD_LIBRARY_PATH': str(self.libdir), 'PATH': f'{self.root / "bin"}:{os.environ["PATH"]}', 'HOME': str(dest)}
        self.env = {k: v for k, v in self.env.items() if not k.startswith('DUREQ_')}

    def flags(self, *words):
        return shlex.split(run('pkg-config', *words, 'dureq', env=self.env))


def check_c_program(it, work, url):
    """README: make install && cc -o app app.c $(pkg-config --cflags --libs dureq)"""
    source = it.root / 'share/doc/dureq/examples/quickstart.c'
    run('cc', '-o', work / 'app', source, *it.flags('--cflags', '--libs'))
    assert ': completed, "hello, world"' in run(work / 'app', url, env=it.env)
    run('cc', '-static', '-o', work / 'static', source, *it.flags('--static', '--cflags', '--libs'))
    assert ': completed, "hello, world"' in run(work / 'static', url, env={'PATH': os.environ['PATH']})


def check_daemon(it, work):
    """README: the daemon and its first commands; then the C program on the daemon's own server."""
    state = work / 'state'
    with open(work / 'log', 'wb') as log:
        daemon = subprocess.Popen(['dureqd', '--state-dir', str(state), '--handler', 'file.sha256=exec:/usr/bin/sha256sum -- {payload}'],
                                  env=it.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        url = f'unix://{state}/redis.sock'
        for _ in range(600):
            if subprocess.run(['dureqctl', '--server', url, 'queue', 'list'], env=it.env, capture_output=True, check=False).returncode == 0:
                break
            if daemon.poll() is not None:
                break
        told = run('dureqctl', '--server', url, 'enqueue', 'file.sha256', ROOT / 'LICENSE', '--wait', env=it.env)
        assert run('sha256sum', ROOT / 'LICENSE').split()[0] in told, told
        check_c_program(it, work, url)
    except BaseException:
        sys.stderr.write((work / 'log').read_text(errors='replace'))
        raise
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(LIMIT_S)


def check_files(it):
    sample = it.root / 'share/doc/dureq/dureqd.yaml'
    assert 'the settings are fine' in run('dureqd', '--config', sample, '--check', env=it.env)
    unit = (it.root / 'lib/systemd/system/dureqd.service').read_text()
    assert f'ExecStart={it.prefix}/bin/dureqd\n' in unit, unit
    for name in ('lib/sysusers.d/dureq.conf', 'share/doc/dureq/LICENSE', 'share/doc/dureq/README.md', 'share/doc/dureq/examples/service.c'):
        assert (it.root / name).is_file(), name


def check_unit(it, work):
    """systemd finds nothing to say against the unit, with the daemon where it stands and a user that is there."""
    if not shutil.which('systemd-analyze'):
        print('dureqd.service: not verified, there is no systemd-analyze')
        return
    unit = (it.root / 'lib/systemd/system/dureqd.service').read_text().replace(f'{it.prefix}/bin', f'{it.root}/bin')
    (work / 'dureqd.service').write_text(unit)
    told = subprocess.run(['systemd-analyze', 'verify', '--man=no', str(work / 'dureqd.service')], capture_output=True, text=True, timeout=LIMIT_S,
                          check=False)
    # Its own lines alone: others are about units of this machine. An older systemd does not know what a newer one has.
    said = [line for line in told.stderr.splitlines() if 'dureqd.service' in line and 'DelegateSubgroup' not in line]
    assert not said, said
    (work / 'dureqd.service').write_text(unit.replace('KillMode=mixed', 'KillMode=gently'))
    told = subprocess.run(['systemd-analyze', 'verify', '--man=no', str(work / 'dureqd.service')], capture_output=True, text=True, timeout=LIMIT_S,
                          check=False)
    assert 'gently' in told.stderr, told.stderr  # so it was read


def check_hint():
    """`make install` says what to set where the loader does not look: meson shows nothing of what its scripts print."""
    told = run('make', '-n', 'install', cwd=ROOT, env={'PATH': os.environ['PATH']}).splitlines()
    at = next(i for i, line in enumerate(told) if 'meson install' in line)
    assert 'packaging/loader_hint "$(pkg-config --variable=libdir ' in told[at + 1], told
    told = run(ROOT / 'packaging/loader_hint', '/nowhere/lib', env={'PATH': os.environ['PATH']})
    assert 'export LD_LIBRARY_PATH=/nowhere/lib' in told and 'export PKG_CONFIG_PATH=/nowhere/lib/pkgconfig' in told, told
    assert not run(ROOT / 'packaging/loader_hint', '/nowhere/lib', env={'PATH': os.environ['PATH'], 'DESTDIR': '/x'})


def check_manuals(it):
    """Each command, flag and key has its place, and roff has nothing to say against them."""
    pages = {'man1/dureqctl.1': ['job cancel', 'schedule preview', '--call-timeout'], 'man8/dureqd.8': ['--lease-ms', 'DUREQ_LEASE_MS', '--handler'],
             'man5/dureqd.yaml.5': ['leaseMs', 'allowLeadingDash', 'nonRetryableErrors', 'cpuSeconds', 'maxLen']}
    for name, words in pages.items():
        path = it.root / 'share/man' / name
        page = path.read_text().replace('\\-', '-')
        for word in words:
            assert f'\n.B {word}' in page or f'{word}\n' in page, (name, word)
        if shutil.which('groff'):
            told = subprocess.run(['groff', '-man', '-Tutf8', '-ww', str(path)], capture_output=True, text=True, timeout=LIMIT_S, check=True)
            assert not told.stderr, told.stderr
    commands = re.findall(r'^  (\w+(?: \w+)?)  ', run('dureqctl', 'help', env=it.env), re.MULTILINE)
    assert len(commands) > 40, commands
    page = (it.root / 'share/man/man1/dureqctl.1').read_text().replace('\\-', '-')
    for command in commands:
        assert re.search(rf'^\.B {command}( |$)', page, re.MULTILINE), command


def check_completion(it):
    places = {'bash': 'bash-completion/completions/dureqctl.bash', 'zsh': 'zsh/site-functions/_dureqctl',
              'fish': 'fish/vendor_completions.d/dureqctl.fish'}
    for shell, place in places.items():
        assert (it.root / 'share' / place).read_text() == run('dureqctl', 'completion', shell, env=it.env), shell
        if shutil.which(shell):
            run(shell, '-n', it.root / 'share' / place)
    if shutil.which('bash'):
        told = run('bash', '-c', f'. {it.root}/share/{places["bash"]}; COMP_WORDS=(dureqctl job ca) COMP_CWORD=2; _dureqctl; echo "${{COMPREPLY[@]}}"',
                   env=it.env)
        assert told == 'cancel\n', told


def check_all_commented_out_keys(it, work):
    """Each line of the sample means its default: without the '#' the daemon reads it as well."""
    lines = (it.root / 'share/doc/dureq/dureqd.yaml').read_text().splitlines()
    keys = [line.replace('# ', '', 1) for line in lines if re.fullmatch(r'  # \w+: \S+', line)]
    text = '\n'.join(line.replace('# ', '', 1) for line in lines if re.fullmatch(r'  # \w+: \S+|\w+:', line))
    assert len(keys) > 20
    (work / 'all.yaml').write_text(text)
    assert 'the settings are fine' in run('dureqd', '--config', work / 'all.yaml', '--check', env=it.env)


def main():
    build, prefix = sys.argv[1], sys.argv[2]
    top = pathlib.Path(tempfile.mkdtemp(prefix='dureq-install-'))
    try:
        it = Installed(build, prefix, top / 'dest')
        (top / 'work').mkdir()
        check_files(it)
        check_unit(it, top / 'work')
        check_hint()
        check_manuals(it)
        check_completion(it)
        check_all_commented_out_keys(it, top / 'work')
        check_daemon(it, top / 'work')
        run(ROOT / 'tools/uninstall', build, prefix, top / 'dest')
        left = [str(p) for p in (top / 'dest').rglob('*') if p.is_file() or p.is_symlink()]
        assert not left, left
    finally:
        shutil.rmtree(top, ignore_errors=True)


if __name__ == '__main__':
    main()
