// SPDX-License-Identifier: Apache-2.0
// Batches: one task for each of many items. The list, and one with its items and their results.
import { useEffect, useState, type ReactNode } from 'react';
import { Link, useLocation, useParams, useSearch } from 'wouter';
import { count, exact, length, plain, plural, rate } from '../format';
import { call, query } from '../http';
import { rawOf } from '../json';
import { Command, JsonView } from '../jsonview';
import { useKey } from '../keys';
import { refresh, useLive, useNow } from '../live';
import { ask, say } from '../overlay';
import { Bar, Button, Copy, Empty, Glyph, Id, Panel, Said, Seg, Skeleton, Time } from '../parts';
import { showRow, useRows, useSeen } from '../rows';
import { usePreferences, useRefusal, useSession } from '../session';
import { Shell } from '../shell';
import type { Batch as BatchInfo, BatchHead, BatchItem } from '../types';
import { FlowState, glyphOf } from './workflows';

const PAGE = 50;
const ITEMS = 100;
const EVERY_MS = 1200;
const STATES = ['loading', 'running', 'completed', 'failed', 'cancelling', 'cancelled'];
const ENDED = ['completed', 'failed', 'cancelled'];
const ITEM_STATES = ['pending', 'running', 'completed', 'skipped', 'failed', 'cancelled'];

interface BatchPage { data: BatchHead[]; next_cursor?: string }

const endedOf = (b: BatchHead): number => b.completed_items + b.failed_items + b.cancelled_items;

function tookOf(b: BatchHead, now: number): number {
  return Math.max(0, (b.completed_at ? Date.parse(b.completed_at) : now) - Date.parse(b.created_at));
}

function Progress({ b }: { b: BatchHead }) {
  return <Bar part={b.total_items ? endedOf(b) / b.total_items : 0} kind={b.failed_items ? 'bad' : b.status === 'completed' ? 'ok' : undefined} label={`${count(endedOf(b))} of ${plural(b.total_items, 'item')} ended`} />;
}

function BatchState({ b, pill }: { b: BatchHead; pill?: boolean }) {
  return b.status === 'loading' ? <FlowState status="scheduled" word="loading" {...(pill ? { pill } : {})} /> : <FlowState status={b.status} {...(pill ? { pill } : {})} />;
}

// ---- the list ----

function Row({ b, here, gone }: { b: BatchHead; here: boolean; gone: boolean }) {
  const now = useNow();
  return (
    <tr className={`r${gone ? ' gone' : ''}`} data-id={b.id} data-here={here || undefined}>
      <td className="c-st hide-s"><BatchState b={b} /></td>
      <td className="c-type"><Link href={`/batches/${b.id}`} className="cut"><b><Said text={b.name} /></b></Link><div className="blk-s sm"><BatchState b={b} /></div></td>
      <td className="c-id hide-s"><Id id={b.id} to={`/batches/${b.id}`} /></td>
      <td className="hide-s"><Progress b={b} /></td>
      <td className="c-last num">{count(endedOf(b))} / {count(b.total_items)}</td>
      <td className={`c-n num hide-s${b.failed_items ? ' bad-t' : ''}`}>{count(b.failed_items)}</td>
      <td className="c-n num hide-s hide-m">{count(b.running_items)}</td>
      <td className="c-t num hide-s"><Time at={b.created_at} /></td>
      <td className="c-node num hide-s">{length(tookOf(b, now))}</td>
    </tr>
  );
}

