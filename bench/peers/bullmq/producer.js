// SPDX-License-Identifier: Apache-2.0
// Adds numbered jobs to a BullMQ queue: addBulk, the way its documents recommend for many; add for one.
'use strict';
const fs = require('node:fs');
const { setTimeout: sleep } = require('node:timers/promises');
const { serve, monoUs } = require('./lines');
const { Queue } = require('bullmq');

const queue = new Queue('bench', { connection: { path: process.env.PEER_SOCKET } });
const filler = 'x'.repeat(169); // the whole is 200 bytes of JSON
const data = (i) => ({ i: i.toString(16).padStart(16, '0'), x: filler });
const opts = process.env.PEER_KEEP === '1' ? {} : { removeOnComplete: true };

async function enqueue({ n, first, batch }) {
  const begun = monoUs();
  for (let at = 0; at < +n; at += +batch) {
    const jobs = [];
    for (let i = at; i < Math.min(+n, at + +batch); i++) jobs.push({ name: 'bench.noop', data: data(+first + i), opts });
    await queue.addBulk(jobs);
  }
  return { us: monoUs() - begun };
}

async function pulse({ n, gap_us, path }) {
  const times = new BigInt64Array(+n);
  for (let i = 0; i < +n; i++) {
    await sleep(+gap_us / 1000);
    times[i] = BigInt(monoUs());
    await queue.add('bench.noop', data(i), opts);
  }
  fs.writeFileSync(path, Buffer.from(times.buffer));
}

queue.waitUntilReady().then(() => serve({ enqueue, pulse }, {}));
