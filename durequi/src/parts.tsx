// SPDX-License-Identifier: Apache-2.0
// Small parts that every page uses; how they look stands in parts.css.
import { useEffect, useId, useRef, useState, type ReactNode } from 'react';
import { Link } from 'wouter';
import { cut, exact, plain, relative } from './format';
import { GLYPHS } from './glyphs';
import { useNow } from './live';
import { usePreferences } from './session';
import { STATES } from './types';

/** All glyphs, once a page. They are ours, not data. */
export function GlyphSheet() {
  return (
    <svg className="sr" width="0" height="0" aria-hidden="true" focusable="false">
      <defs>
        <pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
          <rect className="hp-a" width="5" height="5" />
          <rect className="hp-b" width="1.6" height="5" />
        </pattern>
        {Object.entries(GLYPHS).map(([id, [viewBox, content]]) => (
          <symbol key={id} id={id} viewBox={viewBox} dangerouslySetInnerHTML={{ __html: content }} />
        ))}
      </defs>
    </svg>
  );
}

export function Glyph({ name, large }: { name: string; large?: boolean }) {
  return <svg className={large ? 'g16' : 'g'} aria-hidden="true"><use href={`#${name}`} /></svg>;
}

const known = (state: string): boolean => (STATES as readonly string[]).includes(state) || state === 'skipped';

/** A state that is not known is shown as it came. */
export function State({ state, word, pill }: { state: string; word?: string; pill?: boolean }) {
  const name = known(state) ? state : 'pending';
  return (
    <span className={`st st-${name}${pill ? ' pill' : ''}`}>
      <Glyph name={`g-${name}`} />
      <span className="w">{word ?? state}</span>
    </span>
  );
}

export function Id({ id, to, whole }: { id: string; to?: string; whole?: boolean }) {
  const text = whole ? id : cut(id);
  return to ? <Link className="id" href={to} title={id}>{text}</Link> : <span className="id" title={id}>{text}</span>;
}

/** Relative, exact on hover; or exact when the reader wants all so. */
export function Time({ at, className }: { at: string | number | undefined; className?: string }) {
  const now = useNow();
  const { zone, exact: isExact } = usePreferences();
  if (at === undefined) return <>–</>;
  const ms = typeof at === 'number' ? at : Date.parse(at);
  const full = `${exact(ms, zone)}${zone === 'UTC' ? ' UTC' : ''}`;
  return (
    <time className={className ?? 'nw'} dateTime={new Date(ms).toISOString()} title={isExact ? relative(ms, now) : full}>
      {isExact ? exact(ms, zone).slice(0, 19) : relative(ms, now)}
    </time>
  );
}

/** Text that somebody else wrote: as text, with what would turn or hide it shown. */
export function Said({ text, className }: { text: string | undefined; className?: string }) {
  const shown = plain(text ?? '');
  return <span className={className} title={shown}>{shown}</span>;
}

export interface ButtonProps {
  children?: ReactNode;
  onClick?: () => void;
  kind?: 'primary' | 'danger' | 'solid' | 'quiet' | undefined;
  small?: boolean;
  icon?: boolean;
  busy?: boolean;
  refused?: string | undefined; // why it is not allowed
  label?: string;
  title?: string | undefined;
  hint?: string; // its key
  className?: string;
  expanded?: boolean;
  autoFocus?: boolean;
}

export function Button(p: ButtonProps) {
  const kind = p.kind === 'solid' ? ' btn-danger solid' : p.kind ? ` btn-${p.kind}` : '';
  const off = p.refused !== undefined || p.busy;
  const ref = useRef<HTMLButtonElement>(null);
  useEffect(() => { if (p.autoFocus) ref.current?.focus(); }, [p.autoFocus]);
  return (
    <button
      ref={ref} type="button" className={`btn${kind}${p.small ? ' sml' : ''}${p.icon ? ' icon' : ''}${p.busy ? ' busy' : ''} ${p.className ?? ''}`}
      aria-disabled={off || undefined} aria-label={p.label} aria-expanded={p.expanded} title={p.refused ?? p.title}
      onClick={() => { if (!off) p.onClick?.(); }}
    >
      {p.busy && <Glyph name="g-running" />}
      {p.children}
      {p.hint && <kbd className="k">{p.hint}</kbd>}
    </button>
  );
}

