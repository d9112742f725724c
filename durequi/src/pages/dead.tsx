// SPDX-License-Identifier: Apache-2.0
// Dead jobs, by what they died of: same error, numbers left out. A group is redriven, tried with one, or looked into.
import { Fragment, useMemo, useState } from 'react';
import { Link, useLocation, useSearch } from 'wouter';
import { deleteDead, redriveAll, redriveGroup, retry } from '../actions';
import { FilterBox, filterOf, parametersOf, type Filter } from '../filter';
import { count, plain, plural } from '../format';
import { query } from '../http';
import { partsOf, rawOf } from '../json';
import { useKey } from '../keys';
import { useLive } from '../live';
import { Bar, Button, Empty, Glyph, Id, Said, Seg, Skeleton, Time } from '../parts';
import { useRefusal, useSession } from '../session';
import { Shell, useStats } from '../shell';
import type { DeadGroup, Job, JobPage } from '../types';
import { UnderWay } from './operations';

type By = 'error' | 'type';

const MANY = 5000; // dead jobs: from here on groups are counted again less often, since that reads them all
const SAMPLE = 100;

/** The same as the server's: the first line, each number an N. */
function keyOf(job: Job): string {
  const text = job.last_error || job.reason || '';
  return text.split('\n')[0]!.trim().replace(/\d+/g, 'N');
}

function isOf(g: DeadGroup, by: By, job: Job): boolean {
  return by === 'type' ? job.task_type === g.task_type : keyOf(job) === (g.error ?? '');
}

function redrive(g: DeadGroup, by: By, filter: Filter): Promise<void> {
  const of = parametersOf(filter);
  return by === 'type' ? redriveAll({ ...of, type: g.task_type }) : redriveGroup(g, of);
}

// ---- one group, opened ----

function common(jobs: Job[], of: (j: Job) => string | undefined, name: string): string {
  const values = new Set(jobs.map(of).filter((v): v is string => Boolean(v)));
  if (values.size === 0) return `no ${name}`;
  return values.size === 1 ? `${name} ${[...values][0]} (all)` : `${values.size} ${name}s`;
}

function Opened({ g, by, filter }: { g: DeadGroup; by: By; filter: Filter }) {
  const refused = useRefusal();
  const { data: page, text } = useLive<JobPage>('/api/dlq' + query({ ...parametersOf(filter), type: g.task_type, limit: SAMPLE }), 5000);
  const jobs = useMemo(() => page?.data.filter((j) => isOf(g, by, j)) ?? [], [page, g, by]);
  const payloads = useMemo(() => {
    const found = new Map<string, string>();
    for (const { value } of partsOf(rawOf(text, 'data') ?? '[]')) found.set(rawOf(value, 'id') ?? '', rawOf(value, 'payload') ?? '');
    return found;
  }, [text]);
  const newest = jobs[0];
  const last = newest?.attempts.at(-1);
  const tries = new Set(jobs.map((j) => j.attempt));
  if (!page) return <tr className="noh"><td /><td colSpan={6}><Skeleton rows={3} /></td></tr>;
  return (
    <>
      <tr className="noh">
        <td />
        <td colSpan={6} className="two">
          <div className="grid g-11 det">
            <div className="code tb wrap" tabIndex={0} role="group" aria-label="What the newest said">{plain((last?.detail ?? '').trim())}{last?.detail && '\n'}<span className="ex">{plain(newest?.last_error ?? newest?.reason ?? 'no error text')}</span></div>
            <dl className="kv sm">
              <dt>What they share</dt><dd>{common(jobs, (j) => j.queue, 'queue')}, {common(jobs, (j) => j.node_id, 'node')}</dd>
              <dt>Attempts</dt><dd>{tries.size === 1 ? `${[...tries][0]} in every job` : `${Math.min(...tries)} to ${Math.max(...tries)}`}</dd>
              <dt>Looked at</dt><dd>the newest {count(jobs.length)}</dd>
            </dl>
          </div>
        </td>
      </tr>
      {jobs.slice(0, 3).map((j) => (
        <tr key={j.id}>
          <td />
          <td><span className="row"><Id id={j.id} to={`/jobs/${j.id}`} /><span className="t2 cut hide-s mono">{plain((payloads.get(JSON.stringify(j.id)) ?? '').slice(0, 160))}</span></span></td>
          <td /><td className="hide-s" /><td className="num"><Time at={j.completed_at} /></td><td className="hide-s t2 cut">{j.node_id}</td>
          <td className="hide-s num"><Button small kind="quiet" refused={refused} label={`Retry ${j.id}`} onClick={() => void retry(j)}>Retry</Button></td>
        </tr>
      ))}
      <tr className="noh">
        <td />
        <td colSpan={6}>
          <span className="row">
            <Link className="link sm" href={`/jobs?status=dead&type=${encodeURIComponent(g.task_type)}`}>Dead jobs of {g.task_type} in the jobs list</Link>
            <span className="grow" />
            {newest && <Button small refused={refused} title="Retries the newest; see whether the cause is gone" onClick={() => void retry(newest)}>Try one first</Button>}
            <span className="only-s"><Button small refused={refused} label={`Redrive the group ${g.task_type}`} onClick={() => void redrive(g, by, filter)}>Redrive…</Button></span>
          </span>
        </td>
      </tr>
    </>
  );
}

