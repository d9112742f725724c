// SPDX-License-Identifier: Apache-2.0
// The box above lists of jobs: tokens that are text. What it says is in the URL, and the server filters.
import { useMemo, useRef, useState, type KeyboardEvent } from 'react';
import { lengthOf } from './format';
import { useKey } from './keys';
import { serverNow, useLive } from './live';
import { Glyph } from './parts';
import { STATES, type Queue } from './types';

/** As they are written in the box; the server's parameter for each. */
export const FIELDS: Record<string, string> = { type: 'type', queue: 'queue', tag: 'tag', text: 'text', key: 'unique_key', age: 'age', since: 'since', until: 'until', status: 'status' };

export type Filter = Record<string, string>;

/** The fields of the box from the URL's. */
export function filterOf(search: URLSearchParams, ...names: string[]): Filter {
  const f: Filter = {};
  for (const name of names) {
    const v = search.get(name);
    if (v) f[name] = v;
  }
  return f;
}

/** What the server is asked: an age is a time, which moves a step a minute so that the same question stays the same for a while. */
export function parametersOf(f: Filter): Filter {
  const p: Filter = {};
  for (const [name, value] of Object.entries(f)) {
    if (name !== 'age') {
      p[FIELDS[name] ?? name] = value;
      continue;
    }
    const at = Math.floor((serverNow() - lengthOf(value.slice(1))) / 60_000) * 60_000;
    p[value[0] === '<' ? 'since' : 'until'] = new Date(at).toISOString();
  }
  return p;
}

/** Why a token is wrong. */
function faultOf(name: string, value: string): string | undefined {
  if (name.startsWith('-')) return `${name}: to leave something out is not possible yet.`;
  if (!(name in FIELDS)) return `There is no field ${name}. There are ${Object.keys(FIELDS).join(', ')}.`;
  if (!value) return `${name}: what value?`;
  if (name === 'age' && !(/^[<>]/.test(value) && lengthOf(value.slice(1)) > 0)) return `age: “${value}” is no age. Write <30s, <5m, >2h or <7d.`;
  if ((name === 'since' || name === 'until') && Number.isNaN(Date.parse(value))) return `${name}: “${value}” is no time. Write 2027-03-12T02:45:00Z.`;
  if (name === 'status' && value.split(',').some((s) => !(STATES as readonly string[]).includes(s))) return `status: there are ${STATES.join(', ')}.`;
  if (name === 'type' && value.slice(0, -1).includes('*')) return 'type: a * may stand at the end only.';
  return undefined;
}

