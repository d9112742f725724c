/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A worker's turn as bytes, and what its outcomes are in the general form; with their answers.

   The turn is a transaction, in this order:

       dq_turn_begin                         MULTI
       dq_turn_ack, dq_turn_rows, ...        jobs that ended well, by plain commands
       dq_turn_read                          what is to be read: kept until the end
       dq_turn_gate, dq_turn_listing, _stat  worker_cycle
       dq_turn_end                           the reads, EXEC

   or, when memory is short and Redis queues no command, worker_cycle alone, which reads by itself (`by_script`): no jobs end then.

   It is for a connection that watches the session (dq_watch). What a transaction cannot do, complete.lua does (dq_complete). */

#include "store/session_calls.h"

typedef struct dq_turn {
    dq_buf *out;
    const dq_keys *keys;
    unsigned shard;
    uint64_t session;
    bool by_script;
    size_t n_commands; /* so far, of those that EXEC answers */
    size_t gate_at;    /* which of these answers is the gate's */
    size_t n_reads;
    dq_buf ids, large; /* of jobs that ended; of those of them whose payload is a key that stays */
    dq_buf parts;      /* of history, as arguments */
    size_t n_parts;
    dq_buf reads;
    dq_call call;
    size_t n, n_at; /* of lanes that are to be listed, then of statistics */
    bool counting;  /* statistics */
} dq_turn;

/* The five above are the caller's; the rest is zero. */
void dq_turn_begin(dq_turn *t);
void dq_turn_deinit(dq_turn *t); /* what is its own, not `out` */
void dq_turn_ended(dq_turn *t, const dq_id *id, bool keeps_payload);
void dq_turn_ack(dq_turn *t, const dq_entry *entries, size_t n);           /* of one lane, l: */
void dq_turn_rows(dq_turn *t, const char *bucket, int64_t part, size_t n); /* then n times: */
void dq_turn_row(dq_turn *t, const dq_id *id, const dq_buf *row);
void dq_turn_drop_payload(dq_turn *t, const dq_id *id);
void dq_turn_read(dq_turn *t, uint32_t lane, bool front, int32_t count);

typedef struct dq_turn_head {
    int64_t call_no;    /* when jobs ended; else 0 */
    int64_t class_ms;   /* of history, whose bucket is asked for; 0: not kept */
    const char *bucket; /* of the rows of this turn; "": none */
    int64_t bytes;      /* of these rows */
    int64_t known;      /* version of the shard's queues whose paused ones are known; asked for when something is read */
    int64_t slots;      /* how many jobs could begin now; -1: as was said before */
} dq_turn_head;
void dq_turn_gate(dq_turn *t, const dq_turn_head *head);
void dq_turn_listing(dq_turn *t, uint32_t lane);             /* idle lanes first, */
void dq_turn_stat(dq_turn *t, const char *field, int64_t n); /* then statistics */
/* Returns how many answers come in all, of which the last is the turn's. */
size_t dq_turn_end(dq_turn *t);

typedef struct dq_gate {
    int64_t now_ms;
    bool live; /* the session is: else nothing was read */
    uint32_t n_lanes;
    int64_t queues_version;
    dureq_str bucket, hv;
    int64_t width;
    bool tells_paused; /* queues changed since the version that is known: */
    dq_reply paused;   /* first page of the names of paused ones: { cursor, { name... } } */
} dq_gate;
/* DUREQ_EPROTO: it is none, or an error, which is in err then. */
int dq_gate_decode(dq_reply r, dq_gate *ret, dureq_error *err);

/* ---- watching ---- */

/* WATCH and MGET of x:<session> and hv; returns how many answers come, of which the last tells the values. */
size_t dq_watch(dq_buf *out, const dq_keys *k, unsigned shard, uint64_t session, bool unwatch);
typedef struct dq_watched {
    dureq_str x, hv; /* x is empty: the session is gone */
} dq_watched;
dq_watched dq_watched_decode(const dq_reply *r);

/* ---- outcomes in the general form ---- */

