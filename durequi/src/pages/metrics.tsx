// SPDX-License-Identifier: Apache-2.0
// How much, how fast, how well: over time, cut by queue or by type.
import { useMemo } from 'react';
import { Link, useLocation, useSearch } from 'wouter';
import { count, length, plain, rate } from '../format';
import { query } from '../http';
import { useLive } from '../live';
import { Empty, Glyph, Panel, Said, Seg, Skeleton, Spark } from '../parts';
import { Failures, Latency, perSecond, Throughput, useSeries, type Unit } from '../series';
import { Shell } from '../shell';
import type { Node, Queue, SeriesRow } from '../types';

const RANGES: Record<string, [Unit, number, string]> = { '1h': ['minute', 60, '1 h'], '6h': ['minute', 360, '6 h'], '24h': ['minute', 1440, '24 h'], '30d': ['hour', 720, '30 d'], '1y': ['day', 366, '1 y'] };
const ROWS_MAX = 12; // each is asked for by itself

type Of = { queue?: string; type?: string };

function sum(rows: SeriesRow[], of: (r: SeriesRow) => number): number {
  return rows.reduce((n, r) => n + of(r), 0);
}

/** The newest value there is. */
function newest(rows: SeriesRow[], of: (r: SeriesRow) => SeriesRow['wait_ms']): string {
  const p = of([...rows].reverse().find((r) => of(r)) ?? ({ wait_ms: null, run_ms: null } as SeriesRow));
  return p ? length(p.p95) : '–';
}

function Row({ name, of, by, n, chosen, onChoose }: { name: string; of: Of; by: Unit; n: number; chosen: boolean; onChoose: () => void }) {
  const rows = useSeries(by, n, of) ?? [];
  const done = sum(rows, (r) => r.processed);
  const failed = sum(rows, (r) => r.failed);
  const part = done + failed ? (100 * failed) / (done + failed) : 0;
  return (
    <tr aria-selected={chosen}>
      <td className="c-type cut"><button type="button" className="cut name" aria-pressed={chosen} onClick={onChoose}><b><Said text={name} /></b></button></td>
      <td className="num">{count(done)}</td>
      <td className="num hide-s">{rate(perSecond(rows, (r) => r.processed, by))}</td>
      <td className="hide-s hide-m c-node"><Spark values={rows.map((r) => r.processed)} label={`finished of ${name}`} /></td>
      <td className={`num${part >= 1 ? ' bad-t' : ''}`}>{part === 0 || part >= 10 ? part.toFixed(0) : part.toFixed(1)} %</td>
      <td className="num hide-s">{count(sum(rows, (r) => r.dead))}</td>
      <td className="num hide-s">{newest(rows, (r) => r.wait_ms)}</td>
      <td className="num">{newest(rows, (r) => r.run_ms)}</td>
    </tr>
  );
}

function Cut({ cut, names, all, by, n, of, set }: { cut: 'queue' | 'type'; names: string[]; all: number; by: Unit; n: number; of: Of; set: (next: Record<string, string>) => void }) {
  return (
    <Panel
      title="Cut by" sub={names.length < all ? `the first ${names.length} of ${count(all)}` : undefined}
      end={<Seg label="Cut by" value={cut} onChange={(v) => set({ cut: v === 'queue' ? '' : v })} options={[['queue', 'Queue'], ['type', 'Type']]} />}
    >
      {names.length === 0 ? <Empty title={cut === 'type' ? 'No live node handles a type' : 'There is no queue'} /> : (
        <table className="tbl fix">
          <thead><tr><th className="c-type">{cut === 'queue' ? 'Queue' : 'Type'}</th><th className="num">Finished</th><th className="num hide-s">Now /s</th><th className="hide-s hide-m c-node"><span className="sr">Over time</span></th><th className="num">Failing</th><th className="num hide-s">Dead</th><th className="num hide-s">Wait p95</th><th className="num">Run p95</th></tr></thead>
          <tbody>{names.map((name) => <Row key={name} name={name} of={{ [cut]: name }} by={by} n={n} chosen={of[cut] === name} onChoose={() => set({ [cut]: of[cut] === name ? '' : name })} />)}</tbody>
        </table>
      )}
    </Panel>
  );
}

export function Metrics() {
  const search = new URLSearchParams(useSearch());
  const [, go] = useLocation();
  const range = (search.get('range') ?? '') in RANGES ? search.get('range')! : '1h';
  const [by, n, word] = RANGES[range]!;
  const queue = search.get('queue') ?? '';
  const type = search.get('type') ?? '';
  const cut = search.get('cut') === 'type' ? 'type' : 'queue';
  const of: Of = { ...(queue ? { queue } : {}), ...(type ? { type } : {}) };
  const rows = useSeries(by, n, of);
  const { data: queues } = useLive<Queue[]>('/api/queues', 5000);
  const { data: nodes } = useLive<Node[]>('/api/nodes', 10_000);
  const types = useMemo(() => [...new Set((nodes ?? []).flatMap((x) => x.task_types))].sort(), [nodes]);
  const names = cut === 'queue' ? (queues ?? []).map((q) => q.name) : types;
  const set = (next: Record<string, string>): void => go('/charts' + query({ ...Object.fromEntries(search), ...next }), { replace: true });
  return (
    <Shell title="Metrics">
      <div className="facets first" role="group" aria-label="Of what, and when">
        <Seg label="Range" value={range} onChange={(v) => set({ range: v === '1h' ? '' : v })} options={Object.entries(RANGES).map(([k, [, , w]]) => [k, w] as [string, string])} />
        {Object.entries(of).map(([k, v]) => <span className="tok" key={k}><span className="f">{k}:</span><span className="v">{plain(v)}</span><button type="button" aria-label={`Remove ${k}`} onClick={() => set({ [k]: '' })}><Glyph name="i-x" /></button></span>)}
        <span className="grow hide-s" />
        <Link className="link sm hide-s" href={'/jobs' + query(of)}>Jobs of this</Link>
      </div>
      {!rows ? <Skeleton rows={8} /> : (
        <div className="stack">
          <div className="grid g-11"><Throughput range={word} rows={rows} by={by} /><Failures range={word} rows={rows} by={by} /></div>
          <div className="grid g-11"><Latency of="wait" rows={rows} /><Latency of="run" rows={rows} /></div>
          <Cut cut={cut} names={names.slice(0, ROWS_MAX)} all={names.length} by={by} n={by === 'minute' ? Math.min(n, 60) : n} of={of} set={set} />
          <p className="t3 sm">Percentiles are right within a factor of two: what is kept are counts in ranges of powers of two. Minutes are kept 48 hours, hours 30 days, days 400.</p>
        </div>
      )}
    </Shell>
  );
}
