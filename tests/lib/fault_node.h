/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Nodes as processes of their own for the fault tests: the test binary runs itself again in the role of a node. What its handlers start and
   what is recorded of them goes as lines to a file that all nodes of a world append to; so it outlives a SIGKILL.

   The text of a job's payload says what its handler does: "<kind> <seq> <n>", see fault_ledger.h. */

#include <dureq/types.h>

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define FAULT_LEASE_MS 500
/* By then all is as before: work of a dead node, and everyone behind a fault that is over, since nobody waits longer than a second to connect again. */
#define FAULT_RECOVER_MS (FAULT_LEASE_MS + 1000)

/* Steps of a job's run, in their order. */
typedef enum fault_step {
    FAULT_STEP_STARTING = 's',   /* its handler is about to be called */
    FAULT_STEP_HANDLER = 'h',    /* in the handler, after its mark */
    FAULT_STEP_EFFECT = 'e',     /* the handler has done all it does, and is about to return */
    FAULT_STEP_COMPLETING = 'c', /* at any instant of the 600 us after its return */
    FAULT_STEP_COMPLETED = 'd'   /* the node was told that the completion is recorded */
} fault_step;

/* "wall_ms node schedule scheduled_at_ms job", a line for each start of a handler. */
#define FAULT_OCCURRENCES ".occurrences"

/* "mark mono_us node number job run", of a job of kind t: S its handler was called, E it is about to return and did well, F it did not. */
#define FAULT_TASKS ".tasks"

typedef struct fault_node_options {
    const char *url, *prefix, *node_id;
    const char *log_path; /* lines are appended to it; of occurrences of schedules to another with FAULT_OCCURRENCES behind,
                             of tasks with FAULT_TASKS */
    int shards, concurrency;
    int max_crashes; /* 0 = 200: what is killed here is the process's doing, not the job's */
    bool never_leads;
    char die_at; /* a fault_step: the process kills itself when the first job of its life reaches it; 0: never */
} fault_node_options;

typedef struct fault_node {
    pid_t pid; /* 0: none */
    char node_id[32];
} fault_node;

/* Some payloads are so long, more than Redis keeps in a job's entry: the text, and blanks after it. */
#define FAULT_LARGE_BYTES 40000
bool fault_payload_is_whole(dureq_str payload); /* a text alone, or that */

/* The task type of jobs of this kind. */
const char *fault_type_of(char kind);

/* To be called first in main(): does not return when the process was started in the role of a node. */
void fault_node_main(int argc, char **argv);

void fault_node_spawn(fault_node *n, const fault_node_options *o); /* waits until it has started */
void fault_node_kill(fault_node *n);                               /* SIGKILL, reaped; nothing when there is none */
void fault_node_freeze(fault_node *n);                             /* SIGSTOP, and waits until it stands */
void fault_node_thaw(fault_node *n);
void fault_node_stop(fault_node *n); /* SIGTERM; it must end by itself, cleanly */
bool fault_node_is_alive(fault_node *n);
