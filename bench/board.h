/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A file that the processes of one row map: when each job was enqueued and first started, by the job's number. It is how a
   handler in one process and a producer in another compare clocks (CLOCK_MONOTONIC is one for the machine) without a word on
   Redis, and how a producer sees how far the node has come. */

#include <stdatomic.h>

#include "base/base.h"

typedef struct board_job {
    int64_t enqueued_us;        /* written before the call */
    _Atomic int64_t started_us; /* first start; 0: none yet */
    _Atomic int32_t starts;
    _Atomic int32_t started_by; /* 1 + the node's number, of the last start */
} board_job;

typedef struct board {
    int64_t n;                 /* jobs; numbers go from 0 to n - 1 */
    _Atomic int64_t n_started; /* all starts */
    board_job jobs[];
} board;

int board_create(const char *dir, int64_t n, board **ret, char *ret_path, size_t cap, dureq_error *err);
int board_open(const char *path, board **ret, dureq_error *err);
void board_close(board *b); /* the file goes with the row's folder */
void board_clear(board *b);

/* The payload of job number `i`: JSON of `len` bytes (at least 32), its number in fixed place. */
void board_write_payload(char *out, size_t len);
void board_write_number(char *payload, int64_t i);
int64_t board_read_number(dureq_str payload); /* -1 when it has none */
