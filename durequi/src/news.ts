// SPDX-License-Identifier: Apache-2.0
// Which events say that a resource has changed. What is not here, or has no event of its own, is asked for as often as its views want it.

export interface News {
  snapshot?: 'counts' | 'queues' | 'nodes'; // it comes by itself
  on: string[]; // types of events begin with one of these
  id?: string; // events of other jobs are not about it
  idle: number; // ms: asked for even when nothing happened, for what changes by time
}

const ALL = [''];
const JOBS = ['job.'];
const MINUTE = 60_000;
const SNAPSHOTS: Record<string, News['snapshot']> = { '/api/stats': 'counts', '/api/queues': 'queues', '/api/nodes': 'nodes' };

/** The first that fits. */
const ROWS: [RegExp, Omit<News, 'id'>][] = [
  [/^\/api\/stats\/series/, { on: JOBS, idle: 20_000 }],
  [/^\/api\/jobs\/[^/?]+\/audit/, { on: ALL, idle: 15_000 }],
  [/^\/api\/jobs\/[^/?]+/, { on: JOBS, idle: 15_000 }],
  [/^\/api\/jobs/, { on: JOBS, idle: 15_000 }], // what is deleted has no event
  [/^\/api\/dlq/, { on: ['job.dead', 'job.retrying', 'job.purged', 'job.cancelled', 'job.dispatched'], idle: 20_000 }],
  [/^\/api\/runs/, { on: ['job.', 'node.'], idle: 20_000 }],
  [/^\/api\/schedules/, { on: ['schedule.'], idle: MINUTE }],
  [/^\/api\/workflows/, { on: ['workflow.', 'job.'], idle: MINUTE }],
  [/^\/api\/batches/, { on: JOBS, idle: 20_000 }],
  [/^\/api\/operations/, { on: JOBS, idle: 15_000 }],
  [/^\/api\/audit/, { on: ALL, idle: 15_000 }],
  [/^\/api\/tokens/, { on: [], idle: 15_000 }],
];

export function newsOf(path: string): News | undefined {
  const snapshot = SNAPSHOTS[path];
  if (snapshot) return { snapshot, on: [], idle: MINUTE };
  const found = ROWS.find(([pattern]) => pattern.test(path))?.[1];
  const id = /^\/api\/jobs\/([0-9a-v]{20})(?![^/?])/.exec(path)?.[1];
  return found && (id ? { ...found, id } : found);
}

/** The path that a snapshot is of. */
export function pathOf(snapshot: string): string | undefined {
  return Object.keys(SNAPSHOTS).find((path) => SNAPSHOTS[path] === snapshot);
}

export function concerns(news: News, d: { events: Record<string, number>; jobs: string[]; jobs_exact: boolean }): boolean {
  if (news.id && d.jobs_exact && !d.jobs.includes(news.id)) return false;
  return Object.keys(d.events).some((type) => news.on.some((begin) => type.startsWith(begin)));
}
