// SPDX-License-Identifier: Apache-2.0
// How things are: one sentence, then the figures it rests on.
import { useMemo, type ReactNode } from 'react';
import { Link, useLocation, useSearch } from 'wouter';
import { count, cut, length, lengthOf, plural, rate } from '../format';
import { useLive } from '../live';
import { Empty, Glyph, Panel, Said, Skeleton, Spark, Time, Copy } from '../parts';
import { latest, Latency, perSecond, RANGES, Throughput, useSeries, type Range } from '../series';
import { useSession } from '../session';
import { Shell, total, useStats } from '../shell';
import { type AuditEntry, type DeadGroup, type Node, type Queue, type SeriesRow, type Stats } from '../types';
import { ACTION_WORDS } from './audit';
import { QueueState } from './queues';
import { NextSchedules } from './schedules';

const FAILING = 0.01; // of all runs that ended: below it is noise
const QUEUES_SHOWN = 6;

// ---- the sentence ----

interface Verdict { kind: 'ok' | 'warn' | 'bad'; said: string; rests: ReactNode[] }

function verdictOf(stats: Stats, queues: Queue[], nodes: Node[], groups: DeadGroup[], hour: SeriesRow[]): Verdict {
  const rests: ReactNode[] = [];
  const dead = hour.reduce((n, r) => n + r.dead, 0);
  const ended = hour.reduce((n, r) => n + r.processed + r.failed, 0);
  const failed = hour.reduce((n, r) => n + r.failed, 0);
  const worst = groups[0];
  const isFailing = ended > 0 && failed / ended >= FAILING;
  const paused = queues.filter((q) => q.paused);
  const unhandled = queues.filter((q) => q.unhandled > 0);
  if (isFailing && worst && dead > 0) {
    rests.push(<><Link className="link" href={`/dead?open=${encodeURIComponent(worst.task_type)}`}>{worst.task_type}</Link> has {plural(worst.count, 'dead job')}; {plural(dead, 'job')} died in the last hour. </>);
  }
  unhandled.forEach((q) => rests.push(<>No node handles <b>{q.unhandled_types?.join(', ')}</b>: {plural(q.unhandled, 'job')} {q.unhandled === 1 ? 'waits' : 'wait'} in <QueueLink name={q.name} />. </>));
  if (paused.length) rests.push(<>{paused.map((q, i) => <span key={q.name}>{i > 0 && ', '}<QueueLink name={q.name} /></span>)} {paused.length === 1 ? 'is' : 'are'} paused. </>);
  const draining = nodes.filter((n) => n.draining).length;
  if (draining) rests.push(<>{plural(draining, 'node')} {draining === 1 ? 'drains' : 'drain'}. </>);
  if (nodes.length === 0) return { kind: 'bad', said: 'No node is alive; nothing runs.', rests };
  const types = new Set(groups.map((g) => g.task_type)).size;
  if (isFailing && dead > 0) {
    const what = types === 1 ? 'one task type is failing' : `${types} task types are failing`;
    return { kind: 'bad', said: `Work flows; ${what}.`, rests: [...rests, `${plural(ended - failed, 'run')} of ${count(ended)} finished normally.`] };
  }
  if (unhandled.length) return { kind: 'warn', said: 'Work flows; some of it waits for a node.', rests };
  if (rests.length === 0) rests.push(ended ? `${plural(ended, 'run')} ended in the last hour, ${failed ? `${count(failed)} of them failed` : 'none failed'}.` : 'Nothing ran in the last hour.');
  const isBusy = (stats.job_counts.pending ?? 0) + (stats.job_counts.running ?? 0) > 0;
  return { kind: 'ok', said: isBusy ? 'Work flows.' : 'All is done; nothing waits.', rests };
}

function QueueLink({ name }: { name: string }) {
  return <Link className="link" href={`/jobs?queue=${encodeURIComponent(name)}`}>{name}</Link>;
}

function Pulse({ hour }: { hour: SeriesRow[] }) {
  const top = Math.max(1, ...hour.map((r) => r.processed + r.failed));
  return (
    <div>
      <svg width="100%" height="34" role="img" aria-label="Runs a minute over the last hour, failed ones at the foot">
        {hour.map((r, i) => {
          const all = ((r.processed + r.failed) / top) * 33;
          const bad = (r.failed / top) * 33;
          const x = `${((i * 100) / hour.length).toFixed(2)}%`;
          return [
            <rect key={`a${i}`} className="pulse-ok" x={x} width="1.15%" y={34 - Math.max(all, 0.4)} height={Math.max(all - bad, 0.4)} />,
            bad > 0 && <rect key={`b${i}`} className="pulse-bad" x={x} width="1.15%" y={34 - Math.max(bad, 1)} height={Math.max(bad, 1)} />,
          ];
        })}
      </svg>
      <div className="pulse-c"><span>1 h ago</span><span>runs a minute, failed at the foot</span><span>now</span></div>
    </div>
  );
}

