// SPDX-License-Identifier: Apache-2.0
// One job: what it is, why it is so, what it did, and what can be done about it.
import { useMemo, useState, type ReactNode } from 'react';
import { Link, useLocation, useParams, useSearch } from 'wouter';
import * as act from '../actions';
import { clock, count, exact, length, plain, plural, relative } from '../format';
import { base } from '../http';
import { rawOf, spread } from '../json';
import { BytesView, Command, JsonView } from '../jsonview';
import { useKey } from '../keys';
import { useLive, useNow } from '../live';
import { Menu, type MenuItem } from '../overlay';
import { Banner, Button, Copy, Empty, Glyph, Id, Panel, Said, Seg, Skeleton, State, Time, copy } from '../parts';
import { usePreferences, useRefusal, useSession } from '../session';
import { Shell } from '../shell';
import type { Attempt, AuditEntry, Job as JobInfo, Node, Queue } from '../types';
import { AuditLink } from './audit';

const OPEN = ['pending', 'scheduled', 'running', 'retrying', 'paused'];
const WAITS = ['pending', 'scheduled', 'retrying', 'paused'];
const ENDED = ['completed', 'dead', 'cancelled'];

// ---- acts ----

function Acts({ job, payload }: { job: JobInfo; payload: string | undefined }) {
  const [, go] = useLocation();
  const refused = useRefusal();
  const waits = WAITS.includes(job.status);
  const ended = ENDED.includes(job.status);
  const isOpen = OPEN.includes(job.status);
  const canEdit = waits && payload !== undefined;
  const edit = (): void => act.editPayload(job, spread(payload ?? 'null'));
  useKey('e', 'edit the payload', canEdit && !refused ? edit : undefined);
  useKey('p', job.status === 'paused' ? 'resume the job' : 'pause the job', waits && !refused ? () => void (job.status === 'paused' ? act.resume(job) : act.pause(job)) : undefined);
  useKey('r', 'retry the job', ended && !refused ? () => void act.retry(job) : undefined);
  useKey('n', 'run the job now', waits && job.status !== 'pending' && !refused ? () => void act.runNow(job) : undefined);
  useKey('y', 'copy the command', () => void copy(`dureqctl job get ${job.id}`));
  const more: MenuItem[] = [
    ...(waits ? [{ label: 'Reschedule…', refused, run: () => act.reschedule(job) }] : []),
    { label: 'Copy link', run: () => void copy(location.href) },
    ...(ended ? [{ label: 'Delete…', bad: true, refused, run: () => act.forget(job, () => go('/jobs')) }] : []),
  ];
  return (
    <div className="acts">
      {canEdit && <Button hint="e" refused={refused} onClick={edit}>Edit payload</Button>}
      {waits && job.status !== 'pending' && <Button hint="n" refused={refused} onClick={() => void act.runNow(job)}>Run now</Button>}
      {waits && job.status !== 'paused' && <Button hint="p" refused={refused} onClick={() => void act.pause(job)}>Pause</Button>}
      {job.status === 'paused' && <Button hint="p" refused={refused} onClick={() => void act.resume(job)}>Resume</Button>}
      {ended && <Button hint="r" kind={job.status === 'dead' ? 'primary' : undefined} refused={refused} onClick={() => void act.retry(job)}>{job.status === 'completed' ? 'Run again' : 'Retry'}</Button>}
      {isOpen && <Button kind="danger" refused={refused} onClick={() => act.cancel(job)}>Cancel…</Button>}
      <Menu icon label="More acts" items={more}><Glyph name="i-more" /></Menu>
    </div>
  );
}

// ---- why ----

