// SPDX-License-Identifier: Apache-2.0
// What keeps pages up to date. A view names a path and how often it wants it; here it is asked for, once for all views that name it, while somebody
// looks: not when the tab is hidden or live is paused, one request a path under way, with If-None-Match when the server gave an ETag, and more and
// more seldom while nobody answers. An answer that is the same text as before wakes nobody.
//
// This is the only place that knows how news arrive: an event stream would replace the timers of this file and nothing else.
import { useCallback, useSyncExternalStore } from 'react';
import { ApiError, send } from './http';

export interface Live<T> {
  data: T | undefined;
  text: string; // as it came
  error: ApiError | undefined;
  at: number; // when data was last known to be so, by this browser's clock; 0: never
}

interface Entry {
  path: string;
  live: Live<unknown>;
  etag: string | null;
  watchers: Map<() => void, number>; // and how often they want it, ms
  timer: ReturnType<typeof setTimeout> | undefined;
  isAsked: boolean;
  isStale: boolean; // asked for again while an answer was under way
  isOver: boolean; // there is nothing there any more
  failures: number;
}

export interface Connection {
  state: 'live' | 'paused' | 'away';
  okAt: number; // the last answer
  failedAt: number; // since when there is none
  tries: number;
  nextAt: number;
  reason: string;
  isRedis: boolean; // dureqd answers, Redis does not
}

export const ME = '/api/me';
const KEEP = 60; // paths that nobody watches any more, for the way back
const BACKOFF_MS = [1000, 1000, 2000, 4000, 8000, 15_000];

const entries = new Map<string, Entry>();
const listeners = new Set<() => void>();
let connection: Connection = { state: 'live', okAt: 0, failedAt: 0, tries: 0, nextAt: 0, reason: '', isRedis: false };
let isPaused = false;
let skew = 0;

const nothing: Live<never> = { data: undefined, text: '', error: undefined, at: 0 };

function setConnection(next: Partial<Connection>): void {
  connection = { ...connection, ...next };
  for (const l of listeners) l();
}

/** The server's time, as far as it differs from this browser's by more than its answers can tell. */
export function serverNow(): number {
  return Date.now() + skew;
}

function learnTime(date: number): void {
  if (Number.isNaN(date)) return;
  const off = date + 500 - Date.now();
  skew = Math.abs(off) < 2000 ? 0 : off;
}

function entryOf(path: string): Entry {
  let e = entries.get(path);
  if (!e) {
    e = { path, live: nothing, etag: null, watchers: new Map(), timer: undefined, isAsked: false, isStale: false, isOver: false, failures: 0 };
    entries.set(path, e);
  }
  return e;
}

function wake(e: Entry, next: Partial<Live<unknown>>): void {
  e.live = { ...e.live, ...next };
  for (const w of e.watchers.keys()) w();
}

function answered(): void {
  if (connection.state === 'away') {
    setConnection({ state: isPaused ? 'paused' : 'live', okAt: Date.now(), tries: 0, reason: '' });
    for (const e of entries.values()) plan(e, 0); // all that was missed
  } else {
    connection.okAt = Date.now(); // nobody draws it while all is well
  }
}

function failed(error: ApiError): void {
  const tries = connection.state === 'away' ? connection.tries + 1 : 1;
  const wait = BACKOFF_MS[Math.min(tries, BACKOFF_MS.length) - 1]!;
  setConnection({
    state: 'away', tries, reason: error.message, isRedis: error.status === 503 && error.code !== 'overloaded', nextAt: Date.now() + wait, failedAt: connection.state === 'away' ? connection.failedAt : Date.now(),
  });
}

async function ask(e: Entry): Promise<void> {
  e.isAsked = true;
  e.isStale = false;
  try {
    const r = await send('GET', e.path, undefined, e.etag ? { 'If-None-Match': e.etag } : {});
    learnTime(r.date);
    e.failures = 0;
    answered();
    if (r.status === 304 || r.text === e.live.text) {
      const was = e.live.error;
      e.live = { ...e.live, error: undefined, at: Date.now() };
      if (was) wake(e, {});
    } else {
      e.etag = r.etag;
      wake(e, { data: JSON.parse(r.text), text: r.text, error: undefined, at: Date.now() });
    }
  } catch (err) {
    const error = err instanceof ApiError ? err : new ApiError(0, 'internal', String(err));
    e.failures++;
    if (error.isAway) {
      if (Date.now() >= connection.nextAt || connection.state !== 'away') failed(error);
    } else {
      answered();
    }
    if (error.status === 401 && e.path !== ME && entries.has(ME)) plan(entryOf(ME), 0); // who was let in is not any more
    wake(e, { error });
  } finally {
    e.isAsked = false;
    plan(e, e.isStale ? 0 : undefined);
  }
}

