// SPDX-License-Identifier: Apache-2.0
// Schedules: what comes next, what came, what was left out and why. Times are the server's: it knows the rules of the zones.
import { useEffect, useState } from 'react';
import { Link, useLocation, useSearch } from 'wouter';
import { deleteSchedule, setSchedulePaused, triggerSchedule } from '../actions';
import { clock, count, exact, length, lengthOf, plural, relative } from '../format';
import { call, query, send } from '../http';
import { useKey } from '../keys';
import { refresh, serverNow, useLive, useNow } from '../live';
import { Cover, Menu, say } from '../overlay';
import { Button, Empty, Glyph, Id, Panel, Said, Seg, Skeleton, State, Time } from '../parts';
import { usePreferences, useRefusal } from '../session';
import { Shell } from '../shell';
import type { Definition, Schedule, ScheduleRecord } from '../types';

const SHOWN = 200;
const STRIP_ROWS = 6;
const OCCURRENCES = 200; // of a row of the strip; more look like a bar anyway

interface Preview { data: string[]; text: string }

const pad = (n: number): string => String(n).padStart(2, '0');

export function nameOf(s: Schedule): string {
  return s.key ?? s.task_type;
}

/** The definition in a few words; the whole sentence is the server's and stands beside the times. */
export function inWords(d: Definition): string {
  const times = (d.at_times ?? []).map((t) => `${pad(t.hour)}:${pad(t.minute)}`).join(', ');
  const each = d.regular_interval && d.regular_interval > 1 ? `every ${d.regular_interval} ` : '';
  if (d.type === 'CRON') return d.cron_expr ?? '';
  if (d.type === 'DURATION') return `every ${d.interval ? length(lengthOf(d.interval)).replace('.0 s', ' s').replace(/ 00 [sm]$/, '') : ''}`;
  if (d.type === 'DAILY') return `${each ? `${each}days` : 'daily'} at ${times}`;
  if (d.type === 'WEEKLY') return `${each ? `${each}weeks` : 'weekly'}, ${(d.included_days ?? []).map((x) => ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'][x]).join(', ')} at ${times}`;
  if (d.type === 'MONTHLY') return `${each ? `${each}months` : 'monthly'}, day ${(d.included_days ?? []).join(', ')} at ${times}`;
  return d.type.toLowerCase();
}

// ---- the strip ----

type Span = '24h' | '7d';
const SPANS: Record<Span, number> = { '24h': 86_400_000, '7d': 7 * 86_400_000 };

function StripRow({ s, y, from, span }: { s: Schedule; y: number; from: number; span: number }) {
  const { data } = useLive<Preview>(s.status === 'active' ? `/api/schedules/${s.id}/preview?n=${OCCURRENCES}` : undefined, 60_000);
  const at = (data?.data ?? []).map((t) => Date.parse(t)).filter((t) => t < from + span);
  const x = (t: number): number => 16 + ((t - from) / span) * 82;
  const isDense = at.length > 90;
  return (
    <>
      <text className="nm" x="0" y={y + 4}>{nameOf(s).slice(0, 18)}</text>
      <line className="ax" x1="16%" x2="98%" y1={y} y2={y} />
      {isDense
        ? <rect className="dense" x={`${x(at[0]!)}%`} y={y - 4} width={`${x(at.length === OCCURRENCES ? from + span : at.at(-1)!) - x(at[0]!)}%`} height="8" rx="2" />
        : at.map((t) => <rect key={t} className="occ" x={`${x(t)}%`} y={y - 6} width="4" height="12" rx="1"><title>{relative(t, serverNow())}</title></rect>)}
    </>
  );
}

/** Full steps of the clock, none so near to the ends that its words would touch others. */
function roundTimes(from: number, span: number, step: number, offset: number): number[] {
  const first = Math.ceil((from + offset + span * 0.05) / step) * step - offset;
  return Array.from({ length: Math.ceil(span / step) }, (_, k) => first + k * step).filter((t) => t < from + span * 0.98);
}