function Why({ job }: { job: JobInfo }) {
  const now = useNow();
  const { data: queues } = useLive<Queue[]>(WAITS.includes(job.status) ? '/api/queues' : undefined, 2000);
  const { data: nodes } = useLive<Node[]>(job.status === 'pending' ? '/api/nodes' : undefined, 2000);
  const queue = queues?.find((q) => q.name === job.queue);
  const refused = useRefusal();
  if (job.waiting_for) return <Banner kind="warn" strong={`Waits for ${plain(job.waiting_for)}.`} acts={<Link className="btn sml" href="/nodes">Show nodes</Link>}>It starts when one registers.</Banner>;
  if (queue?.paused && ['pending', 'scheduled', 'retrying'].includes(job.status)) {
    return <Banner kind="info" strong={`Queue ${queue.name} is paused.`} acts={<Button small refused={refused} onClick={() => void act.setQueuePaused(queue.name, false)}>Resume the queue</Button>}>{plural(queue.pending, 'job')} {queue.pending === 1 ? 'waits' : 'wait'} in it.</Banner>;
  }
  if (job.status === 'retrying' && job.next_run_at) {
    return <Banner kind="info" strong={`Attempt ${job.attempt + 1}${job.max_attempts ? ` of ${job.max_attempts}` : ''} comes ${relative(Date.parse(job.next_run_at), now)}.`}>The last one failed: <Said text={job.last_error} /></Banner>;
  }
  if (job.status === 'paused') return <Banner kind="info" strong="Held back.">{job.next_run_at ? 'It goes on by itself at the time below, or when it is resumed.' : 'It goes on when it is resumed.'}</Banner>;
  if (job.status === 'dead') return <Banner kind="bad" strong="Dead: its attempts are used up."><Said text={job.reason ?? job.last_error} /></Banner>;
  if (job.status === 'cancelled') return <Banner kind="info" strong="Cancelled."><Said text={job.reason} /></Banner>;
  if (job.status === 'pending' && nodes && queue) {
    const busy = nodes.every((n) => n.pool_stats.idle_workers === 0 || n.draining);
    if (busy) return <Banner kind="info" strong="Waits for a free slot.">{plural(queue.pending, 'job')} of {queue.name} {queue.pending === 1 ? 'waits' : 'wait'}; all slots are taken.</Banner>;
  }
  return null;
}

// ---- attempts ----

function outcomeOf(a: Attempt, isLast: boolean, status: string): { state: string; word: string } {
  if (a.outcome === 'done') return { state: 'completed', word: 'done' };
  if (a.outcome === 'skip' || a.outcome === 'skipped') return { state: 'skipped', word: 'skipped' };
  if (a.outcome === 'cancelled') return { state: 'cancelled', word: 'cancelled' };
  if (a.outcome === 'retry') return { state: 'dead', word: isLast && status === 'dead' ? 'failed' : 'failed, retry' };
  if (a.outcome === 'fail' || a.outcome === 'dead') return { state: 'dead', word: 'failed' };
  return { state: a.error ? 'dead' : 'retrying', word: a.outcome };
}

interface Span { from: number; to: number; kind: string; label: string }

function Timeline({ job }: { job: JobInfo }) {
  const now = useNow();
  const { zone } = usePreferences();
  const begin = Date.parse(job.created_at);
  const isRunning = job.status === 'running';
  const spans: Span[] = job.attempts.filter((a) => a.started_at).map((a) => ({
    from: Date.parse(a.started_at!), to: Date.parse(a.finished_at ?? a.started_at!), kind: a.outcome === 'done' ? 'b-ok' : 'b-dead', label: `run ${a.attempt}`,
  }));
  if (isRunning && job.last_run_at) spans.push({ from: Date.parse(job.last_run_at), to: now, kind: 'b-run', label: `run ${job.runs}` });
  const lastEnd = Math.max(begin, ...spans.map((s) => s.to));
  const waits = WAITS.includes(job.status);
  const end = waits || isRunning ? Math.max(now, begin + 1) : Math.max(lastEnd, begin + 1);
  const x = (t: number): number => ((t - begin) / (end - begin)) * 99.4 + 0.2;
  const share = (s: Span): number => Math.max(0.4, x(s.to) - x(s.from));
  const said = `${plural(spans.length, 'run')} in ${length(end - begin)}, now ${job.status}`;
  return (
    <div className="panel-b tl-b">
      <svg className="tl" role="img" aria-label={said}>
        <rect className="wait" x="0" y="20" width="100%" height="16" rx="2" />
        {spans.map((s, i) => <rect key={i} className={s.kind} x={`${Math.min(x(s.from), 99.4)}%`} y="20" width={`${share(s)}%`} height="16" rx="2"><title>{s.label}, {length(s.to - s.from)}</title></rect>)}
        {waits && x(lastEnd) < 99 && <rect className="b-pend" x={`${x(lastEnd)}%`} y="20.5" width={`${99.6 - x(lastEnd)}%`} height="15" rx="2" />}
        {spans.filter((s, i) => i === 0 || x(s.from) - x(spans[i - 1]!.from) > 9).map((s, i) => (x(s.from) < 88 ? <text key={i} x={`${x(s.from)}%`} y="13">{s.label}</text> : !waits && <text key={i} x="99.8%" y="13" textAnchor="end">{s.label}</text>))}
        {waits && <text x="99.8%" y="13" textAnchor="end">{job.status === 'pending' ? 'waits' : job.status}</text>}
        <line className="ax" x1="0" x2="100%" y1="43.5" y2="43.5" />
        <text x="0" y="58">{clock(begin, zone)}</text>
        <text x="99.8%" y="58" textAnchor="end">{waits || isRunning ? 'now' : `+${length(end - begin)}`}</text>
      </svg>
    </div>
  );
}

