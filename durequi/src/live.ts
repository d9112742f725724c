// SPDX-License-Identifier: Apache-2.0
// What keeps pages up to date. A view names a path and how often it may be asked for; here it is asked for, once for all views that name it, while somebody
// looks: not when the tab is hidden or live is paused, one request a path under way, with If-None-Match when the server gave an ETag, and more and
// more seldom while nobody answers. An answer that is the same text as before wakes nobody.
//
// While the event stream is up (stream.ts) a path is asked for when something happened that concerns it (news.ts), no oftener than its views want it, and else
// only now and then; counts, queues and nodes come by themselves. Without the stream each path is asked for as often as its views want it.
import { useCallback, useSyncExternalStore } from 'react';
import { ApiError, send } from './http';
import { concerns, newsOf, pathOf, type News } from './news';
import { forgetPlace, listen, type Digest, type Listener } from './stream';

export interface Live<T> {
  data: T | undefined;
  text: string; // as it came
  error: ApiError | undefined;
  at: number; // when data was last known to be so, by this browser's clock; 0: never
}

interface Watcher { every: number; pulses: boolean } // every: ms; pulses: it changes without any event

interface Entry {
  path: string;
  news: News | undefined;
  live: Live<unknown>;
  etag: string | null;
  watchers: Map<() => void, Watcher>;
  timer: ReturnType<typeof setTimeout> | undefined;
  isAsked: boolean;
  asking: Promise<void> | undefined; // the request that is under way, or the last one
  isStale: boolean; // asked for again while an answer was under way
  isDirty: boolean; // something happened since it was asked for
  askedAt: number; // when the last answer came, or failed to
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
  isAsking: boolean; // there is no event stream: pages ask instead
}

export const ME = '/api/me';
export const VERSION = '/api/version';
const LEAST_MS = 500; // between two requests for a path, whatever happens
const KEEP = 60; // paths that nobody watches any more, for the way back
const BACKOFF_MS = [1000, 1000, 2000, 4000, 8000, 15_000];

const entries = new Map<string, Entry>();
const listeners = new Set<() => void>();
let connection: Connection = { state: 'live', okAt: 0, failedAt: 0, tries: 0, nextAt: 0, reason: '', isRedis: false, isAsking: false };
let isPaused = false;
let isPushed = false; // the event stream is up
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
    e = { path, news: newsOf(path), isDirty: false, askedAt: 0, asking: undefined, live: nothing, etag: null, watchers: new Map(), timer: undefined, isAsked: false, isStale: false, isOver: false, failures: 0 };
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
  const wasAway = connection.state === 'away';
  const tries = wasAway ? connection.tries + 1 : 1;
  const wait = BACKOFF_MS[Math.min(tries, BACKOFF_MS.length) - 1]!;
  setConnection({
    state: 'away', tries, reason: error.message, isRedis: error.status === 503 && error.code !== 'overloaded', nextAt: Date.now() + wait, failedAt: wasAway ? connection.failedAt : Date.now(),
  });
  if (!wasAway) for (const e of entries.values()) plan(e); // they wait for less now
}

async function ask(e: Entry): Promise<void> {
  e.isAsked = true;
  e.isStale = false;
  e.isDirty = false;
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
    e.askedAt = Date.now();
    if (e.path === ME || e.path === VERSION) choose();
    plan(e, e.isStale ? 0 : undefined);
  }
}

/** From one answer to the next request. */
function periodOf(e: Entry): number {
  const all = [...e.watchers.values()];
  const every = Math.min(...all.map((w) => w.every));
  if (!isPushed || connection.state === 'away' || e.failures || !e.news || all.some((w) => w.pulses)) return every;
  return Math.max(every, e.isDirty ? LEAST_MS : e.news.idle);
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
  let wait = soon ?? e.askedAt + periodOf(e) - Date.now();
  if (connection.state === 'away') wait = Math.max(wait, connection.nextAt - Date.now());
  else if (e.failures) wait = Math.max(wait, BACKOFF_MS[Math.min(e.failures, BACKOFF_MS.length) - 1]!);
  if (wait === Infinity) return; // once is enough
  if (wait <= 0) e.asking = ask(e);
  else e.timer = setTimeout(() => { e.asking = ask(e); }, wait);
}

