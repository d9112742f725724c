/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Producers as processes of their own, to be killed: the test binary runs itself again in that role. They book in the ledger they were given. */

#include "fault_ledger.h"

typedef struct fault_maker_options {
    const char *url, *prefix;
    int shards;
    int in_a_call; /* jobs; 1: dureq_client_enqueue */
} fault_maker_options;

typedef struct fault_maker {
    pid_t pid; /* 0: none */
} fault_maker;

/* To be called first in main(): does not return in that role. */
void fault_maker_main(int argc, char **argv);
void fault_maker_spawn(fault_maker *m, fault_ledger *l, const fault_maker_options *o);
void fault_maker_kill(fault_maker *m); /* SIGKILL, reaped; nothing when there is none */