function Run({ a, isLast, status }: { a: Attempt; isLast: boolean; status: string }) {
  const { hasPayload } = useSession();
  const has = Boolean(a.error ?? a.detail ?? a.output);
  const [open, setOpen] = useState(isLast && a.outcome !== 'done' && Boolean(a.detail));
  const { state, word } = outcomeOf(a, isLast, status);
  const ran = a.started_at && a.finished_at ? length(Date.parse(a.finished_at) - Date.parse(a.started_at)) : '–';
  const cells = (
    <>
      <span className={`st-${state}`}><Glyph name={`g-${state}`} /></span><b>run {a.attempt}</b><span className="hide-s"><span className={`st-${state}`}>{word}</span></span>
      <Said className="cut t2" text={a.error ?? (state === 'completed' ? '' : hasPayload ? 'no error text' : 'error text not shown')} /><span className="t2 hide-s cut">{a.node_id}</span><span className="num">{ran}</span><span className="num t2 hide-s"><Time at={a.finished_at} /></span>
    </>
  );
  return (
    <div className="run">
      {has ? <button type="button" className="run-h" aria-expanded={open} onClick={() => setOpen(!open)}>{cells}</button> : <div className="run-h">{cells}</div>}
      {open && (
        <div className="panel-b">
          {a.error && <div className="code tb wrap" tabIndex={0} role="group" aria-label="Error"><span className="ex">{plain(a.error)}</span></div>}
          {a.detail && <Output label="The end of its standard error" text={a.detail} />}
          {a.output && <Output label="The end of its standard output" text={a.output} />}
          {a.code !== undefined && <div className="row row-w sm t2 panel-x"><span>code <code>{plain(String(a.code))}</code></span></div>}
        </div>
      )}
    </div>
  );
}

function Output({ label, text }: { label: string; text: string }) {
  return <><div className="t3 sm gap-t">{label}</div><div className="code tb" tabIndex={0} role="group" aria-label={label}>{plain(text)}</div></>;
}

function Attempts({ job }: { job: JobInfo }) {
  const now = useNow();
  const work = job.attempts.reduce((ms, a) => ms + (a.started_at && a.finished_at ? Date.parse(a.finished_at) - Date.parse(a.started_at) : 0), 0);
  const left = job.runs - job.attempts.length - (job.status === 'running' ? 1 : 0);
  const attempts = [...job.attempts].reverse();
  return (
    <Panel title="Attempts" sub={`${plural(job.runs, 'run')}${work ? `, ${length(work)} of work` : ''}`}>
      <Timeline job={job} />
      {job.status === 'running' && (
        <div className="run"><div className="run-h"><span className="st-running"><Glyph name="g-running" /></span><b>run {job.runs}</b><span className="hide-s"><span className="st-running">running</span></span><span /><span className="t2 hide-s cut">{job.node_id}</span><span className="num">{job.last_run_at ? length(Math.max(0, now - Date.parse(job.last_run_at))) : '–'}</span><span className="num t2 hide-s">now</span></div></div>
      )}
      {attempts.map((a, i) => <Run key={a.run_id} a={a} isLast={i === 0} status={job.status} />)}
      {left > 0 && <div className="panel-f"><span>{plural(left, 'run')} between {left === 1 ? 'is' : 'are'} not kept.</span></div>}
    </Panel>
  );
}

/** What a token without the right to payloads does not get. */
function Hidden({ what, why }: { what: string; why: ReactNode }) {
  return <Empty glyph={<span className="t3"><Glyph name="i-eye" large /></span>} title={`${what} not shown`}><p>{why}</p></Empty>;
}

// ---- log and events ----

interface LogLine { at: string; run: string; text: string }

