// SPDX-License-Identifier: Apache-2.0
// The list of jobs. Rows stay where they are: values change in place, new rows wait to be shown, rows that fit no more turn grey.
import { useEffect, useRef, useState, type KeyboardEvent } from 'react';
import { Link, useLocation, useSearch } from 'wouter';
import { bulk, bulkMatching, TAKES, type Bulk } from '../actions';
import { FilterBox, filterOf, parametersOf, type Filter } from '../filter';
import { count, length, plain, plural } from '../format';
import { query, send } from '../http';
import { useKey } from '../keys';
import { refresh, useLive } from '../live';
import { Cover, say } from '../overlay';
import { Button, Copy, Empty, Glyph, Id, Said, Skeleton, State, Time } from '../parts';
import { showRow, useRows, useSeen } from '../rows';
import { useRefusal } from '../session';
import { Shell, useStats } from '../shell';
import { STATES, type Job, type JobPage, type Queue } from '../types';

const PAGE = 50;
const EVERY_MS = 700;

export function dueOf(j: Job): string {
  return j.next_run_at ?? j.completed_at ?? (j.status === 'running' ? j.last_run_at : undefined) ?? j.created_at;
}

export function ranFor(j: Job): string {
  const a = j.attempts.at(-1);
  if (!a?.started_at || !a.finished_at) return '–';
  return length(Date.parse(a.finished_at) - Date.parse(a.started_at));
}

export function attemptsOf(j: Job): string {
  return j.max_attempts ? `${j.attempt} / ${j.max_attempts}` : String(j.attempt);
}

interface RowProps { j: Job; here: boolean; chosen: boolean; gone: boolean; onChoose: (id: string, range: boolean) => void }

function Row({ j, here, chosen, gone, onChoose }: RowProps) {
  const error = j.last_error ?? j.reason ?? j.waiting_for;
  return (
    <tr className={`r${gone ? ' gone' : ''}`} data-id={j.id} data-here={here || undefined} aria-selected={chosen}>
      <td className="c-cb"><label className="cb-l"><input className="cb" type="checkbox" aria-label={`Select ${j.id}`} checked={chosen} onChange={() => undefined} onClick={(e) => onChoose(j.id, e.shiftKey)} /></label></td>
      <td className="c-st hide-s"><State state={j.status} /></td>
      <td className="c-type">
        <Link href={`/jobs/${j.id}`} className="cut"><Said text={j.task_type} /></Link>
        <div className="blk-s sm"><span className="row"><State state={j.status} /><span className="t2">{attemptsOf(j).replaceAll(' ', '')}</span></span></div>
      </td>
      <td className="c-id hide-s"><Id id={j.id} to={`/jobs/${j.id}`} /></td>
      <td className="c-q hide-s hide-m t2 cut">{j.queue}</td>
      <td className="c-n num hide-s">{attemptsOf(j)}</td>
      <td className="c-t num"><Time at={dueOf(j)} /></td>
      <td className="c-n num t2 hide-s hide-m">{ranFor(j)}</td>
      <td className="c-node t2 hide-s hide-m cut">{j.node_id ?? '–'}</td>
      <td className="err cut hide-s"><Said text={error} /></td>
    </tr>
  );
}

// ---- the page ----

const NAMES = ['type', 'queue', 'tag', 'text', 'key', 'age', 'since', 'until'];

function Facets({ filter, chosen, onToggle }: { filter: Filter; chosen: string[]; onToggle: (s: string) => void }) {
  const counts = useStats()?.job_counts;
  const isAll = Object.keys(filter).length === 0;
  return (
    <>
      {STATES.map((s) => {
        const n = counts?.[s] ?? 0;
        return (
          <button key={s} type="button" className={`facet${isAll && n === 0 ? ' none' : ''}`} aria-pressed={chosen.includes(s)} onClick={() => onToggle(s)}>
            <span className={`st-${s}`}><Glyph name={`g-${s}`} /></span>{s}{isAll && <> <b>{counts ? count(n) : '–'}</b></>}
          </button>
        );
      })}
    </>
  );
}

