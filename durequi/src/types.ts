// SPDX-License-Identifier: Apache-2.0
// What docs/api.md says that answers hold, as far as pages read it.

export const STATES = ['pending', 'scheduled', 'running', 'retrying', 'paused', 'completed', 'dead', 'cancelled'] as const;
export type JobState = (typeof STATES)[number];

export interface Attempt {
  attempt: number;
  run_id: string;
  node_id?: string;
  started_at?: string;
  finished_at?: string;
  outcome: string;
  code?: number | string;
  error?: string;
  detail?: string;
  output?: string;
}

export interface RetryPolicy {
  max_attempts?: number;
  initial_delay?: number; // ns
  max_delay?: number;
  multiplier?: number;
  jitter?: number;
}

export interface Job {
  id: string;
  task_type: string;
  content_type?: string;
  queue: string;
  priority?: number;
  status: JobState | string;
  attempt: number;
  max_attempts?: number;
  runs: number;
  last_error?: string;
  reason?: string;
  node_id?: string;
  unique_key?: string;
  request_id?: string;
  tags?: string[];
  headers?: Record<string, string>;
  timeout?: string;
  retention?: string;
  retry_policy?: RetryPolicy;
  payload_base64?: string;
  payload_omitted?: boolean;
  result_content_type?: string;
  created_at: string;
  updated_at?: string;
  last_run_at?: string;
  next_run_at?: string;
  completed_at?: string;
  waiting_for?: string;
  attempts: Attempt[];
}

export interface JobPage {
  data: Job[];
  total: number;
  total_exact?: boolean;
  scanned?: number;
  next_cursor?: string;
}

export interface Stats {
  job_counts: Partial<Record<JobState, number>>;
  active_runs: number;
  active_nodes: number;
  active_schedules: number;
}

export interface Percentiles { p50: number; p95: number; p99: number }

export interface SeriesRow {
  at: string;
  enqueued: number;
  processed: number;
  failed: number;
  dead: number;
  cancelled: number;
  per_second: number;
  failure_ratio: number;
  wait_ms: Percentiles | null;
  run_ms: Percentiles | null;
}

export interface Queue {
  name: string;
  weight: number;
  priorities?: [number, number];
  max_len: number;
  paused: boolean;
  pending: number;
  running: number;
  oldest_age: string;
  unhandled: number;
  unhandled_types?: string[];
}

export interface Node {
  node_id: string;
  task_types: string[];
  started_at: string;
  last_heartbeat: string;
  pool_stats: { running_workers: number; idle_workers: number; max_concurrency: number; stuck_workers?: number };
  version: string;
  host?: string;
  pid?: number;
  draining: boolean;
  leader: boolean;
  too_old?: boolean;
}

export interface Run {
  id: string;
  job_id: string;
  node_id: string;
  task_type: string;
  queue: string;
  status: string;
  attempt: number;
  started_at: string;
}

export interface DeadGroup { count: number; error?: string; task_type: string; newest: string; job_id: string; group?: string }

export interface AuditEntry { at: string; actor: string; action: string; target: string; detail: string }

export interface RedisInfo { nodes: { addr?: string; sections: Record<string, Record<string, string>> }[] }

export interface Definition {
  type: string;
  interval?: string;
  cron_expr?: string;
  regular_interval?: number;
  at_times?: { hour: number; minute: number; second?: number }[];
  included_days?: number[];
  timezone?: string;
  overlap_policy?: string;
  catchup_window?: string;
  jitter?: string;
}

export interface ScheduleRecord { what: string; reason?: string; at: string; scheduled_at?: string; until?: string; count?: number; job_id?: string }

export interface Schedule {
  id: string;
  key?: string;
  status: 'active' | 'paused' | 'completed';
  reason?: string;
  next_run_at?: string;
  schedule: Definition;
  task_type: string;
  queue: string;
  dispatched: number;
  skipped: number;
  records?: ScheduleRecord[];
}

export type WorkflowStatus = 'running' | 'suspended' | 'completed' | 'failed' | 'cancelling' | 'cancelled';
export const WORKFLOW_STATES = ['running', 'suspended', 'completed', 'failed', 'cancelling', 'cancelled'] as const;

export interface WorkflowHead {
  id: string;
  workflow_name: string;
  status: WorkflowStatus | string;
  failing?: boolean;
  task_count: number;
  released: number;
  ended: number;
  failed: number;
  skipped: number;
  unreached: number;
  created_at: string;
  completed_at?: string;
}

export interface WorkflowTask {
  name: string;
  status: string;
  task_type: string;
  queue: string;
  job_id?: string;
  released_at?: string;
  finished_at?: string;
  error?: string;
  skip_reason?: string;
}

export interface Workflow extends WorkflowHead {
  reason?: string;
  truncated?: boolean;
  tasks: Record<string, WorkflowTask>;
}

export interface WorkflowPage { data: WorkflowHead[]; next_cursor?: string }

export interface Operation {
  id: string;
  action: string;
  filter: Record<string, string>;
  status: 'running' | 'stopping' | 'stopped' | 'completed' | 'failed' | string;
  actor: string;
  reason?: string;
  as_of: string;
  created_at: string;
  updated_at: string;
  completed_at?: string;
  matched?: number;
  affected: number;
  refused: number;
  looked_at: number;
  stopped_because?: string;
  error?: string;
}

export interface BatchHead {
  id: string;
  name: string;
  status: string;
  failing?: boolean;
  open?: boolean;
  total_items: number;
  pending_items: number;
  running_items: number;
  completed_items: number;
  skipped_items: number;
  failed_items: number;
  cancelled_items: number;
  attempt: number;
  max_attempts: number;
  chunk_size: number;
  failure_policy: string;
  deadline?: string;
  created_at: string;
  completed_at?: string;
}

export interface Batch extends BatchHead {
  reason?: string;
  onetime_state?: { status: string; job_id?: string; error?: string };
}

export interface BatchItem { number: number; item_id: string; status: string; job_id?: string; error?: string }
