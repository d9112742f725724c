/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUREQ_BUILD_H
#define DUREQ_BUILD_H

/* Workflows and batches put together in C, without JSON by hand. The JSON form (<dureq/workflow.h>, <dureq/batch.h>) stays beside: a builder makes it, and
   what is checked is the same.

   A builder is plain memory: one thread at a time. What it is given is copied. Its calls do not fail: what is wrong is told when it starts, all of it at
   once, by task and field.

   Example: two parts at a time, then a merge that gets what both gave.

       int start_report(dureq_client *client, dureq_job_id *ret, dureq_error *err)
       {
           dureq_job_spec left = {"count", dureq_str_from("\"left.txt\""), NULL};
           dureq_job_spec right = {"count", dureq_str_from("\"right.txt\""), NULL};
           dureq_job_spec merge = {"merge", {NULL, 0}, NULL};
           dureq_workflow_builder *b = dureq_workflow_builder_create("report");
           int rc;

           dureq_workflow_builder_add(b, "left", &left, NULL);
           dureq_workflow_builder_add(b, "right", &right, NULL);
           dureq_workflow_builder_add(b, "merge", &merge, NULL);
           dureq_workflow_builder_pipe(b, "merge", "left");
           dureq_workflow_builder_pipe(b, "merge", "right");
           rc = dureq_workflow_builder_start(b, client, ret, err);
           if (rc == DUREQ_EINVAL)
               fputs(dureq_workflow_builder_faults(b), stderr);
           dureq_workflow_builder_destroy(b);
           return rc;
       }
*/

#include <dureq/batch.h>
#include <dureq/workflow.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- workflows ---- */

typedef enum dureq_workflow_run_if {
    DUREQ_WORKFLOW_ALL_SUCCESS = 0, /* what it depends on completed; skipped tasks and allowed failures count as that */
    DUREQ_WORKFLOW_ALL_DONE = 1,    /* it ended, however */
    DUREQ_WORKFLOW_ANY_FAILED = 2   /* some of it failed; else the task is skipped */
} dureq_workflow_run_if;

typedef struct dureq_workflow_task_options {
    size_t struct_size;
    dureq_workflow_run_if run_if;
    bool allow_failure; /* what depends on it runs though it failed */
    int32_t priority;   /* among tasks that become ready at the same time: higher first */
} dureq_workflow_task_options;

static inline dureq_workflow_task_options dureq_workflow_task_options_init(void)
{
    dureq_workflow_task_options o;
    memset(&o, 0, sizeof o);
    o.struct_size = sizeof o;
    return o;
}

typedef struct dureq_workflow_options {
    size_t struct_size;
    dureq_str input;              /* JSON; empty: none */
    int64_t execution_timeout_ms; /* the whole is failed after this; 0: never */
    int32_t max_attempts;         /* how often the whole may start by itself; 0 = once */
    int32_t default_priority;     /* 1 to 10: picks the queue of tasks whose job names none; 0 = 5 */
    bool cancels_on_failure;      /* what was released already is cancelled when a task fails for good; else it ends */
    const char *const *tags;
    size_t n_tags;
    dureq_str unique_key, request_id; /* as of a job; empty: none */
    int64_t retention_ms;             /* after its end; 0 = 7 days */
} dureq_workflow_options;

static inline dureq_workflow_options dureq_workflow_options_init(void)
{
    dureq_workflow_options o;
    memset(&o, 0, sizeof o);
    o.struct_size = sizeof o;
    return o;
}

typedef struct dureq_workflow_builder dureq_workflow_builder;

/* NULL when out of memory, which every call below takes: start says so then. */
DUREQ_API dureq_workflow_builder *dureq_workflow_builder_create(const char *name);
DUREQ_API void dureq_workflow_builder_destroy(dureq_workflow_builder *builder); /* NULL is fine */

DUREQ_API void dureq_workflow_builder_set(dureq_workflow_builder *builder, const dureq_workflow_options *options);
/* A task. Its job's options but priority (name a queue, or set default_priority), unique_key and request_id, which are the workflow's; options NULL: all
   defaults. */
DUREQ_API void dureq_workflow_builder_add(dureq_workflow_builder *builder, const char *task, const dureq_job_spec *job,
                                          const dureq_workflow_task_options *options);
