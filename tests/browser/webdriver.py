# SPDX-License-Identifier: Apache-2.0
"""Chromium by W3C WebDriver, with the standard library alone. One window; sizes and colours by the browser's own protocol."""
import base64
import json
import re
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ELEMENT = 'element-6066-11e4-a52e-4f735466cecf'
START_S = 20
KEYS = {'Enter': '\ue007', 'Escape': '\ue00c', 'Tab': '\ue004', 'Control': '\ue009', 'ArrowDown': '\ue015', 'ArrowUp': '\ue013', 'ArrowLeft': '\ue012', 'ArrowRight': '\ue014', 'Backspace': '\ue003'}


class Browser:
    def __init__(self):
        self.profile = tempfile.mkdtemp(prefix='dureq-chromium-')
        self.driver = subprocess.Popen(['chromedriver', '--port=0'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.url = f'http://127.0.0.1:{self.port_of_driver()}'
        options = {'args': ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--hide-scrollbars', '--no-first-run',
                            '--disable-background-networking', '--disable-component-update', '--force-color-profile=srgb', f'--user-data-dir={self.profile}'],
                   'binary': shutil.which('chromium')}
        made = self.ask('POST', '/session', {'capabilities': {'alwaysMatch': {
            'browserName': 'chrome', 'goog:chromeOptions': options, 'goog:loggingPrefs': {'browser': 'ALL'}}}})
        self.url += '/session/' + made['sessionId']
        self.ask('POST', '/timeouts', {'script': 20000, 'pageLoad': 20000})

    def port_of_driver(self):
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            found = re.search(r'successfully on port (\d+)', self.driver.stdout.readline())
            if found:
                return found.group(1)
        raise RuntimeError('chromedriver did not start')

    def close(self):
        try:
            self.ask('DELETE', '')
        except (OSError, RuntimeError):
            pass
        self.driver.terminate()
        self.driver.wait(10)
        shutil.rmtree(self.profile, ignore_errors=True)

    def ask(self, method, path, body=None):
        data = json.dumps(body if body is not None else {}).encode() if method == 'POST' else None
        request = urllib.request.Request(self.url + path, data, {'Content-Type': 'application/json'}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read())['value']
        except urllib.error.HTTPError as refused:
            said = json.loads(refused.read())['value']
            raise RuntimeError(f'{method} {path}: {said["error"]}: {said["message"][:600]}') from refused

    def cdp(self, command, **params):
        return self.ask('POST', '/goog/cdp/execute', {'cmd': command, 'params': params})

    def size(self, width, height=900):
        self.cdp('Emulation.setDeviceMetricsOverride', width=width, height=height, deviceScaleFactor=1, mobile=False)

    def colours(self, scheme):
        self.cdp('Emulation.setEmulatedMedia', features=[{'name': 'prefers-color-scheme', 'value': scheme}, {'name': 'prefers-reduced-motion', 'value': 'reduce'}])

    def go(self, url):
        self.ask('POST', '/url', {'url': url})

    def run(self, script, *args):
        return self.ask('POST', '/execute/sync', {'script': script, 'args': list(args)})

    def run_async(self, script, *args):
        return self.ask('POST', '/execute/async', {'script': script, 'args': list(args)})

    def wait(self, script, name, *args, seconds=10):
        """Until the script answers something that is true."""
        end = time.monotonic() + seconds
        while True:
            found = self.run(script, *args)
            if found:
                return found
            if time.monotonic() > end:
                raise RuntimeError(f'waited {seconds} s for {name}; the page says:\n{self.text()[:1500]}\n{self.console()}')
            time.sleep(0.02)

    def text(self):
        return self.run('return document.body.innerText')

    def console(self):
        """Lines since the last time."""
        return [f'{line["level"]} {line["message"]}' for line in self.ask('POST', '/se/log', {'type': 'browser'})]

    def press(self, keys):
        """'g j', 'Escape', 'Control+k': as a person would."""
        actions = []
        for word in keys.split(' '):
            held = word.split('+')
            values = [KEYS.get(k, k) for k in held]
            actions += [{'type': 'keyDown', 'value': v} for v in values] + [{'type': 'keyUp', 'value': v} for v in reversed(values)]
        self.ask('POST', '/actions', {'actions': [{'type': 'key', 'id': 'keys', 'actions': actions}]})

    def type(self, text):
        self.ask('POST', '/actions', {'actions': [{'type': 'key', 'id': 'keys', 'actions': [
            a for c in text for a in ({'type': 'keyDown', 'value': c}, {'type': 'keyUp', 'value': c})]}]})

    def click(self, xpath, seconds=10):
        """The element that is there and can be seen; a click by the pointer, refused when something lies over it."""
        end = time.monotonic() + seconds
        while True:
            try:
                found = self.ask('POST', '/element', {'using': 'xpath', 'value': xpath})[ELEMENT]
                self.ask('POST', f'/element/{found}/click')
                return
            except RuntimeError as e:
                if time.monotonic() > end:
                    raise RuntimeError(f'{e}\n{self.text()[:1500]}') from e
            time.sleep(0.03)

    def picture(self, path):
        size = self.run('return [document.documentElement.clientWidth, Math.max(document.body.scrollHeight, innerHeight)]')
        shot = self.cdp('Page.captureScreenshot', format='png', captureBeyondViewport=True, clip={'x': 0, 'y': 0, 'width': size[0], 'height': size[1], 'scale': 1})
        with open(path, 'wb') as file:
            file.write(base64.b64decode(shot['data']))
