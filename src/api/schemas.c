/* SPDX-License-Identifier: Apache-2.0 */
/* What bodies and answers look like, in short: "name:type" with blanks between, "name?:type" of a member that may be absent; no other member is
   allowed. Types: s text, i whole number, n number, b boolean, t time, d duration, any; [X] a list of X, {X} an object with any names, =a|b one of
   these texts, X~ X or null, @X|Y one of these, and names of this table. */
#include "api/describe.h"

#define AFFECTED "affected:i refused?:[Refused]"
#define JOB_OPTIONS                                                                                             \
    "queue?:s priority?:i delay?:d run_at?:t unique_key?:s unique_for?:d request_id?:s headers?:{s} tags?:[s] " \
    "retry_policy?:RetryPolicyIn timeout?:d schedule_to_start_timeout?:d heartbeat_timeout?:d retention?:d version?:s dlq_after?:i"
#define WORKFLOW                                                                                                            \
    "id:s workflow_name:s status:WorkflowStatus failing?:b task_count:i released:i ended:i failed:i skipped:i unreached:i " \
    "attempt:i max_attempts:i max_running?:i deadline?:t created_at:t completed_at?:t"
#define BATCH                                                                                                            \
    "id:s name:s status:BatchStatus failing?:b open?:b total_items:i pending_items:i running_items:i completed_items:i " \
    "skipped_items:i failed_items:i cancelled_items:i attempt:i max_attempts:i chunk_size:i failure_policy:BatchPolicy " \
    "deadline?:t created_at:t completed_at?:t"