export function Batches() {
  const search = new URLSearchParams(useSearch());
  const [, go] = useLocation();
  const status = search.get('status') ?? '';
  const { list, error, fresh, showFresh, more, loading, isOld } = useRows<BatchHead, BatchPage>('/api/batches' + query({ status, limit: PAGE }), EVERY_MS);
  const rows = list?.rows ?? [];
  const [here, setHere] = useState(-1);
  const seen = useSeen(rows.length);
  const move = (by: number): void => {
    const next = Math.max(0, Math.min(rows.length - 1, here + by));
    setHere(next);
    showRow(seen, next);
  };
  const command = 'dureqctl batch start --items items.ndjson import.json';
  useKey('j', 'next row', () => move(1));
  useKey('k', 'row before', () => move(-1));
  useKey('Enter', 'open the row', here >= 0 && rows[here] ? () => go(`/batches/${rows[here]!.id}`) : undefined);
  useKey('.', 'show new rows', fresh ? showFresh : undefined);
  useEffect(() => {
    if (seen.to >= rows.length - 20 && list?.cursor && !isOld) void more();
  }, [seen.to, rows.length, list?.cursor, more, isOld]);
  return (
    <Shell title="Batches">
      <div className="facets first" role="group" aria-label="States">
        {STATES.map((s) => <button key={s} type="button" className="facet" aria-pressed={s === status} onClick={() => { setHere(-1); go('/batches' + query({ status: s === status ? '' : s }), { replace: true }); }}><span className={`st-${glyphOf(s === 'loading' ? 'scheduled' : s)}`}><Glyph name={`g-${glyphOf(s === 'loading' ? 'scheduled' : s)}`} /></span>{s}</button>)}
      </div>
      <section className="panel" aria-label="Batches">
        {fresh > 0 && <button type="button" className="newrow" onClick={showFresh}>{plural(fresh, 'new batch', 'new batches')}. Show {fresh === 1 ? 'it' : 'them'} <kbd className="k">.</kbd></button>}
        {error && !error.isAway ? <Empty title="The server refuses this" glyph={<span className="bad-t"><Glyph name="i-warn" large /></span>}><p>{error.message}</p></Empty>
          : !list ? <Skeleton rows={8} />
            : rows.length === 0 && !isOld
              ? status ? <Empty title={`No batch is ${status}`}><p><Link className="link" href="/batches">Show all</Link></p></Empty>
                : <Empty title="No batch has been started yet"><p>A batch runs one task for each of many items, up to millions.</p><div className="cmdl"><code tabIndex={0}>{command}</code><Copy text={command} /></div></Empty>
              : (
                <table className="tbl fix" aria-busy={isOld || undefined}>
                  <thead><tr><th className="c-st hide-s">State</th><th className="c-type">Batch</th><th className="c-id hide-s">Id</th><th className="hide-s">Ended</th><th className="c-last num">Items</th><th className="c-n num hide-s">Failed</th><th className="c-n num hide-s hide-m">Running</th><th className="c-t num hide-s" aria-sort="descending">Started</th><th className="c-node num hide-s">Took</th></tr></thead>
                  <tbody ref={seen.body}>
                    {seen.from > 0 && <tr className="pad" aria-hidden="true"><td colSpan={9} style={{ height: seen.from * seen.height }} /></tr>}
                    {rows.slice(seen.from, seen.to).map((b, i) => <Row key={b.id} b={b} here={here === seen.from + i} gone={list.gone.has(b.id)} />)}
                    {seen.to < rows.length && <tr className="pad" aria-hidden="true"><td colSpan={9} style={{ height: (rows.length - seen.to) * seen.height }} /></tr>}
                  </tbody>
                </table>
              )}
        <div className="panel-f"><span className="nw">{count(rows.length)}{list?.cursor ? ' loaded, more below' : ''}, newest first</span>{loading && <span className="t3">loading more</span>}</div>
      </section>
    </Shell>
  );
}

// ---- acts ----

const path = (b: { id: string }, more = ''): string => `/api/batches/${encodeURIComponent(b.id)}${more}`;
const CHANGED = ['/api/batches', '/api/jobs', '/api/stats', '/api/audit'];

function askCancel(b: BatchInfo): void {
  ask({
    title: `Cancel batch ${b.name}?`, text: 'No item starts any more, and what runs is told to stop. It can be retried afterwards.',
    facts: [['have ended', `${count(endedOf(b))}, left as they are`], ['are cancelled', count(b.total_items - endedOf(b))]],
    verb: 'Cancel the batch', keep: 'Keep', danger: true, field: { label: 'Reason', hint: 'Kept with the batch; may stay empty.', value: '' },
    run: async (reason) => {
      await call('POST', path(b, '/cancel'), reason ? { reason } : {});
      refresh(...CHANGED);
      say('Cancelled.');
    },
  });
}