function periodOf(e: Entry): number {
  return Math.min(...e.watchers.values());
}

/** Sets when e is asked for next; in `soon` ms when that is given. */
function plan(e: Entry, soon?: number): void {
  clearTimeout(e.timer);
  e.timer = undefined;
  if (e.isAsked) {
    e.isStale = e.isStale || soon !== undefined;
    return;
  }
  const isIdle = document.hidden || (isPaused && e.live.at > 0 && soon === undefined);
  const isShut = e.live.error?.status === 401 && soon === undefined; // nobody is signed in
  if (e.watchers.size === 0 || isIdle || isShut || e.isOver) return;
  let wait = soon ?? periodOf(e);
  if (connection.state === 'away') wait = Math.max(wait, connection.nextAt - Date.now());
  else if (e.failures) wait = Math.max(wait, BACKOFF_MS[Math.min(e.failures, BACKOFF_MS.length) - 1]!);
  if (wait === Infinity) return; // once is enough
  if (wait <= 0) void ask(e);
  else e.timer = setTimeout(() => void ask(e), wait);
}

function forget(): void {
  if (entries.size <= KEEP) return;
  for (const [path, e] of entries) {
    if (e.watchers.size === 0 && !e.isAsked) entries.delete(path);
    if (entries.size <= KEEP) return;
  }
}

function watch(path: string, wakeUp: () => void, every: number): () => void {
  const e = entryOf(path);
  e.watchers.set(wakeUp, every);
  if (Date.now() - e.live.at > Math.min(every, 1000)) plan(e, 0);
  else plan(e);
  return () => {
    e.watchers.delete(wakeUp);
    plan(e);
    forget();
  };
}

/** The resource at `path` as it is now; undefined path: nothing is wanted yet. every: ms, or Infinity for what does not change. */
export function useLive<T>(path: string | undefined, every = 2000): Live<T> {
  const subscribe = useCallback((wakeUp: () => void) => (path === undefined ? () => undefined : watch(path, wakeUp, every)), [path, every]);
  const found = useSyncExternalStore(subscribe, () => (path === undefined ? nothing : (entries.get(path)?.live ?? nothing)));
  return found as Live<T>;
}

/** What is known of `path` now, for what is not drawn. */
export function known<T>(path: string): T | undefined {
  return entries.get(path)?.live.data as T | undefined;
}

/** Something was changed from here: what begins with one of these is asked for at once. */
export function refresh(...paths: string[]): void {
  for (const e of entries.values()) {
    if (!paths.some((p) => e.path.startsWith(p))) continue;
    if (e.watchers.size) plan(e, 0);
    else e.live = { ...e.live, at: 0 };
  }
}

/** Somebody else looks from now on: what was known is forgotten, and asked for again where it is still wanted. */
export function startAnew(): void {
  for (const e of entries.values()) {
    Object.assign(e, { etag: null, failures: 0, isOver: false });
    wake(e, { data: undefined, text: '', error: undefined, at: 0 });
    plan(e, 0);
  }
}

/** What begins with it is deleted by `run`: views of it that are still open ask no more, from before that on, unless it fails. */
export async function drop(path: string, run: () => Promise<unknown>): Promise<void> {
  const mark = (isOver: boolean): void => {
    for (const e of entries.values()) if (e.path.startsWith(path)) e.isOver = isOver;
  };
  mark(true);
  try {
    await run();
  } catch (err) {
    mark(false);
    refresh(path);
    throw err;
  }
}

export function useConnection(): Connection {
  return useSyncExternalStore(onConnection, () => connection);
}

function onConnection(l: () => void): () => void {
  listeners.add(l);
  return () => listeners.delete(l);
}

export function setPaused(paused: boolean): void {
  isPaused = paused;
  if (connection.state !== 'away') setConnection({ state: paused ? 'paused' : 'live' });
  for (const e of entries.values()) plan(e, paused ? undefined : 0);
}

export function tryNow(): void {
  setConnection({ nextAt: 0 });
  for (const e of entries.values()) plan(e, 0);
}

document.addEventListener('visibilitychange', () => {
  for (const e of entries.values()) plan(e, document.hidden ? undefined : 0);
});

// ---- the clock of ages ----

let now = serverNow();
const ticks = new Set<() => void>();
let ticker: ReturnType<typeof setInterval> | undefined;

function tick(): void {
  now = serverNow();
  for (const t of ticks) t();
}

/** The server's time, each second. */
export function useNow(): number {
  return useSyncExternalStore(onTick, () => now);
}

function onTick(t: () => void): () => void {
  ticks.add(t);
  ticker ??= setInterval(tick, 1000);
  return () => {
    ticks.delete(t);
    if (ticks.size === 0) {
      clearInterval(ticker);
      ticker = undefined;
    }
  };
}
