// SPDX-License-Identifier: Apache-2.0
// A BullMQ worker whose handler counts, and sleeps when it is told to.
'use strict';
const fs = require('node:fs');
const { setTimeout: sleep } = require('node:timers/promises');
const { serve, monoUs } = require('./lines');
const { Worker } = require('bullmq');

const sleepMs = +(process.env.PEER_SLEEP_MS || 0);
let counts = new Uint8Array(1), starts = null, count = 0, at = 0;

function note(job) {
  const i = parseInt(job.data.i, 16);
  at = monoUs();
  if (starts && !counts[i]) starts[i] = BigInt(at);
  counts[i]++;
  count++;
}

const noop = async (job) => note(job);
const sleeping = async (job) => {
  note(job);
  await sleep(sleepMs);
};

const worker = new Worker('bench', sleepMs ? sleeping : noop, {
  connection: { path: process.env.PEER_SOCKET },
  concurrency: +process.env.PEER_CONCURRENCY,
});
worker.on('error', (e) => console.error(`bullmq worker: ${e.message}`));

const commands = {
  expect({ n, record }) {
    counts = new Uint8Array(+n);
    starts = record === '1' ? new BigInt64Array(+n) : null;
    count = at = 0;
  },
  count: () => ({ count, at_us: at }),
  dump({ path }) {
    fs.writeFileSync(path, counts);
    if (starts) fs.writeFileSync(`${path}.starts`, Buffer.from(starts.buffer));
  },
};
worker.waitUntilReady().then(() => serve(commands, { version: require('bullmq/package.json').version, runtime: `node-${process.versions.node}` }));
