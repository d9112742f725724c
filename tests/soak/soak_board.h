/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What all processes of a soak share: a piece of memory with the rate that is wanted, who is at work, and a byte for each job. A job is its number, which
   stands in its payload; what the job is to do follows from the number, so that a handler, a producer and the verdict agree without a word. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define SOAK_PAYLOAD     200
#define SOAK_RATE_MAX    (-1) /* as fast as nodes follow */
#define SOAK_HELD_MAX    256
#define SOAK_N_NODES     2
#define SOAK_N_PRODUCERS 2
#define SOAK_UNIQUE_KEYS 61

/* The first of each kind is the witness: it is never killed, since its memory is what shows a leak. */
typedef enum soak_who { SOAK_NODE, SOAK_NODE_2, SOAK_PRODUCER, SOAK_PRODUCER_2, SOAK_N_PROCESSES } soak_who;

typedef enum soak_kind {
    SOAK_PLAIN,   /* done at once */
    SOAK_FLAKY_1, /* fails once, then done */
    SOAK_FLAKY_2,
    SOAK_SLOW, /* so that something runs whenever a node is killed */
    SOAK_UNIQUE,
    SOAK_DELAYED,
    SOAK_DEAD
} soak_kind;

typedef struct soak_board {
    int64_t n_max;
    _Atomic int64_t rate;                              /* jobs a second of all producers together; 0: none */
    _Atomic int64_t next;                              /* numbers given away so far */
    _Atomic int64_t acknowledged, ran;                 /* while it runs; the verdict looks at each job */
    _Atomic int64_t unknown, failed;                   /* answers that a soak should not see */
    _Atomic int64_t did[SOAK_N_PROCESSES];             /* jobs acknowledged to it, or started by it */
    _Atomic bool is_ready[SOAK_N_PROCESSES];           /* connected */
    _Atomic bool is_idle[SOAK_N_PROCESSES];            /* a producer that has nothing under way and begins nothing */
    _Atomic bool in_call[SOAK_N_PROCESSES];            /* a producer that waits for an answer */
    _Atomic int64_t held[SOAK_N_NODES][SOAK_HELD_MAX]; /* 1 + number of each slow job whose handler runs there; 0: free */
    _Atomic uint8_t jobs[];
} soak_board;

int soak_board_create(int64_t n_max, soak_board **ret); /* the descriptor, for soak_board_attach in another process */
soak_board *soak_board_attach(int fd);

soak_kind soak_kind_of(int64_t number);
void soak_payload_write(char out[SOAK_PAYLOAD], int64_t number);
int64_t soak_payload_read(dureq_str payload); /* -1: nobody's */

void soak_note_start(soak_board *b, soak_who node, int64_t number);
void soak_note_answer(soak_board *b, soak_who producer, int64_t number, int code);
int soak_starts(const soak_board *b, int64_t number); /* at most 63 are counted */

typedef struct soak_tally {
    int64_t made;
    int64_t acknowledged;
    int64_t refused;             /* as duplicates */
    int64_t refused_and_started; /* must be 0 */
    int64_t orphaned;            /* whose producer died before it knew */
    int64_t orphaned_and_there;
    int64_t there;  /* jobs that Redis must have taken: acknowledged, or started */
    int64_t lost;   /* acknowledged and never started */
    int64_t starts; /* of handlers */
    int64_t again;  /* of them, more than the job's kind wants */
} soak_tally;

soak_tally soak_board_tally(const soak_board *b);