const VERBS: [Bulk, string, boolean][] = [['retry', 'Retry', false], ['run', 'Run now', false], ['cancel', 'Cancel…', true], ['delete', 'Delete…', true]];

function BulkBar({ chosen, all, setAll, clear, total, filter, status }: {
  chosen: Job[]; all: boolean; setAll: (v: boolean) => void; clear: () => void; total: string; filter: Filter; status: string[];
}) {
  const refused = useRefusal();
  const act = (verb: Bulk): void => {
    if (all) void bulkMatching(verb, { ...parametersOf(filter), ...(status.length ? { status: status.join(',') } : {}) }, clear);
    else bulk(verb, chosen, clear);
  };
  useKey('r', 'retry what is selected', () => { if (!refused) act('retry'); });
  return (
    <div className="bulk" role="group" aria-label="Selected jobs">
      <b>{all ? 'All that match' : `${count(chosen.length)} selected`}</b>
      {all ? <span className="t2 sm">counted before it asks</span> : <button type="button" className="link" onClick={() => setAll(true)}>Select all {total} that match</button>}
      <span className="grow hide-s" />
      {VERBS.map(([verb, word, danger]) => {
        const fits = all || chosen.some((j) => TAKES[verb].includes(j.status));
        return <Button key={verb} small kind={danger ? 'danger' : undefined} refused={refused ?? (fits ? undefined : `None selected is ${TAKES[verb].join(' or ')}`)} onClick={() => act(verb)} {...(verb === 'retry' ? { hint: 'r' } : {})}>{word}</Button>;
      })}
      <span className="sepv hide-s" />
      <Button small kind="quiet" hint="Esc" onClick={clear}>Clear</Button>
    </div>
  );
}

function Nothing({ filter, status, total }: { filter: Filter; status: string[]; total: number }) {
  if (Object.keys(filter).length + status.length === 0) {
    const command = `dureqctl enqueue echo '{"message": "hello"}'`;
    return <Empty title="No job has come yet"><div className="cmdl"><code>{command}</code><Copy text={command} /></div></Empty>;
  }
  return <Empty title="No job matches"><p>Without the filter there are {count(total)}. <Link className="link" href="/jobs">Show all</Link></p></Empty>;
}

