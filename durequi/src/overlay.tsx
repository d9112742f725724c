// SPDX-License-Identifier: Apache-2.0
// What floats: dialogs, menus, toasts.
import { useEffect, useRef, useState, useSyncExternalStore, type KeyboardEvent, type ReactNode } from 'react';
import { Button, Glyph } from './parts';

// ---- toasts ----

export interface Toast {
  id: number;
  text: string;
  kind: 'ok' | 'bad' | 'paused';
  act?: { label: string; run: () => void; hint?: string } | undefined;
}

const STAY_MS = 8000;
let toasts: Toast[] = [];
let nextId = 1;
const listeners = new Set<() => void>();

function setToasts(next: Toast[]): void {
  toasts = next;
  for (const l of listeners) l();
}

export function say(text: string, kind: Toast['kind'] = 'ok', act?: Toast['act']): void {
  setToasts([...toasts.slice(-3), { id: nextId++, text, kind, act }]);
}

export function unsay(id: number): void {
  setToasts(toasts.filter((t) => t.id !== id));
}

/** The last thing that can be taken back, for its key. */
export function undoLast(): void {
  const last = toasts.findLast((t) => t.act?.hint === 'z');
  if (!last) return;
  unsay(last.id);
  last.act?.run();
}

const onToasts = (l: () => void): (() => void) => { listeners.add(l); return () => listeners.delete(l); };

function OneToast({ toast }: { toast: Toast }) {
  const [held, hold] = useState(false);
  useEffect(() => {
    if (held || toast.kind === 'bad') return; // errors stay until closed
    const timer = setTimeout(() => unsay(toast.id), STAY_MS);
    return () => clearTimeout(timer);
  }, [held, toast]);
  const glyph = toast.kind === 'ok' ? 'g-completed' : toast.kind === 'paused' ? 'g-paused' : 'i-warn';
  const tone = toast.kind === 'bad' ? 'bad-t' : toast.kind === 'ok' ? 'st-completed' : 'st-paused';
  return (
    <div className="toast" onMouseEnter={() => hold(true)} onMouseLeave={() => hold(false)} onFocus={() => hold(true)} onBlur={() => hold(false)}>
      <span className={tone}><Glyph name={glyph} /></span>
      <span className="grow">{toast.text}</span>
      {toast.act && (
        <Button small kind="quiet" hint={toast.act.hint ?? ''} onClick={() => { unsay(toast.id); toast.act?.run(); }}>{toast.act.label}</Button>
      )}
      <Button small kind="quiet" icon label="Close" onClick={() => unsay(toast.id)}><Glyph name="i-x" /></Button>
    </div>
  );
}

export function Toasts() {
  const all = useSyncExternalStore(onToasts, () => toasts);
  return <div className="toasts" role="status" aria-live="polite">{all.map((t) => <OneToast key={t.id} toast={t} />)}</div>;
}

// ---- what covers the page ----

/** Keeps focus inside, gives it back to where it was; Esc is the safe way. */
export function Cover({ children, onClose, label, className }: { children: ReactNode; onClose: () => void; label: string; className: string }) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const before = document.activeElement;
    const first = box.current?.querySelector<HTMLElement>('[data-first]') ?? box.current?.querySelector<HTMLElement>('input, button');
    first?.focus();
    return () => { if (before instanceof HTMLElement && before.isConnected) before.focus(); };
  }, []);
  const onKey = (e: KeyboardEvent): void => {
    e.stopPropagation();
    if (e.key === 'Escape') onClose();
    if (e.key !== 'Tab') return;
    const all = [...(box.current?.querySelectorAll<HTMLElement>('a[href], button, input, select, textarea, [tabindex="0"]') ?? [])];
    const at = all.indexOf(document.activeElement as HTMLElement);
    const next = all[(at + (e.shiftKey ? all.length - 1 : 1)) % all.length];
    e.preventDefault();
    next?.focus();
  };
  return (
    <div className="scrim" onMouseDown={(e) => { if (e.target === e.currentTarget) onClose(); }}>
      <div ref={box} role="dialog" aria-modal="true" aria-label={label} className={className} onKeyDown={onKey}>{children}</div>
    </div>
  );
}

// ---- questions ----

export interface Question {
  title: string;
  text: ReactNode;
  facts?: [string, string][];
  verb: string; // what the button says: verb and count
  keep?: string; // the safe way
  danger?: boolean;
  typed?: number | undefined; // to be typed when above 100
  field?: { label: string; hint?: string; value: string; rows?: number; check?: (text: string) => string | undefined };
  run: (field: string) => Promise<void>;
}

const TYPED_FROM = 101;
let question: Question | undefined;
const askers = new Set<() => void>();

export function ask(q: Question | undefined): void {
  question = q;
  for (const l of askers) l();
}

const onAsk = (l: () => void): (() => void) => { askers.add(l); return () => askers.delete(l); };

