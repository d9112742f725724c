// SPDX-License-Identifier: Apache-2.0
// The one event stream of a page: a WebSocket that tells, at most four times a second, what happened, and once a second counts, queues and nodes when they
// changed. It goes on where it was cut off; what it cannot tell any more is a gap. Who cannot have it (an old server, a proxy that lets none through) gets
// nothing from here, and asks instead.
import { base } from './http';

export interface Digest { events: Record<string, number>; jobs: string[]; jobs_exact: boolean }

export interface Listener {
  onUp: (wentOn: boolean) => void; // wentOn: nothing was missed since it was up before
  onDown: (isLost: boolean) => void; // isLost: it was tried again, and could not be had
  onHeard: () => void; // whatever came
  onDigest: (d: Digest) => void;
  onSnapshot: (of: string, text: string | undefined) => void; // undefined: it is too long, or could not be read: to be asked for
  onGap: () => void;
}

const RETRY_MS = [500, 1000, 2000, 4000, 8000, 16_000, 30_000];
const ENDED = 1008; // who listens may not any more; the page will know soon
const KEEP_MS = 60_000; // so long a place is kept: to read what happened meanwhile would cost more than to ask again

let socket: WebSocket | undefined;
let timer: ReturnType<typeof setTimeout> | undefined;
let seq = '';
let seqAt = 0;
let tries = 0;
let isWanted = false;

interface Message { type: string; seq?: string; of?: string; data?: unknown }

const DATA = '"data":';

function take(to: Listener, text: string): void {
  const m = JSON.parse(text) as Message & Partial<Digest>;
  to.onHeard();
  if (m.seq) {
    seq = m.seq;
    seqAt = Date.now();
  }
  if (m.type === 'stream.digest') to.onDigest(m as Digest);
  else if (m.type === 'stream.gap') to.onGap();
  else if (m.type === 'stream.snapshot' && m.of) to.onSnapshot(m.of, m.data === undefined ? undefined : text.slice(text.indexOf(DATA) + DATA.length, -1)); // as it came: digits stay
}

function address(since: string): string {
  const at = new URL(`${base}/api/ws?digest=1&coalesce=250ms&snapshot=counts,queues,nodes${since && `&since=${encodeURIComponent(since)}`}`, location.href);
  at.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  return at.href;
}

function connect(to: Listener): void {
  const since = Date.now() - seqAt < KEEP_MS ? seq : '';
  const s = new WebSocket(address(since));
  let wasUp = false;
  timer = undefined;
  socket = s;
  s.onopen = () => {
    wasUp = true;
    tries = 0;
    to.onUp(since !== '');
  };
  s.onmessage = (e) => take(to, String(e.data));
  s.onclose = (e) => {
    if (socket !== s) return; // it was left
    socket = undefined;
    if (!wasUp && since) seq = ''; // it may be the place that is refused
    to.onDown(!wasUp && tries > 0);
    if (e.code === ENDED) tries = Math.max(tries, 2);
    const wait = RETRY_MS[Math.min(tries++, RETRY_MS.length - 1)]!;
    timer = setTimeout(() => connect(to), wait * (0.5 + Math.random()));
  };
}

/** Whether it is wanted now; the place is kept while it is not. */
export function listen(wants: boolean, to: Listener): void {
  if (wants === isWanted) return;
  isWanted = wants;
  if (wants) {
    tries = 0;
    connect(to);
    return;
  }
  clearTimeout(timer);
  const s = socket;
  socket = undefined;
  s?.close();
  to.onDown(false);
}

/** Somebody else looks: what was seen is forgotten. */
export function forgetPlace(): void {
  seq = '';
}