// ---- the table ----

function Group({ g, by, all, isOpen, here, onOpen, filter }: { g: DeadGroup; by: By; all: number; isOpen: boolean; here: boolean; onOpen: () => void; filter: Filter }) {
  const refused = useRefusal();
  const share = all ? g.count / all : 0;
  return (
    <>
      <tr className={isOpen ? 'open' : undefined} data-here={here || undefined}>
        <td className="c-cb"><button type="button" className="t3 hit" aria-expanded={isOpen} aria-label={`Show jobs of ${g.task_type}`} onClick={onOpen}><Glyph name={isOpen ? 'i-chev' : 'i-right'} /></button></td>
        <td className="two"><b><Said text={g.task_type} /></b>{by === 'error' && <div className="sm t2 cut"><Said text={g.error || 'no error text'} /></div>}</td>
        <td className="num c-n"><b>{count(g.count)}</b></td>
        <td className="hide-s c-node"><Bar part={share} kind="bad" label={`${Math.round(share * 100)} % of all`} /></td>
        <td className="num c-node"><Time at={g.newest} /></td>
        <td className="hide-s c-zone t2"><Id id={g.job_id} to={`/jobs/${g.job_id}`} /></td>
        <td className="c-id num hide-s"><span className="row rgt"><Button small refused={refused} label={`Redrive ${g.task_type}`} onClick={() => void redrive(g, by, filter)}>Redrive…</Button></span></td>
      </tr>
      {isOpen && <Opened g={g} by={by} filter={filter} />}
    </>
  );
}

