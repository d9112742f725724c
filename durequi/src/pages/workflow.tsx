// SPDX-License-Identifier: Apache-2.0
// One workflow: its graph as it runs, the same tasks as a list over time, and the task that was chosen.
import { useCallback, useEffect, useMemo, useState, type ReactNode } from 'react';
import { Link, useLocation, useParams, useSearch } from 'wouter';
import { cancel, resumeFlow, runNow, suspendFlow } from '../actions';
import { FlowGraph } from '../flowgraph';
import { countsOf, tasksOf, taskOf, viewOf, type Task, type View } from '../flow';
import { count, exact, length, plain, plural, relative } from '../format';
import { criticalPath, layoutOf, type Graph, type Layout } from '../graph';
import { query } from '../http';
import { rawOf } from '../json';
import { Command, JsonView } from '../jsonview';
import { useKey } from '../keys';
import { useLive, useNow } from '../live';
import { ask, say } from '../overlay';
import { Button, Copy, Empty, Glyph, Id, Panel, Said, Skeleton, Time } from '../parts';
import { showRow, useSeen } from '../rows';
import { usePreferences, useRefusal, useSession } from '../session';
import { Shell } from '../shell';
import type { Job, Workflow as Flow, WorkflowTask } from '../types';
import { cancelWorkflow, FlowState, glyphOf, tookOf } from './workflows';

const ENDED = ['completed', 'failed', 'cancelled'];
const MANY = 200; // tasks: from here on it is asked for less often
const PAGE = 500;

function periodOf(flow: Flow | undefined): number {
  if (!flow) return 900;
  return ENDED.includes(flow.status) ? 60_000 : flow.task_count > MANY ? 2000 : 900;
}

/** The workflow; who may not see payloads gets what the graph says. */
function useFlow(id: string) {
  const { hasPayload, me } = useSession();
  const [every, setEvery] = useState(900);
  const path = `/api/workflows/${encodeURIComponent(id)}`;
  const isHidden = me !== undefined && !hasPayload;
  const flow = useLive<Flow>(hasPayload ? path : undefined, every);
  const graph = useLive<Graph & Flow>(`${path}/graph`, isHidden ? every : Infinity);
  const head = flow.data ?? (isHidden ? graph.data : undefined);
  useEffect(() => setEvery(periodOf(head)), [head]);
  return { flow: head, text: flow.text, graph: graph.data, error: isHidden ? graph.error : flow.error, isTooLarge: graph.error?.status === 413, isHidden };
}

// ---- acts ----

function askCancel(flow: Flow): void {
  const left = flow.task_count - flow.ended;
  ask({
    title: `Cancel workflow ${flow.workflow_name}?`, text: 'No task starts any more, and what runs is told to stop; what it has done stays done. This cannot be undone.',
    facts: [['have ended', `${count(flow.ended)}, left as they are`], ['are cancelled', count(left)]],
    verb: 'Cancel the workflow', keep: 'Keep', danger: true, field: { label: 'Reason', hint: 'Kept with the workflow; may stay empty.', value: '' },
    run: async (reason) => {
      await cancelWorkflow(flow.id, reason);
      say('Cancelled.');
    },
  });
}

function Head({ flow }: { flow: Flow }) {
  const refused = useRefusal();
  const now = useNow();
  const isCancelling = flow.status === 'cancelling';
  return (
    <header className="job-h">
      <div className="grow">
        <h1><Said text={flow.workflow_name} /> <FlowState status={flow.status} pill />{flow.failing && <span className="tag bad-t">a task failed</span>}</h1>
        <div className="facts">
          <span className="row"><Id id={flow.id} whole /><Copy text={flow.id} label="Copy id" /></span>
          <span>started <b><Time at={flow.created_at} className="exact" /></b></span>
          <span><b>{count(flow.ended)}</b> of {plural(flow.task_count, 'task')} ended</span>
          <span>{flow.completed_at ? 'took' : 'for'} <b>{tookOf(flow, now)}</b></span>
        </div>
      </div>
      <div className="acts">
        {flow.status === 'suspended' && <Button refused={refused} onClick={() => void resumeFlow(flow)}>Resume</Button>}
        {flow.status === 'running' && <Button refused={refused} onClick={() => void suspendFlow(flow)}>Suspend</Button>}
        {!ENDED.includes(flow.status) && <Button kind="danger" refused={refused ?? (isCancelling ? 'It is being cancelled' : undefined)} onClick={() => askCancel(flow)}>Cancel…</Button>}
      </div>
    </header>
  );
}

