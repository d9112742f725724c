/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUREQ_WORKFLOW_H
#define DUREQ_WORKFLOW_H

/* Workflows: graphs of tasks, each of which is a job that starts when the tasks it depends on have ended (docs/workflows.md).

   Example: two tasks, one after the other.

       int run_two(dureq_client *client, dureq_error *err)
       {
           static const char definition[] = "{\"name\": \"two\", \"tasks\": [{\"name\": \"a\", \"task_type\": \"first\"},"
                                            "{\"name\": \"b\", \"task_type\": \"second\", \"depends_on\": [\"a\"]}]}";
           dureq_workflow *workflow;
           dureq_job_id id;
           int rc;

           rc = dureq_client_start_workflow(client, dureq_str_from(definition), &id, err);
           if (rc == 0)
               rc = dureq_client_wait_workflow(client, id.text, 60000, &workflow, err);
           if (rc < 0)
               return rc;
           printf("%s\n", dureq_workflow_status_to_str(workflow->status));
           dureq_workflow_destroy(workflow);
           return 0;
       }
*/

#include <dureq/client.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(number, NAME, text) */
#define DUREQ_WORKFLOW_STATUS_MAP(X)                                             \
    X(1, RUNNING, "running")                                                     \
    X(2, COMPLETED, "completed") /* no task failed for good */                   \
    X(3, FAILED, "failed")                                                       \
    X(4, CANCELLING, "cancelling") /* nothing starts, what runs is being told */ \
    X(5, CANCELLED, "cancelled")                                                 \
    X(6, SUSPENDED, "suspended") /* nothing starts; what ran when it was suspended goes on */

typedef enum dureq_workflow_status {
#define X(num, name, text) DUREQ_WORKFLOW_##name = num,
    DUREQ_WORKFLOW_STATUS_MAP(X)
#undef X
} dureq_workflow_status;

#define DUREQ_WORKFLOW_TASK_STATE_MAP(X)                                                  \
    X(0, WAITING, "waiting")   /* for tasks it depends on */                              \
    X(1, RELEASED, "released") /* its job is there */                                     \
    X(2, COMPLETED, "completed")                                                          \
    X(3, SKIPPED, "skipped")     /* by its handler, or as run_if any_failed found none */ \
    X(4, FAILED, "failed")       /* its job is dead */                                    \
    X(5, CANCELLED, "cancelled") /* its job was */                                        \
    X(6, UNREACHED, "unreached") /* the workflow failed before it */

typedef enum dureq_workflow_task_state {
#define X(num, name, text) DUREQ_WORKFLOW_TASK_##name = num,
    DUREQ_WORKFLOW_TASK_STATE_MAP(X)
#undef X
} dureq_workflow_task_state;

/* Words are static texts, "unknown" for a number of no meaning; parsing fails with DUREQ_EINVAL for an unknown word. */
DUREQ_API const char *dureq_workflow_status_to_str(dureq_workflow_status status);
DUREQ_API int dureq_workflow_status_parse(dureq_str text, dureq_workflow_status *ret);
DUREQ_API const char *dureq_workflow_task_state_to_str(dureq_workflow_task_state state);

typedef struct dureq_workflow_task {
    dureq_str name, task_type, queue;
    dureq_workflow_task_state state;
    dureq_job_id job_id;                 /* text "": it has none */
    int32_t job_state;                   /* of a released one: dureq_job_state; -1: not looked at */
    int64_t released_at_ms, ended_at_ms; /* 0: not yet */
    dureq_str error;                     /* why it failed */
    bool allow_failure;
    uint32_t n_depends_on;
    const uint32_t *dependents; /* numbers of tasks, in the order of the definition from 0 */
    size_t n_dependents;
} dureq_workflow_task;