export function Jobs() {
  const search = new URLSearchParams(useSearch());
  const [, go] = useLocation();
  const refused = useRefusal();
  const stats = useStats();
  const filter = filterOf(search, ...NAMES);
  const status = (search.get('status') ?? '').split(',').filter(Boolean);
  const sort = search.get('sort') === 'oldest' ? 'oldest' : 'newest';
  const path = '/api/jobs' + query({ ...parametersOf(filter), status: status.join(','), sort, limit: PAGE });
  const { list, page, error, fresh, showFresh, more, loading, isOld } = useRows<Job, JobPage>(path, EVERY_MS);
  const rows = list?.rows ?? [];
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [all, setAll] = useState(false);
  const [here, setHere] = useState(-1);
  const [enqueues, setEnqueues] = useState(false);
  const last = useRef(-1);
  const seen = useSeen(rows.length);
  const clear = (): void => { setChosen(new Set()); setAll(false); };
  const set = (f: Filter, s: string[], order = sort): void => {
    clear();
    setHere(-1);
    go('/jobs' + query({ ...f, status: s.join(','), sort: order === 'newest' ? '' : order }), { replace: true });
  };
  const choose = (id: string, range: boolean): void => {
    const at = rows.findIndex((j) => j.id === id);
    const next = new Set(chosen);
    const [a, b] = range && last.current >= 0 ? [Math.min(at, last.current), Math.max(at, last.current)] : [at, at];
    const puts = !chosen.has(id);
    rows.slice(a, b + 1).forEach((j) => (puts ? next.add(j.id) : next.delete(j.id)));
    last.current = at;
    setAll(false);
    setChosen(next);
  };
  const move = (by: number): void => {
    const next = Math.max(0, Math.min(rows.length - 1, here + by));
    setHere(next);
    showRow(seen, next);
  };
  useKey('j', 'next row', () => move(1));
  useKey('k', 'row before', () => move(-1));
  useKey('x', 'select the row', here >= 0 && rows[here] ? () => choose(rows[here]!.id, false) : undefined);
  useKey('Enter', 'open the row', here >= 0 && rows[here] ? () => go(`/jobs/${rows[here]!.id}`) : undefined);
  useKey('Escape', 'clear the selection', chosen.size || all ? clear : undefined);
  useKey('.', 'show new rows', fresh ? showFresh : undefined);
  useKey('c', 'enqueue a job', refused ? undefined : () => setEnqueues(true));
  useEffect(() => {
    if (seen.to >= rows.length - 20 && list?.cursor && !isOld) void more();
  }, [seen.to, rows.length, list?.cursor, more, isOld]);
  const picked = rows.filter((j) => chosen.has(j.id));
  const isExact = page?.total_exact !== false;
  const total = page ? `${count(page.total)}${isExact ? '' : '+'}` : '–';
  return (
    <Shell title="Jobs">
      <FilterBox filter={filter} onChange={(f) => set(f, status)} hint="type:invoice.*  age:<1h  queue:high  words in payload, type or tag…" />
      <div className="facets" role="group" aria-label="States">
        <Facets filter={filter} chosen={status} onToggle={(s) => set(filter, status.includes(s) ? status.filter((x) => x !== s) : [...status, s])} />
        <span className="grow hide-s" />
        <Button kind="primary" hint="c" refused={refused} onClick={() => setEnqueues(true)}>Enqueue</Button>
      </div>
      <section className="panel" aria-label="Jobs">
        {(picked.length > 0 || all) && <BulkBar chosen={picked} all={all} setAll={setAll} clear={clear} total={total} filter={filter} status={status} />}
        {fresh > 0 && <button type="button" className="newrow" onClick={showFresh}>{fresh >= PAGE ? `${PAGE} or more new jobs match` : fresh === 1 ? '1 new job matches' : `${fresh} new jobs match`}. Show {fresh === 1 ? 'it' : 'them'} <kbd className="k">.</kbd></button>}
        {error && !error.isAway ? <Empty title="The server refuses this" glyph={<span className="bad-t"><Glyph name="i-warn" large /></span>}><p>{error.message}</p></Empty>
          : !list ? <Skeleton rows={8} />
            : rows.length === 0 && !isOld ? <Nothing filter={filter} status={status} total={Object.values(stats?.job_counts ?? {}).reduce((a, b) => a + b, 0)} />
              : (
                <table className="tbl fix" aria-busy={isOld || undefined}>
                  <thead>
                    <tr>
                      <th className="c-cb"><label className="cb-l"><input className="cb" type="checkbox" aria-label="Select the rows loaded" checked={rows.length > 0 && picked.length === rows.length} onChange={(e) => { setAll(false); setChosen(new Set(e.target.checked ? rows.map((j) => j.id) : [])); }} /></label></th>
                      <th className="c-st hide-s">State</th><th className="c-type">Type</th><th className="c-id hide-s">Id</th><th className="c-q hide-s hide-m">Queue</th><th className="c-n num hide-s">Attempt</th>
                      <th className="c-t num" aria-sort={sort === 'newest' ? 'descending' : 'ascending'}><button type="button" onClick={() => set(filter, status, sort === 'newest' ? 'oldest' : 'newest')}>Due or ended <span className={sort === 'newest' ? undefined : 'up'}><Glyph name="i-down" /></span></button></th>
                      <th className="c-n num hide-s hide-m">Ran</th><th className="c-node hide-s hide-m">Node</th><th className="hide-s">Last error</th>
                    </tr>
                  </thead>
                  <tbody ref={seen.body}>
                    {seen.from > 0 && <tr className="pad" aria-hidden="true"><td colSpan={10} style={{ height: seen.from * seen.height }} /></tr>}
                    {rows.slice(seen.from, seen.to).map((j, i) => <Row key={j.id} j={j} here={here === seen.from + i} chosen={all || chosen.has(j.id)} gone={list.gone.has(j.id)} onChoose={choose} />)}
                    {seen.to < rows.length && <tr className="pad" aria-hidden="true"><td colSpan={10} style={{ height: (rows.length - seen.to) * seen.height }} /></tr>}
                  </tbody>
                </table>
              )}
        <div className="panel-f">
          <span className="nw">{count(rows.length)} of {total}, {sort} first</span>
          {loading && <span className="t3">loading more</span>}
          {!isExact && page?.scanned !== undefined && <span className="hide-s t3">at least; {plural(page.scanned, 'row')} looked at</span>}
          <span className="grow" />
          <span className="hide-s row"><kbd className="k">j</kbd><kbd className="k">k</kbd> move <kbd className="k">x</kbd> select <kbd className="k">Enter</kbd> open <kbd className="k">?</kbd> all keys</span>
        </div>
      </section>
      {enqueues && <Enqueue onClose={() => setEnqueues(false)} />}
    </Shell>
  );
}

