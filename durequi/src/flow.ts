// SPDX-License-Identifier: Apache-2.0
// A workflow as its page shows it: tasks by place, with what is known of their time, and what a box of several says.
import { count, length, plain } from './format';
import type { Graph, Unit } from './graph';
import type { Workflow, WorkflowTask } from './types';

export interface Task {
  name: string;
  status: string;
  jobId: string | undefined;
  type: string | undefined;
  queue: string | undefined;
  from: number | undefined; // released, ms
  to: number | undefined; // ended
  said: string | undefined; // its error, or why it was skipped
}

const LIVE = ['running', 'retrying', 'scheduled', 'paused', 'pending'];
const FOR_GOOD = ['failed', 'cancelled', 'unreached', 'skipped', 'completed'];

export function isOver(status: string): boolean {
  return FOR_GOOD.includes(status);
}

export function taskOf(name: string, t: WorkflowTask | undefined, status?: string, jobId?: string): Task {
  return {
    name, status: t?.status ?? status ?? 'waiting', jobId: t?.job_id ?? jobId, type: t?.task_type, queue: t?.queue,
    from: t?.released_at ? Date.parse(t.released_at) : undefined, to: t?.finished_at ? Date.parse(t.finished_at) : undefined, said: t?.error ?? t?.skip_reason,
  };
}

/** Names are data: a Map, so that none of them is a property of all objects. */
export function tasksOf(graph: Graph, flow: Workflow | undefined): Task[] {
  const known = new Map(Object.entries(flow?.tasks ?? {}));
  return graph.nodes.map((n) => taskOf(n.name, known.get(n.name), n.status, n.job_id));
}

/** What several tasks are together: what lives first, then what went wrong, unless that was allowed and others were done. */
export function statusOf(tasks: Task[], mayFail: boolean): string {
  const has = new Set(tasks.map((t) => t.status));
  if (mayFail && has.has('completed')) has.delete('failed');
  const one = LIVE.find((s) => has.has(s)) ?? (has.has('waiting') ? 'waiting' : FOR_GOOD.find((s) => has.has(s)));
  return one ?? tasks[0]?.status ?? 'waiting';
}

export function countsOf(tasks: Task[]): [string, number][] {
  const n = new Map<string, number>();
  for (const t of tasks) n.set(t.status, (n.get(t.status) ?? 0) + 1);
  const order = ['completed', ...LIVE, 'waiting', 'failed', 'cancelled', 'skipped', 'unreached'];
  const place = (s: string): number => (order.includes(s) ? order.indexOf(s) : order.length);
  return [...n].sort(([a], [b]) => place(a) - place(b));
}

export interface View {
  tasks: Task[];
  status: string;
  from: number | undefined;
  to: number | undefined; // undefined while one of them lives
}

export function viewOf(u: Unit, all: Task[], mayFail = false): View {
  const tasks = u.tasks.map((t) => all[t]!);
  const froms = tasks.flatMap((t) => t.from ?? []);
  const tos = tasks.flatMap((t) => t.to ?? []);
  const over = tasks.every((t) => isOver(t.status));
  return { tasks, status: statusOf(tasks, mayFail), from: froms.length ? Math.min(...froms) : undefined, to: over && tos.length ? Math.max(...tos) : undefined };
}

/** One fact of a box. now: for what lives. */
export function factOf(v: View, needs: number, now: number): string {
  const [t] = v.tasks;
  if (v.tasks.length > 1) return countsOf(v.tasks).map(([s, n]) => `${count(n)} ${s === 'completed' ? 'done' : s}`).join(', ');
  if (v.status === 'waiting') return needs ? `needs ${count(needs)} ${needs === 1 ? 'task' : 'tasks'}` : 'waits';
  if (v.status === 'unreached') return 'could not start';
  if (v.status === 'failed' || v.status === 'skipped') return t?.said ? plain(t.said.split('\n')[0]!) : v.status;
  if (v.from !== undefined && v.to !== undefined) return length(Math.max(0, v.to - v.from));
  if (v.from === undefined) return v.status;
  return `${v.status} ${length(Math.max(0, now - v.from)).replace(/\.\d/, '')}`;
}