typedef enum dq_end_kind {
    DQ_END_KEPT = 'c',  /* completed or skipped, with its row in history */
    DQ_END_GONE = 'n',  /* completed, not kept */
    DQ_END_ITEM = 'i',  /* of a batch: ended, however */
    DQ_END_DUE = 'r',   /* again after a delay */
    DQ_END_FRONT = 'f', /* ready again now */
    DQ_END_DEAD = 'd',
    DQ_END_PAUSED = 'p',
} dq_end_kind;

/* Of jobs that ended alike. */
typedef struct dq_end_group {
    char kind;          /* dq_end_kind */
    bool has_side_keys; /* this and the next: KEPT */
    int64_t class_ms;
    bool front;
    uint32_t lane;
} dq_end_group;

typedef struct dq_end_job {
    dq_id id;
    int64_t delay_ms; /* DUE; PAUSED: -1 until resumed */
    dureq_str row;    /* KEPT, DEAD: history row. DUE, PAUSED: record */
    dureq_str m, j;   /* FRONT */
} dq_end_job;

/* What goes with jobs of the call, whatever became of them. */
typedef enum dq_end_side {
    DQ_SIDE_KEY = 'u',      /* unique key to let go; value: the key */
    DQ_SIDE_KEY_AWAY = 'U', /* the same of another shard */
    DQ_SIDE_SCHEDULE = 't', /* an occurrence of a schedule that minds its end; value: the part of its envelope that says so */
    DQ_SIDE_TASK = 'w',     /* a task of a workflow, or an item of a batch; value: see complete.lua */
    DQ_SIDE_LOG = 'o',      /* value: lines that are added */
    DQ_SIDE_START = 'a',    /* its start had been reported */
    DQ_SIDE_PROGRESS = 'g', /* its progress had */
    DQ_SIDE_LATE = 'h',     /* its handler did not end; value: the number of the run */
    DQ_SIDE_DROP = 'b',     /* its payload, log and steps are dropped */
    DQ_SIDE_STEPS = 's',    /* its steps begin anew */
    DQ_SIDE_PAYLOAD = 'B',  /* value: its new payload */
    DQ_SIDE_TOLD = 'e',     /* value: what the event says of it; see complete.lua */
} dq_end_side;

typedef struct dq_complete_head {
    unsigned shard;
    uint64_t session;
    int64_t call_no;
    bool is_repeat;
    size_t n_about; /* jobs */
} dq_complete_head;

#define DQ_STATS_OF_RUN 4 /* rows of statistics that a run counts in, at most */

/* begin, statistics, what each job counts in, then groups, then sides, end. */
typedef struct dq_complete {
    dq_call call;
    dq_buf counted;
    size_t n, n_at; /* of statistics; of the sides of one kind */
    char kind;      /* of the group, or side, that is open; 0: statistics */
} dq_complete;
dq_complete dq_complete_begin(dq_buf *out, const dq_keys *k, const dq_complete_head *head);
void dq_complete_stat(dq_complete *c, const char *field, int64_t n);
/* For each job of the call, in its order: the numbers (from 1; 0: none) of the statistics it is part of. One that is refused does not count. */
void dq_complete_counted(dq_complete *c, const uint16_t stats[DQ_STATS_OF_RUN]);
void dq_complete_group(dq_complete *c, const dq_end_group *g, const dq_entry *entries, size_t n); /* then n times: */
void dq_complete_job(dq_complete *c, const dq_end_job *j);
/* Those of a kind one after the other. index: of the job among all of the call. */
void dq_complete_side(dq_complete *c, dq_end_side kind, size_t index, const dq_id *id, dureq_str value);
void dq_complete_end(dq_complete *c);

/* Which jobs were refused, in the order in which the call named them. */
typedef struct dq_refusals {
    const unsigned char *at;
    size_t left;
} dq_refusals;
int dq_refusals_decode(dureq_str answer, dq_refusals *ret);
bool dq_refusals_has(dq_refusals *r, size_t index); /* asked in rising order */
