// SPDX-License-Identifier: Apache-2.0
// Lines over time, 168 px high, with a crosshair, and the same numbers as a table.
import { useState, type PointerEvent, type ReactNode } from 'react';
import { clock } from './format';
import { Panel } from './parts';
import { usePreferences } from './session';

export interface Curve {
  name: string;
  kind: string; // class of its line
  area?: string;
  values: (number | null)[];
  scale?: number; // drawn so much larger; the name says it
}

const W = 600;
const H = 168;

/** A round number at or above n, in four steps. */
export function niceTop(n: number): number {
  if (n <= 0) return 4;
  const unit = 10 ** Math.floor(Math.log10(n));
  for (const k of [1, 2, 4, 8, 10]) if (k * unit >= n) return k * unit;
  return 10 * unit;
}

function path(values: (number | null)[], y: (v: number) => number): string {
  const step = W / Math.max(1, values.length - 1);
  let pen = 'M';
  let out = '';
  values.forEach((v, i) => {
    if (v === null) { pen = 'M'; return; }
    out += `${pen}${(i * step).toFixed(1)} ${y(v).toFixed(1)} `;
    if (pen === 'M' && (values[i + 1] ?? null) === null) out += 'h0 '; // alone: a point
    pen = 'L';
  });
  return out;
}

export function Chart({ title, sub, end, at, curves, show, ticks, y, label }: {
  title: string; sub: string; end: ReactNode; at: number[]; curves: Curve[]; show: (v: number) => string; ticks: string[]; y: (v: number) => number; label: string;
}) {
  const [over, setOver] = useState<number>();
  const [asTable, setAsTable] = useState(false);
  const { zone } = usePreferences();
  const last = at.length - 1;
  const i = over ?? last;
  const onMove = (e: PointerEvent<SVGSVGElement>): void => {
    const box = e.currentTarget.getBoundingClientRect();
    setOver(Math.max(0, Math.min(last, Math.round(((e.clientX - box.left) / box.width) * last))));
  };
  const isLong = last > 0 && at[last]! - at[0]! > 2 * 86_400_000;
  const mark = (t: number): string => (isLong ? new Date(t).toISOString().slice(5, 10) : clock(t, zone).slice(0, 5));
  const button = <button type="button" className="btn sml btn-quiet hide-s" aria-pressed={asTable} onClick={() => setAsTable(!asTable)}>{asTable ? 'As chart' : 'As table'}</button>;
  return (
    <Panel title={title} sub={<span className="hide-s">{sub}</span>} end={<>{end}{button}</>}>
      {asTable
        ? <Table at={at} curves={curves} show={show} zone={zone} label={label} />
        : (
          <div className="chart">
            <div className="legend">
              {curves.map((c) => {
                const v = c.values[i];
                return (
                  <span key={c.name}>
                    <svg className="sw" aria-hidden="true"><line className={`ln ${c.kind}`} x1="0" x2="18" y1="4" y2="4" /></svg>{c.name} <b>{v === null || v === undefined ? '–' : show(v)}</b>
                  </span>
                );
              })}
              {over !== undefined && <span className="t3">{clock(at[i]!, zone)}</span>}
            </div>
            <div className="plot">
              <div className="y" aria-hidden="true">{ticks.map((t, k) => <span key={k}>{t}</span>)}</div>
              <svg viewBox={`0 0 ${W} ${H}`} preserveAspectRatio="none" role="img" aria-label={label} onPointerMove={onMove} onPointerLeave={() => setOver(undefined)}>
                {ticks.map((_, k) => <line key={k} className="gl" x1="0" x2={W} y1={(k * H) / (ticks.length - 1)} y2={(k * H) / (ticks.length - 1)} />)}
                {last > 0 && <rect className="part" x={W - W / last} y="0" width={W / last} height={H} />}
                {curves.filter((c) => c.area).map((c) => {
                  const d = path(c.values.map((v) => (v ?? 0) * (c.scale ?? 1)), y);
                  return d && <path key={c.name} className={c.area} d={`${d}L${W} ${H} L0 ${H}Z`} />;
                })}
                {curves.map((c) => <path key={c.name} className={`ln ${c.kind}`} d={path(c.values.map((v) => (v === null ? null : v * (c.scale ?? 1))), y)} />)}
                {over !== undefined && <line className="cur" x1={(over * W) / last} x2={(over * W) / last} y1="0" y2={H} />}
              </svg>
              <div className="x" aria-hidden="true">{at.length > 4 && [0, 0.25, 0.5, 0.75].map((f) => <span key={f}>{mark(at[Math.floor(f * last)]!)}</span>)}<span>now</span></div>
            </div>
          </div>
        )}
    </Panel>
  );
}

function Table({ at, curves, show, zone, label }: { at: number[]; curves: Curve[]; show: (v: number) => string; zone: 'UTC' | 'local'; label: string }) {
  const rows = at.map((t, i) => ({ t, i })).reverse();
  return (
    <div className="scroll" tabIndex={0} role="group" aria-label={label}>
      <table className="tbl">
        <thead><tr><th>From</th>{curves.map((c) => <th className="num" key={c.name}>{c.name.replace(/, ×.*/, '')}</th>)}</tr></thead>
        <tbody>
          {rows.map(({ t, i }) => (
            <tr key={t}>
              <td>{clock(t, zone)}</td>
              {curves.map((c) => {
                const v = c.values[i];
                return <td className="num" key={c.name}>{v === null || v === undefined ? '–' : show(v)}</td>;
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