// ---- the list ----

function TimeBar({ v, begin, end }: { v: View; begin: number; end: number }) {
  const x = (t: number): number => Math.max(0, Math.min(100, ((t - begin) / Math.max(1, end - begin)) * 100));
  const from = v.from === undefined ? undefined : x(v.from);
  const width = from === undefined ? 0 : Math.max(0.6, x(v.to ?? end) - from);
  return (
    <svg className={`tb-bar st-${glyphOf(v.status)}`} width="100%" height="14" aria-hidden="true">
      <rect className="bg" x="0" y="2" width="100%" height="10" rx="2" />
      {from !== undefined && <rect className="fg" x={`${Math.min(from, 99.4)}%`} y="2" width={`${width}%`} height="10" rx="2" />}
    </svg>
  );
}

function timeOf(v: View, now: number): string {
  return v.from === undefined ? '–' : length(Math.max(0, (v.to ?? now) - v.from));
}

interface ListProps {
  flow: Flow; layout: Layout; views: View[]; chosen: number | undefined; onChoose: (id: string | undefined) => void; onOpen: (group: string, open: boolean) => void;
}

function Timeline({ flow, layout, views, chosen, onChoose, onOpen }: ListProps) {
  const now = useNow();
  const { units } = layout;
  const rows = useMemo(() => units.map((_, i) => i).sort((a, b) => units[a]!.layer - units[b]!.layer || units[a]!.y - units[b]!.y), [units]);
  const seen = useSeen(rows.length);
  const begin = Date.parse(flow.created_at);
  const end = Math.max(begin + 1, flow.completed_at ? Date.parse(flow.completed_at) : now);
  const at = chosen === undefined ? -1 : rows.indexOf(chosen);
  const move = (by: number): void => {
    const next = Math.max(0, Math.min(rows.length - 1, at + by));
    const u = units[rows[next]!];
    if (u) onChoose(u.id);
    showRow(seen, next);
  };
  useKey('j', 'next task', () => move(1));
  useKey('k', 'task before', () => move(-1));
  const after = (u: number): string => {
    const { before } = units[u]!;
    return before.length === 0 ? '–' : before.length < 3 ? before.map((b) => plain(units[b]!.label)).join(', ') : plural(before.length, 'task');
  };
  return (
    <Panel title="Timeline" sub="the same tasks, from release to end">
      <table className="tbl fix">
        <thead><tr><th className="c-st">State</th><th className="c-id">Task</th><th className="hide-s">{length(end - begin)}</th><th className="num c-node">Time</th><th className="c-id hide-s">After</th></tr></thead>
        <tbody ref={seen.body}>
          {seen.from > 0 && <tr className="pad" aria-hidden="true"><td colSpan={5} style={{ height: seen.from * seen.height }} /></tr>}
          {rows.slice(seen.from, seen.to).map((i) => {
            const u = units[i]!;
            const v = views[i]!;
            return (
              <tr key={u.id} className="r" aria-selected={i === chosen} onClick={() => onChoose(i === chosen ? undefined : u.id)}>
                <td className="c-st"><FlowState status={v.status} /></td>
                <td className="c-id cut">
                  <button type="button" className="cut name" aria-pressed={i === chosen} onClick={(e) => { e.stopPropagation(); onChoose(i === chosen ? undefined : u.id); }}><b><Said text={u.label} /></b>{u.tasks.length > 1 && <span className="t2"> ×{count(u.tasks.length)}</span>}</button>
                </td>
                <td className="hide-s"><TimeBar v={v} begin={begin} end={end} /></td>
                <td className="num c-node">{timeOf(v, now)}</td>
                <td className="t2 cut c-id hide-s">{after(i)}</td>
              </tr>
            );
          })}
          {seen.to < rows.length && <tr className="pad" aria-hidden="true"><td colSpan={5} style={{ height: (rows.length - seen.to) * seen.height }} /></tr>}
        </tbody>
      </table>
      <Folds layout={layout} onOpen={onOpen} />
    </Panel>
  );
}

