// SPDX-License-Identifier: Apache-2.0
// What operators did: who, to what, when.
import { useMemo, type ReactNode } from 'react';
import { Link, useLocation, useSearch } from 'wouter';
import { count, cut, exact, plain } from '../format';
import { query } from '../http';
import { useKey } from '../keys';
import { useLive } from '../live';
import { Button, Empty, Glyph, Said, Skeleton, Time } from '../parts';
import { usePreferences } from '../session';
import { Shell } from '../shell';
import type { AuditEntry } from '../types';

const LIMITS = [100, 1000] as const; // the last is what the server gives at most
const KINDS = ['job', 'queue', 'schedule', 'workflow', 'batch', 'node', 'key', 'token', 'operation'];

export const ACTION_WORDS: Record<string, string> = {
  'queue.pause': 'paused', 'queue.resume': 'goes on', 'queue.set': 'changed', 'queue.delete': 'deleted', 'queue.purge': 'purged', 'node.drain': 'drains', 'node.undrain': 'takes work again',
  'job.cancel': 'cancelled', 'job.retry': 'retried', 'job.delete': 'deleted', 'job.pause': 'paused', 'job.resume': 'goes on', 'job.run': 'run now', 'job.reschedule': 'rescheduled', 'job.update': 'got another payload', 'key.delete': 'let go',
  'schedule.create': 'made', 'schedule.edit': 'changed', 'schedule.delete': 'deleted', 'schedule.pause': 'paused', 'schedule.resume': 'goes on', 'schedule.trigger': 'triggered', 'schedule.backfill': 'backfilled',
  'workflow.cancel': 'cancelled', 'batch.cancel': 'cancelled', 'batch.retry': 'retried', 'operation.start': 'started', 'operation.stop': 'stopped', 'token.create': 'made', 'token.revoke': 'revoked',
};

const kindOf = (e: AuditEntry): string => e.action.split('.')[0] ?? '';

/** Where one looks at what was acted on. */
function placeOf(e: AuditEntry): string | undefined {
  const to = encodeURIComponent(e.target);
  const places: Record<string, string> = { job: `/jobs/${to}`, schedule: `/schedules?id=${to}`, workflow: `/workflows/${to}`, queue: `/jobs?queue=${to}`, node: '/nodes', batch: `/batches/${to}`, operation: `/operations?id=${to}` };
  return places[kindOf(e)];
}

export function Target({ e, children }: { e: AuditEntry; children?: ReactNode }) {
  const isId = ['job', 'schedule', 'workflow', 'batch', 'operation'].includes(kindOf(e));
  const shown = children ?? (isId ? <code title={e.target}>{cut(e.target)}</code> : <Said text={e.target} />);
  const to = placeOf(e);
  return to ? <Link className="link" href={to} title={e.target}>{shown}</Link> : <>{shown}</>;
}

/** A number alone says nothing to a reader: some actions keep a time, others a 0. */
function detailOf(e: AuditEntry, zone: 'UTC' | 'local'): string {
  if (e.detail === '0') return '';
  if (e.action === 'job.reschedule' && /^\d{12,14}$/.test(e.detail)) return `to ${exact(Number(e.detail), zone)}`;
  return e.detail;
}

export function Audit() {
  const search = new URLSearchParams(useSearch());
  const [, go] = useLocation();
  const { zone } = usePreferences();
  const target = search.get('target') ?? '';
  const kind = search.get('kind') ?? '';
  const find = search.get('find') ?? '';
  const limit = search.get('limit') === '1000' ? 1000 : 100;
  const { data: entries, error } = useLive<AuditEntry[]>('/api/audit' + query({ target, limit }), 3000);
  const set = (next: Record<string, string>): void => go('/audit' + query({ ...Object.fromEntries(search), ...next }), { replace: true });
  const counts = useMemo(() => {
    const n = new Map<string, number>();
    for (const e of entries ?? []) n.set(kindOf(e), (n.get(kindOf(e)) ?? 0) + 1);
    return n;
  }, [entries]);
  const kinds = [...KINDS.filter((k) => counts.has(k)), ...[...counts.keys()].filter((k) => !KINDS.includes(k))];
  const words = find.toLowerCase();
  const shown = (entries ?? []).filter((e) => (!kind || kindOf(e) === kind) && (!words || `${e.actor} ${e.action} ${e.target} ${e.detail}`.toLowerCase().includes(words)));
  useKey('/', 'find in the audit', () => document.getElementById('audit-find')?.focus());
  return (
    <Shell title="Audit">
      <div className="facets first" role="group" aria-label="What was acted on">
        {kinds.map((k) => <button key={k} type="button" className="facet" aria-pressed={k === kind} onClick={() => set({ kind: k === kind ? '' : k })}>{plain(k)} <b>{count(counts.get(k) ?? 0)}</b></button>)}
        {target && <span className="tok"><span className="f">target:</span><span className="v"><Said text={target} /></span><button type="button" aria-label="Remove target" onClick={() => set({ target: '' })}><Glyph name="i-x" /></button></span>}
        <span className="grow hide-s" />
        <input id="audit-find" className="inp find-w" aria-label="Find in the audit" placeholder="Who, what, why…" value={find} onChange={(e) => set({ find: e.target.value })} />
      </div>
      <section className="panel" aria-label="Audit">
        {error && !error.isAway ? <Empty title="The server refuses this" glyph={<span className="bad-t"><Glyph name="i-warn" large /></span>}><p>{error.message}</p></Empty>
          : !entries ? <Skeleton rows={8} />
            : shown.length === 0 ? <Empty title={entries.length ? 'Nothing matches' : 'Nobody changed anything'}><p>{entries.length ? <button type="button" className="link" onClick={() => go('/audit', { replace: true })}>Show all</button> : 'What operators do stands here for 30 days.'}</p></Empty>
              : (
                <table className="tbl fix">
                  <thead><tr><th className="c-t">When</th><th className="c-id hide-s">Who</th><th className="c-last">Action</th><th className="c-type">Target</th><th className="hide-s">Detail</th></tr></thead>
                  <tbody>
                    {shown.map((e, i) => (
                      <tr key={`${e.at}|${e.action}|${e.target}|${i}`}>
                        <td className="c-t t2"><Time at={e.at} /></td>
                        <td className="c-id cut hide-s"><Said text={e.actor} /></td>
                        <td className="c-last cut"><code>{plain(e.action)}</code><div className="blk-s sm t2 cut"><Said text={e.actor} /></div></td>
                        <td className="c-type cut"><Target e={e} /></td>
                        <td className="t2 cut hide-s"><Said text={detailOf(e, zone)} /></td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              )}
        <div className="panel-f">
          <span>{count(shown.length)} of the newest {count(entries?.length ?? 0)}{kind || find ? ' match' : ''}; kept 30 days</span><span className="grow" />
          {entries && entries.length >= limit && (limit < LIMITS[1] ? <Button small onClick={() => set({ limit: '1000' })}>Show up to {count(LIMITS[1])}</Button> : <span className="t3">there are older ones: <code>dureqctl audit</code></span>)}
        </div>
      </section>
    </Shell>
  );
}

/** Who did what to one thing, for pages of it. */
export function AuditLink({ target }: { target: string }) {
  return <Link className="link sm" href={'/audit' + query({ target })}>In the audit</Link>;
}

