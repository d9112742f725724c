// SPDX-License-Identifier: Apache-2.0
// What was counted by minute, hour or day, and its charts.
import { Chart, niceTop } from './chart';
import { length, rate } from './format';
import { query } from './http';
import { serverNow, useLive } from './live';
import { Seg } from './parts';
import type { SeriesRow } from './types';

export type Unit = 'minute' | 'hour' | 'day';

export const RANGES = { '1h': ['minute', 60], '6h': ['minute', 360], '24h': ['minute', 1440], '30d': ['hour', 720] } as const;
export type Range = keyof typeof RANGES;

const seconds = { minute: 60, hour: 3600, day: 86_400 } as const;

/** Of all jobs, of a queue, of a type. */
export function useSeries(by: Unit, n: number, of: { queue?: string; type?: string } = {}): SeriesRow[] | undefined {
  const isAll = !of.queue && !of.type;
  return useLive<SeriesRow[]>('/api/stats/series' + query({ by, n, ...of }), isAll && n <= 60 ? 2000 : 10_000).data;
}

/** The present minute when it is long enough to tell, else the one before. */
export function latest(rows: SeriesRow[]): SeriesRow | undefined {
  const now = rows.at(-1);
  const isYoung = now && now.processed + now.enqueued + now.failed === 0;
  return isYoung ? (rows.at(-2) ?? now) : now;
}

/** How long the bucket is so far, in seconds: only the last is not whole. */
function lengthOf(r: SeriesRow, by: Unit): number {
  const whole = seconds[by];
  const age = (serverNow() - Date.parse(r.at)) / 1000;
  if (age >= whole) return whole;
  return r.per_second >= 0.1 ? r.processed / r.per_second : Math.max(1, age);
}

export function perSecond(rows: SeriesRow[], of: (r: SeriesRow) => number, by: Unit = 'minute'): number {
  const r = latest(rows);
  return r ? of(r) / lengthOf(r, by) : 0;
}

const tick = (n: number): string => n.toLocaleString('en-US', { maximumFractionDigits: 2 });
const ticksTo = (top: number): string[] => [4, 3, 2, 1, 0].map((k) => tick((top * k) / 4));

export function Throughput({ range, setRange, rows, by }: { range: string; setRange?: (r: Range) => void; rows: SeriesRow[]; by: Unit }) {
  const a = rows.map((r) => r.processed / lengthOf(r, by));
  const b = rows.map((r) => r.enqueued / lengthOf(r, by));
  const f = rows.map((r) => r.failed / lengthOf(r, by));
  const top = niceTop(Math.max(...a, ...b, ...f, 0.04));
  const most = Math.max(...f);
  const scale = most > 0 ? Math.max(1, 10 ** Math.floor(Math.log10(top / 2 / most))) : 1;
  return (
    <Chart
      title="Throughput" sub={`a second, by ${by}`} label={`Throughput, last ${range}`} at={rows.map((r) => Date.parse(r.at))} show={rate}
      ticks={ticksTo(top)} y={(v) => 168 - (Math.min(v, top) / top) * 168}
      curves={[
        { name: 'finished', kind: 'ln-ok', area: 'ar-ok', values: a },
        { name: 'came in', kind: 'ln-in', values: b },
        { name: scale > 1 ? `failed, ×${scale}` : 'failed', kind: 'ln-bad', area: 'ar-bad', values: f, scale },
      ]}
      end={setRange && <Seg label="Range" value={range as Range} onChange={setRange} options={[['1h', '1 h'], ['6h', '6 h'], ['24h', '24 h'], ['30d', '30 d']]} />}
    />
  );
}

/** What did not end well: attempts that failed, jobs that died or were cancelled. */
export function Failures({ rows, by, range }: { rows: SeriesRow[]; by: Unit; range: string }) {
  const most = Math.max(4, ...rows.map((r) => Math.max(r.failed, r.dead, r.cancelled)));
  const top = niceTop(most);
  return (
    <Chart
      title="What did not end well" sub={`a ${by}`} label={`Failures, last ${range}`} at={rows.map((r) => Date.parse(r.at))} show={(v) => tick(v)}
      ticks={ticksTo(top)} y={(v) => 168 - (Math.min(v, top) / top) * 168} end={undefined}
      curves={[
        { name: 'attempts failed', kind: 'ln-age', values: rows.map((r) => r.failed) },
        { name: 'jobs dead', kind: 'ln-bad', area: 'ar-bad', values: rows.map((r) => r.dead) },
        { name: 'cancelled', kind: 'ln-c', values: rows.map((r) => r.cancelled) },
      ]}
    />
  );
}

const LOG_TICKS = ['2.8 h', '17 m', '100 s', '10 s', '1 s', '100 ms', '10 ms'];

export function Latency({ of, setOf, rows }: { of: 'wait' | 'run'; setOf?: (v: 'wait' | 'run') => void; rows: SeriesRow[] }) {
  const pick = (r: SeriesRow): SeriesRow['wait_ms'] => (of === 'wait' ? r.wait_ms : r.run_ms);
  const y = (ms: number): number => 168 - Math.max(0, Math.min(1, (Math.log10(Math.max(ms, 10)) - 1) / 6)) * 168;
  const title = of === 'wait' ? 'Wait before start' : 'Time of a run';
  return (
    <Chart
      title={title} sub="log scale" label={`${title}, logarithmic`}
      at={rows.map((r) => Date.parse(r.at))} show={length} ticks={LOG_TICKS} y={y}
      curves={[
        { name: 'p50', kind: 'ln-c', values: rows.map((r) => pick(r)?.p50 ?? null) },
        { name: 'p95', kind: 'ln-b', values: rows.map((r) => pick(r)?.p95 ?? null) },
        { name: 'p99', kind: 'ln-a', values: rows.map((r) => pick(r)?.p99 ?? null) },
      ]}
      end={setOf && <Seg label="Latency" value={of} onChange={setOf} options={[['wait', 'Wait'], ['run', 'Run']]} />}
    />
  );
}
