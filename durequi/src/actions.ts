// SPDX-License-Identifier: Apache-2.0
// What changes something. Those that can be taken back act at once and offer that; the others ask first, say how many, and what they leave alone.
import { navigate } from 'wouter/use-browser-location';
import { count, plain, plural } from './format';
import { ApiError, base, call, query, send } from './http';
import { drop, refresh } from './live';
import { ask, say } from './overlay';
import { hasFeature } from './session';
import type { DeadGroup, Job, Operation, Schedule, WorkflowHead } from './types';

const JOBS = ['/api/jobs', '/api/stats', '/api/dlq', '/api/queues', '/api/runs', '/api/audit'];

function told(e: unknown): string {
  return e instanceof ApiError ? e.message : String(e);
}

/** Runs it; what went wrong is said. True: it was done. */
async function attempt(what: () => Promise<unknown>, ...changed: string[]): Promise<boolean> {
  try {
    await what();
    return true;
  } catch (e) {
    say(`${told(e)[0]?.toUpperCase() ?? ''}${told(e).slice(1)}.`.replace(/\.\.$/, '.'), 'bad');
    return false;
  } finally {
    refresh(...changed);
  }
}

const at = (job: Pick<Job, 'id'>, verb: string): string => `/api/jobs/${encodeURIComponent(job.id)}/${verb}`;

// ---- one job ----

export async function retry(job: Job): Promise<void> {
  const force = job.status === 'completed' ? '?force=1' : '';
  if (await attempt(() => call('POST', at(job, 'retry') + force), ...JOBS)) say(`${job.task_type} starts again.`);
}

export async function runNow(job: Job): Promise<void> {
  if (await attempt(() => call('POST', at(job, 'run')), ...JOBS)) say(`${job.task_type} starts now.`);
}

export async function pause(job: Job): Promise<void> {
  if (await attempt(() => call('POST', at(job, 'pause')), ...JOBS)) {
    const isTimed = job.next_run_at !== undefined; // resuming would start it now, which is no way back
    say(`${job.task_type} is paused${isTimed ? '; resumed it starts at once' : ''}.`, 'paused', isTimed ? undefined : { label: 'Undo', hint: 'z', run: () => void resume(job) });
  }
}

export async function resume(job: Job): Promise<void> {
  if (await attempt(() => call('POST', at(job, 'resume')), ...JOBS)) {
    say(`${job.task_type} goes on.`, 'ok', { label: 'Undo', hint: 'z', run: () => void pause(job) });
  }
}

// ---- a workflow ----

const FLOWS = ['/api/workflows', ...JOBS];
const ofFlow = (flow: Pick<WorkflowHead, 'id'>, verb: string): string => `/api/workflows/${encodeURIComponent(flow.id)}/${verb}`;

export async function suspendFlow(flow: WorkflowHead): Promise<void> {
  if (await attempt(() => call('POST', ofFlow(flow, 'suspend')), ...FLOWS)) {
    say(`${flow.workflow_name} is suspended: what runs goes on, and nothing starts.`, 'paused', { label: 'Undo', hint: 'z', run: () => void resumeFlow(flow) });
  }
}

export async function resumeFlow(flow: WorkflowHead): Promise<void> {
  if (await attempt(() => call('POST', ofFlow(flow, 'resume')), ...FLOWS)) {
    say(`${flow.workflow_name} goes on.`, 'ok', { label: 'Undo', hint: 'z', run: () => void suspendFlow(flow) });
  }
}

export function cancel(job: Job): void {
  ask({
    title: `Cancel this job of ${job.task_type}?`,
    text: job.status === 'running' ? 'Its run is told to stop; what it has done stays done. It can be retried afterwards.' : 'It will not start. It can be retried afterwards.',
    verb: 'Cancel the job', keep: 'Keep', danger: true,
    field: { label: 'Reason', hint: 'Kept with the job and in the audit; may stay empty.', value: '' },
    run: async (reason) => {
      await call('POST', at(job, 'cancel') + query({ reason }));
      refresh(...JOBS);
      say('Cancelled.');
    },
  });
}

