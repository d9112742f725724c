// SPDX-License-Identifier: Apache-2.0
// The graph of a workflow as SVG: what is near the window is drawn, ways of one kind are one element, arrow keys follow the ways.
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState, type KeyboardEvent, type PointerEvent, type RefObject } from 'react';
import { factOf, isOver, type View } from './flow';
import { count, plain, plural } from './format';
import { BOX_H, BOX_W, pathOf, type Layout, type Unit } from './graph';
import { useKey } from './keys';
import { useNow } from './live';
import { Glyph } from './parts';
import { FlowState, glyphOf } from './pages/workflows';

const STEP = 256; // the window moves in such steps
const SCALES = [0.25, 0.35, 0.5, 0.7, 0.85, 1, 1.25, 1.5];
const NAME_MAX = 17;
const FACT_MAX = 23;

interface Area { x0: number; y0: number; x1: number; y1: number }

function shorten(text: string, max: number): string {
  const all = [...text];
  return all.length <= max ? text : `${all.slice(0, max - 1).join('')}…`;
}

function Fact({ v, needs }: { v: View; needs: number }) {
  const now = useNow();
  return <>{shorten(factOf(v, needs, now), FACT_MAX)}</>;
}

/** Of a fan-out: how many are done, run, failed. */
function Parts({ v }: { v: View }) {
  const width = BOX_W - 26;
  const share = (...status: string[]): number => (width * v.tasks.filter((t) => status.includes(t.status)).length) / v.tasks.length;
  const done = share('completed', 'skipped');
  const runs = share('running');
  const bad = share('failed', 'cancelled', 'unreached');
  return (
    <>
      <rect className="p-bg" x="13" y="41" width={width} height="2" rx="1" />
      <rect className="p-ok" x="13" y="41" width={done} height="2" />
      <rect className="p-run" x={13 + done} y="41" width={runs} height="2" />
      <rect className="p-bad" x={13 + width - bad} y="41" width={bad} height="2" />
    </>
  );
}

function Box({ u, at, v, chosen, canFocus, onChoose, onOpen }: { u: Unit; at: number; v: View; chosen: boolean; canFocus: boolean; onChoose: () => void; onOpen: () => void }) {
  const state = glyphOf(v.status);
  const isGhost = v.status === 'skipped' || v.status === 'unreached';
  const isMany = u.tasks.length > 1;
  const name = plain(u.label);
  const badge = isMany ? `×${count(u.tasks.length)}` : '';
  return (
    <g className={`node st-${state}${isGhost ? ' ghost' : ''}${chosen ? ' sel' : ''}`} transform={`translate(${u.x} ${u.y})`}>
      <g
        className="hit-b" data-unit={at} tabIndex={canFocus ? 0 : -1} role="button" aria-pressed={chosen} aria-label={`${name}${isMany ? `, ${plural(u.tasks.length, 'task')}` : ''}, ${v.status}`}
        onClick={onChoose} onDoubleClick={isMany ? onOpen : undefined}
      >
        <title>{name}</title>
        <rect className="nb" width={BOX_W} height={BOX_H} rx="6" />
      </g>
      <g className="over" aria-hidden="true">
        <rect className="edgebar" width="4" height="32" x="0" y="7" rx="2" />
        <svg x="13" y="10" width="12" height="12" className="gi"><use href={`#g-${state}`} /></svg>
        <svg x="0" y="0" width={BOX_W - 8} height={BOX_H}>
          <text x="31" y="20.5">{shorten(name, NAME_MAX - badge.length)}</text>
          <text className="s2" x="13" y={isMany ? 35.5 : 37}><Fact v={v} needs={u.before.length} /></text>
          {badge && <text className="s2" x={BOX_W - 10} y="20" textAnchor="end">{badge}</text>}
        </svg>
        {isMany && <Parts v={v} />}
      </g>
    </g>
  );
}

/** What is near enough to be drawn, in the graph's own measure. */
function useWindow(scale: number, layout: Layout) {
  const box = useRef<HTMLDivElement>(null);
  const [seen, setSeen] = useState<Area>({ x0: 0, y0: 0, x1: 1792, y1: 1024 });
  const look = useCallback((): void => {
    const el = box.current;
    if (!el) return;
    const down = (px: number): number => Math.floor(px / scale / STEP) * STEP - STEP;
    const up = (px: number): number => Math.ceil(px / scale / STEP) * STEP + STEP;
    const next = { x0: down(el.scrollLeft), y0: down(el.scrollTop), x1: up(el.scrollLeft + el.clientWidth), y1: up(el.scrollTop + el.clientHeight) };
    setSeen((old) => (old.x0 === next.x0 && old.y0 === next.y0 && old.x1 === next.x1 && old.y1 === next.y1 ? old : next));
  }, [scale]);
  useLayoutEffect(look, [look, layout]);
  useEffect(() => {
    const o = new ResizeObserver(look);
    if (box.current) o.observe(box.current);
    return () => o.disconnect();
  }, [look]);
  return { box, seen, look };
}

