// SPDX-License-Identifier: Apache-2.0
// The list of workflows, and what starts one.
import { useEffect, useState } from 'react';
import { Link, useLocation, useSearch } from 'wouter';
import { count, length, plain, plural } from '../format';
import { call, query, send } from '../http';
import { useKey } from '../keys';
import { refresh, useNow } from '../live';
import { Cover, say } from '../overlay';
import { Bar, Button, Copy, Empty, Glyph, Id, Said, Skeleton, State, Time } from '../parts';
import { showRow, useRows, useSeen } from '../rows';
import { useRefusal } from '../session';
import { Shell } from '../shell';
import { WORKFLOW_STATES, type WorkflowHead, type WorkflowPage } from '../types';

const PAGE = 50;
const EVERY_MS = 1200;

/** States of workflows and tasks that jobs do not have, by the glyph they take. */
const GLYPH_OF: Record<string, string> = { waiting: 'pending', failed: 'dead', cancelling: 'cancelled', suspended: 'paused', unreached: 'skipped' };

export function glyphOf(status: string): string {
  return GLYPH_OF[status] ?? status;
}

export function FlowState({ status, pill, word }: { status: string; pill?: boolean; word?: string }) {
  return <State state={glyphOf(status)} word={word ?? status} {...(pill ? { pill } : {})} />;
}

export function tookOf(w: WorkflowHead, now: number): string {
  return length(Math.max(0, (w.completed_at ? Date.parse(w.completed_at) : now) - Date.parse(w.created_at)));
}

function Took({ w }: { w: WorkflowHead }) {
  const now = useNow();
  return <>{tookOf(w, now)}</>;
}

function Row({ w, here, gone }: { w: WorkflowHead; here: boolean; gone: boolean }) {
  const isFailing = w.failed > 0;
  const word = w.failing ? 'failing' : w.status;
  return (
    <tr className={`r${gone ? ' gone' : ''}`} data-id={w.id} data-here={here || undefined}>
      <td className="c-st hide-s"><FlowState status={w.failing ? 'failed' : w.status} word={word} /></td>
      <td className="c-type">
        <Link href={`/workflows/${w.id}`} className="cut"><b><Said text={w.workflow_name} /></b></Link>
        <div className="blk-s sm"><FlowState status={w.failing ? 'failed' : w.status} word={word} /></div>
      </td>
      <td className="c-id hide-s"><Id id={w.id} to={`/workflows/${w.id}`} /></td>
      <td className="hide-s"><Bar part={w.task_count ? w.ended / w.task_count : 0} kind={isFailing ? 'bad' : w.status === 'completed' ? 'ok' : undefined} label={`${count(w.ended)} of ${plural(w.task_count, 'task')} ended`} /></td>
      <td className="c-t num">{count(w.ended)} / {count(w.task_count)}</td>
      <td className={`c-n num hide-s${isFailing ? ' bad-t' : ''}`}>{count(w.failed)}</td>
      <td className="c-n num hide-s hide-m">{count(w.skipped + w.unreached)}</td>
      <td className="c-t num hide-s"><Time at={w.created_at} /></td>
      <td className="c-node num hide-s"><Took w={w} /></td>
    </tr>
  );
}