export function forget(job: Job, then: () => void): void {
  ask({
    title: `Delete this job of ${job.task_type}?`, text: 'Payload, result and log go with it. This cannot be undone.',
    verb: 'Delete the job', keep: 'Keep', danger: true,
    run: async () => {
      const path = `/api/jobs/${encodeURIComponent(job.id)}`;
      await drop(path, () => call('DELETE', path));
      refresh(...JOBS);
      say('Deleted.');
      then();
    },
  });
}

export function reschedule(job: Job): void {
  ask({
    title: `When is this job of ${job.task_type} to start?`, text: 'Its attempts stay as they are.', verb: 'Reschedule',
    field: {
      label: 'Delay or time', hint: '30s, 5m, 1h30m; or a time such as 2027-03-12T03:00:00Z.', value: '',
      check: (v) => (v.trim() ? undefined : 'Write a delay such as 5m, or a time.'),
    },
    run: async (when) => {
      const isTime = /^\d{4}-/.test(when.trim());
      await call('POST', at(job, 'reschedule'), isTime ? { run_at: when.trim() } : { delay: when.trim() });
      refresh(...JOBS);
      say('Rescheduled.');
    },
  });
}

/** The text goes out as it was written: numbers keep their digits. */
export function editPayload(job: Job, text: string): void {
  ask({
    title: `Edit the payload of ${job.task_type}`, text: 'The next run gets it. What ran before keeps what it had.', verb: 'Save the payload',
    field: { label: 'Payload, JSON', value: text, rows: 14, check: wrongJson },
    run: async (payload) => {
      await send('PUT', at(job, 'payload'), `{"payload": ${payload}}`);
      refresh(...JOBS);
      say('The payload is saved.');
    },
  });
}

function wrongJson(text: string): string | undefined {
  try {
    JSON.parse(text);
    return undefined;
  } catch (e) {
    return `This is no JSON: ${e instanceof Error ? e.message : ''}`;
  }
}

// ---- many jobs ----

export type Bulk = 'retry' | 'cancel' | 'delete' | 'run' | 'pause' | 'resume';

const DONE: Record<Bulk, string> = { retry: 'retried', cancel: 'cancelled', delete: 'deleted', run: 'started', pause: 'paused', resume: 'resumed' };
const TITLE: Record<Bulk, string> = { retry: 'Retry', cancel: 'Cancel', delete: 'Delete', run: 'Run', pause: 'Pause', resume: 'Resume' };

/** What each takes; the others are left alone. */
export const TAKES: Record<Bulk, string[]> = {
  retry: ['dead', 'cancelled'], cancel: ['pending', 'scheduled', 'running', 'retrying', 'paused'], delete: ['completed', 'dead', 'cancelled'],
  run: ['scheduled', 'retrying', 'paused'], pause: ['pending', 'scheduled', 'retrying'], resume: ['paused'],
};

interface Outcome { affected: number; refused?: { id: string; error: string }[] }

function report(verb: Bulk, o: Outcome, left: number): void {
  const n = left + (o.refused?.length ?? 0);
  const rest = n ? `, ${count(n)} passed over${o.refused?.[0] ? ` (${o.refused[0].error})` : ''}` : '';
  say(`${plural(o.affected, 'job')} ${DONE[verb]}${rest}.`);
}

/** Of the jobs chosen, those in a state that it takes. */
export function bulk(verb: Bulk, jobs: Job[], then: () => void): void {
  const fits = jobs.filter((j) => TAKES[verb].includes(j.status));
  const left = jobs.length - fits.length;
  const go = async (): Promise<void> => {
    const o = await call<Outcome>('POST', `/api/jobs/bulk/${verb}`, { ids: fits.map((j) => j.id) });
    refresh(...JOBS);
    report(verb, o, left);
    then();
  };
  if (fits.length === 0) {
    say(`None of the ${plural(jobs.length, 'job')} is ${TAKES[verb].join(' or ')}.`, 'bad');
  } else if (verb === 'cancel' || verb === 'delete') {
    askBulk(verb, fits.length, left, go);
  } else {
    void attempt(go, ...JOBS);
  }
}

const AGAIN = 'Each starts again with attempts from 0. The cause may still be there.';

