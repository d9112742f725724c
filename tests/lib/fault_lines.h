/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the nodes of a world wrote of their jobs, line by line, and what follows from it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum fault_mark {
    FAULT_MARK_START = 'S',  /* a handler was called */
    FAULT_MARK_EFFECT = 'E', /* it has done what it does; only of nodes that die at a step */
    FAULT_MARK_COMPLETED = 'C',
    FAULT_MARK_FAILED = 'F',
    FAULT_MARK_DEAD = 'D',
    FAULT_MARK_CANCELLED = 'X',
    FAULT_MARK_MIXED_UP = 'M', /* a handler was called for a job of another type */
    FAULT_MARK_LOST = 'L'      /* at a clean end: how many of its jobs it lost, in `run` */
} fault_mark;

typedef struct fault_line {
    fault_mark mark;
    int64_t at_us; /* monotonic, the same clock in all processes */
    char node_id[32];
    char job_id[24];
    long run;
} fault_line;

typedef struct fault_lines {
    fault_line *items;
    size_t n;
} fault_lines;

fault_lines fault_lines_read(const char *log_path);
long fault_lines_bytes(const char *log_path);                             /* of all that was written so far */
fault_lines fault_lines_read_from(const char *log_path, long first_byte); /* what was written after that */
void fault_lines_deinit(fault_lines *l);
fault_lines fault_lines_read_sorted(const char *log_path); /* by job, and then by time */

/* The longest time between the end of a node and the next start of a job that it had running then. */
typedef struct fault_recovery {
    int n_jobs;
    int64_t longest_ms; /* -1: it had none */
    char job_id[24];    /* of the longest */
} fault_recovery;

fault_recovery fault_recovery_of(const fault_lines *sorted, const char *node_id, int64_t ended_us);
/* What nodes wrote of a job, for whoever reads the failure. */
void fault_print_job(const char *log_path, const char *job_id, int64_t ended_us);
/* Ends the test when this node, which reached nobody from `from_us` to `to_us`, had its word accepted after that about a run that another one had
   begun meanwhile. */
void fault_assert_fenced(const fault_lines *sorted, const char *node_id, int64_t from_us, int64_t to_us);