function Strip({ schedules, total, span, setSpan }: { schedules: Schedule[]; total: number; span: Span; setSpan: (s: Span) => void }) {
  const now = useNow();
  const { zone } = usePreferences();
  const from = Math.floor(now / 60_000) * 60_000;
  const rows = schedules.filter((s) => s.status === 'active').slice(0, STRIP_ROWS);
  const marks = roundTimes(from, SPANS[span], span === '24h' ? 4 * 3_600_000 : 86_400_000, zone === 'local' ? -new Date(from).getTimezoneOffset() * 60_000 : 0);
  const x = (t: number): string => `${(16 + ((t - from) / SPANS[span]) * 82).toFixed(2)}%`;
  const height = 34 + rows.length * 28;
  return (
    <Panel
      title={span === '24h' ? 'Next 24 hours' : 'Next 7 days'} sub={`${plural(total, 'schedule')}${rows.length < total ? `, the ${rows.length} soonest` : ''}`}
      end={<Seg label="Span" value={span} onChange={setSpan} options={[['24h', '24 h'], ['7d', '7 d']]} />}
    >
      <div className="panel-b" tabIndex={0} role="group" aria-label="Strip of what comes next">
        <svg className="strip" height={height} role="img" aria-label={`When the ${rows.length} soonest schedules come round; the list below has their next times`}>
          {marks.map((t) => <text key={t} x={x(t)} y="10" textAnchor="middle">{span === '24h' ? clock(t, zone).slice(0, 5) : exact(t, zone).slice(5, 10)}</text>)}
          {marks.map((t) => <line key={t} className="ax" x1={x(t)} x2={x(t)} y1="16" y2={height - 4} />)}
          <text className="nowt" x="16%" y="10" textAnchor="middle">now</text>
          <line className="now" x1="16%" x2="16%" y1="16" y2={height - 4} />
          {rows.map((s, i) => <StripRow key={s.id} s={s} y={34 + i * 28} from={from} span={SPANS[span]} />)}
        </svg>
      </div>
    </Panel>
  );
}

// ---- one schedule ----

function inZone(at: number, zone: string | undefined): { day: string; time: string } {
  const of = { timeZone: zone ?? 'UTC' };
  const day = new Intl.DateTimeFormat('en-GB', { weekday: 'short', day: 'numeric', month: 'short', ...of }).format(at);
  const time = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit', timeZoneName: 'short', ...of }).format(at);
  return { day, time };
}

function Record({ r }: { r: ScheduleRecord }) {
  const { zone } = usePreferences();
  const at = Date.parse(r.scheduled_at ?? r.at);
  const state = r.what === 'fired' ? 'completed' : r.what === 'held' ? 'paused' : 'skipped';
  const many = r.count !== undefined && r.count > 1 ? `${count(r.count)} ` : '';
  return (
    <li className="li li-r">
      <span className="t2 nw" title={exact(at, zone)}>{exact(at, zone).slice(5, 16)}</span>
      <State state={state} word={`${many}${r.what}`} />
      <span className="t2 cut"><Said text={r.reason ?? ''} /></span>
      {r.job_id ? <Id id={r.job_id} to={`/jobs/${r.job_id}`} /> : <span className="t3">–</span>}
    </li>
  );
}

function Detail({ id, onGone }: { id: string; onGone: () => void }) {
  const now = useNow();
  const refused = useRefusal();
  const { data: s, error } = useLive<Schedule>(`/api/schedules/${id}`, 1500);
  const { data: preview } = useLive<Preview>(s?.status === 'active' ? `/api/schedules/${id}/preview?n=5` : undefined, 10_000);
  if (error?.status === 404) return <Panel title="Schedule"><Empty title="There is no such schedule"><p>It was deleted, or the id is another.</p></Empty></Panel>;
  if (!s) return <Panel title="Schedule"><Skeleton /></Panel>;
  const d = s.schedule;
  const tags = [d.cron_expr, d.timezone ?? 'UTC', d.overlap_policy && `overlap ${d.overlap_policy.toLowerCase().replaceAll('_', ' ')}`, d.catchup_window && `catch-up ${d.catchup_window}`, d.jitter && `jitter ${d.jitter}`, `queue ${s.queue}`];
  const records = s.records ?? [];
  return (
    <Panel
      title={<Said text={nameOf(s)} />}
      end={(
        <>
          <Button small refused={refused ?? (s.status === 'completed' ? 'It is over' : undefined)} onClick={() => void triggerSchedule(s)}>Trigger now</Button>
          {s.status === 'paused' ? <Button small refused={refused} onClick={() => void setSchedulePaused(s, false)}>Resume</Button> : <Button small refused={refused ?? (s.status === 'completed' ? 'It is over' : undefined)} onClick={() => void setSchedulePaused(s, true)}>Pause</Button>}
          <Menu icon small label={`More for ${nameOf(s)}`} items={[{ label: 'Delete…', bad: true, refused, run: () => deleteSchedule(s, onGone) }]}><Glyph name="i-more" /></Menu>
        </>
      )}
    >
      <div className="panel-b stack12">
        <p>{preview?.text ?? inWords(d)}</p>
        {s.status === 'paused' && <p className="t2"><State state="paused" word="paused" /> {s.reason && <Said text={s.reason} />}</p>}
        <div className="row row-w">{tags.filter(Boolean).map((t) => <span className="tag" key={t}>{t}</span>)}</div>
      </div>
      <div className="panel-sub"><h3>Next</h3><span className="t3 sm">{d.timezone ?? 'UTC'}</span></div>
      <div className="nxs">
        {(preview?.data ?? []).map((t) => {
          const { day, time } = inZone(Date.parse(t), d.timezone);
          return <div className="nx" key={t}><span>{day}</span><code className="nw">{time}</code><span /><span className="num t2">{relative(Date.parse(t), now)}</span></div>;
        })}
        {s.status !== 'active' && <div className="nx t2">nothing, it is {s.status}</div>}
      </div>
      <div className="panel-sub"><h3>Firings and skips</h3><span className="t3 sm">{count(s.dispatched)} started, {count(s.skipped)} left out</span></div>
      {records.length === 0 ? <div className="panel-b t2">It has not come round yet.</div> : <ul>{records.slice(0, 12).map((r, i) => <Record key={i} r={r} />)}</ul>}
    </Panel>
  );
}

