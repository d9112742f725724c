// SPDX-License-Identifier: Apache-2.0
// Keys of pages: one listener; the last that was registered for a key has it. Off in fields, below dialogs, and when the reader switched them off.
import { useEffect, useRef } from 'react';

type Run = (e: KeyboardEvent) => void;
interface Binding { key: string; run: { current: Run }; what: string }

const bindings: Binding[] = [];
let isOn = true;
let prefix = '';
let prefixTimer: ReturnType<typeof setTimeout> | undefined;

/** key: "j", "Escape", "g o" for one after the other. what: for the sheet of all keys; empty: not shown. */
export function useKey(key: string, what: string, run: Run | undefined): void {
  const now = useRef<Run>(() => undefined);
  now.current = run ?? (() => undefined);
  const has = run !== undefined;
  useEffect(() => {
    if (!has) return;
    const b: Binding = { key, run: now, what };
    bindings.push(b);
    return () => { bindings.splice(bindings.indexOf(b), 1); };
  }, [key, what, has]);
}

export function switchKeys(on: boolean): void {
  isOn = on;
}

export function allKeys(): { key: string; what: string }[] {
  const seen = new Set<string>();
  return bindings.filter((b) => b.what && !seen.has(b.key) && seen.add(b.key)).map(({ key, what }) => ({ key, what }));
}

function inField(e: KeyboardEvent): boolean {
  const t = e.target;
  if (!(t instanceof HTMLElement)) return false;
  if (t instanceof HTMLInputElement) return t.type !== 'checkbox';
  return t instanceof HTMLTextAreaElement || t instanceof HTMLSelectElement || t.isContentEditable;
}

document.addEventListener('keydown', (e) => {
  if ((e.ctrlKey || e.metaKey) && e.key.toLowerCase() === 'k') {
    const b = bindings.findLast((x) => x.key === 'Ctrl K');
    if (b) { e.preventDefault(); b.run.current(e); }
    return;
  }
  if (e.ctrlKey || e.metaKey || e.altKey || !isOn || inField(e) || document.querySelector('[role="dialog"]')) return;
  const whole = prefix ? `${prefix} ${e.key}` : e.key;
  prefix = '';
  clearTimeout(prefixTimer);
  const b = bindings.findLast((x) => x.key === whole);
  if (b) {
    const isLink = e.target instanceof HTMLElement && e.target.closest('a, button');
    if (e.key === 'Enter' && isLink) return; // the thing that has the focus is meant
    e.preventDefault();
    b.run.current(e);
  } else if (bindings.some((x) => x.key.startsWith(`${whole} `))) {
    prefix = whole;
    prefixTimer = setTimeout(() => { prefix = ''; }, 1500);
  }
});