function VerdictPart({ v, hour }: { v: Verdict; hour: SeriesRow[] }) {
  const tone = v.kind === 'bad' ? 'bad-t' : v.kind === 'warn' ? 'warn-t' : 'st-completed';
  return (
    <section className="verdict" aria-label="Health">
      <div>
        <h2 className="verdict-h"><span className={tone}><Glyph name={v.kind === 'ok' ? 'i-ok' : 'i-warn'} large /></span>{v.said}</h2>
        <p>{v.rests.map((r, i) => <span key={i}>{r}</span>)}</p>
      </div>
      <Pulse hour={hour} />
    </section>
  );
}

// ---- figures ----

function Figure({ to, label, warn, value, unit, bad, detail }: {
  to: string; label: string; warn?: boolean; value: string; unit?: string; bad?: boolean; detail: string;
}) {
  return (
    <Link className="stat" href={to}>
      <div className="l">{warn && <Glyph name="i-warn" />}{label}</div>
      <div className={`v${bad ? ' bad-t' : ''}`}>{value}<small>{unit}</small></div>
      <div className="d" title={detail}>{detail}</div>
    </Link>
  );
}

function inUnits(ms: number | undefined): [string, string] {
  if (ms === undefined) return ['–', ''];
  const [n, ...unit] = length(ms).split(' ');
  return [n!, unit.join(' ')];
}

function Figures({ stats, queues, nodes, hour }: { stats: Stats; queues: Queue[]; nodes: Node[]; hour: SeriesRow[] }) {
  const now = latest(hour);
  const ended = hour.reduce((n, r) => n + r.processed + r.failed, 0);
  const failed = hour.reduce((n, r) => n + r.failed, 0);
  const ratio = ended ? (100 * failed) / ended : 0;
  const oldest = queues.reduce<Queue | undefined>((a, q) => (q.pending && (!a || lengthOf(q.oldest_age) > lengthOf(a.oldest_age)) ? q : a), undefined);
  const waiting = queues.reduce((n, q) => n + q.pending, 0);
  const slots = nodes.reduce((n, x) => n + x.pool_stats.max_concurrency, 0);
  const busy = nodes.reduce((n, x) => n + x.pool_stats.running_workers, 0);
  const lately = [...hour].reverse().find((r) => r.wait_ms);
  const ran = [...hour].reverse().find((r) => r.run_ms);
  const [wait, waitUnit] = inUnits(lately?.wait_ms?.p95);
  const [run, runUnit] = inUnits(ran?.run_ms?.p95);
  const quantiles = (p: SeriesRow['wait_ms'] | undefined): string => (p ? `p50 ${length(p.p50)}, p99 ${length(p.p99)}` : 'nothing in the last hour');
  return (
    <section className="stats" aria-label="Figures">
      <Figure to="/jobs?status=completed" label="Finished" value={rate(now ? perSecond(hour, (r) => r.processed) : 0)} unit="/s" detail={`${rate(perSecond(hour, (r) => r.enqueued))} /s come in`} />
      <Figure to="/dead" label="Failing" warn={ratio >= 1} bad={ratio >= 1} value={ratio >= 10 || ratio === 0 ? ratio.toFixed(0) : ratio.toFixed(1)} unit="%" detail={`${count(failed)} of ${plural(ended, 'run')}, last hour`} />
      <Figure to="/queues" label="Wait p95" value={wait} unit={waitUnit} detail={quantiles(lately?.wait_ms)} />
      <Figure to="/nodes" label="Run p95" value={run} unit={runUnit} detail={quantiles(ran?.run_ms)} />
      <Figure to="/jobs?status=pending" label="Waiting" value={count(waiting)} detail={oldest ? `oldest ${length(lengthOf(oldest.oldest_age))}, ${oldest.name}` : `${plural(stats.job_counts.scheduled ?? 0, 'job')} for later`} />
      <Figure to="/nodes" label="Slots" value={count(busy)} unit={`of ${count(slots)}`} detail={slots ? `${Math.round((100 * busy) / slots)} % of ${plural(nodes.length, 'node')}` : 'no node is alive'} />
    </section>
  );
}