// ---- the page ----

function Row({ s, chosen, onChoose }: { s: Schedule; chosen: boolean; onChoose: () => void }) {
  return (
    <tr aria-selected={chosen} onClick={onChoose}>
      <td className="c-cb"><span className={`st-${s.status === 'paused' ? 'paused' : s.status === 'completed' ? 'completed' : 'scheduled'}`}><Glyph name={s.status === 'paused' ? 'g-paused' : s.status === 'completed' ? 'g-completed' : 'g-scheduled'} /></span></td>
      <td className="two"><button type="button" className="cut name" aria-pressed={chosen} onClick={(e) => { e.stopPropagation(); onChoose(); }}><b><Said text={nameOf(s)} /></b></button><div className="sm t2 cut">{inWords(s.schedule)}</div></td>
      <td className="num c-t">{s.status === 'active' && s.next_run_at ? <Time at={s.next_run_at} /> : s.status}</td>
      <td className="num c-n hide-s">{count(s.dispatched)}</td>
      <td className="num c-n hide-s">{count(s.skipped)}</td>
      <td className="t2 c-zone hide-s cut">{s.schedule.timezone ?? 'UTC'}</td>
    </tr>
  );
}

export function Schedules() {
  const search = new URLSearchParams(useSearch());
  const [, go] = useLocation();
  const refused = useRefusal();
  const [makes, setMakes] = useState(false);
  const { data: page } = useLive<{ data: Schedule[]; total: number }>(`/api/schedules?limit=${SHOWN}`, 1500);
  const span: Span = search.get('span') === '7d' ? '7d' : '24h';
  const schedules = page?.data ?? [];
  const id = search.get('id') ?? schedules[0]?.id;
  const set = (next: Record<string, string>): void => go('/schedules' + query({ ...Object.fromEntries(search), ...next }), { replace: true });
  const at = schedules.findIndex((s) => s.id === id);
  useKey('j', 'next schedule', () => { const s = schedules[at + 1]; if (s) set({ id: s.id }); });
  useKey('k', 'schedule before', () => { const s = schedules[at - 1]; if (s) set({ id: s.id }); });
  useKey('c', 'make a schedule', refused ? undefined : () => setMakes(true));
  const make = <Button kind="primary" hint="c" refused={refused} onClick={() => setMakes(true)}>New schedule</Button>;
  return (
    <Shell title="Schedules">
      {!page ? <Skeleton rows={8} /> : page.total === 0
        ? <Panel label="Schedules"><Empty title="No schedule yet" glyph={<span className="t3"><Glyph name="g-scheduled" large /></span>}><p>A schedule starts a job again and again, in any time zone.</p>{make}</Empty></Panel>
        : (
          <div className="stack">
            <Strip schedules={schedules} total={page.total} span={span} setSpan={(v) => set({ span: v })} />
            <div className="grid g-side2">
              <Panel title="Schedules" sub="soonest first" end={make}>
                <table className="tbl fix">
                  <thead><tr><th className="c-cb"><span className="sr">State</span></th><th>Schedule</th><th className="num c-t" aria-sort="ascending">Next</th><th className="num c-n hide-s">Started</th><th className="num c-n hide-s">Left out</th><th className="c-zone hide-s">Zone</th></tr></thead>
                  <tbody>{schedules.map((s) => <Row key={s.id} s={s} chosen={s.id === id} onChoose={() => set({ id: s.id })} />)}</tbody>
                </table>
                <div className="panel-f"><span>{count(schedules.length)} of {count(page.total)}</span></div>
              </Panel>
              {id && <Detail key={id} id={id} onGone={() => set({ id: '' })} />}
            </div>
          </div>
        )}
      {makes && <Make onClose={() => setMakes(false)} onMade={(made) => set({ id: made })} />}
    </Shell>
  );
}