function askRetry(b: BatchInfo, failedOnly: boolean): void {
  const n = failedOnly ? b.total_items - b.completed_items : b.total_items;
  ask({
    title: `Run ${plural(n, 'item')} of ${b.name} again?`, text: failedOnly ? 'What was done stays done; what failed or was cancelled runs again.' : 'All items run again, those that were done too.',
    facts: [['run again', count(n)], ['left as they are', count(b.total_items - n)]], verb: `Run ${count(n)} again`, typed: n,
    run: async () => {
      await call('POST', path(b, '/retry'), failedOnly ? { retry_failed_only: true } : {});
      refresh(...CHANGED);
      say(`${plural(n, 'item')} ${n === 1 ? 'runs' : 'run'} again.`);
    },
  });
}

function Head({ b }: { b: BatchInfo }) {
  const refused = useRefusal();
  const now = useNow();
  const isOver = ENDED.includes(b.status);
  const canRetry = b.status === 'failed' || b.status === 'cancelled';
  const left = b.total_items - b.completed_items;
  return (
    <header className="job-h">
      <div className="grow">
        <h1><Said text={b.name} /> <BatchState b={b} pill />{b.failing && b.status === 'running' && <span className="tag bad-t">an item failed</span>}{b.open && <span className="tag">more items may come</span>}</h1>
        <div className="facts">
          <span className="row"><Id id={b.id} whole /><Copy text={b.id} label="Copy id" /></span>
          <span>started <b><Time at={b.created_at} className="exact" /></b></span>
          <span><b>{count(endedOf(b))}</b> of {plural(b.total_items, 'item')} ended</span>
          <span>{isOver ? 'took' : 'for'} <b>{length(tookOf(b, now))}</b></span>
          {b.attempt > 1 && <span>attempt <b>{b.attempt}</b></span>}
        </div>
      </div>
      <div className="acts">
        {canRetry && <Button kind="primary" refused={refused ?? (left ? undefined : 'All items were done')} onClick={() => askRetry(b, true)}>Retry {count(left)}…</Button>}
        {canRetry && <Button refused={refused} onClick={() => askRetry(b, false)}>Retry all…</Button>}
        {!isOver && <Button kind="danger" refused={refused ?? (b.status === 'cancelling' ? 'It is being cancelled' : undefined)} onClick={() => askCancel(b)}>Cancel…</Button>}
      </div>
    </header>
  );
}

// ---- one ----

function Standing({ b }: { b: BatchInfo }) {
  const now = useNow();
  const ended = endedOf(b);
  const perSecond = (ended * 1000) / Math.max(1000, tookOf(b, now));
  const left = b.total_items - ended;
  const part = (n: number): number => (b.total_items ? (100 * n) / b.total_items : 0);
  const kinds: [string, number, string][] = [['completed', b.completed_items, 'p-ok'], ['failed', b.failed_items + b.cancelled_items, 'p-bad'], ['running', b.running_items, 'p-run']];
  let x = 0;
  const bars = kinds.map(([k, n, c]) => { const at = x; x += part(n); return <rect key={k} className={c} x={`${at}%`} width={`${part(n)}%`} height="10" />; });
  return (
    <section className="panel" aria-label="How it stands">
      <div className="panel-b stack12">
        <svg className="bb" width="100%" height="10" role="img" aria-label={kinds.map(([k, n]) => `${count(n)} ${k}`).join(', ')}><rect className="p-bg" width="100%" height="10" />{bars}</svg>
        <div className="row row-w gap16">
          {ITEM_STATES.map((s) => {
            const n = b[`${s}_items` as keyof BatchInfo] as number;
            return <span key={s}><FlowState status={s} /> <b>{count(n)}</b></span>;
          })}
          <span className="grow" />
          <span className="t2">{rate(perSecond)} items a second{!ENDED.includes(b.status) && perSecond > 0 && left > 0 ? `, about ${length((left * 1000) / perSecond)} left` : ''}</span>
        </div>
      </div>
    </section>
  );
}

interface ItemPage { data: BatchItem[]; total: number; next_offset?: number }