// ---- panels ----

function QueueRow({ q }: { q: Queue }) {
  const rows = useSeries('minute', 60, { queue: q.name }) ?? [];
  const wait = [...rows].reverse().find((r) => r.wait_ms)?.wait_ms?.p95;
  return (
    <tr>
      <td className="nw"><Link href={`/jobs?queue=${encodeURIComponent(q.name)}`}><b>{q.name}</b></Link> <span className="t3">×{q.weight}</span><div className="blk-s sm t2"><QueueState q={q} /></div></td>
      <td className="num">{count(q.pending)}</td>
      <td className={`num${q.pending && lengthOf(q.oldest_age) > 600_000 ? ' warn-t' : ''}`}>{q.pending ? length(lengthOf(q.oldest_age)) : '–'}</td>
      <td className="num hide-s">{rate(perSecond(rows, (r) => r.enqueued))}</td>
      <td className="num hide-s">{rate(perSecond(rows, (r) => r.processed))}</td>
      <td className="hide-s hide-m"><Spark values={rows.map((r) => r.enqueued)} label={`came into ${q.name}, last hour`} /></td>
      <td className="num hide-s">{count(q.running)}</td>
      <td className="num hide-s">{wait === undefined ? '–' : length(wait)}</td>
      <td className="hide-s"><QueueState q={q} /></td>
    </tr>
  );
}

function Queues({ queues, hour }: { queues: Queue[]; hour: SeriesRow[] }) {
  const most = [...queues].sort((a, b) => b.weight - a.weight || b.pending - a.pending).slice(0, QUEUES_SHOWN);
  const waiting = queues.reduce((n, q) => n + q.pending, 0);
  const running = queues.reduce((n, q) => n + q.running, 0);
  const oldest = Math.max(0, ...queues.map((q) => (q.pending ? lengthOf(q.oldest_age) : 0)));
  const wait = [...hour].reverse().find((r) => r.wait_ms)?.wait_ms?.p95;
  return (
    <Panel title="Queues" sub="heaviest first" end={<Link className="link sm" href="/queues">All queues</Link>}>
      <table className="tbl">
        <thead><tr><th>Queue</th><th className="num">Waiting</th><th className="num">Oldest</th><th className="num hide-s">In /s</th><th className="num hide-s">Out /s</th><th className="hide-s hide-m">Came in, 1 h</th><th className="num hide-s">Running</th><th className="num hide-s">Wait p95</th><th className="hide-s">State</th></tr></thead>
        <tbody>{most.map((q) => <QueueRow key={q.name} q={q} />)}</tbody>
        <tfoot><tr><td>All {count(queues.length)}</td><td className="num">{count(waiting)}</td><td className="num">{waiting ? length(oldest) : '–'}</td><td className="num hide-s">{rate(perSecond(hour, (r) => r.enqueued))}</td><td className="num hide-s">{rate(perSecond(hour, (r) => r.processed))}</td><td className="hide-s hide-m" /><td className="num hide-s">{count(running)}</td><td className="num hide-s">{wait === undefined ? '–' : length(wait)}</td><td className="hide-s" /></tr></tfoot>
      </table>
    </Panel>
  );
}

function Failing({ groups, dead }: { groups: DeadGroup[] | undefined; dead: number }) {
  const { hasPayload, me } = useSession();
  if (!groups) {
    return (
      <Panel title="What is dead" end={<Link className="link sm" href="/jobs?status=dead">List</Link>}>
        {me && !hasPayload ? <Empty title={plural(dead, 'dead job')} glyph={<span className="t3"><Glyph name="i-eye" large /></span>}><p>This token has no right to error texts.</p></Empty> : <Skeleton />}
      </Panel>
    );
  }
  return (
    <Panel title="What is dead" sub="by error, most first" end={<Link className="link sm" href="/dead">All errors</Link>}>
      {groups.length === 0
        ? <Empty title="Nothing is dead" glyph={<span className="st-completed"><Glyph name="i-ok" large /></span>}><p>A job is dead when its attempts are used up.</p></Empty>
        : (
          <ul>
            {groups.slice(0, 5).map((g) => (
              <li className="li li-f2" key={g.task_type + g.error}>
                <Link className="grow" href={`/dead?open=${encodeURIComponent(g.task_type)}`}><div className="row"><b className="cut">{g.task_type}</b></div><div className="sm t2 cut"><Said text={g.error ?? 'no error text'} /></div></Link>
                <div className="num"><b>{count(g.count)}</b><div className="xs t3"><Time at={g.newest} /></div></div>
              </li>
            ))}
          </ul>
        )}
    </Panel>
  );
}