function linesOfLog(text: string): LogLine[] {
  return text.split('\n').filter(Boolean).map((l) => {
    const found = /^(\S+Z) (\d+) ?(.*)$/.exec(l);
    return found ? { at: found[1]!, run: found[2]!, text: found[3]! } : { at: '', run: '', text: l };
  });
}

function LogPart({ job }: { job: JobInfo }) {
  const { hasPayload, me } = useSession();
  if (hasPayload) return <Log job={job} />;
  return me ? <Panel title="Log"><Hidden what="Log" why="Logs may hold payload; this token has no right to it." /></Panel> : null;
}

function Log({ job }: { job: JobInfo }) {
  const { data } = useLive<{ logs: string }>(`/api/jobs/${job.id}/logs`, OPEN.includes(job.status) ? 1500 : 10_000, job.status === 'running');
  const { zone } = usePreferences();
  const lines = useMemo(() => linesOfLog(data?.logs ?? ''), [data]);
  const runs = [...new Set(lines.map((l) => l.run))].filter(Boolean);
  const [run, setRun] = useState('');
  const [find, setFind] = useState('');
  const shown = lines.filter((l) => (!run || l.run === run) && l.text.toLowerCase().includes(find.toLowerCase()));
  if (data && lines.length === 0) return null;
  const save = (): void => {
    const a = document.createElement('a');
    a.href = URL.createObjectURL(new Blob([data?.logs ?? ''], { type: 'text/plain' }));
    a.download = `${job.id}.log`;
    a.click();
    URL.revokeObjectURL(a.href);
  };
  return (
    <Panel
      id="log" title="Log" sub={`${plural(shown.length, 'line')} of the last 64 KiB`}
      end={<>{runs.length > 1 && <Seg className="hide-s" label="Run" value={run} onChange={setRun} options={[['', 'all'], ...runs.slice(-3).map((r) => [r, `run ${r}`] as [string, string])]} />}<input className="inp find hide-s" aria-label="Find in the log" placeholder="Find" value={find} onChange={(e) => setFind(e.target.value)} /><Button small kind="quiet" onClick={save}>Download</Button></>}
    >
      {!data ? <Skeleton rows={3} /> : (
        <div className="log" tabIndex={0} role="group" aria-label="Log">
          {shown.slice(-1000).map((l, i) => <div className="nolv" key={i}><span className="ts">{l.at && clock(Date.parse(l.at), zone, true)}</span><span className="r hide-s">.{l.run}</span><span>{plain(l.text)}</span></div>)}
        </div>
      )}
    </Panel>
  );
}

const EVENT_GLYPH: Record<string, string> = {
  'job.enqueued': 'pending', 'job.scheduled': 'scheduled', 'job.dispatched': 'pending', 'job.resumed': 'pending', 'job.rescheduled': 'scheduled', 'job.started': 'running',
  'job.completed': 'completed', 'job.failed': 'dead', 'job.schedule_to_start_timeout': 'dead', 'job.dead': 'dead', 'job.cancelled': 'cancelled', 'job.purged': 'cancelled',
  'job.retrying': 'retrying', 'job.rate_limited': 'retrying', 'job.repeated': 'retrying', 'job.returned': 'retrying', 'job.auto_recovered': 'retrying', 'job.paused': 'paused',
};

function Events({ id }: { id: string }) {
  const { data } = useLive<AuditEntry[]>(`/api/jobs/${id}/audit`, 2000);
  const { zone } = usePreferences();
  const entries = [...(data ?? [])].reverse();
  return (
    <Panel title="Events and audit" sub="oldest first" end={<AuditLink target={id} />}>
      {entries.length === 0 ? <Empty title="Nothing is kept of it"><p>A shard keeps its last events only.</p></Empty> : (
        <ul className="evs">
          {entries.map((e, i) => {
            const state = EVENT_GLYPH[e.action];
            return (
              <li key={i}>
                <code className="t2" title={exact(Date.parse(e.at), zone)}>{clock(Date.parse(e.at), zone, true)}</code>
                {state ? <span className={`st-${state}`}><Glyph name={`g-${state}`} /></span> : <span className="t2"><Glyph name="i-eye" /></span>}
                <code>{e.action}</code><span className="t2 hide-s cut"><Said text={e.actor ? `by ${e.actor}${e.detail && e.detail !== '0' ? `: ${e.detail}` : ''}` : ''} /></span>
              </li>
            );
          })}
        </ul>
      )}
    </Panel>
  );
}

// ---- payload, facts, commands ----

