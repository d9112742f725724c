// SPDX-License-Identifier: Apache-2.0
// What is done to all jobs that fit a filter: by the server, step by step, whether anybody looks or not.
import { useEffect, useRef, useState } from 'react';
import { Link, useLocation, useSearch } from 'wouter';
import { call, query } from '../http';
import { count, exact, length, plain, plural, rate } from '../format';
import { useKey } from '../keys';
import { refresh, serverNow, useLive, useNow } from '../live';
import { ask, say } from '../overlay';
import { Banner, Bar, Button, Copy, Empty, Glyph, Id, Panel, Said, Skeleton, State, Time } from '../parts';
import { useRows } from '../rows';
import { usePreferences, useRefusal, useSession } from '../session';
import { Shell } from '../shell';
import type { Operation } from '../types';

const PAGE = 50;
const EVERY_MS = 1000;
const RATE_MS = 5000; // what the present rate is taken over

interface OperationPage { data: Operation[]; next_cursor?: string }

const STATE_OF: Record<string, string> = { running: 'running', stopping: 'cancelled', stopped: 'cancelled', completed: 'completed', failed: 'dead' };
const OVER = ['stopped', 'completed', 'failed'];

function OpState({ o, pill }: { o: Operation; pill?: boolean }) {
  return <State state={STATE_OF[o.status] ?? o.status} word={o.status} {...(pill ? { pill } : {})} />;
}

/** "retry dead jobs of invoice.*" */
function what(o: Operation): string {
  const { status = o.action === 'redrive' ? 'dead' : undefined, type, task_type: also, group, ...rest } = o.filter;
  const of = type ?? also;
  const more = Object.entries(rest).map(([k, v]) => `${k}:${v}`).join(' ');
  return plain(`${o.action} ${status ? `${status.replaceAll(',', ', ')} ` : 'all '}jobs${of ? ` of ${of}` : ''}${group ? ' of one error' : ''}${more ? `, ${more}` : ''}`);
}

function Progress({ o }: { o: Operation }) {
  const part = o.matched ? (o.affected + o.refused) / o.matched : o.status === 'completed' ? 1 : 0;
  return <Bar part={o.status === 'completed' ? 1 : part} kind={o.status === 'failed' ? 'bad' : o.status === 'completed' ? 'ok' : 'acc'} label={`${count(o.affected)}${o.matched ? ` of ${count(o.matched)}` : ''} done`} />;
}

function Took({ o }: { o: Operation }) {
  const now = useNow();
  return <>{length(Math.max(0, (o.completed_at ? Date.parse(o.completed_at) : now) - Date.parse(o.created_at)))}</>;
}

/** Jobs a second, over the last seconds that one looked. */
function useRate(o: Operation | undefined): number | undefined {
  const seen = useRef<{ id: string; at: number; n: number }[]>([]);
  const [now, setNow] = useState<number>();
  const { id, affected } = o ?? { id: '', affected: 0 };
  useEffect(() => {
    const at = serverNow();
    seen.current = [...seen.current.filter((x) => x.id === id && at - x.at < RATE_MS), { id, at, n: affected }];
    const first = seen.current[0]!;
    setNow(at - first.at > 500 ? ((affected - first.n) * 1000) / (at - first.at) : undefined);
  }, [id, affected, o]);
  return now;
}

function askStop(o: Operation): void {
  ask({
    title: 'Stop this operation?', text: 'It goes no further. What it did stays done.', facts: [['done so far', count(o.affected)], ...(o.matched ? [['of', count(o.matched)] as [string, string]] : [])],
    verb: 'Stop it', keep: 'Let it go on', danger: true, field: { label: 'Reason', hint: 'Kept in the audit; may stay empty.', value: '' },
    run: async (reason) => {
      await call('POST', `/api/operations/${encodeURIComponent(o.id)}/stop`, reason ? { reason } : {});
      refresh('/api/operations', '/api/audit');
      say('It goes no further.');
    },
  });
}