function Changes({ entries }: { entries: AuditEntry[] }) {
  return (
    <Panel title="What changed" sub="by operators, newest first" end={<Link className="link sm" href="/audit">All changes</Link>}>
      {entries.length === 0
        ? <Empty title="Nobody changed anything"><p>What operators do stands here for 30 days.</p></Empty>
        : (
          <ul>
            {entries.map((e, i) => {
              const [kind] = e.action.split('.');
              const isId = kind === 'job' || kind === 'schedule';
              const what = `${kind} ${isId ? cut(e.target) : e.target} ${ACTION_WORDS[e.action] ?? e.action}`;
              return (
                <li className="li li-s" key={`${e.at}${i}`}>
                  <div className="num t2"><Time at={e.at} /></div>
                  <div className="grow"><div className="cut">{isId ? <Link href={kind === 'job' ? `/jobs/${e.target}` : `/schedules?id=${e.target}`} title={e.target}><Said text={what} /></Link> : <Said text={what} />}</div><div className="sm t3 cut"><Said text={`by ${e.actor}${e.detail && e.detail !== '0' ? `: ${e.detail}` : ''}`} /></div></div>
                  <span />
                </li>
              );
            })}
          </ul>
        )}
    </Panel>
  );
}

// ---- nothing yet ----

function Step({ lead, text, command }: { lead: string; text: string; command: string }) {
  return <li><div><b>{lead}</b> <span className="t2">{text}</span><div className="cmdl"><code tabIndex={0}>{command}</code><Copy text={command} /></div></div></li>;
}

function Ready() {
  return (
    <div className="narrow stack">
      <div><h2 className="verdict-h">Ready. No job has come yet.</h2><p className="t2">Two commands show it working; this page fills as you go.</p></div>
      <section className="panel" aria-label="First steps">
        <ol className="steps">
          <Step lead="Send a job" text="to a built-in handler, and wait for its result." command={`dureqctl enqueue echo '{"message": "hello"}' --wait`} />
          <Step lead="Add a handler" text="of your own: any program, one job a start." command={`dureqd --handler 'file.sha256=exec:/usr/bin/sha256sum -- {payload}'`} />
        </ol>
      </section>
    </div>
  );
}

// ---- the page ----

export function Overview() {
  const search = new URLSearchParams(useSearch());
  const [, go] = useLocation();
  const range = (search.get('range') ?? '1h') in RANGES ? ((search.get('range') ?? '1h') as Range) : '1h';
  const of = search.get('latency') === 'run' ? 'run' : 'wait';
  const set = (name: string, value: string): void => {
    search.set(name, value);
    go(`/?${search}`, { replace: true });
  };
  const { has, hasPayload } = useSession();
  const stats = useStats();
  const { data: queues } = useLive<Queue[]>('/api/queues', 2000);
  const { data: nodes } = useLive<Node[]>('/api/nodes', 2000);
  const { data: groups } = useLive<DeadGroup[]>(hasPayload ? '/api/dlq/groups' : undefined, 10_000);
  const { data: changes } = useLive<AuditEntry[]>('/api/audit?limit=5', 5000);
  const hour = useSeries('minute', 60);
  const rows = useSeries(RANGES[range][0], RANGES[range][1]);
  const verdict = useMemo(() => (stats && queues && nodes && hour ? verdictOf(stats, queues, nodes, groups ?? [], hour) : undefined), [stats, queues, nodes, groups, hour]);
  const isNew = stats && total(stats) === 0;
  return (
    <Shell title="Overview">
      {isNew ? <Ready /> : !verdict || !stats || !queues || !nodes || !hour
        ? <Skeleton rows={8} />
        : (
          <div className="stack">
            <VerdictPart v={verdict} hour={hour} />
            <Figures stats={stats} queues={queues} nodes={nodes} hour={hour} />
            <div className="grid g-11">
              <Throughput range={range} setRange={(r) => set('range', r)} rows={rows ?? []} by={RANGES[range][0]} />
              <Latency of={of} setOf={(v) => set('latency', v)} rows={rows ?? []} />
            </div>
            <div className="grid g-21 stretch"><Queues queues={queues} hour={hour} /><Failing groups={groups} dead={stats.job_counts.dead ?? 0} /></div>
            {has('schedules') ? <div className="grid g-11 stretch"><NextSchedules /><Changes entries={changes ?? []} /></div> : <Changes entries={changes ?? []} />}
          </div>
        )}
    </Shell>
  );
}