export function Workflows() {
  const search = new URLSearchParams(useSearch());
  const [, go] = useLocation();
  const refused = useRefusal();
  const status = search.get('status') ?? '';
  const { list, error, fresh, showFresh, more, loading, isOld } = useRows<WorkflowHead, WorkflowPage>('/api/workflows' + query({ status, limit: PAGE }), EVERY_MS);
  const rows = list?.rows ?? [];
  const [here, setHere] = useState(-1);
  const [starts, setStarts] = useState(false);
  const seen = useSeen(rows.length);
  const set = (s: string): void => { setHere(-1); go('/workflows' + query({ status: s }), { replace: true }); };
  const move = (by: number): void => {
    const next = Math.max(0, Math.min(rows.length - 1, here + by));
    setHere(next);
    showRow(seen, next);
  };
  useKey('j', 'next row', () => move(1));
  useKey('k', 'row before', () => move(-1));
  useKey('Enter', 'open the row', here >= 0 && rows[here] ? () => go(`/workflows/${rows[here]!.id}`) : undefined);
  useKey('.', 'show new rows', fresh ? showFresh : undefined);
  useKey('c', 'start a workflow', refused ? undefined : () => setStarts(true));
  useEffect(() => {
    if (seen.to >= rows.length - 20 && list?.cursor && !isOld) void more();
  }, [seen.to, rows.length, list?.cursor, more, isOld]);
  return (
    <Shell title="Workflows">
      <div className="facets first" role="group" aria-label="States">
        {WORKFLOW_STATES.map((s) => (
          <button key={s} type="button" className="facet" aria-pressed={s === status} onClick={() => set(s === status ? '' : s)}>
            <span className={`st-${glyphOf(s)}`}><Glyph name={`g-${glyphOf(s)}`} /></span>{s}
          </button>
        ))}
        <span className="grow hide-s" />
        <Button kind="primary" hint="c" refused={refused} onClick={() => setStarts(true)}>Start…</Button>
      </div>
      <section className="panel" aria-label="Workflows">
        {fresh > 0 && <button type="button" className="newrow" onClick={showFresh}>{fresh >= PAGE ? `${PAGE} or more new workflows match` : plural(fresh, 'new workflow') + (fresh === 1 ? ' matches' : ' match')}. Show {fresh === 1 ? 'it' : 'them'} <kbd className="k">.</kbd></button>}
        {error && !error.isAway ? <Empty title="The server refuses this" glyph={<span className="bad-t"><Glyph name="i-warn" large /></span>}><p>{error.message}</p></Empty>
          : !list ? <Skeleton rows={8} />
            : rows.length === 0 && !isOld ? <Nothing status={status} />
              : (
                <table className="tbl fix" aria-busy={isOld || undefined}>
                  <thead><tr><th className="c-st hide-s">State</th><th className="c-type">Workflow</th><th className="c-id hide-s">Id</th><th className="hide-s">Ended</th><th className="c-t num">Tasks</th><th className="c-n num hide-s">Failed</th><th className="c-n num hide-s hide-m">Left out</th><th className="c-t num hide-s" aria-sort="descending">Started</th><th className="c-node num hide-s">Took</th></tr></thead>
                  <tbody ref={seen.body}>
                    {seen.from > 0 && <tr className="pad" aria-hidden="true"><td colSpan={9} style={{ height: seen.from * seen.height }} /></tr>}
                    {rows.slice(seen.from, seen.to).map((w, i) => <Row key={w.id} w={w} here={here === seen.from + i} gone={list.gone.has(w.id)} />)}
                    {seen.to < rows.length && <tr className="pad" aria-hidden="true"><td colSpan={9} style={{ height: (rows.length - seen.to) * seen.height }} /></tr>}
                  </tbody>
                </table>
              )}
        <div className="panel-f">
          <span className="nw">{count(rows.length)}{list?.cursor ? ' loaded, more below' : ''}, newest first</span>{loading && <span className="t3">loading more</span>}<span className="grow" />
          <span className="hide-s row"><kbd className="k">j</kbd><kbd className="k">k</kbd> move <kbd className="k">Enter</kbd> open</span>
        </div>
      </section>
      {starts && <Start onClose={() => setStarts(false)} />}
    </Shell>
  );
}

function Nothing({ status }: { status: string }) {
  if (status) return <Empty title={`No workflow is ${status}`}><p><Link className="link" href="/workflows">Show all</Link></p></Empty>;
  const command = 'dureqctl workflow start report.json --wait';
  return <Empty title="No workflow has been started yet"><p>A workflow is a graph of jobs, each of which starts when those that it depends on have ended.</p><div className="cmdl"><code tabIndex={0}>{command}</code><Copy text={command} /></div></Empty>;
}