function Detail({ id, onClose }: { id: string; onClose: () => void }) {
  const { zone } = usePreferences();
  const refused = useRefusal();
  const [every, setEvery] = useState(EVERY_MS);
  const { data: o, error } = useLive<Operation>(`/api/operations/${encodeURIComponent(id)}`, every, every === EVERY_MS);
  const isOver = o !== undefined && OVER.includes(o.status);
  useEffect(() => setEvery(isOver ? 60_000 : EVERY_MS), [isOver]);
  const now = useRate(o);
  if (error?.status === 404) return <Panel title="Operation"><Empty title="There is no such operation"><p>It ended long ago, or the id is another.</p></Empty></Panel>;
  if (!o) return <Panel title="Operation"><Skeleton /></Panel>;
  const at = (t: string | undefined): string | undefined => t && exact(Date.parse(t), zone);
  const left = o.matched === undefined ? undefined : Math.max(0, o.matched - o.affected - o.refused);
  const rows: [string, string | undefined][] = [
    ['Done', `${count(o.affected)}${o.matched !== undefined ? ` of ${count(o.matched)}` : ''}`], ['Passed over', count(o.refused)], ['Looked at', count(o.looked_at)],
    ['Rate', isOver ? undefined : now === undefined ? 'not known yet' : `${rate(now)} a second`], ['Left', isOver || left === undefined || !now ? undefined : `about ${length((left * 1000) / now)}`],
    ['Who', plain(o.actor)], ['Why', o.reason && plain(o.reason)], ['Acts on', `what was there at ${at(o.as_of)}`], ['Started', at(o.created_at)], ['Ended', at(o.completed_at)], ['Stopped', o.stopped_because && plain(o.stopped_because)],
  ];
  return (
    <aside className="panel" aria-label="Operation">
      <div className="panel-h"><h2 className="cut">{o.action}</h2><OpState o={o} pill /><span className="end"><Button small kind="quiet" icon label="Close" onClick={onClose}><Glyph name="i-x" /></Button></span></div>
      <div className="panel-b stack12">
        <p>{what(o)}</p>
        <Progress o={o} />
        {o.error && <Banner kind="warn" strong={isOver ? 'It failed.' : 'It waits.'}><Said text={o.error} /></Banner>}
        <div className="row row-w">
          <Button small kind="danger" refused={refused ?? (isOver ? 'It has ended' : o.status === 'stopping' ? 'It is being stopped' : undefined)} onClick={() => askStop(o)}>Stop…</Button>
          <Link className="btn sml" href={'/jobs' + query({ ...(o.action === 'redrive' ? { status: 'dead' } : {}), ...o.filter, group: undefined })}>Jobs that fit now</Link>
        </div>
        <dl className="kv sm">{rows.filter(([, v]) => v !== undefined && v !== '').map(([k, v]) => [<dt key={k}>{k}</dt>, <dd key={k + '='}>{v}</dd>])}<dt>Id</dt><dd><span className="row rgt"><Id id={o.id} /><Copy text={o.id} label="Copy id" /></span></dd></dl>
        <p className="t3 sm">It goes on when this page is closed, and by another daemon when its own is lost.</p>
      </div>
    </aside>
  );
}

/** One that is under way, on the page of what it acts on. */
function Card({ o }: { o: Operation }) {
  const refused = useRefusal();
  const now = useRate(o);
  const left = o.matched === undefined ? undefined : Math.max(0, o.matched - o.affected - o.refused);
  return (
    <section className="panel" aria-label={`Operation: ${what(o)}`}>
      <div className="op">
        <div className="grow">
          <div className="row row-w"><b>{what(o)}</b><span className="t2 sm">by {plain(o.actor)}, <Time at={o.created_at} />{o.matched !== undefined && `; ${count(o.matched)} matched before it began`}</span></div>
          <div className="op-bar"><Progress o={o} /></div>
          <div className="row row-w sm t2">
            <span><b className="tx">{count(o.affected)}</b> done</span><span><b className="tx">{count(o.refused)}</b> passed over</span>{left !== undefined && <span><b className="tx">{count(left)}</b> to go</span>}
            <span className="grow" /><span>{now ? `${rate(now)} a second${left === undefined ? '' : `, about ${length((left * 1000) / now)} left`}; ` : ''}goes on when you close this page</span>
          </div>
        </div>
        <div className="row acts op-a">
          <Button small refused={refused ?? (o.status === 'stopping' ? 'It is being stopped' : undefined)} onClick={() => askStop(o)}>Stop…</Button>
          <Link className="btn sml" href={`/operations?id=${o.id}`}>Show</Link>
        </div>
      </div>
    </section>
  );
}

