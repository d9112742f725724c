// SPDX-License-Identifier: Apache-2.0
// One request. Paths are relative to the page's base, so that a proxy may put the whole below a path of its own.

export const base = new URL(document.baseURI).pathname.replace(/\/$/, '');

export class ApiError extends Error {
  constructor(readonly status: number, readonly code: string, message: string) {
    super(message);
  }
  /** Nobody answered, or who answered could not ask Redis. */
  get isAway(): boolean {
    return this.status === 0 || this.status === 502 || this.status === 503 || this.status === 504;
  }
}

export interface Answer {
  status: number;
  text: string;
  etag: string | null;
  date: number; // of the server; NaN when it did not say
}

const LIMIT_MS = 15_000;

export async function send(method: string, path: string, body?: string, fields: Record<string, string> = {}): Promise<Answer> {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), LIMIT_MS);
  try {
    const r = await fetch(base + path, {
      method,
      headers: body === undefined ? fields : { 'Content-Type': 'application/json', ...fields },
      body: body ?? null,
      signal: stop.signal,
      credentials: 'same-origin',
      cache: 'no-store',
    });
    const text = await r.text();
    if (!r.ok && r.status !== 304) throw refusal(r.status, text);
    return { status: r.status, text, etag: r.headers.get('ETag'), date: Date.parse(r.headers.get('Date') ?? '') };
  } catch (e) {
    if (e instanceof ApiError) throw e;
    throw new ApiError(0, 'away', stop.signal.aborted ? `no answer within ${LIMIT_MS / 1000} s` : 'nobody answers');
  } finally {
    clearTimeout(timer);
  }
}

function refusal(status: number, text: string): ApiError {
  try {
    const said = JSON.parse(text) as { error?: string; code?: string };
    return new ApiError(status, said.code ?? '', said.error ?? `status ${status}`);
  } catch {
    return new ApiError(status, '', `status ${status}`);
  }
}

export async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  const r = await send(method, path, body === undefined ? undefined : JSON.stringify(body));
  return JSON.parse(r.text || 'null') as T;
}

export function query(of: Record<string, string | number | undefined>): string {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(of)) if (v !== undefined && v !== '') q.set(k, String(v));
  const text = q.toString();
  return text && `?${text}`;
}