// ---- a new job ----

function Enqueue({ onClose }: { onClose: () => void }) {
  const [, go] = useLocation();
  const { data: queues } = useLive<Queue[]>('/api/queues', 5000);
  const [type, setType] = useState('');
  const [payload, setPayload] = useState('{}');
  const [queue, setQueue] = useState('');
  const [delay, setDelay] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string>();
  let wrong: string | undefined;
  try {
    JSON.parse(payload);
  } catch (e) {
    wrong = `This is no JSON: ${e instanceof Error ? e.message : ''}`;
  }
  const isReady = type.trim() !== '' && !wrong;
  const put = async (): Promise<void> => {
    if (!isReady || busy) return;
    setBusy(true);
    const rest = { task_type: type.trim(), ...(queue ? { queue } : {}), ...(delay.trim() ? { delay: delay.trim() } : {}) };
    try {
      const r = await send('POST', '/api/jobs', `{"payload": ${payload}, ${JSON.stringify(rest).slice(1)}`);
      const { id } = JSON.parse(r.text) as { id: string };
      refresh('/api/jobs', '/api/stats');
      onClose();
      say(`${type.trim()} is enqueued.`, 'ok', { label: 'Show job', run: () => go(`/jobs/${id}`) });
    } catch (e) {
      setBusy(false);
      setError(e instanceof Error ? e.message : String(e));
    }
  };
  const onEnter = (e: KeyboardEvent): void => { if (e.key === 'Enter') void put(); };
  return (
    <Cover label="Enqueue a job" className="dlg" onClose={onClose}>
      <div className="dlg-h"><h2>Enqueue a job</h2></div>
      <div className="dlg-b">
        <div className="field"><label htmlFor="new-type">Type</label><input id="new-type" data-first="" className="inp mono" value={type} autoComplete="off" spellCheck={false} onChange={(e) => setType(e.target.value)} onKeyDown={onEnter} /></div>
        <div className="field">
          <label htmlFor="new-payload">Payload, JSON</label>
          <textarea id="new-payload" className="inp mono area" rows={6} spellCheck={false} value={payload} aria-invalid={wrong ? true : undefined} onChange={(e) => setPayload(e.target.value)} />
          {wrong && <span className="err"><Glyph name="i-warn" />{wrong}</span>}
        </div>
        <div className="grid g-11">
          <div className="field"><label htmlFor="new-queue">Queue</label><select id="new-queue" className="inp" value={queue} onChange={(e) => setQueue(e.target.value)}><option value="">by its priority</option>{queues?.map((q) => <option key={q.name}>{q.name}</option>)}</select></div>
          <div className="field"><label htmlFor="new-delay">Delay</label><input id="new-delay" className="inp" placeholder="30s, 5m, 1h30m" value={delay} autoComplete="off" onChange={(e) => setDelay(e.target.value)} onKeyDown={onEnter} /></div>
        </div>
        {error && <div className="field" role="alert"><span className="err"><Glyph name="i-warn" />{plain(error)}</span></div>}
      </div>
      <div className="dlg-f">
        <button type="button" className="btn" onClick={onClose}>Not now<kbd className="k">Esc</kbd></button>
        <Button kind="primary" busy={busy} refused={isReady ? undefined : (wrong ?? 'Name a type first')} onClick={() => void put()}>Enqueue</Button>
      </div>
    </Cover>
  );
}