export function Dead() {
  const search = new URLSearchParams(useSearch());
  const [, go] = useLocation();
  const refused = useRefusal();
  const stats = useStats();
  const { hasPayload, me } = useSession();
  const by: By = search.get('by') === 'type' ? 'type' : 'error';
  const open = search.get('open') ?? '';
  const filter = filterOf(search, 'type', 'queue', 'tag', 'text');
  const [here, setHere] = useState(-1);
  const every = (stats?.job_counts.dead ?? 0) > MANY ? 60_000 : 2500;
  const { data: groups, error } = useLive<DeadGroup[]>(hasPayload ? '/api/dlq/groups' + query({ ...parametersOf(filter), by }) : undefined, every);
  const all = groups?.reduce((n, g) => n + g.count, 0) ?? 0;
  const noneDead = (groups ? all : (stats?.job_counts.dead ?? 0)) ? undefined : 'No job is dead'; // to group many takes a while
  const set = (next: Record<string, string>): void => go('/dead' + query({ ...filter, by: by === 'error' ? '' : by, open, ...next }), { replace: true });
  const nameOf = (g: DeadGroup): string => (by === 'error' ? `${g.task_type}|${g.error ?? ''}` : g.task_type);
  const isOpen = (g: DeadGroup): boolean => open !== '' && (nameOf(g) === open || (g.task_type === open && groups?.find((x) => x.task_type === open) === g));
  const toggle = (g: DeadGroup): void => set({ open: isOpen(g) ? '' : nameOf(g) });
  const at = groups?.[here];
  useKey('j', 'next group', () => setHere(Math.min((groups?.length ?? 0) - 1, here + 1)));
  useKey('k', 'group before', () => setHere(Math.max(0, here - 1)));
  useKey('Enter', 'open the group', at ? () => toggle(at) : undefined);
  useKey('R', 'redrive the group, asks first', at && !refused ? () => void redrive(at, by, filter) : undefined);
  return (
    <Shell title="Dead">
      <div className="stack">
        <UnderWay fits={(o) => o.action === 'redrive' || o.filter['status'] === 'dead'} />
        <FilterBox filter={filter} onChange={(f) => go('/dead' + query({ ...f, by: by === 'error' ? '' : by }), { replace: true })} hint="Narrow down: type:invoice.*  queue:high  words…" />
        <section className="panel" aria-label="Dead jobs">
          <div className="panel-h">
            <h2>{groups ? `${count(all)} dead in ${plural(groups.length, 'group')}` : 'Dead'}</h2><span className="sub">{by === 'error' ? 'same message, numbers taken out' : 'same type'}</span>
            <span className="end">
              <Seg label="Grouped" value={by} onChange={(v) => set({ by: v === 'error' ? '' : v, open: '' })} options={[['error', 'By error'], ['type', 'By type']]} />
              <span className="row hide-s">
                <Link className="btn sml" href={'/jobs' + query({ ...filter, status: 'dead' })}>List</Link>
                <Button small refused={refused ?? noneDead} onClick={() => void redriveAll(parametersOf(filter))}>Redrive all…</Button>
                <Button small kind="danger" refused={refused ?? noneDead} onClick={() => void deleteDead(parametersOf(filter))}>Delete…</Button>
              </span>
            </span>
          </div>
          {me && !hasPayload ? <Empty title="Errors not shown" glyph={<span className="t3"><Glyph name="i-eye" large /></span>}><p>Token <b>{me.name}</b> has no right to error texts, by which dead jobs are grouped. <Link className="link" href="/jobs?status=dead">Show the list</Link></p></Empty>
            : error && !error.isAway ? <Empty title="The server refuses this"><p>{error.message}</p></Empty>
            : !groups ? <Skeleton />
              : groups.length === 0 ? <Empty glyph={<span className="st-completed"><Glyph name="i-ok" large /></span>} title={Object.keys(filter).length ? 'No dead job matches' : 'Nothing is dead'}><p>{Object.keys(filter).length ? <Link className="link" href="/dead">Show all</Link> : 'A job is dead when its attempts are used up.'}</p></Empty>
                : (
                  <table className="tbl fix grp">
                    <thead><tr><th className="c-cb"><span className="sr">Open</span></th><th>{by === 'error' ? 'Type and error' : 'Type'}</th><th className="c-n num" aria-sort="descending">Dead</th><th className="c-node hide-s">Share</th><th className="c-node num">Last</th><th className="c-zone hide-s">Newest</th><th className="c-id hide-s"><span className="sr">Acts</span></th></tr></thead>
                    <tbody>{groups.map((g, i) => <Fragment key={nameOf(g)}><Group g={g} by={by} all={all} isOpen={isOpen(g)} here={i === here} onOpen={() => toggle(g)} filter={filter} /></Fragment>)}</tbody>
                  </table>
                )}
          <div className="panel-f">
            <span className="only-s row">
              <Button refused={refused ?? noneDead} onClick={() => void redriveAll(parametersOf(filter))}>Redrive all…</Button>
              <Button kind="danger" refused={refused ?? noneDead} onClick={() => void deleteDead(parametersOf(filter))}>Delete…</Button>
            </span>
            <span className="hide-s">Dead jobs are kept until their retention is over.</span><span className="grow" /><span className="hide-s row"><kbd className="k">j</kbd><kbd className="k">k</kbd> move <kbd className="k">Enter</kbd> open group <kbd className="k">R</kbd> redrive, asks first</span></div>
        </section>
      </div>
    </Shell>
  );
}