export function Bar({ part, label, kind }: { part: number; label: string; kind?: 'full' | 'acc' | 'bad' | 'ok' | undefined }) {
  const width = `${Math.round(Math.min(1, Math.max(0, part)) * 1000) / 10}%`;
  return (
    <svg className="bar" role="img" aria-label={label}>
      <rect className="bg" width="100%" height="6" rx="3" />
      <rect className={`fg ${kind ?? ''}`} width={width} height="6" rx="3" />
    </svg>
  );
}

export function Spark({ values, label, kind }: { values: number[]; label: string; kind?: 'bad' | 'wrn' | '' }) {
  const top = Math.max(1e-9, ...values);
  const step = 88 / Math.max(1, values.length - 1);
  const line = values.map((v, i) => `${i ? 'L' : 'M'}${(i * step).toFixed(1)} ${(18 - (v / top) * 17).toFixed(1)}`).join(' ');
  return (
    <svg className={`spark ${kind ?? ''}`} viewBox="0 0 88 20" preserveAspectRatio="none" role="img" aria-label={label}>
      {values.length > 1 && <path className="f" d={`${line} L88 20 L0 20Z`} />}
      {values.length > 1 && <path className="s" d={line} />}
    </svg>
  );
}

export function Seg<T extends string>({ value, options, onChange, label, className }: {
  value: T; options: readonly (readonly [T, string])[]; onChange: (v: T) => void; label: string; className?: string;
}) {
  return (
    <span className={`seg sml ${className ?? ''}`} role="group" aria-label={label}>
      {options.map(([v, word]) => <button key={v} type="button" aria-pressed={v === value} onClick={() => onChange(v)}>{word}</button>)}
    </span>
  );
}

export function Banner({ kind, strong, children, acts }: { kind: 'info' | 'warn' | 'bad'; strong: ReactNode; children?: ReactNode; acts?: ReactNode }) {
  return (
    <div className={`ban ${kind}`} role="status">
      <Glyph name={kind === 'info' ? 'i-info' : 'i-warn'} large />
      <div><strong>{strong}</strong> <span className="t2">{children}</span></div>
      {acts && <div className="end row">{acts}</div>}
    </div>
  );
}

export function Empty({ glyph, title, children }: { glyph?: ReactNode; title: string; children?: ReactNode }) {
  return <div className="empty">{glyph}<h3 className="empty-h">{title}</h3>{children}</div>;
}

/** Nothing yet: bars in the shape that comes, after a moment. */
export function Skeleton({ rows = 4 }: { rows?: number }) {
  const [shown, show] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => show(true), 150);
    return () => clearTimeout(timer);
  }, []);
  const widths = ['w60', 'w95', 'w80', 'w45', 'w30'];
  return <div className="panel-b stack12" aria-busy="true">{shown && Array.from({ length: rows }, (_, i) => <span key={i} className={`sk ${widths[i % 5]}`} />)}</div>;
}

export function Copy({ text, label = 'Copy' }: { text: string; label?: string }) {
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return;
    const timer = setTimeout(() => setDone(false), 1500);
    return () => clearTimeout(timer);
  }, [done]);
  return (
    <Button small kind="quiet" icon label={done ? 'Copied' : label} title={done ? 'Copied' : label} onClick={() => { void copy(text).then(() => setDone(true)); }}>
      <Glyph name={done ? 'g-completed' : 'i-copy'} />
    </Button>
  );
}

/** Pages that come without TLS from another machine have no clipboard. */
export async function copy(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement('textarea');
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand('copy');
  area.remove();
  return undefined;
}

export function Panel({ title, sub, end, children, label, id }: {
  title?: ReactNode; sub?: ReactNode; end?: ReactNode; children: ReactNode; label?: string; id?: string;
}) {
  const own = useId();
  return (
    <section className="panel" id={id} aria-label={label} aria-labelledby={title && !label ? own : undefined}>
      {title && (
        <div className="panel-h"><h2 id={own}>{title}</h2>{sub && <span className="sub">{sub}</span>}{end && <span className="end">{end}</span>}</div>
      )}
      {children}
    </section>
  );
}