/* `task` starts when `on` has ended. Both must be there by the start; one that is said twice counts once. */
DUREQ_API void dureq_workflow_builder_depend(dureq_workflow_builder *builder, const char *task, const char *on);
/* The same, and `task` gets what `from` gave: its payload becomes {"upstream": result, "original": payload}, and where there are several
   {"upstream": {name: result}, "original": payload}. */
DUREQ_API void dureq_workflow_builder_pipe(dureq_workflow_builder *builder, const char *task, const char *from);

/* As dureq_client_start_workflow; DUREQ_EINVAL: err tells the first fault and how many more there are, dureq_workflow_builder_faults all. A builder may start any
   number of workflows. */
DUREQ_API DUREQ_MUST_CHECK int dureq_workflow_builder_start(dureq_workflow_builder *builder, dureq_client *client,
                                                            dureq_job_id *ret, dureq_error *err);
/* What was wrong with the last start, a line each: "task 'merge': depends_on[0]: ..."; "" when nothing was. Lent until the next call. */
DUREQ_API const char *dureq_workflow_builder_faults(const dureq_workflow_builder *builder);
/* The definition as JSON, NUL-ended, freed with dureq_free; it is not checked. *ret_len may be NULL. DUREQ_ENOMEM. */
DUREQ_API DUREQ_MUST_CHECK int dureq_workflow_builder_definition(const dureq_workflow_builder *builder, char **ret,
                                                                 size_t *ret_len, dureq_error *err);

/* ---- batches ---- */

/* Example: a hundred items, ten at a time.

       int start_squares(dureq_client *client, dureq_job_id *ret, dureq_error *err)
       {
           dureq_batch_spec spec = dureq_batch_spec_init();
           dureq_batch_item items[100];
           char texts[100][8];
           int i;

           for (i = 0; i < 100; i++) {
               snprintf(texts[i], sizeof texts[i], "%d", i);
               memset(&items[i], 0, sizeof items[i]);
               items[i].payload = dureq_str_from(texts[i]);
               items[i].is_json = true;
           }
           spec.name = "squares";
           spec.item_task_type = "square";
           spec.chunk_size = 10;
           spec.items = items;
           spec.n_items = 100;
           return dureq_client_start_batch_spec(client, &spec, ret, err);
       }
*/
typedef struct dureq_batch_spec {
    size_t struct_size;
    const char *name, *item_task_type;     /* required */
    const dureq_job_options *item_options; /* of each item's job, but unique_key, request_id and times; NULL: all defaults */
    int32_t chunk_size;                    /* items in flight at most; 0 = 100 */
    bool fails_fast;                       /* the first item that fails ends the batch; else the others go on */
    int32_t max_attempts;                  /* how often the whole may start by itself; 0 = once */
    int64_t execution_timeout_ms;          /* the whole is failed after this; 0: never */
    const char *onetime_task_type;         /* runs before the items, each of which gets what it gave; NULL: none */
    dureq_str onetime_payload;             /* JSON */
    bool open;                             /* items may come while it runs; it ends after dureq_client_seal_batch */
    const char *const *tags;
    size_t n_tags;
    dureq_str unique_key, request_id; /* as of a job; empty: none */
    int64_t retention_ms;             /* after its end; 0 = 7 days */
    const dureq_batch_item *items;    /* may be added later: dureq_client_open_batch_spec */
    size_t n_items;
} dureq_batch_spec;

static inline dureq_batch_spec dureq_batch_spec_init(void)
{
    dureq_batch_spec s;
    memset(&s, 0, sizeof s);
    s.struct_size = sizeof s;
    return s;
}

/* As dureq_client_start_batch and dureq_client_open_batch. DUREQ_EINVAL: err names the field, or the item by its number. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_start_batch_spec(dureq_client *client, const dureq_batch_spec *spec,
                                                             dureq_job_id *ret, dureq_error *err);
DUREQ_API DUREQ_MUST_CHECK int dureq_client_open_batch_spec(dureq_client *client, const dureq_batch_spec *spec, dureq_job_id *ret,
                                                            dureq_error *err);

#ifdef __cplusplus
}
#endif
#endif