function textOf(verb: Bulk): string {
  const texts: Record<Bulk, string> = {
    retry: AGAIN, cancel: 'Those that run are told to stop. They can be retried afterwards.', delete: 'Payload, result and log go with them. This cannot be undone.',
    run: 'Each starts as soon as there is a slot for it, whatever time it waited for.', pause: 'They are held back until they are resumed.', resume: 'They go on; those that waited for a time start at once.',
  };
  return texts[verb];
}

function askBulk(verb: Bulk, n: number, left: number, run: () => Promise<void>): void {
  ask({
    title: `${TITLE[verb]} ${plural(n, 'job')}?`,
    text: textOf(verb),
    facts: [['matches', count(n)], ...(left ? [[`not ${TAKES[verb].join(', ')}`, `${count(left)}, left alone`] as [string, string]] : [])],
    verb: `${TITLE[verb]} ${count(n)}`, keep: 'Keep', danger: true, typed: n, run,
  });
}

interface Preview { matched: number; matched_exact: boolean; as_of: string }
interface Many { title: string; text: string; danger?: boolean; facts?: [string, string][] }

const none = (what: string): void => say(`None that match is ${what}.`, 'bad');

/** Counted, asked about, and then done by the server step by step, whether this page stays open or not. What comes after the count is left alone. */
async function operate(action: Bulk | 'redrive', filter: Record<string, string>, q: Many, then: () => void): Promise<void> {
  const p = await call<Preview>('POST', '/api/operations', { action, filter, dry_run: true });
  const n = `${count(p.matched)}${p.matched_exact ? '' : ' or more'}`;
  const verb = action === 'redrive' ? 'Redrive' : TITLE[action];
  if (p.matched === 0) {
    none(filter['status']?.replaceAll(',', ' or ') ?? 'there');
    return;
  }
  ask({
    title: `${verb} ${n} ${q.title}?`, text: q.text, facts: [...(q.facts ?? []), ['matches now', n], ['what comes, or dies, later', 'left alone']], verb: `${verb} ${n}`, typed: p.matched,
    ...(q.danger ? { keep: 'Keep', danger: true } : {}),
    run: async () => {
      const o = await call<Operation>('POST', '/api/operations', { action, filter, as_of: p.as_of, matched: p.matched });
      refresh(...JOBS, '/api/operations');
      say(`${verb} of ${n} is under way.`, 'ok', { label: 'Show', run: () => navigate(`${base}/operations?id=${o.id}`) });
      then();
    },
  });
}

/** All that match the filter of the jobs page, counted first. */
export async function bulkMatching(verb: Bulk, filter: Record<string, string>, then: () => void): Promise<void> {
  const status = (filter['status'] ? filter['status'].split(',') : TAKES[verb]).filter((s) => TAKES[verb].includes(s)).join(',');
  if (!status) {
    none(TAKES[verb].join(' or '));
    return;
  }
  const path = `/api/jobs/bulk/${verb}`;
  const of = { ...filter, status };
  await attempt(async () => {
    if (hasFeature('operations')) {
      await operate(verb, of, { title: 'jobs', text: textOf(verb), danger: verb === 'cancel' || verb === 'delete' }, then);
      return;
    }
    const { matched } = await call<{ matched: number }>('POST', path + query({ ...of, dry_run: 1 }), {});
    askBulk(verb, matched, 0, async () => {
      const o = await call<Outcome>('POST', path + query(of), {});
      refresh(...JOBS);
      report(verb, o, 0);
      then();
    });
  });
}

// ---- dead jobs ----

/** By the filter of the dead page: type, text ... */
export async function redriveAll(filter: Record<string, string>): Promise<void> {
  await attempt(async () => {
    const of = filter['type'] ? ` of ${filter['type']}` : '';
    if (hasFeature('operations')) {
      await operate('redrive', filter, { title: `dead jobs${of}`, text: AGAIN }, () => undefined);
      return;
    }
    const { matched } = await call<{ matched: number }>('POST', '/api/dlq/redrive' + query({ ...filter, dry_run: 1 }), {});
    ask({
      title: `Redrive ${plural(matched, 'dead job')}${of}?`, text: AGAIN,
      verb: `Redrive ${count(matched)}`, typed: matched,
      run: async () => {
        const o = await call<Outcome>('POST', '/api/dlq/redrive' + query(filter), {});
        refresh(...JOBS);
        say(`${plural(o.affected, 'job')} redriven.`, 'ok');
      },
    });
  });
}

