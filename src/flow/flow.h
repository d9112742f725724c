/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Workflow definitions: read from JSON, checked as a whole, brought into the form that a start needs. Pure: no clock, no Redis.

   The JSON names are those of the Go version of dureq (docs/workflows.md lists them). What that version let pass and could not run is a
   fault here. Every fault of a definition is found in one reading, each with its place. */

#include <dureq/job.h>

#include "base/arena.h"
#include "json/json.h"

#define DQ_FLOW_TASKS_MAX     100000
#define DQ_FLOW_EDGES_MAX     1000000
#define DQ_FLOW_TEXT_MAX      (64 * 1024 * 1024) /* of a definition with its payloads */
#define DQ_FLOW_FAULTS_MAX    1000               /* listed; more are counted */
#define DQ_FLOW_TASK_NAME_MAX 128
#define DQ_FLOW_NO_TASK       UINT32_MAX

/* ---- faults ---- */

typedef struct dq_flow_fault {
    uint32_t at;           /* offset in the text of the definition, and the same as line and column, from 1 */
    uint32_t line, column; /* columns count bytes */
    const char *path;      /* such as "tasks[3].depends_on[0]"; "": the definition */
    const char *text;      /* one sentence */
} dq_flow_fault;

typedef struct dq_flow_faults {
    dq_arena arena;
    dq_flow_fault *items; /* in the order of the text */
    size_t n, cap;
    size_t n_more; /* beyond DQ_FLOW_FAULTS_MAX */
    bool failed;   /* out of memory */
} dq_flow_faults;

void dq_flow_faults_deinit(dq_flow_faults *f);
/* For who looks for them: path and text are formatted; `at` is where they are found again. */
void dq_flow_fault_add(dq_flow_faults *f, uint32_t at, const char *path, const char *fmt, ...) DUREQ_PRINTF(4, 5);
/* Sorts and finds lines and columns. 0, or DUREQ_ENOMEM. */
int dq_flow_faults_finish(dq_flow_faults *f, dureq_str text);

/* ---- a definition ---- */

typedef enum dq_flow_run_if {
    DQ_FLOW_ALL_SUCCESS, /* skipped tasks and allowed failures count as success */
    DQ_FLOW_ALL_DONE,
    DQ_FLOW_ANY_FAILED,
} dq_flow_run_if;

/* A value in an upstream task's output that must be as expected; else the task is skipped. */
typedef struct dq_flow_precondition {
    uint32_t task;      /* DQ_FLOW_NO_TASK until names are resolved */
    dq_json_ref name;   /* the task's, in the document */
    dureq_str path;     /* "a.b[0]", without "$." */
    dureq_str expected; /* raw JSON: a string, number, boolean or null */
} dq_flow_precondition;

typedef struct dq_flow_task {
    dureq_str name;
    dq_json_ref value, depends_on, result_from; /* where they stand; DQ_JSON_NONE: absent */
    dureq_job_spec spec;                        /* task_type NULL: its faults were told */
    dureq_job_options options;
    int32_t priority; /* among tasks that become ready at the same time: higher first, then by name */
    dq_flow_run_if run_if;
    bool allow_failure;
    bool never_reused;   /* result_reuse: a retry of the workflow runs it again */
    bool inputs_are_map; /* result_from is a list: its job gets an object of results */
    uint32_t layer;      /* length of the longest way from a task without dependencies */
    /* slices of the flow's arrays */
    uint32_t deps_at, n_deps;
    uint32_t outs_at, n_outs;
    uint32_t inputs_at, n_inputs;
    dq_flow_precondition *preconditions;
    size_t n_preconditions;
} dq_flow_task;

typedef enum dq_flow_hook {
    DQ_FLOW_ON_INIT,
    DQ_FLOW_ON_SUCCESS,
    DQ_FLOW_ON_FAILURE,
    DQ_FLOW_ON_EXIT,
    DQ_FLOW_N_HOOKS,
} dq_flow_hook;

/* All texts are views into the document, or lie in the arena. */
typedef struct dq_flow {
    dq_arena arena;
    dureq_str name;
    dq_flow_task *tasks; /* in the order of the definition */
    uint32_t n_tasks, n_edges, n_layers;
    uint32_t *deps;               /* task after task: what it depends on, */
    uint32_t *outs;               /* what depends on it, */
    uint32_t *inputs;             /* and whose results it gets */
    uint32_t *order;              /* all tasks, each after those it depends on */
    int64_t execution_timeout_ms; /* 0: none */
    int32_t max_attempts;         /* of the whole; 0 or 1: no retry by itself */
    int32_t max_running;          /* 0: no bound */
    int32_t default_priority;     /* 0: that of jobs */
    bool cancels_on_failure;      /* on_failure "cancel": what was released is cancelled as well */
    dureq_job_options options;    /* unique_key, request_id, tags, retention_ms */
    dq_json_ref input;            /* DQ_JSON_NONE: null */
    struct {
        dureq_job_spec spec; /* task_type NULL: no such hook */
        dureq_job_options options;
        int64_t timeout_ms; /* from its release, all attempts included; 0: 5 min */
    } hooks[DQ_FLOW_N_HOOKS];
} dq_flow;

/* 0: *ret is whole and good. DUREQ_EINVAL: `faults` has one or more, and *ret holds nothing. DUREQ_ENOMEM. `doc` must outlive both.
   max_payload: of one task, in bytes. */
int dq_flow_from_json(const dq_json *doc, dq_json_ref v, size_t max_payload, dq_flow *ret, dq_flow_faults *faults);
void dq_flow_deinit(dq_flow *flow);

/* The two halves of it: the fields (read.c), then what they mean together (graph.c). Both tell all they find and go on. They return 0
   whatever they found, or DUREQ_ENOMEM. */
int dq_flow_read(const dq_json *doc, dq_json_ref v, size_t max_payload, dq_flow *ret, dq_flow_faults *faults);
int dq_flow_link(const dq_json *doc, dq_flow *flow, dq_flow_faults *faults);