function Ways({ layout, views, critical, seen }: { layout: Layout; views: View[]; critical: ReadonlySet<number>; seen: Area }) {
  const d = useMemo(() => {
    const of = { plain: '', done: '', off: '', crit: '' };
    for (const s of layout.segments) {
      if (Math.max(s.x1, s.x2) < seen.x0 || Math.min(s.x1, s.x2) > seen.x1 || Math.max(s.y1, s.y2) < seen.y0 || Math.min(s.y1, s.y2) > seen.y1) continue;
      const ends = s.to.map((t) => views[t]!.status);
      const kind = critical.has(s.from) && s.to.some((t) => critical.has(t)) ? 'crit'
        : ends.every((e) => e === 'skipped' || e === 'unreached') ? 'off' : isOver(views[s.from]!.status) ? 'done' : 'plain';
      of[kind] += pathOf(s);
    }
    return of;
  }, [layout, views, critical, seen]);
  return <>{d.plain && <path className="edge" d={d.plain} />}{d.off && <path className="edge off" d={d.off} />}{d.done && <path className="edge done" d={d.done} />}{d.crit && <path className="edge crit" d={d.crit} />}</>;
}

const MAP_W = 150;
const MAP_H = 76;

/** The whole graph, small, and where in it one is. A help for the pointer only: keys have the list. */
function Overlook({ layout, views, scale, box }: { layout: Layout; views: View[]; scale: number; box: RefObject<HTMLDivElement | null> }) {
  const [at, setAt] = useState({ x: 0, y: 0, w: 0, h: 0 });
  useEffect(() => {
    const el = box.current;
    if (!el) return;
    const look = (): void => setAt({ x: el.scrollLeft / scale, y: el.scrollTop / scale, w: el.clientWidth / scale, h: el.clientHeight / scale });
    look();
    el.addEventListener('scroll', look, { passive: true });
    window.addEventListener('resize', look);
    return () => {
      el.removeEventListener('scroll', look);
      window.removeEventListener('resize', look);
    };
  }, [box, scale, layout]);
  const d = useMemo(() => {
    const of: Record<string, string> = {};
    layout.units.forEach((u, i) => {
      const state = glyphOf(views[i]!.status);
      of[state] = `${of[state] ?? ''}M${u.x} ${u.y}h${BOX_W}v${BOX_H}h-${BOX_W}z`;
    });
    return Object.entries(of);
  }, [layout, views]);
  if (at.w === 0 || (layout.width <= at.w * 1.1 && layout.height <= at.h * 1.1)) return null;
  const onPointer = (e: PointerEvent<SVGSVGElement>): void => {
    if (e.type === 'pointermove' && e.buttons !== 1) return;
    const r = e.currentTarget.getBoundingClientRect();
    const k = Math.min(r.width / layout.width, r.height / layout.height); // it is drawn whole, in the middle
    const x = (e.clientX - r.left - (r.width - layout.width * k) / 2) / k;
    const y = (e.clientY - r.top - (r.height - layout.height * k) / 2) / k;
    box.current?.scrollTo({ left: (x - at.w / 2) * scale, top: (y - at.h / 2) * scale });
  };
  return (
    <svg className="mini hide-s" width={MAP_W} height={MAP_H} viewBox={`0 0 ${layout.width} ${layout.height}`} aria-hidden="true" onPointerDown={onPointer} onPointerMove={onPointer}>
      {d.map(([state, path]) => <path key={state} className={`st-${state}`} d={path} />)}
      <rect className="mini-w" x={at.x} y={at.y} width={Math.min(at.w, layout.width)} height={Math.min(at.h, layout.height)} />
    </svg>
  );
}

/** Where an arrow key leads from unit `at`. */
function next(layout: Layout, at: number, key: string): number | undefined {
  const { units } = layout;
  const u = units[at]!;
  const nearest = (of: number[]): number | undefined => of.reduce<number | undefined>((best, i) => (best === undefined || Math.abs(units[i]!.y - u.y) < Math.abs(units[best]!.y - u.y) ? i : best), undefined);
  if (key === 'ArrowRight') return nearest(u.after);
  if (key === 'ArrowLeft') return nearest(u.before);
  const sign = key === 'ArrowDown' ? 1 : key === 'ArrowUp' ? -1 : 0;
  if (!sign) return undefined;
  return nearest(units.flatMap((x, i) => (x.layer === u.layer && sign * (x.y - u.y) > 0 ? i : [])));
}