/* Views are into the workflow. */
typedef struct dureq_workflow {
    dureq_job_id id;
    dureq_str name;
    dureq_workflow_status status;
    bool failing; /* a task failed for good: what is running ends, and only what runs in spite of that is started */
    int64_t created_at_ms, finished_at_ms; /* finished 0: it has not */
    uint32_t n_tasks, n_active, n_ended, n_failed, n_skipped,
        n_unreached;            /* failed: cancelled ones, too; ended: all that will not run any more */
    dureq_str input;            /* JSON; empty: none */
    dureq_str reason;           /* why it was cancelled */
    uint32_t first;             /* number of tasks[0] */
    dureq_workflow_task *tasks; /* a page of them */
    size_t n;
    bool no_dependents; /* of these tasks: they are too many for one answer */
    uint32_t attempt, max_attempts;
    uint32_t max_running; /* of its tasks at a time; 0: any number */
    int64_t deadline_ms;  /* 0: none */
    void *owner;          /* private */
} dureq_workflow;

typedef struct dureq_workflow_list {
    dureq_workflow *items; /* without tasks, input and reason */
    size_t n;
    char next_cursor[24]; /* "" when there are no more */
    void *owner;          /* private */
} dureq_workflow_list;

DUREQ_API void dureq_workflow_destroy(dureq_workflow *workflow); /* any thread; NULL is fine */
DUREQ_API void dureq_workflow_list_destroy(dureq_workflow_list *list);

/* Start a workflow: definition is JSON, as docs/workflows.md has it, at most 64 MiB. It is on the server when the call returns, and its first tasks are
   in their queues. DUREQ_EINVAL: err tells the first fault, with its place; DUREQ_EUNSUPPORTED: a field of it is not supported yet, by name;
   DUREQ_ECONFLICT: nodes of an older version are alive, which err names; DUREQ_EDUPLICATE: its unique key is held, *ret says by whom. A call
   with the request_id of an earlier one answers with that one's workflow. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_start_workflow(dureq_client *client, dureq_str definition, dureq_job_id *ret,
                                                           dureq_error *err);

/* A workflow with its tasks from number `first` on, at most 1,000 (limit; 0: none). DUREQ_ENOTFOUND. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_get_workflow(dureq_client *client, const char *id, uint32_t first, uint32_t limit,
                                                         dureq_workflow **ret, dureq_error *err);
/* Wait for its end, as dureq_client_wait does for a job's; then the same as get_workflow with the first 1,000 tasks. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_wait_workflow(dureq_client *client, const char *id, int64_t timeout_ms,
                                                          dureq_workflow **ret, dureq_error *err);
/* When it returns no task starts any more, and those that run were told to stop. reason may be NULL. DUREQ_ENOTFOUND; DUREQ_ECONFLICT: it has ended. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_cancel_workflow(dureq_client *client, const char *id, const char *reason,
                                                            dureq_error *err);

/* One that failed or was cancelled goes on from where it failed: what completed stays, the rest begins again. DUREQ_ENOTFOUND; DUREQ_ECONFLICT: it
   runs, or completed. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_retry_workflow(dureq_client *client, const char *id, dureq_error *err);

/* When it returns no task starts any more until the workflow is resumed; those that run go on, and what they give is kept. Its execution_timeout runs on, and
   it can be cancelled. Suspending a suspended one changes nothing. DUREQ_ENOTFOUND; DUREQ_ECONFLICT: it has ended or is being cancelled, or nodes of an older
   version are alive, which err names. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_suspend_workflow(dureq_client *client, const char *id, dureq_error *err);
/* What became ready meanwhile starts. DUREQ_ENOTFOUND; DUREQ_ECONFLICT: it is not suspended. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_resume_workflow(dureq_client *client, const char *id, dureq_error *err);

typedef struct dureq_workflow_filter {
    size_t struct_size;
    const dureq_workflow_status *statuses; /* NULL: any */
    size_t n_statuses;
    int32_t limit;      /* 1 to 1000; 0 = 10 */
    const char *cursor; /* next_cursor of the page before; NULL: first page */
} dureq_workflow_filter;

static inline dureq_workflow_filter dureq_workflow_filter_init(void)
{
    dureq_workflow_filter f;
    memset(&f, 0, sizeof f);
    f.struct_size = sizeof f;
    return f;
}

/* Newest first. filter may be NULL. A page may be short, even empty, and still have a next_cursor. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_list_workflows(dureq_client *client, const dureq_workflow_filter *filter,
                                                           dureq_workflow_list **ret, dureq_error *err);

#ifdef __cplusplus
}
#endif
#endif