/** Those under way that fit. */
export function UnderWay({ fits }: { fits: (o: Operation) => boolean }) {
  const { has } = useSession();
  const [isBusy, setIsBusy] = useState(false);
  const { data } = useLive<OperationPage>(has('operations') ? '/api/operations?limit=20' : undefined, isBusy ? EVERY_MS : 4000, isBusy);
  const found = data?.data.filter((o) => !OVER.includes(o.status) && fits(o)) ?? [];
  useEffect(() => setIsBusy(found.length > 0), [found.length]);
  return found.map((o) => <Card key={o.id} o={o} />);
}

function Row({ o, chosen, isNarrow, onChoose }: { o: Operation; chosen: boolean; isNarrow: boolean; onChoose: () => void }) {
  return (
    <tr className="r" aria-selected={chosen} onClick={onChoose}>
      <td className="c-st hide-s"><OpState o={o} /></td>
      <td className="cut"><button type="button" className="cut name" aria-pressed={chosen} onClick={(e) => { e.stopPropagation(); onChoose(); }}><b>{what(o)}</b></button><div className="blk-s sm"><OpState o={o} /></div></td>
      <td className="c-node hide-s"><Progress o={o} /></td>
      <td className="num c-t">{count(o.affected)}{o.matched !== undefined && ` / ${count(o.matched)}`}</td>
      {!isNarrow && <td className="c-id cut hide-s hide-m t2"><Said text={o.actor} /></td>}
      <td className="num c-t hide-s"><Time at={o.created_at} /></td>
      <td className="num c-node hide-s"><Took o={o} /></td>
    </tr>
  );
}

export function Operations() {
  const search = new URLSearchParams(useSearch());
  const [, go] = useLocation();
  const id = search.get('id') ?? '';
  const [isBusy, setIsBusy] = useState(false); // one of them is under way
  const { list, error, fresh, showFresh, more, loading } = useRows<Operation, OperationPage>(`/api/operations?limit=${PAGE}`, EVERY_MS, isBusy);
  const rows = list?.rows ?? [];
  const isUnderWay = rows.some((o) => !OVER.includes(o.status));
  useEffect(() => setIsBusy(isUnderWay), [isUnderWay]);
  const choose = (next: string): void => go('/operations' + query({ id: next === id ? '' : next }), { replace: true });
  const at = rows.findIndex((o) => o.id === id);
  useKey('j', 'next operation', () => { const o = rows[at + 1]; if (o) choose(o.id); });
  useKey('k', 'operation before', () => { const o = rows[at - 1]; if (o) choose(o.id); });
  useKey('Escape', 'close the operation', id ? () => choose(id) : undefined);
  useEffect(() => { if (fresh) showFresh(); }, [fresh]); // few, and who starts one waits for it
  return (
    <Shell title="Operations">
      <div className={id ? 'grid g-side' : undefined}>
        <Panel title="Operations" sub="what is done to many jobs, newest first">
          {error && !error.isAway ? <Empty title="The server refuses this" glyph={<span className="bad-t"><Glyph name="i-warn" large /></span>}><p>{error.message}</p></Empty>
            : !list ? <Skeleton rows={6} />
              : rows.length === 0 ? <Empty title="Nothing has been done to many jobs yet"><p>Redrive, retry, cancel or delete what a filter finds: on <Link className="link" href="/jobs">Jobs</Link> or <Link className="link" href="/dead">Dead</Link>.</p></Empty>
                : (
                  <table className="tbl fix">
                    <thead><tr><th className="c-st hide-s">State</th><th>What</th><th className="c-node hide-s">Done</th><th className="num c-t">Jobs</th>{!id && <th className="c-id hide-s hide-m">Who</th>}<th className="num c-t hide-s" aria-sort="descending">Started</th><th className="num c-node hide-s">Took</th></tr></thead>
                    <tbody>{rows.map((o) => <Row key={o.id} o={o} chosen={o.id === id} isNarrow={id !== ''} onChoose={() => choose(o.id)} />)}</tbody>
                  </table>
                )}
          <div className="panel-f"><span>{plural(rows.length, 'operation')}; kept for 30 days after their end</span><span className="grow" />{list?.cursor && <Button small busy={loading} onClick={() => void more()}>Show more</Button>}</div>
        </Panel>
        {id && <Detail key={id} id={id} onClose={() => choose(id)} />}
      </div>
    </Shell>
  );
}
