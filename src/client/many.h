/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Between many.c (waves of calls) and many_keys.c (retries whose unique keys are at home on other shards). */

#include "client/client_internal.h"
#include "model/job.h"
#include "store/key_calls.h"

typedef struct many many;
typedef struct many_part many_part;

typedef struct many_id {
    unsigned char packed[DQ_ID_BYTES];
    uint16_t shard;
} many_id;

/* A job of the wave whose unique key must be had first, as job_retry says. */
typedef struct many_key {
    size_t index; /* of the job */
    unsigned home;
    int64_t held_ms; /* 0: until its end */
    char key[DUREQ_KEY_MAX];
    size_t key_len;
    bool reserved;
    unsigned char
        arg[DQ_ID_BYTES + DQ_KEY_TOKEN_BYTES + 6]; /* for job_retry: its id; when it is reserved the token, and until when */
} many_key;

struct many {
    dureq_client *client;
    void (*put)(const many *m, dq_buf *out, unsigned shard, const dureq_str *ids, size_t n); /* the call for jobs of one shard */
    dq_job_verb move;                                                                        /* of put_move */
    dureq_many_options opts;
    dureq_str operation; /* as its call has it; empty: they are of none */
    size_t n, next;      /* ids; the first that was in no wave yet */
    many_id *ids;
    int *codes;
    size_t wave[DQ_LIST_MAX]; /* indices, in their order */
    size_t n_wave;
    size_t n_done;
    many_part *parts;    /* room for one of each shard */
    many_key *keys;      /* made at first use: room for a wave */
    size_t n_keys;       /* that the wave asks for */
    bool keys_are_asked; /* the wave is of them, in their order: keys[i] is of wave[i] */
};

#define DQ_MANY_UNANSWERED 1 /* a code until there is one: it goes with the next wave */
#define DQ_MANY_KEY        2 /* its unique key must be had first */

/* Sends the wave and takes its answers. */
int dq_many_run_wave(many *m, dureq_error *err);
/* Takes what job_retry said of a job's key: a code for it. */
int dq_many_note_key(many *m, size_t index, dureq_str what);
/* Reserves the keys that the wave asks for, and retries their jobs. */
int dq_many_run_keys(many *m, dureq_error *err);