type Tab = 'payload' | 'result' | 'progress' | 'headers';

function PayloadPart({ job, text }: { job: JobInfo; text: string }) {
  const { hasPayload, me } = useSession();
  if (!me || hasPayload) return <Payload job={job} text={text} />;
  return <Panel title="Payload and result"><Hidden what="Payload" why={<>Token <b>{me.name}</b> is a viewer without the payload right. It hides payload, result, progress and error text.</>} /></Panel>;
}

function Payload({ job, text }: { job: JobInfo; text: string }) {
  const search = new URLSearchParams(useSearch());
  const [, go] = useLocation();
  const [find, setFind] = useState<string>();
  const raw = useMemo(() => Object.fromEntries((['payload', 'result', 'progress', 'headers'] as const).map((t) => [t, rawOf(text, t)])) as Record<Tab, string | undefined>, [text]);
  const asked = search.get('tab') as Tab | null;
  const tab: Tab = asked && asked in raw ? asked : 'payload';
  const tabs: [Tab, string][] = [['payload', 'Payload'], ...(raw.result !== undefined ? [['result', 'Result'] as [Tab, string]] : []), ...(raw.progress !== undefined ? [['progress', 'Progress'] as [Tab, string]] : []), ...(raw.headers !== undefined ? [['headers', `Headers ${Object.keys(job.headers ?? {}).length}`] as [Tab, string]] : [])];
  const value = raw[tab];
  const type = tab === 'payload' ? job.content_type : tab === 'result' ? job.result_content_type : 'application/json';
  return (
    <section className="panel" aria-label="Payload and result">
      <div className="panel-h">
        <h2 className="sr">Payload and result</h2>
        <Seg label="What is shown" value={tab} onChange={(t) => go(`/jobs/${job.id}?tab=${t}`, { replace: true })} options={tabs} />
        <span className="end">
          <Button small kind="quiet" icon label="Find in it" expanded={find !== undefined} onClick={() => setFind(find === undefined ? '' : undefined)}><Glyph name="i-search" /></Button>
          {value !== undefined && <Copy text={value} label={`Copy the ${tab}`} />}
        </span>
      </div>
      {find !== undefined && <div className="panel-b find-b"><input className="inp" aria-label="Find" placeholder="Find" value={find} autoFocus onChange={(e) => setFind(e.target.value)} /></div>}
      {value !== undefined ? <JsonView key={tab} text={value} label={tab} find={find ?? ''} />
        : job.payload_base64 !== undefined && tab === 'payload' ? <div className="panel-b"><BytesView base64={job.payload_base64} label="Payload, bytes" /></div>
          : <Empty title={job.payload_omitted ? 'Too large to show here' : `There is no ${tab}`}>{job.payload_omitted && <p><code>dureqctl job get {job.id} --payload</code></p>}</Empty>}
      <div className="panel-f"><span>{type ?? 'application/json'}</span>{value !== undefined && <span>{plural(new TextEncoder().encode(value).length, 'byte')}</span>}</div>
    </section>
  );
}

function retryOf(p: JobInfo['retry_policy']): string | undefined {
  if (!p) return undefined;
  const ms = (ns: number | undefined): string => length((ns ?? 0) / 1e6).replace('.0 s', ' s').replace(/ 00 [sm]$/, '');
  return `${ms(p.initial_delay)}, ×${p.multiplier ?? 1}, at most ${ms(p.max_delay)}, jitter ${Math.round((p.jitter ?? 0) * 100)} %`;
}