/** Fan-outs that are one box, and those that were opened. */
function Folds({ layout, onOpen }: { layout: Layout; onOpen: (group: string, open: boolean) => void }) {
  const { units } = layout;
  const folded = units.filter((u) => u.tasks.length > 1);
  const opened = new Map<string, number>();
  units.forEach((u) => { if (u.group !== undefined && u.tasks.length === 1) opened.set(u.group, (opened.get(u.group) ?? 0) + 1); });
  if (folded.length + opened.size === 0) return null;
  return (
    <div className="panel-f row-w">
      {folded.slice(0, 3).map((u) => <span key={u.id}>{plain(u.label)} is {plural(u.tasks.length, 'task')} in one. <button type="button" className="link" onClick={() => onOpen(u.group!, true)}>Show each</button></span>)}
      {[...opened].slice(0, 3).map(([g, n]) => <button key={g} type="button" className="link" onClick={() => onOpen(g, false)}>Fold the {plural(n, 'task')} beginning with {plain(g)}</button>)}
    </div>
  );
}

/** More tasks than a graph takes: pages of them. */
function TaskPages({ flow, from, go }: { flow: Flow; from: number; go: (from: number) => void }) {
  const now = useNow();
  const { data: page } = useLive<{ data: WorkflowTask[]; total: number }>(`/api/workflows/${flow.id}/tasks` + query({ offset: from, limit: PAGE }), ENDED.includes(flow.status) ? 60_000 : 2500);
  const tasks = page?.data.map((t) => taskOf(t.name, t)) ?? [];
  const seen = useSeen(tasks.length);
  const begin = Date.parse(flow.created_at);
  const end = Math.max(begin + 1, flow.completed_at ? Date.parse(flow.completed_at) : now);
  if (!page) return <Panel title="Tasks"><Skeleton rows={8} /></Panel>;
  return (
    <Panel
      title="Tasks" sub="in the order of the definition; a graph is drawn up to 1,000"
      end={<><Button small refused={from ? undefined : 'These are the first'} onClick={() => go(Math.max(0, from - PAGE))}>Before</Button><Button small refused={from + PAGE < page.total ? undefined : 'These are the last'} onClick={() => go(from + PAGE)}>Next</Button></>}
    >
      <table className="tbl fix">
        <thead><tr><th className="c-st">State</th><th className="c-type">Task</th><th className="hide-s">{length(end - begin)}</th><th className="num c-node">Time</th><th className="c-id hide-s">Job</th><th className="hide-s">Error</th></tr></thead>
        <tbody ref={seen.body}>
          {seen.from > 0 && <tr className="pad" aria-hidden="true"><td colSpan={6} style={{ height: seen.from * seen.height }} /></tr>}
          {tasks.slice(seen.from, seen.to).map((t) => (
            <tr key={t.name} className="r">
              <td className="c-st"><FlowState status={t.status} /></td>
              <td className="c-type cut">{t.jobId ? <Link href={`/jobs/${t.jobId}`}><b><Said text={t.name} /></b></Link> : <b><Said text={t.name} /></b>}</td>
              <td className="hide-s"><TimeBar v={{ tasks: [t], status: t.status, from: t.from, to: t.to }} begin={begin} end={end} /></td>
              <td className="num c-node">{timeOf({ tasks: [t], status: t.status, from: t.from, to: t.to }, now)}</td>
              <td className="c-id hide-s">{t.jobId ? <Id id={t.jobId} to={`/jobs/${t.jobId}`} /> : '–'}</td>
              <td className="err cut hide-s"><Said text={t.said} /></td>
            </tr>
          ))}
          {seen.to < tasks.length && <tr className="pad" aria-hidden="true"><td colSpan={6} style={{ height: (tasks.length - seen.to) * seen.height }} /></tr>}
        </tbody>
      </table>
      <div className="panel-f"><span>{count(from + 1)} to {count(from + tasks.length)} of {count(page.total)}</span></div>
    </Panel>
  );
}

