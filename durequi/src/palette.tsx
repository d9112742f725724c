// SPDX-License-Identifier: Apache-2.0
// Ctrl K: pages, states, queues, acts, and any job by its id.
import { useMemo, useState, type KeyboardEvent, type ReactNode } from 'react';
import { useLocation } from 'wouter';
import { redriveAll } from './actions';
import { count } from './format';
import { useLive } from './live';
import { Cover } from './overlay';
import { Glyph } from './parts';
import { setPreferences, usePreferences, useRefusal } from './session';
import { usePages } from './shell';
import { STATES, type Queue, type Stats } from './types';

interface Item { group: string; label: string; end?: string; keys?: string; run: () => void; refused?: string | undefined }

const ID = /^[0-9a-z]{18,24}$/;

function marked(label: string, words: string): ReactNode {
  const at = words ? label.toLowerCase().indexOf(words.toLowerCase()) : -1;
  return at < 0 ? label : <>{label.slice(0, at)}<mark>{label.slice(at, at + words.length)}</mark>{label.slice(at + words.length)}</>;
}

function useItems(words: string, onKeys: () => void): Item[] {
  const [, go] = useLocation();
  const { data: stats } = useLive<Stats>('/api/stats', 900);
  const { data: queues } = useLive<Queue[]>('/api/queues', 2000);
  const refused = useRefusal();
  const pages = usePages();
  const p = usePreferences();
  const dead = stats?.job_counts.dead ?? 0;
  const onlyActions = words.startsWith('>');
  const sought = onlyActions ? words.slice(1).trim() : words.trim();
  return useMemo(() => {
    const acts: Item[] = [
      { group: 'Actions', label: 'Redrive all dead jobs', end: `${count(dead)}, asks first`, refused: refused ?? (dead ? undefined : 'No job is dead'), run: () => void redriveAll({}) },
      { group: 'Actions', label: p.readOnly ? 'Allow acts in this browser' : 'Read only in this browser', run: () => setPreferences({ readOnly: !p.readOnly }) },
      { group: 'Actions', label: 'All keys', keys: '?', run: onKeys },
      { group: 'Actions', label: p.keys ? 'Switch single keys off' : 'Switch single keys on', run: () => setPreferences({ keys: !p.keys }) },
      ...(['system', 'light', 'dark'] as const).map((theme) => ({ group: 'Actions', label: `Theme: ${theme}`, run: () => setPreferences({ theme }) })),
    ];
    const places: Item[] = [
      ...pages.map((x) => ({ group: 'Go to', label: x.title, keys: `g ${x.key}`, run: () => go(x.path) })),
      ...STATES.map((s) => ({ group: 'Go to', label: `Jobs in state ${s}`, end: count(stats?.job_counts[s] ?? 0), run: () => go(`/jobs?status=${s}`) })),
      ...(queues ?? []).map((q) => ({ group: 'Go to', label: `Queue ${q.name}`, end: count(q.pending), run: () => go(`/jobs?queue=${encodeURIComponent(q.name)}`) })),
    ];
    const all = onlyActions ? acts : sought ? [...acts, ...places] : places.slice(0, pages.length).concat(acts.slice(0, 3));
    const found = all.filter((i) => i.label.toLowerCase().includes(sought.toLowerCase()));
    const id = /^([0-9a-z]{18,24})(?:\.\d+)?$/.exec(sought)?.[1];
    if (id && ID.test(id)) {
      if (pages.some((x) => x.path === '/workflows')) found.unshift({ group: 'Jobs', label: `Workflow ${id}`, run: () => go(`/workflows/${id}`) });
      found.unshift({ group: 'Jobs', label: `Job ${id}`, run: () => go(`/jobs/${id}`) });
    }
    if (sought && !onlyActions) found.push({ group: 'Search', label: `Search all jobs for “${sought}”`, run: () => go(`/jobs?text=${encodeURIComponent(sought)}`) });
    return found;
  }, [sought, onlyActions, stats, queues, refused, p, go, onKeys, dead, pages]);
}

export function Palette({ onClose, onKeys }: { onClose: () => void; onKeys: () => void }) {
  const [words, setWords] = useState('');
  const [at, setAt] = useState(0);
  const items = useItems(words, onKeys);
  const here = Math.min(at, items.length - 1);
  const run = (item: Item | undefined): void => {
    if (!item || item.refused) return;
    onClose();
    item.run();
  };
  const onKey = (e: KeyboardEvent): void => {
    if (e.key === 'ArrowDown' || e.key === 'ArrowUp') {
      e.preventDefault();
      setAt((here + (e.key === 'ArrowDown' ? 1 : items.length - 1)) % Math.max(1, items.length));
    } else if (e.key === 'Enter') {
      e.preventDefault();
      run(e.ctrlKey ? items.at(-1) : items[here]);
    }
  };
  let group = '';
  return (
    <Cover label="Search or jump" className="pal" onClose={onClose}>
      <div className="pal-in">
        <Glyph name="i-search" large />
        <input
          className="pal-t" data-first="" role="combobox" aria-expanded="true" aria-controls="pal-list" aria-activedescendant={`pal-${here}`} aria-label="Search or jump to"
          placeholder="Search or jump to…" autoComplete="off" spellCheck={false} value={words} onChange={(e) => { setWords(e.target.value); setAt(0); }} onKeyDown={onKey}
        />
        <kbd className="k">Esc</kbd>
      </div>
      <div className="menu pal-l" id="pal-list" role="listbox" aria-label="What fits" tabIndex={0}>
        {items.map((item, i) => {
          const head = item.group !== group && <div className="mh" role="presentation">{(group = item.group)}</div>;
          return [
            head && <div key={`h${i}`} role="presentation">{head}</div>,
            <div
              key={i} id={`pal-${i}`} role="option" aria-selected={i === here} aria-disabled={item.refused ? true : undefined} title={item.refused}
              className={`mi${i === here ? ' is-hover' : ''}${item.refused ? ' off' : ''}`} onClick={() => run(item)} onMouseMove={() => setAt(i)}
              ref={(el) => { if (el && i === here) el.scrollIntoView({ block: 'nearest' }); }}
            >
              <span className="cut">{marked(item.label, words.trim())}</span>
              <span className="end row">{item.end && <span className="t3 sm">{item.end}</span>}{item.keys?.split(' ').map((k) => <kbd className="k" key={k}>{k}</kbd>)}</span>
            </div>,
          ];
        })}
        {items.length === 0 && <div className="mh">Nothing fits.</div>}
      </div>
      <div className="pal-f"><span><kbd className="k">↑</kbd> <kbd className="k">↓</kbd> move</span><span><kbd className="k">Enter</kbd> do it</span><span><kbd className="k">&gt;</kbd> only actions</span><span className="hide-s">An id opens its job</span></div>
    </Cover>
  );
}
