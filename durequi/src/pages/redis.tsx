// SPDX-License-Identifier: Apache-2.0
// The server that holds all this: whether it is safe, how full, how busy; and all it says of itself.
import { useEffect, useState, type ReactNode } from 'react';
import { useLocation, useSearch } from 'wouter';
import { bytes, count, length, plain, plural, rate } from '../format';
import { query } from '../http';
import { serverNow, useLive } from '../live';
import { Banner, Bar, Copy, Empty, Glyph, Panel, Skeleton, Spark } from '../parts';
import { Shell } from '../shell';
import type { RedisInfo } from '../types';

const EVERY_MS = 2000;
const KEPT = 60; // values of a sparkline
const NEARLY = 0.9;

type Section = Record<string, string>;

/** What is there and is a number. */
function num(s: Section | undefined, name: string): number | undefined {
  const v = s?.[name];
  return v === undefined || v === '' || Number.isNaN(Number(v)) ? undefined : Number(v);
}

interface Fault { kind: 'warn' | 'bad'; strong: string; text: string }

function faultsOf(all: Record<string, Section>): Fault[] {
  const { memory, persistence: kept, replication } = all;
  const found: Fault[] = [];
  const most = num(memory, 'maxmemory') ?? 0;
  const used = num(memory, 'used_memory') ?? 0;
  const policy = memory?.['maxmemory_policy'];
  if (most > 0 && policy && policy !== 'noeviction') found.push({ kind: 'bad', strong: `Redis may throw jobs away: maxmemory-policy is ${policy}.`, text: 'Set it to noeviction; then new jobs are refused when it is full, and what was accepted is safe.' });
  if (most > 0 && used / most >= NEARLY) found.push({ kind: 'warn', strong: `Memory is ${Math.round((100 * used) / most)} % full.`, text: 'At 100 % new jobs are refused; what was accepted goes on.' });
  if (kept?.['aof_enabled'] === '0') found.push({ kind: 'warn', strong: 'No append-only file is written.', text: 'When Redis is lost, so is what changed since its last snapshot. appendonly yes keeps it.' });
  if (kept?.['aof_last_write_status'] && kept['aof_last_write_status'] !== 'ok') found.push({ kind: 'bad', strong: 'The last write to the append-only file failed.', text: 'Redis takes no writes until its disk does.' });
  if (kept?.['rdb_last_bgsave_status'] && kept['rdb_last_bgsave_status'] !== 'ok') found.push({ kind: 'bad', strong: 'The last snapshot failed.', text: 'Look at the log of Redis; its disk may be full.' });
  if (kept?.['loading'] === '1') found.push({ kind: 'warn', strong: 'Redis is loading its data.', text: 'It answers when it has read all.' });
  if (replication?.['role'] === 'slave') found.push({ kind: 'bad', strong: 'This is a replica.', text: 'It takes no writes; jobs need the primary.' });
  return found;
}

/** The last values of a number that is asked for again and again. */
function useHistory(value: number | undefined, at: number): number[] {
  const [values, setValues] = useState<number[]>([]);
  useEffect(() => { if (value !== undefined) setValues((old) => [...old.slice(1 - KEPT), value]); }, [value, at]);
  return values;
}

function Figure({ label, value, unit, detail, children }: { label: string; value: string; unit?: string; detail: string; children?: ReactNode }) {
  return <div className="stat"><div className="l">{label}</div><div className="v">{value}<small>{unit}</small></div>{children}<div className="d" title={detail}>{detail}</div></div>;
}

