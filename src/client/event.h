/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Events: what the entries of a shard's event stream `ev` say (docs/redis-keys.md "Events"), one by one, and as JSON. Pure.

   One entry tells what one step did to many jobs, and stands for many events, in an order that is always the same: a resume token counts them. */

#include "base/buf.h"
#include "json/json.h"
#include "model/id.h"
#include "model/scope.h"

/* X(name, text, what it says): the table of docs/api.md. At most 64: a set of types is the bits of a number. */
#define DQ_EVENTS(X)                                                                                       \
    X(JOB_ENQUEUED, "job.enqueued", "accepted, to run now")                                                \
    X(JOB_SCHEDULED, "job.scheduled", "accepted, for later")                                               \
    X(JOB_DISPATCHED, "job.dispatched", "a delay or the wait for a retry is over, or it was run by hand")  \
    X(JOB_STARTED, "job.started", "a handler began")                                                       \
    X(JOB_PROGRESS, "job.progress", "its handler reported progress")                                       \
    X(JOB_COMPLETED, "job.completed", "it ended well, or was skipped by its handler")                      \
    X(JOB_FAILED, "job.failed", "an attempt failed; what follows from it comes next")                      \
    X(JOB_RETRYING, "job.retrying", "it will run again after a failure, or was started again by hand")     \
    X(JOB_RATE_LIMITED, "job.rate_limited", "its handler was told to wait; no attempt is spent")           \
    X(JOB_REPEATED, "job.repeated", "its handler asked for another run")                                   \
    X(JOB_PAUSED, "job.paused", "by its handler, after failures, or by hand")                              \
    X(JOB_RESUMED, "job.resumed", "its pause is over")                                                     \
    X(JOB_RESCHEDULED, "job.rescheduled", "put off or brought forward by hand")                            \
    X(JOB_UPDATED, "job.updated", "it got another payload")                                                \
    X(JOB_RETURNED, "job.returned", "its node gave it back; no attempt is spent")                          \
    X(JOB_AUTO_RECOVERED, "job.auto_recovered", "it was taken from a node whose lease was over")           \
    X(JOB_TOO_LATE, "job.schedule_to_start_timeout", "it waited too long for its start; job.dead follows") \
    X(JOB_DEAD, "job.dead", "it has failed for good")                                                      \
    X(JOB_CANCELLED, "job.cancelled", "it was cancelled")                                                  \
    X(JOB_PURGED, "job.purged", "it was dropped with its queue's jobs")                                    \
    X(NODE_JOINED, "node.joined", "a node opened its session in a shard")                                  \
    X(NODE_LEFT, "node.left", "a node closed it")                                                          \
    X(NODE_CRASHED, "node.crash_detected", "the lease of its session was over")                            \
    X(LEADER_ELECTED, "leader.elected", "a node leads a shard")                                            \
    X(LEADER_LOST, "leader.lost", "another node leads in its place")                                       \
    X(QUEUE_PAUSED, "queue.paused", "nothing of it starts")                                                \
    X(QUEUE_RESUMED, "queue.resumed", "it goes on")                                                        \
    X(QUEUE_CHANGED, "queue.changed", "made, or its settings were changed")                                \
    X(QUEUE_DELETED, "queue.deleted", "it is gone")                                                        \
    X(SCHEDULE_FIRED, "schedule.fired", "an occurrence was dispatched")                                    \
    X(SCHEDULE_SKIPPED, "schedule.skipped", "an occurrence was left out")                                  \
    X(SCHEDULE_HELD, "schedule.held", "its queue is full or gone; it is tried again each second")          \
    X(SCHEDULE_CREATED, "schedule.created", "it was made")                                                 \
    X(SCHEDULE_UPDATED, "schedule.updated", "it was changed")                                              \
    X(SCHEDULE_PAUSED, "schedule.paused", "by hand, or because an occurrence is dead")                     \
    X(SCHEDULE_RESUMED, "schedule.resumed", "it goes on")                                                  \
    X(SCHEDULE_COMPLETED, "schedule.completed", "nothing more comes round")                                \
    X(SCHEDULE_REMOVED, "schedule.removed", "it was deleted, or is no longer listed")                      \
    X(WORKFLOW_STARTED, "workflow.started", "it began")                                                    \
    X(WORKFLOW_COMPLETED, "workflow.completed", "all of its tasks ended well enough")                      \
    X(WORKFLOW_FAILED, "workflow.failed", "a task that it needs failed")                                   \
    X(WORKFLOW_CANCELLED, "workflow.cancelled", "it was cancelled, and nothing of it runs")                \
    X(WORKFLOW_SUSPENDED, "workflow.suspended", "nothing of it starts until it is resumed")                \
    X(WORKFLOW_RESUMED, "workflow.resumed", "it goes on")                                                  \
    X(TASK_DISPATCHED, "workflow.task.dispatched", "a task became a job")                                  \
    X(TASK_COMPLETED, "workflow.task.completed", "its job ended well")                                     \
    X(TASK_FAILED, "workflow.task.failed", "its job died or was cancelled")

