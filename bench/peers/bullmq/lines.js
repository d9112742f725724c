// SPDX-License-Identifier: Apache-2.0
// The words that bench/peers/run speaks with producers and workers (see there): "name key=value ..." in, "ok key=value ..." out.
'use strict';
const readline = require('node:readline');

function parse(line) {
  const [name, ...pairs] = line.trim().split(' ');
  return [name, Object.fromEntries(pairs.map((p) => p.split(/=(.*)/s).slice(0, 2)))];
}

function say(answer) {
  const pairs = Object.entries(answer || {}).map(([k, v]) => ` ${k}=${v}`);
  process.stdout.write(`ok${pairs.join('')}\n`);
}

async function serve(commands, first) {
  say(first);
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [name, words] = parse(line);
    try {
      say(await commands[name](words));
    } catch (e) {
      process.stdout.write(`error ${e.message}\n`);
    }
  }
  process.exit(0);
}

const monoUs = () => Number(process.hrtime.bigint() / 1000n);

module.exports = { serve, monoUs };