function Figures({ all, at }: { all: Record<string, Section>; at: number }) {
  const { memory, stats, clients, persistence: kept, server, replication } = all;
  const used = num(memory, 'used_memory');
  const most = num(memory, 'maxmemory') ?? 0;
  const ops = num(stats, 'instantaneous_ops_per_sec');
  const hits = num(stats, 'keyspace_hits') ?? 0;
  const misses = num(stats, 'keyspace_misses') ?? 0;
  const busy = useHistory(ops, at);
  const [amount, unit] = bytes(used ?? 0).split(' ');
  const since = num(kept, 'rdb_last_save_time');
  return (
    <section className="stats" aria-label="Figures">
      <Figure label="Memory" value={used === undefined ? '–' : amount!} unit={` ${unit}${most ? ` of ${bytes(most)}` : ''}`} detail={`${bytes(num(memory, 'used_memory_rss') ?? 0)} of the machine`}>{most > 0 && <Bar part={(used ?? 0) / most} kind={(used ?? 0) / most >= NEARLY ? 'full' : undefined} label={`${Math.round((100 * (used ?? 0)) / most)} % of maxmemory`} />}</Figure>
      <Figure label="Commands" value={rate(ops ?? 0)} unit=" /s" detail={`${rate((num(stats, 'instantaneous_input_kbps') ?? 0) + (num(stats, 'instantaneous_output_kbps') ?? 0))} KiB/s in and out`}><Spark values={busy} label="commands a second, while this page is open" /></Figure>
      <Figure label="Clients" value={count(num(clients, 'connected_clients') ?? 0)} detail={`${count(num(clients, 'blocked_clients') ?? 0)} blocked, limit ${count(num(clients, 'maxclients') ?? 0)}`} />
      <Figure label="Hits" value={hits + misses ? ((100 * hits) / (hits + misses)).toFixed(1) : '–'} unit={hits + misses ? ' %' : ''} detail={`${plural(num(stats, 'evicted_keys') ?? 0, 'key')} evicted`} />
      <Figure label="Kept" value={kept?.['aof_enabled'] === '1' ? 'AOF' : 'snapshots'} detail={since ? `snapshot ${length(Math.max(0, serverNow() - since * 1000)).replace(/\.\d/, '')} ago` : 'no snapshot yet'} />
      <Figure label="Up" value={server ? length((num(server, 'uptime_in_seconds') ?? 0) * 1000).replace(/\.\d/, '') : '–'} detail={`${server?.['valkey_version'] ? 'Valkey' : 'Redis'} ${server?.['valkey_version'] ?? server?.['redis_version'] ?? '–'}, ${plural(num(replication, 'connected_slaves') ?? 0, 'replica')}`} />
    </section>
  );
}

function One({ name, section, find }: { name: string; section: Section; find: string }) {
  const rows = Object.entries(section).filter(([k, v]) => !find || `${k} ${v}`.toLowerCase().includes(find.toLowerCase()));
  if (rows.length === 0) return null;
  return (
    <Panel title={name} sub={plural(rows.length, 'value')} end={<Copy text={rows.map(([k, v]) => `${k}:${v}`).join('\n')} label={`Copy section ${name}`} />}>
      <div className="panel-b"><dl className="kv sm kv-m">{rows.map(([k, v]) => [<dt key={k}>{plain(k)}</dt>, <dd key={k + '='}>{plain(v) || '–'}</dd>])}</dl></div>
    </Panel>
  );
}

export function Redis() {
  const search = new URLSearchParams(useSearch());
  const [, go] = useLocation();
  const find = search.get('find') ?? '';
  const { data, error, at } = useLive<RedisInfo>('/api/redis/info', EVERY_MS);
  const all = data?.nodes[0]?.sections;
  return (
    <Shell title="Redis">
      {error && !error.isAway ? <Empty title="The server refuses this" glyph={<span className="bad-t"><Glyph name="i-warn" large /></span>}><p>{error.message}</p></Empty>
        : !all ? <Skeleton rows={8} /> : (
          <div className="stack">
            {faultsOf(all).map((f) => <Banner key={f.strong} kind={f.kind} strong={f.strong}>{f.text}</Banner>)}
            <Figures all={all} at={at} />
            <div className="row row-w"><h2>All it says of itself</h2><span className="t3 sm hide-s">INFO of {plain(data.nodes[0]!.addr ?? 'the server')}</span><span className="grow" /><input className="inp find-w" aria-label="Find a value" placeholder="Find a value" value={find} onChange={(e) => go('/redis' + query({ find: e.target.value }), { replace: true })} /></div>
            <div className="cols">{Object.entries(all).map(([name, s]) => <One key={name} name={name} section={s} find={find} />)}</div>
          </div>
        )}
    </Shell>
  );
}