const dq_api_schema dq_api_schemas[] = {
    {"Error", "error:s code:ErrorCode details?:[any] more?:i"},
    {"State", "=pending|scheduled|running|retrying|paused|completed|dead|cancelled"},
    {"RetryPolicy", "max_attempts:i initial_delay:i max_delay:i multiplier:n jitter:n non_retryable_errors?:[s] "
                    "pause_after_err_count?:i pause_retry_delay?:i"},
    {"Delay", "@DelayText|DelayNumber"},
    {"DelayText", "d"},
    {"DelayNumber", "i"},
    {"RetryPolicyIn", "max_attempts?:i initial_delay?:Delay max_delay?:Delay multiplier?:n jitter?:n non_retryable_errors?:[s] "
                      "pause_after_err_count?:i pause_retry_delay?:Delay"},
    {"When", "type:s run_at?:t"},
    {"Attempt", "attempt:i run_id:s node_id:s started_at?:t finished_at?:t outcome:s code?:i error?:s detail?:s output?:s"},
    {"Job",
     "id:s task_type:s payload?:any payload_base64?:s payload_omitted?:b content_type?:s queue?:s version?:s priority?:i "
     "schedule_id?:s scheduled_at?:t schedule?:When retry_policy?:RetryPolicy unique_key?:s request_id?:s dlq_after?:i timeout?:d "
     "schedule_to_start_timeout?:d heartbeat_timeout?:d retention?:d tags?:[s] headers?:{s} status:State attempt:i "
     "max_attempts?:i runs:i crashes?:i last_error?:s reason?:s waiting_for?:s node_id?:s skipped?:b progress?:any "
     "result?:any result_base64?:s result_content_type?:s last_run_at?:t next_run_at?:t resume_at?:t completed_at?:t "
     "attempts?:[Attempt] created_at:t updated_at:t"},
    {"JobPage", "data:[Job] total:i total_exact?:b scanned:i next_cursor?:s"},
    {"JobSpec", "task_type:s payload?:any payload_base64?:s content_type?:s schedule?:Schedule " JOB_OPTIONS},
    {"JobSpecs", "@JobSpec|JobSpecList"},
    {"JobSpecList", "[JobSpec]"},
    {"Accepted", "id:s status?:=pending|scheduled existing?:b"},
    {"NotAccepted", "error:s code:ErrorCode existing_id?:s"},
    {"Enqueued", "@Accepted|EnqueuedList"},
    {"EnqueuedList", "[EnqueuedItem]"},
    {"EnqueuedItem", "@Accepted|NotAccepted"},
    {"JobDone", "status:s job_id:s"},
    {"Payload", "payload?:any payload_base64?:s content_type?:s"},
    {"Reschedule", "run_at?:t delay?:d"},
    {"Result", "job_id:s status:State result?:any result_base64?:s skipped?:b error?:s reason?:s"},
    {"Logs", "logs:s"},
    {"Run", "id:s job_id:s node_id:s task_type?:s queue?:s status:s attempt:i started_at?:t finished_at?:t duration?:i error?:s "
            "detail?:s output?:s progress?:any"},
    {"Runs", "[Run]"},
    {"Step", "key:s status:=begun|done run_id:s started_at:t finished_at?:t result?:any result_base64?:s"},
    {"Steps", "[Step]"},
    {"RunPage", "data:[Run] total:i total_exact?:b scanned?:i next_cursor?:s"},
    {"RunDone", "status:s run_id:s"},
    {"Progress", "run_id:s status:s progress?:any"},
    {"Progresses", "[Progress]"},
    {"Event",
     "at:t type:s timestamp:t job_id?:s run_id?:s node_id?:s task_type?:s queue?:s attempt?:i workflow_id?:s schedule_id?:s error?:s reason?:s "
     "progress?:any next_at?:t scheduled_at?:t until?:t count?:i"},
    {"Events", "[Event]"},
    {"StreamEvent",
     "type:s timestamp:t job_id?:s run_id?:s node_id?:s task_type?:s queue?:s attempt?:i workflow_id?:s schedule_id?:s error?:s reason?:s "
     "progress?:any next_at?:t scheduled_at?:t until?:t count?:i"},
    {"StreamMessage", "@StreamLive|StreamGap|StreamPosition|StreamDigest|StreamSnapshot"},
    {"StreamLive",
     "type:s timestamp:t job_id?:s run_id?:s node_id?:s task_type?:s queue?:s attempt?:i workflow_id?:s schedule_id?:s error?:s reason?:s "
     "progress?:any next_at?:t scheduled_at?:t until?:t count?:i seq?:s"},
    {"StreamGap", "type:=stream.gap from:s to:s seq:s"},
    {"StreamPosition", "type:=stream.position seq:s"},
    {"StreamDigest", "type:=stream.digest events:{i} jobs:[s] jobs_exact:b seq:s"},
    {"StreamSnapshot", "type:=stream.snapshot of:=counts|queues|nodes data?:any omitted?:b failure?:Error"},
    {"EventPage", "data:[StreamEvent] total:i total_exact:b scanned:i next_cursor?:s"},
    {"Bulk", "ids?:[s] status?:State reason?:s force?:b"},
    {"Refused", "id:s error:s code:ErrorCode"},
    {"BulkDone", "affected?:i refused?:[Refused] data?:[Job] matched?:i"},
    {"DeadGroup", "count:i task_type?:s error?:s newest:t job_id:s group?:s"},
    {"DeadGroups", "[DeadGroup]"},
    {"Queue", "name:s weight:i priorities?:[i] max_len:i retention?:d retry_policy?:RetryPolicy paused:b pending:i running:i "
              "oldest_age:d size:i unhandled:i unhandled_types?:[s]"},
    {"Queues", "[Queue]"},
    {"QueueIn", "weight?:i~ priorities?:[i]~ max_len?:i~ retention?:d~ retry_policy?:RetryPolicyIn~"},
    {"AtTime", "hour?:i minute?:i second?:i"},
    {"Schedule",
     "type:=IMMEDIATE|ONE_TIME|DURATION|CRON|DAILY|WEEKLY|MONTHLY run_at?:t interval?:d cron_expr?:s regular_interval?:i "
     "at_times?:[AtTime] included_days?:[i] starts_at?:t ends_at?:t timezone?:s jitter?:d gap?:=after|skip "
     "overlap_hour?:=first|both overlap_policy?:=ALLOW_ALL|SKIP|BUFFER_ONE|BUFFER_ALL|REPLACE misfire?:=fire|skip "
     "catchup_window?:d max_backfill_per_tick?:i max_occurrences?:i pause_on_failure?:b"},
    {"ScheduledSpec", "schedule:Schedule task_type:s payload?:any payload_base64?:s content_type?:s " JOB_OPTIONS},
    {"ScheduleEdit", "schedule?:Schedule task_type?:s payload?:any payload_base64?:s content_type?:s " JOB_OPTIONS},
    {"ScheduleMade", "id:s status:=created|changed|same|scheduled|pending"},
    {"ScheduleRecord", "what:=fired|skipped|held reason?:s at:t scheduled_at:t until?:t count?:i count_exact?:b job_id?:s"},
    {"ScheduleInfo",
     "id:s job_id:s key?:s status:=active|paused|completed reason?:s next_run_at?:t schedule:Schedule task_type:s "
     "queue:s dispatched:i skipped:i active:i buffered:i created_at:t job:Job records?:[ScheduleRecord]"},
    {"SchedulePage", "data:[ScheduleInfo] total:i total_exact?:b next_cursor?:s"},
    {"ScheduleDone", "status:s id:s"},
    {"Triggered", "status:=dispatched|not_dispatched id:s job_id?:s"},
    {"Backfilled", "id:s dispatched:i"},
    {"Preview", "data:[s] text:s"},
    {"QueueDone", "status:s queue:s affected?:i"},
    {"Affected", "affected:i"},
    {"UniqueKey", "exists:b unique_key:s job_id:s ttl_seconds?:i ttl?:i"},
    {"UniqueKeyDone", "status:s unique_key:s existed:b"},
    {"PoolStats", "running_workers:i idle_workers:i max_concurrency:i stuck_workers:i"},
    {"Node", "node_id:s task_types:[s] started_at?:t last_heartbeat?:t pool_stats:PoolStats version?:s host?:s pid?:i draining:b "
             "leader:b too_old:b"},
    {"Nodes", "[Node]"},
    {"Drain", "node_id:s draining:b"},
    {"NodeDone", "status:s node_id:s"},
    {"Counts", "pending?:i scheduled?:i running?:i retrying?:i paused?:i completed?:i dead?:i cancelled?:i"},
    {"Stats", "job_counts:Counts active_schedules:i active_runs:i active_nodes:i history_bytes:i"},
    {"Day", "date:s processed:i failed:i enqueued:i dead:i cancelled:i"},
    {"Days", "[Day]"},
    {"Percentiles", "p50:i p95:i p99:i"},
    {"SeriesRow", "at:t enqueued:i processed:i failed:i dead:i cancelled:i per_second:n failure_ratio:n wait_ms:Percentiles~ "
                  "run_ms:Percentiles~"},
    {"Series", "[SeriesRow]"},
    {"MetricStep",
     "at:t enqueued?:i processed?:i failed?:i dead?:i cancelled?:i per_second?:n failure_ratio?:n wait_p50?:i~ wait_p95?:i~ "
     "wait_p99?:i~ run_p50?:i~ run_p95?:i~ run_p99?:i~"},
    {"MetricSeries", "step:d data:[MetricStep]"},
    {"WorkflowIn",
     "name:s tasks:[any] input?:any execution_timeout?:d retry_policy?:any default_priority?:i max_running?:i on_failure?:s "
     "hooks?:any tags?:[s] retention?:d unique_key?:s unique_for?:d request_id?:s"},
    {"WorkflowDone", "status:s workflow_id:s"},
    {"WorkflowCancel", "reason?:s"},
    {"WorkflowFault", "path:s line:i column:i error:s"},
    {"WorkflowChecked", "valid:b details?:[WorkflowFault] more?:i"},
    {"WorkflowStatus", "=running|completed|failed|cancelling|cancelled|suspended"},
    {"WorkflowTask",
     "name:s status:s task_type:s queue:s job_id?:s released_at?:t finished_at?:t skipped?:b skip_reason?:s error?:s"},
    {"WorkflowTaskPage", "data:[WorkflowTask] total:i"},
    {"Workflow", WORKFLOW " reason?:s input?:any truncated?:b tasks:{WorkflowTask}"},
    {"WorkflowHead", WORKFLOW},
    {"WorkflowPage", "data:[WorkflowHead] next_cursor?:s"},
    {"WorkflowNode", "name:s status:s layer:i order:i job_id?:s"},
    {"WorkflowEdge", "[i]"},
    {"WorkflowGraph", WORKFLOW " nodes:[WorkflowNode] edges:[WorkflowEdge]"},
    {"BatchStatus", "=running|completed|failed|cancelling|cancelled|loading"},
    {"BatchPolicy", "=continue_on_error|fail_fast"},
    {"BatchIn", "name:s item_task_type:s items?:[BatchItemIn] item_options?:any item_retry_policy?:RetryPolicyIn chunk_size?:i "
                "failure_policy?:BatchPolicy onetime_task_type?:s onetime_payload?:any execution_timeout?:d retry_policy?:any "
                "default_priority?:i open?:b tags?:[s] retention?:d unique_key?:s request_id?:s"},
    {"BatchItemIn", "id?:s payload?:any payload_base64?:s"},
    {"BatchItemsIn", "[BatchItemIn]"},
    {"BatchDone", "status:s batch_id:s"},
    {"BatchAdded", "batch_id:s total_items:i"},
    {"BatchCancel", "reason?:s"},
    {"BatchRetry", "retry_failed_only?:b"},
    {"BatchHead", BATCH},
    {"BatchOnce", "status:=pending|running|completed|failed job_id?:s result_data?:any error?:s"},
    {"Batch", BATCH " reason?:s onetime_state?:BatchOnce definition?:any"},
    {"BatchPage", "data:[BatchHead] next_cursor?:s"},
    {"BatchItemStatus", "=pending|running|completed|skipped|failed|cancelled"},
    {"BatchItem", "number:i item_id:s status:BatchItemStatus job_id?:s error?:s"},
    {"BatchItemPage", "data:[BatchItem] total:i next_offset?:i"},
    {"BatchItemResult", "batch_id:s number:i item_id:s success:b skipped?:b output?:any output_base64?:s error?:s"},
    {"BatchResultPage", "data:[BatchItemResult] total:i next_offset?:i"},
    {"AuditEntry", "at:t actor:s action:s target:s detail:s"},
    {"Audit", "[AuditEntry]"},
    {"Ids", "ids:[s]"},
    {"AuditCounts", "{i}"},
    {"RedisNode", "addr:s role:s sections:{RedisSection}"},
    {"RedisSection", "{s}"},
    {"Redis", "mode:=standalone|cluster nodes:[RedisNode]"},
    {"Health", "status:s server:s"},
    {"Alive", "status:s"},
    {"Version", "version:s api:i features:[s]"},
    {"DoctorFault", "kind:s key:s id?:s text:s repairable:b"},
    {"Doctor", "faults:[DoctorFault] found:i unsettled:i"},
    {"Failing", "task_type:s count:i newest:t job_id:s"},
    {"Overview", "sentence:s level:=good|watch|bad counts:Counts nodes:i pulse:[SeriesRow] queues:[Queue] failing:[Failing] "
                 "changes:[AuditEntry]"},
    {"Role", "=viewer|operator|admin"},
    {"TokenIn", "name:s role:Role expires_in?:d payload?:b queues?:[s] task_types?:[s]"},
    {"Token", "id:s name:s role:Role payload:b queues?:[s] task_types?:[s] created_at:t expires_at?:t"},
    {"Tokens", "[Token]"},
    {"TokenMade", "id:s name:s role:Role payload:b queues?:[s] task_types?:[s] created_at:t expires_at?:t token:s"},
    {"TokenDone", "status:s id:s"},
    {"SignIn", "token:s"},
    {"Me", "name:s role:Role payload:b by:=connection|token|session|proxy queues?:[s] task_types?:[s] expires_at?:t"},
    {"SignedOut", "status:s"},
    {"OperationFilter",
     "type?:s task_type?:s queue?:s tag?:s text?:s search?:s unique_key?:s since?:t until?:t status?:s group?:s"},
    {"OperationIn", "action:=cancel|retry|redrive|delete|run|pause|resume filter?:OperationFilter dry_run?:b as_of?:t matched?:i "
                    "reason?:s force?:b"},
    {"OperationPreview", "action:s filter:OperationFilter as_of:t data:[Job] matched:i matched_exact:b"},
    {"Operation",
     "id:s action:s filter:OperationFilter queues?:[s] task_types?:[s] status:=running|stopping|stopped|completed|failed actor:s reason?:s "
     "force?:b as_of:t created_at:t updated_at:t completed_at?:t matched?:i affected_before?:i affected:i refused:i looked_at:i "
     "stopped_because?:s error?:s"},
    {"OperationPage", "data:[Operation] next_cursor?:s"},
    {"OperationStop", "reason?:s"},
    {"SyncRetry", "description:s failed_at:t retries:i"},
    {"SyncRetries", "pending:i failed:i recent:[SyncRetry]"},
    {"Metrics", "s"},
    {"Any", "any"},
    {NULL, NULL},
};