export async function deleteDead(filter: Record<string, string>): Promise<void> {
  await attempt(async () => {
    if (hasFeature('operations')) {
      await operate('delete', { ...filter, status: 'dead' }, { title: 'dead jobs', text: textOf('delete'), danger: true }, () => undefined);
      return;
    }
    const { matched } = await call<{ matched: number }>('DELETE', '/api/dlq' + query({ ...filter, dry_run: 1 }));
    askBulk('delete', matched, 0, async () => {
      const o = await call<Outcome>('DELETE', '/api/dlq' + query(filter));
      refresh(...JOBS);
      report('delete', o, 0);
    });
  });
}

/** Dead jobs with one error, by the name that the server has for it. */
export async function redriveGroup(g: DeadGroup, filter: Record<string, string>): Promise<void> {
  if (g.group === undefined) return;
  const of = { ...filter, status: 'dead', group: g.group };
  await attempt(() => operate('redrive', of, { title: 'dead jobs with this error', text: AGAIN, facts: [['error', plain(g.error || 'no error text')]] }, () => undefined));
}

// ---- queues and nodes ----

export async function setQueuePaused(name: string, paused: boolean): Promise<void> {
  if (!(await attempt(() => call('POST', `/api/queues/${encodeURIComponent(name)}/${paused ? 'pause' : 'resume'}`), '/api/queues', '/api/audit'))) return;
  say(`Queue ${name} ${paused ? 'is paused' : 'goes on'}.`, paused ? 'paused' : 'ok', { label: 'Undo', hint: 'z', run: () => void setQueuePaused(name, !paused) });
}

export function purgeQueue(name: string, pending: number): void {
  ask({
    title: `Purge queue ${name}?`, text: 'Its waiting jobs are deleted; this cannot be undone. Running ones, and those for later, are left alone.',
    facts: [['waiting now', count(pending)]], verb: `Purge ${count(pending)}`, keep: 'Keep', danger: true, typed: pending,
    run: async () => {
      const o = await call<Outcome>('POST', `/api/queues/${encodeURIComponent(name)}/purge`);
      refresh(...JOBS);
      say(`${plural(o.affected, 'job')} deleted from ${name}.`);
    },
  });
}

export async function setDraining(node: string, drains: boolean): Promise<void> {
  if (!(await attempt(() => call(drains ? 'POST' : 'DELETE', `/api/nodes/${encodeURIComponent(node)}/drain`), '/api/nodes', '/api/audit'))) return;
  say(drains ? `${node} takes no more work.` : `${node} takes work again.`, drains ? 'paused' : 'ok', { label: 'Undo', hint: 'z', run: () => void setDraining(node, !drains) });
}

// ---- schedules ----

const PLANS = ['/api/schedules', '/api/audit'];
const plan = (s: Schedule): string => `/api/schedules/${encodeURIComponent(s.id)}`;
const called = (s: Schedule): string => s.key ?? s.task_type;

export async function setSchedulePaused(s: Schedule, paused: boolean): Promise<void> {
  if (!(await attempt(() => call('POST', `${plan(s)}/${paused ? 'pause' : 'resume'}`), ...PLANS))) return;
  say(paused ? `${called(s)} is paused.` : `${called(s)} goes on.`, paused ? 'paused' : 'ok', { label: 'Undo', hint: 'z', run: () => void setSchedulePaused(s, !paused) });
}

export async function triggerSchedule(s: Schedule): Promise<void> {
  let status = '';
  if (!(await attempt(async () => { ({ status } = await call<{ status: string }>('POST', `${plan(s)}/trigger`)); }, ...PLANS, ...JOBS))) return;
  say(status === 'not_dispatched' ? `${called(s)}: its overlap policy let nothing start.` : `${called(s)}: one job starts now.`);
}

export function deleteSchedule(s: Schedule, then: () => void): void {
  ask({
    title: `Delete schedule ${called(s)}?`, text: 'It comes round no more; what it started goes on. This cannot be undone.', verb: 'Delete the schedule', keep: 'Keep', danger: true,
    run: async () => {
      await drop(plan(s), () => call('DELETE', plan(s)));
      refresh(...PLANS);
      say(`${called(s)} is deleted.`);
      then();
    },
  });
}