function Asked({ q }: { q: Question }) {
  const [typed, setTyped] = useState('');
  const [field, setField] = useState(q.field?.value ?? '');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string>();
  const needs = q.typed !== undefined && q.typed >= TYPED_FROM;
  const wrong = q.field?.check?.(field);
  const isReady = (!needs || typed.trim().replace(/,/g, '') === String(q.typed)) && !wrong;
  const go = (): void => {
    if (!isReady || busy) return;
    setBusy(true);
    q.run(field).then(() => ask(undefined), (e: unknown) => { setBusy(false); setError(e instanceof Error ? e.message : String(e)); });
  };
  const onEnter = (e: KeyboardEvent): void => { if (e.key === 'Enter') go(); };
  return (
    <Cover className="dlg" label={q.title} onClose={() => { if (!busy) ask(undefined); }}>
      <div className="dlg-h"><h2>{q.title}</h2></div>
      <div className="dlg-b">
        <div className="t2">{q.text}</div>
        {q.facts && <dl className="kv sm">{q.facts.map(([k, v]) => [<dt key={k}>{k}</dt>, <dd key={k + '='}>{v}</dd>])}</dl>}
        {q.field && (
          <div className="field">
            <label htmlFor="dlg-field">{q.field.label}</label>
            {q.field.rows
              ? <textarea id="dlg-field" data-first="" className="inp mono area" rows={q.field.rows} spellCheck={false} value={field} aria-invalid={wrong ? true : undefined} onChange={(e) => setField(e.target.value)} />
              : <input id="dlg-field" data-first="" className="inp" value={field} autoComplete="off" aria-invalid={wrong ? true : undefined} onChange={(e) => setField(e.target.value)} onKeyDown={onEnter} />}
            {wrong ? <span className="err"><Glyph name="i-warn" />{wrong}</span> : q.field.hint && <span className="hint">{q.field.hint}</span>}
          </div>
        )}
        {needs && (
          <div className="field">
            <label htmlFor="dlg-count">Type <code>{q.typed}</code> to go on</label>
            <input id="dlg-count" data-first="" className="inp mono" inputMode="numeric" autoComplete="off" value={typed} onChange={(e) => setTyped(e.target.value)} onKeyDown={onEnter} />
            <span className="hint">Asked for above 100 jobs.</span>
          </div>
        )}
        {error && <div className="field" role="alert"><span className="err"><Glyph name="i-warn" />{error}</span></div>}
      </div>
      <div className="dlg-f">
        <SafeButton text={q.keep ?? 'Not now'} first={!needs && !q.field} onClick={() => ask(undefined)} />
        <Button kind={q.danger ? 'solid' : 'primary'} busy={busy} refused={isReady ? undefined : needs ? `Type ${q.typed} first` : wrong} onClick={go}>{q.verb}</Button>
      </div>
    </Cover>
  );
}

function SafeButton({ text, first, onClick }: { text: string; first: boolean; onClick: () => void }) {
  return <button type="button" className="btn" data-first={first ? '' : undefined} onClick={onClick}>{text}<kbd className="k">Esc</kbd></button>;
}

export function Questions() {
  const q = useSyncExternalStore(onAsk, () => question);
  return q ? <Asked q={q} /> : null;
}

// ---- menus ----

export interface MenuItem {
  label: string;
  run: () => void;
  refused?: string | undefined;
  bad?: boolean;
  checked?: boolean;
}

export function Menu({ label, icon, small, children, items, title }: { label: string; icon?: boolean; small?: boolean; children: ReactNode; items: MenuItem[]; title?: string }) {
  const [open, setOpen] = useState(false);
  const box = useRef<HTMLSpanElement>(null);
  useEffect(() => {
    if (!open) return;
    box.current?.querySelector<HTMLElement>('[role^="menuitem"]')?.focus();
    const away = (e: MouseEvent): void => { if (!box.current?.contains(e.target as globalThis.Node)) setOpen(false); };
    document.addEventListener('mousedown', away);
    return () => document.removeEventListener('mousedown', away);
  }, [open]);
  const onKey = (e: KeyboardEvent): void => {
    if (!open) return;
    e.stopPropagation();
    const all = [...(box.current?.querySelectorAll<HTMLElement>('[role^="menuitem"]') ?? [])];
    const at = all.indexOf(document.activeElement as HTMLElement);
    if (e.key === 'ArrowDown' || e.key === 'ArrowUp') {
      e.preventDefault();
      all[(at + (e.key === 'ArrowDown' ? 1 : all.length - 1)) % all.length]?.focus();
    } else if (e.key === 'Escape' || e.key === 'Tab') {
      setOpen(false);
      box.current?.querySelector('button')?.focus();
    }
  };
  return (
    <span className="menu-at" ref={box} onKeyDown={onKey}>
      <button type="button" className={`btn ${icon ? 'icon' : 'btn-quiet'}${small ? ' sml' : ''}`} aria-haspopup="menu" aria-expanded={open} aria-label={label} title={title} onClick={() => setOpen(!open)}>{children}</button>
      {open && (
        <div className="menu" role="menu" aria-label={label}>
          {items.map((m) => (
            <button
              key={m.label} type="button" role={m.checked === undefined ? 'menuitem' : 'menuitemradio'} aria-checked={m.checked} aria-disabled={m.refused ? true : undefined} title={m.refused}
              className={`mi${m.bad ? ' bad-t' : ''}`} onClick={() => { if (m.refused) return; setOpen(false); box.current?.querySelector('button')?.focus(); m.run(); }}
            >
              {m.label}{m.checked && <span className="end"><Glyph name="g-completed" /></span>}
            </button>
          ))}
        </div>
      )}
    </span>
  );
}
