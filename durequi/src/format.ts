// SPDX-License-Identifier: Apache-2.0
// How numbers, lengths of time and ids are written. Thin: what the design says under "Times" and "Words", and nothing else.

export function count(n: number): string {
  return n.toLocaleString('en-US');
}

/** In the rail: short from 10,000 on. */
export function short(n: number): string {
  if (n < 10_000) return count(n);
  if (n < 1_000_000) return `${(n / 1000).toFixed(n < 100_000 ? 1 : 0)} k`;
  return `${(n / 1_000_000).toFixed(1)} M`;
}

export function rate(n: number): string {
  if (n === 0) return '0';
  if (n < 0.1) return n < 0.01 ? '<0.01' : n.toFixed(2);
  if (n < 10) return n.toFixed(1);
  return count(Math.round(n));
}

const pad = (n: number): string => String(n).padStart(2, '0');

/** A length of time: 12 ms, 0.4 s, 6 m 02 s, 3 h 12 m, 6 d 4 h. */
export function length(ms: number): string {
  if (ms < 100) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const s = Math.round(ms / 1000);
  if (s < 3600) return `${Math.floor(s / 60)} m ${pad(s % 60)} s`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${pad(Math.floor((s % 3600) / 60))} m`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
}

/** One unit is enough for an age. */
function coarse(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} m`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86_400)} d`;
}

export function relative(at: number, now: number): string {
  if (at > now + 500) return `in ${coarse(at - now + 500)}`;
  return now - at < 1000 ? 'now' : `${coarse(now - at)} ago`;
}

export type Zone = 'UTC' | 'local';

/** 2027-03-12 02:45:02.118 */
export function exact(at: number, zone: Zone): string {
  const d = new Date(at);
  if (zone === 'UTC') return d.toISOString().replace('T', ' ').replace('Z', '');
  const date = `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())}`;
  return `${date} ${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}.${String(d.getMilliseconds()).padStart(3, '0')}`;
}

export function clock(at: number, zone: Zone, ms = false): string {
  return exact(at, zone).slice(11, ms ? 23 : 19);
}

/** "1h30m", "565ms" as the server writes lengths. NaN: it is none. */
export function lengthOf(text: string): number {
  const units: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
  let sum = 0;
  let rest = text;
  while (rest) {
    const found = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)/.exec(rest);
    if (!found) return NaN;
    sum += Number(found[1]) * units[found[2]!]!;
    rest = rest.slice(found[0].length);
  }
  return sum;
}

/** Ids of one hour begin alike: the middle goes. */
export function cut(id: string): string {
  return id.length <= 12 ? id : `${id.slice(0, 4)}…${id.slice(-6)}`;
}

export function plural(n: number, one: string, many = one + 's'): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** Characters that turn or hide others are shown by their number, so that a name cannot look like another. */
export function plain(text: string): string {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

export function bytes(n: number): string {
  if (n < 1024) return `${n} B`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let i = -1;
  do { n /= 1024; i++; } while (n >= 1024 && i < 3);
  return `${n.toFixed(n < 10 ? 1 : 0)} ${units[i]}`;
}
