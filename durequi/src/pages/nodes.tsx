// SPDX-License-Identifier: Apache-2.0
// Nodes and what runs on them now.
import { useState } from 'react';
import { Link, useLocation, useSearch } from 'wouter';
import { setDraining } from '../actions';
import { count, length, plural } from '../format';
import { useLive, useNow } from '../live';
import { Banner, Bar, Button, Empty, Glyph, Id, Panel, Said, Seg, Skeleton, State, Time } from '../parts';
import { useRefusal, useSession } from '../session';
import { Shell } from '../shell';
import type { Node, Run } from '../types';

function NodeState({ n }: { n: Node }) {
  const { running_workers: running, stuck_workers: stuck = 0 } = n.pool_stats;
  if (n.too_old) return <span className="st warn-t"><Glyph name="i-warn" />too old</span>;
  if (stuck) return <span className="st warn-t"><Glyph name="i-warn" />{plural(stuck, 'stuck slot')}</span>;
  if (n.draining) return <State state="paused" word={running ? 'draining' : 'draining, done'} />;
  return <State state="running" word="working" />;
}

function handles(types: string[]): string {
  return types.slice(0, 3).join(', ') + (types.length > 3 ? `, +${types.length - 3}` : '');
}

function Row({ n }: { n: Node }) {
  const refused = useRefusal();
  const now = useNow();
  const { running_workers: running, max_concurrency: slots } = n.pool_stats;
  return (
    <tr>
      <td className="nw"><b><Said text={n.node_id} /></b><div className="blk-s sm t2"><NodeState n={n} /></div></td>
      <td className="hide-s"><NodeState n={n} /></td>
      <td className="c-type hide-s"><Bar part={slots ? running / slots : 0} label={`${running} of ${slots} slots`} kind={slots && running >= slots ? 'full' : undefined} /></td>
      <td className="num">{count(running)} / {count(slots)}</td>
      <td className="num hide-s">{length(Math.max(0, now - Date.parse(n.last_heartbeat)))}</td>
      <td className="num hide-s hide-m"><Time at={n.started_at} /></td>
      <td className="hide-s hide-m t2">{n.leader ? 'leads' : '–'}</td>
      <td className="t2 hide-s hide-m">{n.version}</td>
      <td className="cut t2 hide-s hide-m" title={n.task_types.join(', ')}><Said text={handles(n.task_types)} /></td>
      <td className="num c-acts"><Button small refused={refused} label={`${n.draining ? 'Undrain' : 'Drain'} ${n.node_id}`} onClick={() => void setDraining(n.node_id, !n.draining)}>{n.draining ? 'Undrain' : 'Drain'}</Button></td>
    </tr>
  );
}

const ORDERS = { longest: 'Longest', newest: 'Newest' } as const;
const SHOWN = 100;

function Runs({ runs }: { runs: Run[] }) {
  const search = new URLSearchParams(useSearch());
  const [, go] = useLocation();
  const now = useNow();
  const [shown, setShown] = useState(SHOWN);
  const order = search.get('order') === 'newest' ? 'newest' : 'longest';
  const sign = order === 'newest' ? -1 : 1;
  const sorted = [...runs].sort((a, b) => sign * a.started_at.localeCompare(b.started_at)).slice(0, shown);
  return (
    <Panel
      title="Runs" sub={`${count(runs.length)} now, ${order} first`}
      end={<Seg label="Order" value={order} onChange={(v) => go(`/nodes?order=${v}`, { replace: true })} options={Object.entries(ORDERS) as [keyof typeof ORDERS, string][]} />}
    >
      {runs.length === 0 ? <Empty title="Nothing runs now"><p>What nodes work on stands here while it runs.</p></Empty> : (
        <table className="tbl">
          <thead><tr><th>Type</th><th className="hide-s">Run</th><th className="hide-s">Node</th><th className="hide-s">Queue</th><th className="num hide-s">Attempt</th><th className="num">Runs for</th><th className="num hide-s">Since</th></tr></thead>
          <tbody>
            {sorted.map((r) => (
              <tr key={r.id}>
                <td><Link href={`/jobs/${r.job_id}`} className="cut"><Said text={r.task_type} /></Link><div className="blk-s sm t2"><Said text={r.node_id} /></div></td>
                <td className="hide-s"><Id id={r.id} to={`/jobs/${r.job_id}`} /></td>
                <td className="t2 hide-s"><Said text={r.node_id} /></td>
                <td className="t2 hide-s">{r.queue}</td>
                <td className="num hide-s">{r.attempt}</td>
                <td className="num">{length(Math.max(0, now - Date.parse(r.started_at)))}</td>
                <td className="num t2 hide-s"><Time at={r.started_at} /></td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {runs.length > shown && <div className="panel-f"><button type="button" className="link" onClick={() => setShown(shown + SHOWN * 5)}>Show more of {count(runs.length)} runs</button></div>}
    </Panel>
  );
}

export function Nodes() {
  const { hasPayload, me } = useSession();
  const { data: nodes } = useLive<Node[]>('/api/nodes', 900);
  const { data: runs } = useLive<Run[]>(hasPayload ? '/api/runs' : undefined, 1500);
  const slots = nodes?.reduce((n, x) => n + x.pool_stats.max_concurrency, 0) ?? 0;
  const running = nodes?.reduce((n, x) => n + x.pool_stats.running_workers, 0) ?? 0;
  const old = nodes?.filter((n) => n.too_old) ?? [];
  return (
    <Shell title="Nodes">
      <div className="stack">
        {nodes?.length === 0 && <Banner kind="bad" strong="No node is alive.">Nothing runs. Jobs are accepted and wait; start dureqd with mode queue.</Banner>}
        {old.length > 0 && <Banner kind="warn" strong={`${old.map((n) => n.node_id).join(', ')} ${old.length === 1 ? 'is' : 'are'} of a version that is too old.`}>Some jobs are not given to {old.length === 1 ? 'it' : 'them'}.</Banner>}
        <Panel title={`${plural(nodes?.length ?? 0, 'node')} alive`} sub={`${count(running)} of ${count(slots)} slots run`}>
          {!nodes ? <Skeleton /> : (
            <table className="tbl">
              <thead><tr><th>Node</th><th className="hide-s">State</th><th className="hide-s">Slots</th><th className="num">Running</th><th className="num hide-s">Heard</th><th className="num hide-s hide-m">Started</th><th className="hide-s hide-m">Leader</th><th className="hide-s hide-m">Version</th><th className="hide-s hide-m">Handles</th><th className="c-acts"><span className="sr">Acts</span></th></tr></thead>
              <tbody>{nodes.map((n) => <Row key={n.node_id} n={n} />)}</tbody>
            </table>
          )}
        </Panel>
        {runs ? <Runs runs={runs} /> : (
          <Panel title="Runs">{me && !hasPayload ? <Empty title="Runs not shown" glyph={<span className="t3"><Glyph name="i-eye" large /></span>}><p>Runs tell of payloads; this token has no right to them. <Link className="link" href="/jobs?status=running">Jobs that run</Link></p></Empty> : <Skeleton />}</Panel>
        )}
      </div>
    </Shell>
  );
}

