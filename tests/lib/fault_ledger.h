/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What producers were told, job by job, and whether Redis agrees in the end. Every job has a number of its own (seq) in its payload, so a
   job that was enqueued twice, or that was enqueued although its producer was told that it was not, shows.

   Kinds of jobs, by the first letter of the payload; n follows its number (and, in some, blanks up to a length that Redis keeps beside the job):
     w  waits n ms and completes (0: at once)
     f  fails n times and completes
     d  is dead at its first run
     p  takes its process down each time, after n ms */

#include <dureq/client.h>

#include "fault_lines.h"
#include "fault_node.h"

typedef enum fault_answer {
    FAULT_NOT_SENT = 0, /* or, when it began: its producer died before it knew */
    FAULT_ACKNOWLEDGED, /* 0, with an id */
    FAULT_UNKNOWN,      /* DUREQ_EUNKNOWN: may be there or not */
    FAULT_DUPLICATE,    /* DUREQ_EDUPLICATE */
    FAULT_REFUSED       /* any other code: it must not be there */
} fault_answer;

typedef struct fault_entry {
    _Atomic(fault_answer) answer; /* written last: who counts looks at nothing else while producers run */
    int code;
    char kind;
    bool large; /* its payload is FAULT_LARGE_BYTES long */
    int n;
    dureq_job_id id; /* acknowledged: its own; duplicate: of the living one */
    int64_t began_us, answered_us;
    int found; /* how many jobs with this number Redis has at the end */
    dureq_job_state state;
    int32_t runs;
} fault_entry;

typedef struct fault_ledger fault_ledger;

fault_ledger *fault_ledger_create(long n_max);
void fault_ledger_destroy(fault_ledger *l);
/* It lies in shared memory, so that what a producer's process has booked is there when it was killed: the descriptor to be passed on, and
   the ledger of a process that got it. */
int fault_ledger_fd(const fault_ledger *l);
fault_ledger *fault_ledger_attach(int fd);
/* Makes the next job and enqueues it with this client; records the answer and returns its code. `*full` when n_max is reached. Any thread. */
int fault_ledger_enqueue(fault_ledger *l, dureq_client *c, bool *full);
/* The same with a job of this kind and nothing special. */
int fault_ledger_enqueue_kind(fault_ledger *l, dureq_client *c, char kind, int n);
/* The same with a batch of n jobs in one call. How many were not acknowledged. */
int fault_ledger_enqueue_many(fault_ledger *l, dureq_client *c, int n, bool *full);
/* The server ended at `ended_us` and forgot some of what it did since `since_us` (both monotonic): jobs acknowledged then may be lost,
   and ends recorded then may come again. What was before must still be there. */
void fault_ledger_note_loss(fault_ledger *l, int64_t since_us, int64_t ended_us);
/* It is back now: what nodes told of ends in between they had heard before it ended, and read late. */
void fault_ledger_note_back(fault_ledger *l);
/* The server is short of memory and may drop what it keeps of ended jobs: of those that are gone nodes' words count, which tell ends only after
   their record. */
void fault_ledger_let_history_go(fault_ledger *l);
long fault_ledger_acknowledged(fault_ledger *l); /* so far; cheap */
bool fault_ledger_is_full(fault_ledger *l);
long fault_ledger_count(fault_ledger *l, fault_answer answer);
long fault_ledger_len(fault_ledger *l);
fault_entry *fault_ledger_entry(fault_ledger *l, long seq);

/* ---- at the end ---- */

typedef struct fault_sums {
    long acknowledged, unknown, unknown_found, duplicate, refused;
    long orphaned, orphaned_found; /* whose producer died before it knew */
    long completed, dead, other;
    long forgotten;               /* acknowledged, and lost with a server that forgot them */
    long ended_again;             /* jobs whose first end a server forgot */
    long starts, starts_expected; /* of handlers; expected: had nothing gone wrong */
    long taken;                   /* jobs that nodes noticed to have been taken from them */
} fault_sums;

/* Reads all jobs and the nodes' lines, and ends the test with a message when anything does not agree: every acknowledged job there
   once, with the outcome of its kind; refused ones not there; unknown ones at most once; none completed twice. */
fault_sums fault_ledger_check(fault_ledger *l, dureq_client *c, const char *log_path);
void fault_sums_print(const char *what, const fault_sums *s);