// ---- the side ----

function Names({ units, layout, onChoose }: { units: number[]; layout: Layout; onChoose: (id: string) => void }) {
  if (units.length === 0) return <>–</>;
  const shown = units.slice(0, 6);
  return (
    <>
      {shown.map((u, i) => <span key={u}>{i > 0 && ', '}<button type="button" className="link" onClick={() => onChoose(layout.units[u]!.id)}><Said text={layout.units[u]!.label} /></button></span>)}
      {units.length > shown.length && ` and ${count(units.length - shown.length)} more`}
    </>
  );
}

function Facts({ rows }: { rows: [string, ReactNode][] }) {
  return <dl className="kv sm">{rows.filter(([, v]) => v !== undefined && v !== '').map(([k, v]) => [<dt key={k}>{k}</dt>, <dd key={k + '='}>{v}</dd>])}</dl>;
}

function Value({ title, text }: { title: string; text: string | undefined }) {
  if (text === undefined) return null;
  return <div><div className="row"><h3>{title}</h3><span className="grow" /><Copy text={text} label={`Copy: ${title}`} /></div><div className="inset"><JsonView text={text} label={title} /></div></div>;
}

const RETRIES = ['retrying', 'scheduled', 'paused'];

function TaskPanel({ task, unit, layout, onChoose }: { task: Task; unit: number; layout: Layout; onChoose: (id: string | undefined) => void }) {
  const refused = useRefusal();
  const now = useNow();
  const { zone } = usePreferences();
  const isLive = task.to === undefined;
  const { data: job, text } = useLive<Job>(task.jobId && `/api/jobs/${task.jobId}`, isLive ? 1000 : 30_000);
  const u = layout.units[unit]!;
  const at = (t: number | undefined): ReactNode => (t === undefined ? undefined : <span title={relative(t, now)}>{exact(t, zone)}</span>);
  const error = job?.last_error ?? job?.reason ?? task.said;
  const runs = job?.attempts ?? [];
  return (
    <aside className="panel" aria-label={`Task ${plain(task.name)}`}>
      <div className="panel-h"><h2 className="cut"><Said text={task.name} /></h2><FlowState status={task.status} pill /><span className="end"><Button small kind="quiet" icon label="Close" onClick={() => onChoose(undefined)}><Glyph name="i-x" /></Button></span></div>
      <div className="panel-b stack12">
        {task.jobId && (
          <div className="row row-w">
            {job && RETRIES.includes(job.status) && <Button small refused={refused} onClick={() => void runNow(job)}>Run now</Button>}
            <Link className="btn sml" href={`/jobs/${task.jobId}`}>Open job</Link>
            {job && isLive && <Button small kind="danger" refused={refused} onClick={() => cancel(job)}>Cancel…</Button>}
          </div>
        )}
        <Facts rows={[
          ['Type', task.type && <Said text={task.type} />], ['Queue', task.queue], ['Released', at(task.from)], ['Ended', at(task.to)],
          ['Took', task.from !== undefined && task.to !== undefined ? length(Math.max(0, task.to - task.from)) : undefined],
          ['Next start', job?.next_run_at && RETRIES.includes(job.status) ? at(Date.parse(job.next_run_at)) : undefined],
          ['Attempt', job && `${count(job.attempt)}${job.max_attempts ? ` of ${job.max_attempts}` : ''}, ${plural(job.runs, 'run')}`],
          ['Job', task.jobId && <Id id={task.jobId} to={`/jobs/${task.jobId}`} />], ['Last on', job?.node_id && <Said text={job.node_id} />],
          ['Needs', <Names key="n" units={u.before} layout={layout} onChoose={onChoose} />], ['Releases', <Names key="r" units={u.after} layout={layout} onChoose={onChoose} />],
        ]} />
        {error && <div><h3>{task.status === 'skipped' ? 'Why it was skipped' : 'Last error'}</h3><div className="code tb wrap cmd-0" tabIndex={0} role="group" aria-label="Last error"><span className="ex">{plain(error)}</span>{runs.at(-1)?.detail && `\n${plain(runs.at(-1)!.detail!.trim())}`}</div></div>}
        <Value title="Input" text={text ? rawOf(text, 'payload') : undefined} />
        <Value title="Result" text={text ? rawOf(text, 'result') : undefined} />
        {runs.length > 0 && (
          <div>
            <h3>Runs</h3>
            <ul className="runs sm">{[...runs].reverse().map((r) => <li key={r.run_id}><span className="t2">run {r.attempt}</span><span>{r.outcome}</span><span className="t2 cut"><Said text={r.node_id} /></span><span className="num">{r.started_at && r.finished_at ? length(Date.parse(r.finished_at) - Date.parse(r.started_at)) : '–'}</span></li>)}</ul>
          </div>
        )}
      </div>
    </aside>
  );
}