function Items({ b, chosen, set }: { b: BatchInfo; chosen: string; set: (next: Record<string, string>) => void }) {
  const search = new URLSearchParams(useSearch());
  const status = search.get('items') ?? '';
  const from = Math.max(0, Number(search.get('from') ?? 0) || 0);
  const isOver = ENDED.includes(b.status);
  const { data: page, error } = useLive<ItemPage>(path(b, '/items') + query({ status, offset: from || undefined, limit: ITEMS }), isOver ? 60_000 : 2500);
  const items = page?.data ?? [];
  const at = items.findIndex((i) => i.item_id === chosen);
  const next = page?.next_offset;
  useKey('j', 'next item', () => { const i = items[at + 1]; if (i) set({ item: i.item_id }); });
  useKey('k', 'item before', () => { const i = items[at - 1]; if (i) set({ item: i.item_id }); });
  const options = [['', 'all'], ...ITEM_STATES.filter((s) => s !== 'skipped').map((s) => [s, s])] as [string, string][];
  return (
    <Panel title="Items" end={<Seg className="hide-s" label="Items" value={status} options={options} onChange={(v) => set({ items: v, from: '', item: '' })} />}>
      {error && !error.isAway ? <Empty title="The server refuses this"><p>{error.message}</p></Empty> : !page ? <Skeleton rows={6} /> : items.length === 0 ? <Empty title={status ? `No item is ${status}` : 'There is no item yet'} /> : (
        <table className="tbl fix">
          <thead><tr><th className="c-n num hide-s">Number</th><th className="c-st">State</th><th className="c-type">Item</th><th className="c-id hide-s">Job</th><th className="hide-s">Error</th></tr></thead>
          <tbody>
            {items.map((i) => (
              <tr key={i.number} className="r" aria-selected={i.item_id === chosen} onClick={() => set({ item: i.item_id === chosen ? '' : i.item_id })}>
                <td className="c-n num hide-s t2">{count(i.number)}</td>
                <td className="c-st"><FlowState status={i.status} /></td>
                <td className="c-type cut"><button type="button" className="cut name" aria-pressed={i.item_id === chosen} onClick={(e) => { e.stopPropagation(); set({ item: i.item_id === chosen ? '' : i.item_id }); }}><Said text={i.item_id} /></button></td>
                <td className="c-id hide-s">{i.job_id ? <Id id={i.job_id} to={`/jobs/${i.job_id}`} /> : '–'}</td>
                <td className="err cut hide-s"><Said text={i.error} /></td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <div className="panel-f">
        <span>{page ? `${count(items.length)} from ${count(from + 1)} on, of ${count(page.total)}` : ''}</span><span className="grow" />
        <Button small refused={from ? undefined : 'These are the first'} onClick={() => set({ from: '', item: '' })}>First</Button>
        <Button small refused={next === undefined ? 'These are the last' : undefined} onClick={() => set({ from: String(next), item: '' })}>Next</Button>
      </div>
    </Panel>
  );
}

function Item({ b, id, onClose }: { b: BatchInfo; id: string; onClose: () => void }) {
  const { data: item } = useLive<BatchItem>(path(b, `/items/${encodeURIComponent(id)}`), ENDED.includes(b.status) ? 60_000 : 2000);
  const isOver = item !== undefined && ['completed', 'skipped', 'failed', 'cancelled'].includes(item.status);
  const { text } = useLive(isOver ? path(b, `/results/${encodeURIComponent(id)}`) : undefined, 60_000);
  const output = text ? rawOf(text, 'output') : undefined;
  return (
    <aside className="panel" aria-label={`Item ${plain(id)}`}>
      <div className="panel-h"><h2 className="cut"><Said text={id} /></h2>{item && <FlowState status={item.status} pill />}<span className="end"><Button small kind="quiet" icon label="Close" onClick={onClose}><Glyph name="i-x" /></Button></span></div>
      <div className="panel-b stack12">
        <dl className="kv sm">
          <dt>Number</dt><dd>{item ? count(item.number) : '–'}</dd>
          <dt>Job</dt><dd>{item?.job_id ? <Id id={item.job_id} to={`/jobs/${item.job_id}`} /> : 'none lives'}</dd>
        </dl>
        {item?.error && <div><h3>Error</h3><div className="code tb wrap cmd-0" tabIndex={0} role="group" aria-label="Error"><span className="ex">{plain(item.error)}</span></div></div>}
        {output !== undefined && <div><div className="row"><h3>Result</h3><span className="grow" /><Copy text={output} label="Copy the result" /></div><div className="inset"><JsonView text={output} label="Result" /></div></div>}
      </div>
    </aside>
  );
}

function Facts({ b, text }: { b: BatchInfo; text: string }) {
  const { zone } = usePreferences();
  const definition = text ? rawOf(text, 'definition') : undefined;
  const once = b.onetime_state;
  const rows: [string, ReactNode][] = [
    ['At a time', plural(b.chunk_size, 'item')], ['When one fails', b.failure_policy.replaceAll('_', ' ')], ['Attempt', `${b.attempt}${b.max_attempts > 1 ? ` of ${b.max_attempts}` : ''}`],
    ['Once before', once && <span key="o"><FlowState status={once.status} /> {once.job_id && <Id id={once.job_id} to={`/jobs/${once.job_id}`} />}</span>],
    ['Started', exact(Date.parse(b.created_at), zone)], ['Ended', b.completed_at && exact(Date.parse(b.completed_at), zone)], ['Deadline', b.deadline && exact(Date.parse(b.deadline), zone)], ['Why', b.reason && <Said key="w" text={b.reason} />],
  ];
  return (
    <div className="stack">
      <Panel title="Facts" end={text ? <Copy text={text} label="Copy as JSON" /> : undefined}>
        <div className="panel-b stack12">
          <dl className="kv sm">{rows.filter(([, v]) => v !== undefined && v !== '').map(([k, v]) => [<dt key={k}>{k}</dt>, <dd key={k + '='}>{v}</dd>])}</dl>
          {definition && <div><h3>Definition</h3><div className="inset"><JsonView text={definition} label="Definition" /></div></div>}
        </div>
      </Panel>
      <Panel title="Copy as command"><div className="panel-b stack12"><Command lead="This view" text={`dureqctl batch get ${b.id}`} /><Command lead="Its results" text={`dureqctl batch results ${b.id}`} /></div></Panel>
    </div>
  );
}

export function Batch() {
  const { id = '' } = useParams<{ id: string }>();
  const search = new URLSearchParams(useSearch());
  const [, go] = useLocation();
  const { hasPayload, me } = useSession();
  const [every, setEvery] = useState(1000);
  const { data: b, text, error } = useLive<BatchInfo>(hasPayload ? path({ id }) : undefined, every);
  const isOver = b !== undefined && ENDED.includes(b.status);
  useEffect(() => setEvery(isOver ? 30_000 : 1000), [isOver]);
  const chosen = search.get('item') ?? '';
  const set = (next: Record<string, string>): void => go(`/batches/${id}` + query({ ...Object.fromEntries(search), ...next }), { replace: true });
  const title = b ? plain(b.name) : 'Batch';
  useKey('Escape', 'close the item', chosen ? () => set({ item: '' }) : undefined);
  return (
    <Shell title={title} crumbs={<><Link href="/batches">Batches</Link><span className="sep">/</span><span className="cut">{title}</span></>}>
      {me && !hasPayload ? <Empty title="Batch not shown" glyph={<span className="t3"><Glyph name="i-eye" large /></span>}><p>Its definition and results hold payloads; this token has no right to them.</p></Empty>
        : error && !error.isAway
          ? <Empty title={error.status === 404 ? 'There is no such batch' : 'The server refuses this'} glyph={<span className="t3"><Glyph name="i-info" large /></span>}><p>{error.status === 404 ? 'Its time to be kept is over, or the id is another.' : error.message}</p><p><Link className="link" href="/batches">All batches</Link></p></Empty>
          : !b ? <Skeleton rows={8} /> : (
            <>
              <Head b={b} />
              <div className="stack">
                <Standing b={b} />
                <div className="grid g-side">
                  <Items b={b} chosen={chosen} set={set} />
                  {chosen ? <Item key={chosen} b={b} id={chosen} onClose={() => set({ item: '' })} /> : <Facts b={b} text={text} />}
                </div>
              </div>
            </>
          )}
    </Shell>
  );
}
