/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters of queries: one name means the same everywhere, or has a row for the path where it does not. */
#include "api/describe.h"
#include "client/series.h"

#define ITEM_STATES "pending running completed skipped failed cancelled"
#define METRICS \
    "enqueued processed failed dead cancelled per_second failure_ratio wait_p50 wait_p95 wait_p99 run_p50 run_p95 run_p99"
#define STATES "pending scheduled running retrying paused completed dead cancelled"

static const dq_api_param params[] = {
    {"at", DQ_API_NUMBER, .min = 0, .max = 100000000,
     .text = "Number of the first of these items; whatever comes next when absent."},
    {"by", DQ_API_WORD, .words = "minute hour day", .text = "How long a row is; minute when absent.",
     .only = "/api/stats/series"},
    {"by", DQ_API_WORD, .words = "error type", .text = "What a group has in common; error when absent.",
     .only = "/api/dlq/groups"},
    {"coalesce", DQ_API_DURATION,
     .text =
         "What comes within this time of what came before comes together, without progress that is out of date; 20ms to 10s."},
    {"cursor", DQ_API_TEXT, .text = "Where to go on: next_cursor of the page before."},
    {"days", DQ_API_NUMBER, .min = 1, .max = 90, .text = "How many days, today included; 7 when absent."},
    {"digest", DQ_API_BOOL, .text = "What comes together is one message: how many events of each type, and of which jobs."},
    {"dry_run", DQ_API_BOOL, .text = "Do nothing; say how many fit, and the first of them."},
    {"format", DQ_API_WORD, .words = "sse ndjson", .text = "Server-sent events, or a line of JSON each; sse when absent."},
    {"force", DQ_API_BOOL, .text = "Also what would be refused to be on the safe side."},
    {"from", DQ_API_TIME, .text = "From this time on; 60 steps before to when absent.", .only = "/api/metrics/series"},
    {"from", DQ_API_TIME, .text = "From this time on."},
    {"job", DQ_API_TEXT, .text = "Of this job, or schedule."},
    {"job_id", DQ_API_TEXT, .text = "Of this job."},
    {"key", DQ_API_TEXT, .text = "Of this key."},
    {"limit", DQ_API_NUMBER, .min = 1, .max = 1000, .text = "How many at most."},
    {"metric", DQ_API_WORDS, .words = METRICS, .text = "Which figures; all when absent."},
    {"n", DQ_API_NUMBER, .min = 1, .max = DQ_SERIES_MAX, .text = "How many rows, the present one included."},
    {"n", DQ_API_NUMBER, .min = 1, .max = 1000, .text = "How many times; 10 when absent.", .only = "/api/schedules/preview"},
    {"n", DQ_API_NUMBER, .min = 1, .max = 1000, .text = "How many times; 10 when absent.", .only = "/api/schedules/{id}/preview"},
    {"node_id", DQ_API_TEXT, .text = "Of this node."},
    {"offset", DQ_API_NUMBER, .min = 0, .max = 100000, .text = "From which task on.", .only = "/api/workflows/{id}/tasks"},
    {"offset", DQ_API_NUMBER, .min = 0, .max = 100000000, .text = "From the item of this number on.",
     .only = "/api/batches/{id}/items"},
    {"offset", DQ_API_NUMBER, .min = 0, .max = 100000000, .text = "From the item of this number on.",
     .only = "/api/batches/{id}/results"},
    {"offset", DQ_API_NUMBER, .min = 0, .max = 10000, .text = "How many to leave out; a cursor is better."},
    {"payload", DQ_API_BOOL, .text = "Large payloads, too."},
    {"policy", DQ_API_WORD, .words = "ALLOW_ALL SKIP BUFFER_ONE BUFFER_ALL REPLACE",
     .text = "While another is active; the schedule's own when absent."},
    {"queue", DQ_API_TEXT, .text = "Of this queue."},
    {"reason", DQ_API_TEXT, .text = "Why, for the job and the audit."},
    {"seal", DQ_API_BOOL, .text = "No more items come, so that it runs; yes when absent."},
    {"search", DQ_API_TEXT, .text = "The same as text."},
    {"section", DQ_API_TEXT, .text = "A section of INFO such as memory; all when absent."},
    {"since", DQ_API_TIME, .text = "Started at this time or later.", .only = "/api/history/runs"},
    {"since", DQ_API_TEXT, .text = "After the event that had this as seq.", .only = "/api/events"},
    {"since", DQ_API_TEXT, .text = "After the message that had this as seq.", .only = "/api/ws"},
    {"since", DQ_API_TIME, .text = "At this time or later.", .only = "/api/history/events"},
    {"since", DQ_API_TIME, .text = "Created at this time or later."},
    {"snapshot", DQ_API_WORDS, .words = "counts queues nodes", .text = "What is told as a whole, at most once a second."},
    {"sort", DQ_API_WORD, .words = "newest oldest", .text = "Which come first; newest when absent."},
    {"status", DQ_API_WORD, .words = "running completed failed cancelling cancelled", .text = "With this status.",
     .only = "/api/workflows"},
    {"status", DQ_API_WORD, .words = "succeeded failed timed_out cancelled", .text = "That ended so.",
     .only = "/api/history/runs"},
    {"status", DQ_API_WORD, .words = "running completed failed cancelling cancelled loading", .text = "With this status.",
     .only = "/api/batches"},
    {"status", DQ_API_WORD, .words = ITEM_STATES, .text = "In this state.", .only = "/api/batches/{id}/items"},
    {"status", DQ_API_WORD, .words = ITEM_STATES, .text = "In this state.", .only = "/api/batches/{id}/results"},
    {"status", DQ_API_WORDS, .words = STATES, .text = "In one of these states."},
    {"step", DQ_API_DURATION,
     .text = "How long a step is, in whole minutes; a minute when absent. At most 1440 minutes, hours or days are read."},
    {"tag", DQ_API_TEXT, .text = "With this tag."},
    {"target", DQ_API_TEXT, .text = "What was acted on: the id of a job, the name of a queue."},
    {"task_type", DQ_API_TEXT, .text = "The same as type."},
    {"text", DQ_API_TEXT, .text = "With this in id, type, tag, error or payload; case is ignored."},
    {"to", DQ_API_TIME, .text = "Up to this time; now when absent.", .only = "/api/metrics/series"},
    {"to", DQ_API_TIME, .text = "Up to this time."},
    {"types", DQ_API_TEXT, .text = "Types of events, with commas between; one may end in *."},
    {"type", DQ_API_TEXT, .text = "Of this task type; it may end in * for all that begin so."},
    {"unique_key", DQ_API_TEXT, .text = "With this unique key."},
    {"until", DQ_API_TIME, .text = "Started before this time.", .only = "/api/history/runs"},
    {"until", DQ_API_TIME, .text = "Before this time.", .only = "/api/history/events"},
    {"until", DQ_API_TIME, .text = "Created before this time."},
    {"workflow", DQ_API_TEXT, .text = "Of this workflow and its tasks."},
    {"wait", DQ_API_DURATION, .text = "How long to wait for the end."},
};

const dq_api_param *dq_api_param_of(const char *pattern, dureq_str name)
{
    const dq_api_param *any = NULL;

    for (size_t i = 0; i < DQ_ARRAY_LEN(params); i++) {
        const dq_api_param *p = &params[i];

        if (!dq_str_eq_text(name, p->name))
            continue;
        if (p->only && strcmp(p->only, pattern) == 0)
            return p;
        if (!p->only)
            any = p;
    }
    return any;
}