export function NextSchedules() {
  const { data: page } = useLive<{ data: Schedule[]; total: number }>('/api/schedules?limit=5', 5000);
  const next = page?.data.filter((s) => s.status === 'active') ?? [];
  return (
    <Panel title="Next from schedules" sub={plural(page?.total ?? 0, 'schedule')} end={<Link className="link sm" href="/schedules">All schedules</Link>}>
      {next.length === 0 ? <Empty title="No schedule comes round"><p><Link className="link" href="/schedules">Make one</Link></p></Empty> : (
        <ul>
          {next.map((s) => (
            <li className="li li-s" key={s.id}>
              <div className="num"><b><Time at={s.next_run_at} /></b></div>
              <Link className="grow" href={`/schedules?id=${s.id}`}><div className="cut"><Said text={nameOf(s)} /></div><div className="sm t3 cut">{inWords(s.schedule)}</div></Link>
              <span className="sm t2">{s.queue}</span>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}

// ---- a new one ----

function Make({ onClose, onMade }: { onClose: () => void; onMade: (id: string) => void }) {
  const [type, setType] = useState('');
  const [cron, setCron] = useState('0 3 * * *');
  const [zone, setZone] = useState('UTC');
  const [payload, setPayload] = useState('{}');
  const [preview, setPreview] = useState<Preview>();
  const [fault, setFault] = useState<string>();
  const [busy, setBusy] = useState(false);
  const definition = { type: 'CRON', cron_expr: cron.trim(), timezone: zone.trim() || 'UTC' };
  const key = JSON.stringify(definition);
  useEffect(() => {
    let isOver = false;
    const timer = setTimeout(() => {
      call<Preview>('POST', '/api/schedules/preview?n=3', JSON.parse(key)).then(
        (p) => { if (!isOver) { setPreview(p); setFault(undefined); } },
        (e: unknown) => { if (!isOver) { setPreview(undefined); setFault(e instanceof Error ? e.message : String(e)); } },
      );
    }, 250);
    return () => { isOver = true; clearTimeout(timer); };
  }, [key]);
  let wrong: string | undefined;
  try {
    JSON.parse(payload);
  } catch {
    wrong = 'The payload is no JSON';
  }
  const missing = type.trim() ? (wrong ?? fault) : 'Name a type first';
  const put = async (): Promise<void> => {
    setBusy(true);
    try {
      const r = await send('POST', '/api/schedules', `{"payload": ${payload}, ${JSON.stringify({ task_type: type.trim(), schedule: definition }).slice(1)}`);
      refresh('/api/schedules');
      onClose();
      say(`${type.trim()} comes round from now on.`);
      onMade((JSON.parse(r.text) as { id: string }).id);
    } catch (e) {
      setBusy(false);
      setFault(e instanceof Error ? e.message : String(e));
    }
  };
  return (
    <Cover label="New schedule" className="dlg" onClose={onClose}>
      <div className="dlg-h"><h2>New schedule</h2></div>
      <div className="dlg-b">
        <div className="field"><label htmlFor="s-type">Type</label><input id="s-type" data-first="" className="inp mono" value={type} autoComplete="off" spellCheck={false} onChange={(e) => setType(e.target.value)} /></div>
        <div className="grid g-11">
          <div className="field"><label htmlFor="s-cron">Cron</label><input id="s-cron" className="inp mono" value={cron} autoComplete="off" spellCheck={false} aria-invalid={fault ? true : undefined} onChange={(e) => setCron(e.target.value)} /></div>
          <div className="field"><label htmlFor="s-zone">Zone</label><input id="s-zone" className="inp" value={zone} autoComplete="off" spellCheck={false} onChange={(e) => setZone(e.target.value)} /></div>
        </div>
        {fault ? <div className="field" role="alert"><span className="err"><Glyph name="i-warn" />{fault}</span></div> : preview && (
          <div className="sm t2">{preview.text} Next: {preview.data.map((t) => { const z = inZone(Date.parse(t), zone); return `${z.day} ${z.time}`; }).join('; ')}.</div>
        )}
        <div className="field"><label htmlFor="s-payload">Payload, JSON</label><textarea id="s-payload" className="inp mono area" rows={3} spellCheck={false} value={payload} aria-invalid={wrong ? true : undefined} onChange={(e) => setPayload(e.target.value)} /></div>
        <p className="t3 sm">Other kinds of times, overlap and catch-up: <code>dureqctl schedule create --help</code></p>
      </div>
      <div className="dlg-f">
        <button type="button" className="btn" onClick={onClose}>Not now<kbd className="k">Esc</kbd></button>
        <Button kind="primary" busy={busy} refused={missing} onClick={() => void put()}>Make the schedule</Button>
      </div>
    </Cover>
  );
}