function Facts({ job, text }: { job: JobInfo; text: string }) {
  const { zone } = usePreferences();
  const at = (t: string | undefined): string | undefined => t && exact(Date.parse(t), zone);
  const rows: [string, ReactNode][] = [
    ['Id', <code key="id">{job.id}</code>],
    ['Queue', <span key="q"><Link className="link" href={`/jobs?queue=${encodeURIComponent(job.queue)}`}>{job.queue}</Link>{job.priority !== undefined && `, priority ${job.priority}`}</span>],
    ['Attempt', `${job.attempt}${job.max_attempts ? ` of ${job.max_attempts}` : ''}${job.runs !== job.attempt ? `, ${plural(job.runs, 'run')}` : ''}`],
    ['Retry', retryOf(job.retry_policy)],
    ['Timeout', job.timeout && `${job.timeout} a run`],
    ['Unique key', job.unique_key && <Said key="u" text={job.unique_key} />],
    ['Request id', job.request_id && <code key="r">{plain(job.request_id)}</code>],
    ['Tags', job.tags?.length ? <span key="t" className="tags">{job.tags.map((t) => <Link className="tag" key={t} href={`/jobs?tag=${encodeURIComponent(t)}`}>{t}</Link>)}</span> : undefined],
    ['Created', at(job.created_at)],
    ['Due', at(job.next_run_at)],
    ['Ended', at(job.completed_at)],
    ['Kept', job.retention && `${job.retention} after its end`],
  ];
  return (
    <Panel title="Facts" end={<Copy text={text} label="Copy as JSON" />}>
      <div className="panel-b"><dl className="kv sm">{rows.filter(([, v]) => v !== undefined && v !== '').map(([k, v]) => [<dt key={k}>{k}</dt>, <dd key={k + '='}>{v}</dd>])}</dl></div>
    </Panel>
  );
}

function Commands({ job }: { job: JobInfo }) {
  const [kind, setKind] = useState<'dureqctl' | 'curl'>('dureqctl');
  const verb = ENDED.includes(job.status) ? 'retry' : ['running', 'pending'].includes(job.status) ? 'cancel' : 'run';
  const word = { retry: 'Retry', cancel: 'Cancel', run: 'Run now' }[verb];
  const url = `${location.origin}${base}/api/jobs/${job.id}`;
  return (
    <Panel title="Copy as command" end={<Seg label="Kind" value={kind} onChange={setKind} options={[['dureqctl', 'dureqctl'], ['curl', 'curl']]} />}>
      <div className="panel-b stack12">
        <Command lead="This view" text={kind === 'dureqctl' ? `dureqctl job get ${job.id}` : `curl ${url}`} />
        <Command lead={word} text={kind === 'dureqctl' ? `dureqctl job ${verb} ${job.id}` : `curl -X POST ${url}/${verb}`} />
      </div>
    </Panel>
  );
}

// ---- the page ----

function Head({ job, payload }: { job: JobInfo; payload: string | undefined }) {
  return (
    <header className="job-h">
      <div className="grow">
        <h1><Said text={job.task_type} /> <State state={job.status} pill word={job.waiting_for ? `${job.status}, no node handles it` : job.status} /></h1>
        <div className="facts">
          <span className="row"><Id id={job.id} whole /><Copy text={job.id} label="Copy id" /></span>
          <span>attempt <b>{count(job.attempt)}</b>{job.max_attempts ? ` of ${job.max_attempts}` : ''}</span>
          <span>queue <b>{job.queue}</b></span>
          <span>made <b><Time at={job.created_at} className="exact" /></b></span>
          {job.node_id && <span>last on <b><Said text={job.node_id} /></b></span>}
        </div>
      </div>
      <Acts job={job} payload={payload} />
    </header>
  );
}

function Crumbs({ title, id }: { title: string; id: string }) {
  return <><Link href="/jobs">Jobs</Link><span className="sep">/</span><span className="cut">{title}</span><span className="hide-s"><Id id={id} /></span></>;
}

export function Job() {
  const { id = '' } = useParams<{ id: string }>();
  const { data: job, text, error } = useLive<JobInfo>(`/api/jobs/${encodeURIComponent(id)}`, 900);
  const payload = useMemo(() => (text ? rawOf(text, 'payload') : undefined), [text]);
  const title = job ? plain(job.task_type) : 'Job';
  return (
    <Shell title={title} crumbs={<Crumbs title={title} id={id} />}>
      {error && !error.isAway
        ? <Empty title={error.status === 404 ? 'There is no such job' : 'The server refuses this'} glyph={<span className="t3"><Glyph name="i-info" large /></span>}><p>{error.status === 404 ? 'It was deleted, its time to be kept is over, or the id is another.' : error.message}</p><p><Link className="link" href="/jobs">All jobs</Link></p></Empty>
        : !job ? <Skeleton rows={8} /> : (
          <>
            <Head job={job} payload={payload} />
            <div className="stack">
              <Why job={job} />
              <div className="grid g-side">
                <div className="stack"><Attempts job={job} /><LogPart job={job} /><Events id={job.id} /></div>
                <div className="stack"><PayloadPart job={job} text={text} /><Facts job={job} text={text} /><Commands job={job} /></div>
              </div>
            </div>
          </>
        )}
    </Shell>
  );
}