typedef enum dq_event_type {
#define X(name, text, says) DQ_EVENT_##name,
    DQ_EVENTS(X)
#undef X
        DQ_EVENT_N_TYPES
} dq_event_type;

const char *dq_event_text(dq_event_type t);
const char *dq_event_says(dq_event_type t);

/* An entry as the stream has it: field `e`, and `x`, what was added since (empty in those of older nodes). */
typedef struct dq_event_entry {
    unsigned shard;
    uint64_t ms, seq;
    dureq_str e, x;
} dq_event_entry;

/* Views into the entry; what is not known is zero or empty. */
typedef struct dq_event {
    dq_event_type type;
    int64_t at_ms;
    bool has_job;
    dq_id job;
    uint32_t run, attempt;
    uint64_t session;                    /* of the node */
    dureq_str node;                      /* its id, where the entry has it */
    dureq_str queue;                     /* of a queue's event */
    dureq_str error, reason, progress;   /* progress: JSON */
    dureq_str workflow, schedule;        /* packed ids */
    int64_t next_at_ms;                  /* when it is tried again */
    int64_t first_s, last_s, n_occurred; /* of a schedule: occurrences */
    const char *schedule_reason;
} dq_event;

#define DQ_EVENT_WAS_STARTED 1 /* flags of an outcome in `x`: its start was told before */
#define DQ_EVENT_IS_SPENT    2 /* an attempt failed */

/* Calls fn for each event that the entry stands for. What cannot be read stands for none. */
typedef void (*dq_event_fn)(const dq_event *e, void *userdata);
void dq_event_each(const dq_event_entry *entry, dq_event_fn fn, void *userdata);

/* Names that are not in the entry; empty: not known. */
typedef struct dq_event_names {
    dureq_str queue, task_type, node;
} dq_event_names;
/* Where in the text stands what only those may see who may see payloads: bytes that can be left out. */
typedef struct dq_event_secret {
    size_t at, len;
} dq_event_secret;
/* One object without its closing brace: a member may be added. */
void dq_event_write(const dq_event *e, const dq_event_names *names, dq_buf *out, dq_event_secret *ret);

/* Which events somebody wants. */
typedef struct dq_event_filter {
    uint64_t types;
    bool has_job;
    dq_id job; /* or a schedule, whose id has the same form */
    dureq_str queue, task_type /* may end in '*' */, workflow /* packed; 13 bytes */;
    const dq_scope *
        scope; /* NULL: no limit. What an event says of a job fits by that job, what it says of a queue by the queue; others do not fit a limit */
} dq_event_filter;
/* "job.*,workflow.completed"; NULL or empty: all. DUREQ_EINVAL with what there is. */
int dq_event_types(const char *text, uint64_t *ret, dureq_error *err);
bool dq_event_fits(const dq_event_filter *f, const dq_event *e, const dq_event_names *names);