function forget(): void {
  if (entries.size <= KEEP) return;
  for (const [path, e] of entries) {
    if (e.watchers.size === 0 && !e.isAsked) entries.delete(path);
    if (entries.size <= KEEP) return;
  }
}

function watch(path: string, wakeUp: () => void, w: Watcher): () => void {
  const e = entryOf(path);
  const isCome = isPushed && e.news?.snapshot !== undefined && e.live.at > 0 && !e.isDirty;
  e.watchers.set(wakeUp, w);
  if (!isCome && Date.now() - e.live.at > Math.min(w.every, 1000)) plan(e, 0);
  else plan(e);
  return () => {
    e.watchers.delete(wakeUp);
    plan(e);
    forget();
  };
}

/**
 * The resource at `path` as it is now; undefined path: nothing is wanted yet. every: ms, or Infinity for what does not change. pulses: it changes without an
 * event that would tell, and is asked for all the time.
 */
export function useLive<T>(path: string | undefined, every = 2000, pulses = false): Live<T> {
  const subscribe = useCallback((wakeUp: () => void) => (path === undefined ? () => undefined : watch(path, wakeUp, { every, pulses })), [path, every, pulses]);
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
  forgetPlace();
  listen(false, listener);
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
    await Promise.all([...entries.values()].filter((e) => e.isAsked && e.path.startsWith(path)).map((e) => e.asking)); // they would find nothing
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
  choose();
  for (const e of entries.values()) plan(e, paused ? undefined : 0);
}

export function tryNow(): void {
  setConnection({ nextAt: 0 });
  for (const e of entries.values()) plan(e, 0);
}

document.addEventListener('visibilitychange', () => {
  choose();
  for (const e of entries.values()) plan(e);
});

// ---- the event stream ----

interface Asked { features?: string[]; queues?: string[]; task_types?: string[] }

/** It is for who is let in, to all queues and types, and looks. */
function choose(): void {
  const features = known<Asked>(VERSION)?.features ?? [];
  const me = known<Asked>(ME);
  const isIn = !features.includes('login') || (me !== undefined && entries.get(ME)?.live.error?.status !== 401);
  const isLimited = me?.queues !== undefined || me?.task_types !== undefined;
  const may = features.includes('digest') && isIn && !isLimited;
  if (connection.isAsking !== (features.length > 0 && isIn && !may)) setConnection({ isAsking: features.length > 0 && isIn && !may });
  listen(may && !document.hidden && !isPaused, listener);
}

function mark(of: (e: Entry) => boolean): void {
  for (const e of entries.values()) {
    if (!of(e)) continue;
    e.isDirty = true;
    plan(e);
  }
}

const listener: Listener = {
  onUp: (wentOn) => {
    isPushed = true;
    if (connection.isAsking) setConnection({ isAsking: false });
    mark((e) => !wentOn && e.live.at > 0 && e.news !== undefined); // what happened before it was up
    for (const e of entries.values()) plan(e);
  },
  onDown: (isLost) => {
    isPushed = false;
    if (isLost && !connection.isAsking) setConnection({ isAsking: true });
    for (const e of entries.values()) plan(e);
  },
  onHeard: () => { connection.okAt = Date.now(); },
  onDigest: (d: Digest) => mark((e) => e.news !== undefined && concerns(e.news, d)),
  onSnapshot: (of, text) => {
    const path = pathOf(of);
    const e = path === undefined ? undefined : entries.get(path);
    if (!e) return;
    if (text === undefined) {
      mark((x) => x === e);
      return;
    }
    Object.assign(e, { etag: null, isDirty: false, askedAt: Date.now() });
    wake(e, { data: JSON.parse(text), text, error: undefined, at: Date.now() });
    plan(e);
  },
  onGap: () => mark((e) => e.news !== undefined),
};

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
