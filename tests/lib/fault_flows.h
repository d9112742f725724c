/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Processes that start workflows and batches, cancel some and retry some, and book what they were told in shared memory, so that it is there when
   they were killed: the test binary runs itself again in that role. What a workflow is made of follows from its number alone, so whoever judges
   knows it. A start whose maker died before it knew is made again under the same request id. */

#include <dureq/client.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define FAULT_FLOWS_MAX  20000
#define FAULT_FLOW_TASKS 8
#define FAULT_ITEMS      24
/* The number in the payload of a task's job: that of its workflow times this, and its own. */
#define FAULT_FLOW_SEQ 64

typedef enum fault_flow_kind {
    FAULT_FLOW_PURE, /* all tasks do well, some at the second attempt */
    FAULT_FLOW_MIXED,
    FAULT_FLOW_BATCH
} fault_flow_kind;

typedef struct fault_flow_task {
    uint32_t deps; /* set of tasks */
    int n;         /* what its handler does: waits so many ms; -1 fails for good; -2 does well at its second attempt */
    bool allow_failure;
    int run_if; /* 0 all_success, 1 all_done, 2 any_failed */
} fault_flow_task;

typedef struct fault_flow {
    fault_flow_kind kind;
    int n; /* tasks or items */
    int max_attempts;
    bool cancels; /* on_failure, of a batch fail_fast */
    int window;   /* of a batch */
    fault_flow_task task[FAULT_ITEMS];
} fault_flow;
fault_flow fault_flow_of(int number);

typedef enum fault_flow_answer { FAULT_FLOW_NONE, FAULT_FLOW_BEGUN, FAULT_FLOW_STARTED } fault_flow_answer;
typedef enum fault_flow_fate { FAULT_FATE_OPEN, FAULT_FATE_CANCEL, FAULT_FATE_RETRY } fault_flow_fate;

typedef struct fault_flow_entry {
    _Atomic int answer; /* fault_flow_answer; written after id */
    _Atomic int fate;   /* fault_flow_fate: what somebody does to it later, at most one of these */
    char id[24];
    _Atomic int64_t cancelled_us, cancelled_wall_ms; /* when its cancel was acknowledged; 0: it was not */
} fault_flow_entry;

typedef struct fault_flow_table {
    _Atomic int n; /* numbers from 0 on that were given out */
    _Atomic int n_refused;
    char refused[400]; /* the first */
    fault_flow_entry items[FAULT_FLOWS_MAX];
} fault_flow_table;

typedef struct fault_starter {
    pid_t pid; /* 0: none */
} fault_starter;

fault_flow_table *fault_flow_table_create(int *ret_fd);
void fault_flow_table_destroy(fault_flow_table *t, int fd);

/* To be called first in main(): does not return in that role. */
void fault_starter_main(int argc, char **argv);
void fault_starter_spawn(fault_starter *s, int table_fd, const char *url, const char *prefix, int shards);
void fault_starter_kill(fault_starter *s); /* SIGKILL, reaped; nothing when there is none */
/* The last ones, whose makers died before they knew. */
void fault_flows_finish(fault_flow_table *t, dureq_client *c);
