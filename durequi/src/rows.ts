// SPDX-License-Identifier: Apache-2.0
// Lists that may be long. Rows stay where they are: values change in place, new rows wait to be shown, and only what is near the window is drawn.
import { useCallback, useEffect, useLayoutEffect, useRef, useState, type RefObject } from 'react';
import { call } from './http';
import { useLive } from './live';
import { say } from './overlay';

const NEXT = 200; // rows of a page after the first

interface Item { id: string }
interface Page<T> { data: T[]; next_cursor?: string }

interface List<T> {
  path: string;
  rows: T[];
  cursor: string | undefined;
  gone: Set<string>;
}

function begin<T extends Item>(path: string, page: Page<T>): List<T> {
  return { path, rows: page.data, cursor: page.next_cursor, gone: new Set() };
}

/** The same rows with what the newest page says of them. */
function patch<T extends Item>(list: List<T>, page: Page<T>): List<T> {
  const byId = new Map(page.data.map((j) => [j.id, j]));
  const known = new Set(list.rows.map((j) => j.id));
  const fresh = page.data.filter((j) => !known.has(j.id)).length;
  const gone = new Set<string>();
  list.rows.forEach((j, i) => {
    const isCovered = !page.next_cursor || i < page.data.length - fresh; // it would be on that page
    if (!byId.has(j.id) && isCovered) gone.add(j.id);
  });
  return { ...list, rows: list.rows.map((j) => byId.get(j.id) ?? j), gone };
}

/** The pages at `path`, which has a query: the first is kept up to date, the others are read as one goes on. */
export function useRows<T extends Item, P extends Page<T>>(path: string, every: number, pulses = false) {
  const { data, error } = useLive<P>(path, every, pulses);
  const [list, setList] = useState<List<T>>();
  const [loading, setLoading] = useState(false);
  useEffect(() => {
    if (data) setList((old) => (!old || old.path !== path || old.rows.length === 0 ? begin(path, data) : patch(old, data)));
  }, [data, path]);
  const known = new Set(list?.rows.map((j) => j.id));
  const fresh = list?.path === path && data ? data.data.filter((j) => !known.has(j.id)).length : 0;
  const showFresh = (): void => { if (data) setList(begin(path, data)); };
  const more = useCallback(async (): Promise<void> => {
    if (!list?.cursor || loading) return;
    setLoading(true);
    try {
      const next = await call<P>('GET', `${path.replace(/\blimit=\d+/, `limit=${NEXT}`)}&cursor=${encodeURIComponent(list.cursor)}`);
      setList((old) => {
        if (old?.path !== path) return old;
        const had = new Set(old.rows.map((j) => j.id));
        return { ...old, rows: [...old.rows, ...next.data.filter((j) => !had.has(j.id))], cursor: next.next_cursor };
      });
    } catch (e) {
      say(String(e instanceof Error ? e.message : e), 'bad');
    } finally {
      setLoading(false);
    }
  }, [path, list?.cursor, loading]);
  return { list, page: data, error, fresh, showFresh, more, loading, isOld: list !== undefined && list.path !== path };
}

export interface Seen { body: RefObject<HTMLTableSectionElement | null>; from: number; to: number; height: number }

/** Which of n rows (tr.r) of one height are near what is seen; the others are blank space. */
export function useSeen(n: number): Seen {
  const body = useRef<HTMLTableSectionElement>(null);
  const [range, setRange] = useState({ from: 0, to: 60, height: 32 });
  useLayoutEffect(() => {
    const look = (): void => {
      const el = body.current;
      if (!el) return;
      const row = el.querySelector<HTMLElement>('tr.r');
      const height = row?.offsetHeight || 32;
      const top = -el.getBoundingClientRect().top;
      const from = Math.max(0, Math.floor(top / height / 20) * 20 - 20);
      const to = from + Math.ceil(window.innerHeight / height / 20) * 20 + 60;
      setRange((old) => (old.from === from && old.to === to && old.height === height ? old : { from, to, height }));
    };
    look();
    window.addEventListener('scroll', look, { passive: true });
    window.addEventListener('resize', look);
    return () => {
      window.removeEventListener('scroll', look);
      window.removeEventListener('resize', look);
    };
  }, [n]);
  return { body, from: Math.min(range.from, Math.max(0, n - 1)), to: Math.min(n, range.to), height: range.height };
}

/** Brings row `at` into the window. */
export function showRow({ body, height }: Seen, at: number): void {
  const y = (body.current?.getBoundingClientRect().top ?? 0) + at * height;
  if (y < 120) window.scrollBy(0, y - 120);
  else if (y > window.innerHeight - 100) window.scrollBy(0, y - window.innerHeight + 100);
}