// ---- a new one ----

const EXAMPLE = `{
  "name": "report",
  "tasks": [
    {"name": "fetch", "task_type": "echo", "payload": {"n": 1}},
    {"name": "parse", "task_type": "echo", "depends_on": ["fetch"], "result_from": "fetch"}
  ]
}
`;

interface Fault { path: string; line: number; column: number; error: string }
interface Checked { valid: boolean; details?: Fault[]; more?: number }

/** What is wrong with a definition, by the server, while it is written. undefined: not known yet. */
function useChecked(text: string): Checked | undefined {
  const [found, setFound] = useState<{ text: string; of: Checked }>();
  useEffect(() => {
    let isOver = false;
    const done = (of: Checked): void => { if (!isOver) setFound({ text, of }); };
    const timer = setTimeout(() => {
      send('POST', '/api/workflows/validate', text).then((r) => done(JSON.parse(r.text) as Checked), (e: unknown) => done({ valid: false, details: [{ path: '', line: 0, column: 0, error: e instanceof Error ? e.message : String(e) }] }));
    }, 250);
    return () => { isOver = true; clearTimeout(timer); };
  }, [text]);
  return found?.text === text ? found.of : undefined;
}

function Start({ onClose }: { onClose: () => void }) {
  const [, go] = useLocation();
  const [text, setText] = useState(EXAMPLE);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string>();
  const checked = useChecked(text);
  const faults = checked?.details ?? [];
  const start = async (): Promise<void> => {
    setBusy(true);
    try {
      const r = await send('POST', '/api/workflows', text);
      const { workflow_id: id } = JSON.parse(r.text) as { workflow_id: string };
      refresh('/api/workflows');
      onClose();
      say('The workflow has started.');
      go(`/workflows/${id}`);
    } catch (e) {
      setBusy(false);
      setError(e instanceof Error ? e.message : String(e));
    }
  };
  const first = faults[0];
  return (
    <Cover label="Start a workflow" className="dlg dlg-w" onClose={onClose}>
      <div className="dlg-h"><h2>Start a workflow</h2></div>
      <div className="dlg-b">
        <div className="field">
          <label htmlFor="wf-def">Definition, JSON</label>
          <textarea id="wf-def" data-first="" className="inp mono area" rows={16} spellCheck={false} value={text} aria-invalid={faults.length ? true : undefined} onChange={(e) => { setText(e.target.value); setError(undefined); }} />
          {faults.slice(0, 5).map((f, i) => <span className="err" key={i}><Glyph name="i-warn" /><span>{f.line > 0 && <code>{f.line}:{f.column} </code>}{plain(f.path ? `${f.path}: ${f.error}` : f.error)}</span></span>)}
          {faults.length > 5 && <span className="hint">and {plural(faults.length - 5 + (checked?.more ?? 0), 'more fault')}</span>}
          {checked?.valid && <span className="hint">Nothing is wrong with it.</span>}
        </div>
        {error && <div className="field" role="alert"><span className="err"><Glyph name="i-warn" />{plain(error)}</span></div>}
      </div>
      <div className="dlg-f">
        <button type="button" className="btn" onClick={onClose}>Not now<kbd className="k">Esc</kbd></button>
        <Button kind="primary" busy={busy} refused={checked?.valid ? undefined : first ? plain(first.error) : 'It is being checked'} onClick={() => void start()}>Start</Button>
      </div>
    </Cover>
  );
}

export async function cancelWorkflow(id: string, reason: string): Promise<void> {
  await call('POST', `/api/workflows/${encodeURIComponent(id)}/cancel`, reason ? { reason } : {});
  refresh('/api/workflows', '/api/jobs', '/api/stats', '/api/audit');
}