export function FlowGraph({ layout, views, counts, critical, chosen, onChoose, onOpen, total }: {
  layout: Layout; views: View[]; counts: [string, number][]; critical: ReadonlySet<number>; chosen: number | undefined; total: number;
  onChoose: (id: string | undefined) => void; onOpen: (group: string, open: boolean) => void;
}) {
  const [scale, setScale] = useState(1);
  const [follows, setFollows] = useState(false);
  const { box, seen, look } = useWindow(scale, layout);
  const focusNext = useRef(false);
  const { units } = layout;
  const first = chosen ?? 0;
  const show = useCallback((at: number, isCentred: boolean): void => {
    const el = box.current;
    const u = units[at];
    if (!el || !u) return;
    const x = u.x * scale;
    const y = u.y * scale;
    const isIn = x >= el.scrollLeft && x + BOX_W * scale <= el.scrollLeft + el.clientWidth && y >= el.scrollTop && y + BOX_H * scale <= el.scrollTop + el.clientHeight;
    if (isIn && !isCentred) return;
    el.scrollTo({ left: x + (BOX_W * scale) / 2 - el.clientWidth / 2, top: y + (BOX_H * scale) / 2 - el.clientHeight / 2 });
    look();
  }, [box, units, scale, look]);
  useEffect(() => {
    if (chosen === undefined) return;
    show(chosen, false);
    if (!focusNext.current) return;
    focusNext.current = false;
    requestAnimationFrame(() => box.current?.querySelector<SVGGElement>(`[data-unit="${chosen}"]`)?.focus({ preventScroll: true }));
  }, [chosen, show, box]);
  const running = views.findIndex((v) => v.status === 'running');
  useEffect(() => { if (follows && running >= 0) show(running, true); }, [follows, running, show]);
  useKey('f', 'follow what runs', () => setFollows(!follows));
  const fit = (): void => {
    const el = box.current;
    if (el) setScale(Math.max(SCALES[0]!, Math.min(1, (el.clientWidth - 24) / layout.width, 520 / layout.height)));
  };
  const zoom = (by: number): void => setScale(by > 0 ? (SCALES.find((s) => s > scale + 0.01) ?? scale) : (SCALES.findLast((s) => s < scale - 0.01) ?? scale));
  const onKey = (e: KeyboardEvent): void => {
    const to = next(layout, first, e.key);
    if (to !== undefined) {
      e.preventDefault();
      focusNext.current = true;
      onChoose(units[to]!.id);
    } else if ((e.key === 'Enter' || e.key === ' ') && e.target instanceof Element && e.target.closest('[data-unit]')) {
      e.preventDefault();
      e.stopPropagation();
      const u = units[first]!;
      if (e.key === 'Enter' && u.tasks.length > 1 && chosen === first) onOpen(u.group!, true);
      else onChoose(u.id);
    }
  };
  const isNear = (u: Unit): boolean => u.x + BOX_W >= seen.x0 && u.x <= seen.x1 && u.y + BOX_H >= seen.y0 && u.y <= seen.y1;
  return (
    <section className="panel wf-p" aria-label="Graph">
      <div className="panel-h">
        <h2>Graph</h2><span className="sub">{plural(total, 'task')}, {plural(layout.layers, 'layer')}</span>
        <span className="end">
          <span className="row sm hide-s">{counts.map(([s, n]) => <span key={s} title={s}><FlowState status={s} word={count(n)} /><span className="sr">{s}</span></span>)}</span>
          <span className="hide-s"><button type="button" className="btn sml btn-quiet" aria-pressed={follows} onClick={() => setFollows(!follows)}>{follows && <Glyph name="g-completed" />}Follow what runs</button></span>
          <span className="seg sml"><button type="button" aria-label="Zoom out" onClick={() => zoom(-1)}>−</button><button type="button" onClick={fit}>Fit</button><button type="button" aria-label="Zoom in" onClick={() => zoom(1)}>+</button></span>
        </span>
      </div>
      <div className="wf-w">
        <div className="wf" ref={box} tabIndex={0} role="group" aria-label="Graph, by arrow keys" onScroll={look} onKeyDown={onKey}>
          <svg viewBox={`0 0 ${layout.width} ${layout.height}`} width={Math.round(layout.width * scale)} height={Math.round(layout.height * scale)} role="group" aria-label={`Graph of ${plural(total, 'task')} in ${plural(layout.layers, 'layer')}; the list shows the same`}>
            <Ways layout={layout} views={views} critical={critical} seen={seen} />
            {units.map((u, i) => isNear(u) && <Box key={u.id} u={u} at={i} v={views[i]!} chosen={i === chosen} canFocus={i === first} onChoose={() => onChoose(i === chosen ? undefined : u.id)} onOpen={() => onOpen(u.group!, true)} />)}
          </svg>
        </div>
        <Overlook layout={layout} views={views} scale={scale} box={box} />
      </div>
      <div className="panel-f">
        <span className="row"><svg className="sw" aria-hidden="true"><line x1="0" x2="18" y1="4" y2="4" className="edge crit" /></svg>took longest</span>
        <span className="row hide-s"><svg className="sw" aria-hidden="true"><line x1="0" x2="18" y1="4" y2="4" className="edge off" /></svg>not taken</span>
        <span className="grow" /><span className="hide-s row"><kbd className="k">j</kbd><kbd className="k">k</kbd> task <kbd className="k">f</kbd> follow</span>
      </div>
    </section>
  );
}