/** A fan-out: how it stands, and what went wrong in it first. */
function FoldPanel({ v, unit, layout, onChoose, onOpen }: { v: View; unit: number; layout: Layout; onChoose: (id: string | undefined) => void; onOpen: (group: string, open: boolean) => void }) {
  const u = layout.units[unit]!;
  const rank = (t: Task): number => ['failed', 'retrying', 'running'].indexOf(t.status) >>> 0;
  const first = [...v.tasks].sort((a, b) => rank(a) - rank(b)).slice(0, 12);
  return (
    <aside className="panel" aria-label={`Tasks of ${plain(u.label)}`}>
      <div className="panel-h"><h2 className="cut"><Said text={u.label} /></h2><span className="tag">×{count(v.tasks.length)}</span><span className="end"><Button small kind="quiet" icon label="Close" onClick={() => onChoose(undefined)}><Glyph name="i-x" /></Button></span></div>
      <div className="panel-b stack12">
        <div className="row row-w"><Button small onClick={() => onOpen(u.group!, true)}>Show each of {count(v.tasks.length)}</Button></div>
        <Facts rows={[
          ...countsOf(v.tasks).map(([s, n]) => [s, count(n)] as [string, ReactNode]),
          ['Needs', <Names key="n" units={u.before} layout={layout} onChoose={onChoose} />], ['Releases', <Names key="r" units={u.after} layout={layout} onChoose={onChoose} />],
        ]} />
        <ul className="runs sm">{first.map((t) => <li key={t.name}><FlowState status={t.status} />{t.jobId ? <Link className="link cut" href={`/jobs/${t.jobId}`}><Said text={t.name} /></Link> : <Said text={t.name} />}<span className="t2 cut"><Said text={t.said} /></span><span /></li>)}</ul>
      </div>
    </aside>
  );
}

function FlowPanel({ flow, text, isHidden }: { flow: Flow; text: string; isHidden: boolean }) {
  const { zone } = usePreferences();
  return (
    <div className="stack">
      <Panel title="Facts" end={text ? <Copy text={text} label="Copy as JSON" /> : undefined}>
        <div className="panel-b stack12">
          <Facts rows={[
            ['Id', <code key="i">{flow.id}</code>], ['Started', exact(Date.parse(flow.created_at), zone)], ['Ended', flow.completed_at && exact(Date.parse(flow.completed_at), zone)],
            ['Tasks', count(flow.task_count)], ['Failed', flow.failed ? count(flow.failed) : undefined], ['Skipped', flow.skipped ? count(flow.skipped) : undefined],
            ['Could not start', flow.unreached ? count(flow.unreached) : undefined], ['Why', flow.reason && <Said text={flow.reason} />],
          ]} />
          <Value title="Input" text={text ? rawOf(text, 'input') : undefined} />
          {isHidden && <p className="t3 sm">Times, errors and input are not shown: this token has no right to payloads.</p>}
        </div>
      </Panel>
      <Panel title="Copy as command">
        <div className="panel-b stack12">
          <Command lead="This view" text={`dureqctl workflow get ${flow.id}`} />
          <Command lead="As a drawing" text={`dureqctl workflow graph ${flow.id}`} />
        </div>
      </Panel>
    </div>
  );
}