/** "type:invoice.* words" in parts; words alone look for text. */
function split(text: string): [string, string][] {
  const words = text.match(/[^\s"]+:"[^"]*"|"[^"]*"|\S+/g) ?? [];
  const found: [string, string][] = [];
  const loose: string[] = [];
  for (const w of words) {
    const at = w.indexOf(':');
    if (at > 0 && !w.startsWith('"')) found.push([w.slice(0, at), w.slice(at + 1).replace(/^"|"$/g, '')]);
    else loose.push(w.replace(/^"|"$/g, ''));
  }
  if (loose.length) found.push(['text', loose.join(' ')]);
  return found;
}

interface Suggestion { label: string; end: string; take: string }

function useSuggestions(text: string): Suggestion[] {
  const { data: queues } = useLive<Queue[]>('/api/queues', 5000);
  return useMemo(() => {
    const at = text.indexOf(':');
    const name = at < 0 ? text : text.slice(0, at);
    const value = at < 0 ? '' : text.slice(at + 1);
    if (at < 0) {
      const help: Record<string, string> = { type: 'invoice.*', queue: 'its name', tag: 'one tag', text: 'id, type, tag, payload', key: 'unique key', age: '<1h', since: 'a time', until: 'a time', status: 'dead' };
      return Object.keys(FIELDS).filter((f) => text && f.startsWith(name)).map((f) => ({ label: `${f}:`, end: help[f] ?? '', take: `${f}:` }));
    }
    const values = name === 'queue' ? (queues ?? []).map((q) => q.name) : name === 'status' ? [...STATES] : name === 'age' ? ['<5m', '<1h', '<24h', '>1h'] : [];
    return values.filter((v) => v.startsWith(value)).map((v) => ({ label: v, end: name, take: `${name}:${v}` }));
  }, [text, queues]);
}

export function FilterBox({ filter, onChange, hint }: { filter: Filter; onChange: (f: Filter) => void; hint: string }) {
  const [text, setText] = useState('');
  const [fault, setFault] = useState<string>();
  const [at, setAt] = useState(-1);
  const [has, setHas] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const suggestions = useSuggestions(text);
  const shown = has && suggestions.length > 0 && !(suggestions.length === 1 && suggestions[0]!.take === text);
  useKey('/', 'filter', () => input.current?.focus());
  const commit = (words: string): void => {
    const next = { ...filter };
    for (const [name, value] of split(words)) {
      const wrong = faultOf(name, value);
      if (wrong) {
        setFault(wrong);
        return;
      }
      next[name] = value;
    }
    setText('');
    setFault(undefined);
    onChange(next);
  };
  const take = (s: Suggestion): void => {
    setAt(-1);
    if (s.take.endsWith(':')) setText(s.take);
    else commit(s.take);
    input.current?.focus();
  };
  const onKey = (e: KeyboardEvent): void => {
    const names = Object.keys(filter);
    if (e.key === 'Enter') {
      const s = shown ? suggestions[at] : undefined;
      if (s) take(s);
      else commit(text);
    } else if (e.key === 'Backspace' && text === '' && names.length) {
      e.preventDefault();
      const last = names.at(-1)!;
      const { [last]: value, ...rest } = filter;
      setText(`${last}:${value}`);
      onChange(rest);
    } else if ((e.key === 'ArrowDown' || e.key === 'ArrowUp') && shown) {
      e.preventDefault();
      setAt((at + (e.key === 'ArrowDown' ? 1 : suggestions.length - 1 + (at < 0 ? 1 : 0))) % suggestions.length);
    } else if (e.key === 'Escape') {
      input.current?.blur();
    }
  };
  return (
    <div className="fwrap">
      <div className="fbar" role="search" aria-label="Filter">
        <Glyph name="i-search" />
        {Object.entries(filter).map(([name, value]) => (
          <span className="tok" key={name}>
            <span className="f">{name}:</span><span className="v">{value}</span>
            <button type="button" aria-label={`Remove ${name}`} onClick={() => { const { [name]: _, ...rest } = filter; onChange(rest); }}><Glyph name="i-x" /></button>
          </span>
        ))}
        <input
          ref={input} className="fin" aria-label="Filter" placeholder={Object.keys(filter).length ? '' : hint} value={text} autoComplete="off" spellCheck={false} role="combobox" aria-expanded={shown} aria-controls="filter-list"
          aria-invalid={fault ? true : undefined} onChange={(e) => { setText(e.target.value); setFault(undefined); setAt(-1); }} onKeyDown={onKey} onFocus={() => setHas(true)} onBlur={() => setTimeout(() => setHas(false), 150)}
        />
        <kbd className="k">{has ? 'Enter' : '/'}</kbd>
      </div>
      {shown && (
        <div className="menu" id="filter-list" role="listbox" aria-label="Suggestions">
          {suggestions.map((s, i) => (
            <div key={s.take} role="option" aria-selected={i === at} className={`mi${i === at ? ' is-hover' : ''}`} onMouseDown={(e) => { e.preventDefault(); take(s); }}>
              <code>{s.label}</code><span className="end t3 sm">{s.end}</span>
            </div>
          ))}
        </div>
      )}
      {fault && <div className="field ferr" role="alert"><span className="err"><Glyph name="i-warn" />{fault}</span></div>}
    </div>
  );
}
