#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How dureqd hands out the dashboard's files: test_pages.py BUILDDIR. Needs no browser. Ends with "N passed, N failed"."""
import gzip
import http.client
import pathlib
import re
import subprocess
import sys
import tempfile

from deployment import Deployment

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FIRST_LOAD_MAX = 180_000
HTML = {'Accept': 'text/html,application/xhtml+xml,*/*;q=0.8'}
passed = failed = 0


def check(what, name):
    global passed, failed
    if what:
        passed += 1
    else:
        failed += 1
        print(f'FAILED {name}')


def get(server, path, fields=None, method='GET'):
    conn = http.client.HTTPConnection('127.0.0.1', server.port, timeout=10)
    conn.request(method, path, headers=fields or {})
    answer = conn.getresponse()
    body = answer.read()
    conn.close()
    return answer, body


def check_index(server):
    answer, body = get(server, '/', HTML)
    check(answer.status == 200 and answer.getheader('Content-Type') == 'text/html; charset=utf-8', 'the index')
    policy = answer.getheader('Content-Security-Policy')
    check(policy.startswith("default-src 'none';") and 'unsafe' not in policy and "frame-ancestors 'none'" in policy, 'its policy')
    check(answer.getheader('X-Content-Type-Options') == 'nosniff' and answer.getheader('Cache-Control') == 'no-cache', 'its other fields')
    check(b'<base href="/">' in body and not re.search(rb'<script>|<style|style=| on\w+=', body), 'nothing inline')
    again, nothing = get(server, '/jobs/1?x=1', {**HTML, 'If-None-Match': f'"x", {answer.getheader("ETag")}'})
    check(again.status == 304 and nothing == b'' and again.getheader('Content-Security-Policy'), 'the same index for another page, unchanged')
    head, nothing = get(server, '/queues', HTML, 'HEAD')
    check(head.status == 200 and nothing == b'' and head.getheader('Content-Length') == str(len(body)), 'HEAD')
    return body


def check_assets(server, index):
    names = [n.decode() for n in re.findall(rb'(?:href|src)="(assets/[^"]+)"', index)]
    check(len(names) == 3 and all(re.search(r'-[0-9a-f]{10}\.(js|css|svg)$', n) for n in names), f'assets with a hash: {names}')
    first = len(index)
    for name in names:
        plain, raw = get(server, f'/{name}')
        br, br_bytes = get(server, f'/{name}', {'Accept-Encoding': 'gzip, deflate, br'})
        gz, gz_bytes = get(server, f'/{name}', {'Accept-Encoding': 'gzip;q=1.0, br;q=0'})
        check(br.getheader('Content-Encoding') == 'br' and len(br_bytes) < len(raw), f'{name} by brotli')
        check(gz.getheader('Content-Encoding') == 'gzip' and gzip.decompress(gz_bytes) == raw, f'{name} by gzip')
        check(plain.getheader('Content-Encoding') is None and 'immutable' in plain.getheader('Cache-Control'), f'{name} as it is')
        check(len({r.getheader('ETag') for r in (plain, br, gz)}) == 3, f'{name}: an ETag per coding')
        check('Accept-Encoding' in br.getheader('Vary'), f'{name}: Vary')
        same, nothing = get(server, f'/{name}', {'Accept-Encoding': 'br', 'If-None-Match': br.getheader('ETag')})
        check(same.status == 304 and not nothing, f'{name}: 304')
        first += len(br_bytes)
    print(f'first load: {first} bytes by brotli')
    check(first <= FIRST_LOAD_MAX, f'the first load is {first} bytes')


def check_others(server):
    check(get(server, '/api/none', HTML)[0].status == 404, 'no page below /api')
    check(get(server, '/none')[0].status == 404, 'no page for who does not ask for one')
    check(get(server, '/assets/none.js', {'Accept': '*/*'})[0].status == 404, 'no such asset')
    check(get(server, '/livez', HTML)[1] == b'{"status":"ok"}', '/livez')
    check(get(server, '/', {**HTML, 'Host': 'evil.example'})[0].status == 421, 'another name')
    check(get(server, '/jobs', HTML, 'POST')[0].status in (404, 405), 'POST')


def check_base(server):
    for path in ('/tools/dureq/', '/tools/dureq', '/tools/dureq/jobs', '/'):
        check(b'<base href="/tools/dureq/">' in get(server, path, HTML)[1], f'the base in {path}')
    index = get(server, '/', HTML)[1]
    name = re.search(rb'src="(assets/[^"]+)"', index)
    check(not name or get(server, '/tools/dureq/' + name.group(1).decode())[0].status == 200, 'an asset below the base')
    check(get(server, '/tools/dureq/api/stats')[0].status == 200 and get(server, '/api/stats')[0].status == 200, 'the API below the base and without')
    check(get(server, '/tools/dureqx/api/stats')[0].status == 404, 'a path that only begins like it')


def check_wrong_base(build):
    for base in ('dureq', '/a//b', '/a"b'):
        with tempfile.TemporaryDirectory() as state:
            told = subprocess.run([build / 'dureqd/dureqd', '--state-dir', state, '--insecure-state-dir', 'true', '--api-address', '127.0.0.1:0', '--base-path', base],
                                  capture_output=True, text=True, timeout=60, check=False)
            check(told.returncode != 0 and 'basePath' in told.stderr + told.stdout, f'{base} is refused')


def check_same_twice():
    with tempfile.TemporaryDirectory() as folder:
        files = [pathlib.Path(folder, n) for n in ('1.c', '2.c')]
        for file in files:
            subprocess.run(['node', ROOT / 'durequi/build.mjs', file], check=True, timeout=60)
        check(files[0].read_bytes() == files[1].read_bytes(), 'the build is the same twice')


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    is_built = (ROOT / 'durequi/node_modules').is_dir()
    server = Deployment(build / 'dureqd/dureqd', build / 'dureqctl/dureqctl')
    try:
        index = check_index(server)
        if is_built:
            check_assets(server, index)
        check_others(server)
    finally:
        server.stop()
    server = Deployment(build / 'dureqd/dureqd', build / 'dureqctl/dureqctl', '--base-path', '/tools/dureq/')
    try:
        check_base(server)
    finally:
        server.stop()
    check_wrong_base(build)
    if is_built:
        check_same_twice()
    print(f'{passed} passed, {failed} failed')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