// ---- the page ----

function Drawn({ flow, text, graph, isHidden }: { flow: Flow; text: string; graph: Graph; isHidden: boolean }) {
  const search = new URLSearchParams(useSearch());
  const [, go] = useLocation();
  const open = search.get('open') ?? '';
  const chosenId = search.get('task') ?? undefined;
  const set = useCallback((next: Record<string, string | undefined>): void => {
    const now = Object.fromEntries(new URLSearchParams(location.search));
    go(`/workflows/${flow.id}` + query({ ...now, ...next }), { replace: true });
  }, [go, flow.id]);
  // Who may not see payloads gets the graph again and again; its shape stays.
  const layout = useMemo(() => layoutOf(graph, new Set(open ? [open] : [])), [flow.id, graph.nodes.length, graph.edges.length, open]);
  const tasks = useMemo(() => tasksOf(graph, isHidden ? undefined : flow), [graph, flow, isHidden]);
  const mayFail = !flow.failing && flow.status !== 'failed'; // what failed so far was allowed to
  const views = useMemo(() => layout.units.map((u) => viewOf(u, tasks, mayFail)), [layout, tasks, mayFail]);
  const critical = useMemo(() => criticalPath(layout.units, (u) => views[u]!.to ?? (views[u]!.from === undefined ? undefined : Infinity)), [layout, views]);
  const found = chosenId === undefined ? -1 : graph.nodes.findIndex((n) => n.name === chosenId);
  const chosen = found < 0 ? undefined : layout.unitOf[found];
  const choose = useCallback((task: string | undefined): void => set({ task }), [set]);
  const onOpen = useCallback((group: string, isOpen: boolean): void => set({ open: isOpen ? group : undefined, task: undefined }), [set]);
  useKey('Escape', 'close the task', chosen === undefined ? undefined : () => choose(undefined));
  return (
    <div className="stack flow">
      <FlowGraph layout={layout} views={views} counts={countsOf(tasks)} critical={critical} chosen={chosen} onChoose={choose} onOpen={onOpen} total={graph.nodes.length} />
      <div className="grid g-side">
        <Timeline flow={flow} layout={layout} views={views} chosen={chosen} onChoose={choose} onOpen={onOpen} />
        {chosen === undefined ? <FlowPanel flow={flow} text={isHidden ? '' : text} isHidden={isHidden} />
          : views[chosen]!.tasks.length > 1 ? <FoldPanel v={views[chosen]!} unit={chosen} layout={layout} onChoose={choose} onOpen={onOpen} />
            : <TaskPanel key={chosenId} task={views[chosen]!.tasks[0]!} unit={chosen} layout={layout} onChoose={choose} />}
      </div>
    </div>
  );
}

export function Workflow() {
  const { id = '' } = useParams<{ id: string }>();
  const search = new URLSearchParams(useSearch());
  const [, go] = useLocation();
  const { flow, text, graph, error, isTooLarge, isHidden } = useFlow(id);
  const title = flow ? plain(flow.workflow_name) : 'Workflow';
  const crumbs = <><Link href="/workflows">Workflows</Link><span className="sep">/</span><span className="cut">{title}</span></>;
  return (
    <Shell title={title} crumbs={crumbs}>
      {error && !error.isAway && !isTooLarge
        ? <Empty title={error.status === 404 ? 'There is no such workflow' : 'The server refuses this'} glyph={<span className="t3"><Glyph name="i-info" large /></span>}><p>{error.status === 404 ? 'Its time to be kept is over, or the id is another.' : error.message}</p><p><Link className="link" href="/workflows">All workflows</Link></p></Empty>
        : !flow ? <Skeleton rows={8} /> : (
          <>
            <Head flow={flow} />
            {graph ? <Drawn flow={flow} text={text} graph={graph} isHidden={isHidden} />
              : isTooLarge ? <TaskPages flow={flow} from={Math.max(0, Number(search.get('from') ?? 0) || 0)} go={(from) => go(`/workflows/${id}` + query({ from: from || undefined }), { replace: true })} />
                : <Skeleton rows={8} />}
          </>
        )}
    </Shell>
  );
}
