/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One history: steps played on the server and in the model, compared after each. */

#include "hist_wire.h"

#include "io/zones.h"
#include "store/enqueue_calls.h"
#include "store/session_calls.h"

#define HIST_STEPS_MAX 96
#define HIST_HELD      24
#define HIST_MSGS      8
#define HIST_ENQUEUED  64 /* jobs: more come from schedules only */
#define HIST_LATE      4
#define HIST_BACKFILL  3
#define HIST_UPSTREAM  200
#define HIST_BUDGET    800

typedef struct hist_step {
    uint8_t kind;
    uint32_t r[5]; /* chosen before anything is played: a step means something wherever it stands, so steps can be dropped */
} hist_step;

/* What a node knows of a job that it was given. */
typedef struct hist_held {
    int job, turn;
    char stream;
    char entry[32];
    dq_buf m, j;
} hist_held;

typedef enum hist_msg_kind {
    MSG_NONE,
    MSG_ENQUEUE,
    MSG_SEAL,
    MSG_BEAT,
    MSG_COMPLETE,
    MSG_RETURN,
    MSG_CLOSE,
    MSG_REAP,
    MSG_PROMOTE,
    MSG_HOUSEKEEP,
    MSG_CANCEL,
    MSG_RETRY,
    MSG_DELETE,
    MSG_MOVE,
    MSG_UPDATE,
    MSG_PURGE,
    MSG_QUEUE_SET,
    MSG_KEY_DELETE,
    MSG_DRAIN,
    MSG_SCHED_PUT, /* from here on: hist_schedule.c */
    MSG_SCHED_PAUSE,
    MSG_SCHED_DELETE,
    MSG_SCHED_TRIGGER,
    MSG_SCHED_FIRE,
    MSG_FLOW_START, /* from here on: hist_flow.c */
    MSG_FLOW_CANCEL,
    MSG_FLOW_RETRY,
    MSG_BATCH_START,
    MSG_BATCH_ADD,
    MSG_BATCH_SEAL,
    MSG_BATCH_CANCEL,
    MSG_BATCH_RETRY,
    MSG_FLOW_STEP,
} hist_msg_kind;

/* A call as bytes, and what the model must know of it. It may be sent at once, later, twice, or never. */
typedef struct hist_msg {
    hist_msg_kind kind;
    dq_buf bytes;
    int who; /* producer, session or job */
    int64_t no;
    int n, a, b;
    bool flag;
    bool followed; /* seal: its producer read an answer */
    hm_item item[HM_ITEMS];
    hm_done done[HM_ITEMS];
    int job[HIST_HELD], turn[HIST_HELD];
    bool ran[HIST_HELD];
    hm_late late[HIST_LATE]; /* beat: whose handler has ended */
    int n_late;
    hm_def def, seen; /* schedules: what is put, and what it was made from */
    int at[HIST_BACKFILL];
    hm_plan plan[HM_SCHEDS];
    int n_commands; /* 0: one */
    hm_flow_def flow;
    hm_batch_def batch;
} hist_msg;

typedef struct hist_node {
    bool dead; /* the process is gone, or stands still for good; what it sent may still come */
    int64_t call_no, opened_ms;
    bool listens; /* is subscribed to its wake-ups */
    hist_held pushed[HIST_HELD];
    int n_pushed;       /* jobs that came with wake-ups, which it has yet to hear of */
    char x[24], hv[24]; /* as it knows them */
    bool watching;
    char watched_x[24], watched_hv[24];
    int watched_touched;
    char bucket[24];
    int64_t width;
    hist_held held[HIST_HELD];
    int n_held;
    hist_msg unsure; /* the call whose reply it did not get: before anything else it is sent again */
} hist_node;

/* What a producer knows. */
typedef struct hist_producer {
    int64_t call_no;
    char token[64];        /* empty: it has not asked yet */
    int version;           /* of the queues, as the token vouches */
    bool plain[HM_QUEUES]; /* has no limit, when it read of it */
    bool lane[HM_LANES];   /* it was told the number */
} hist_producer;

typedef struct hist {
    hist_wire *w;
    hm m;
    hist_producer producer[HM_PRODUCERS];
    hist_node node[HM_SESSIONS];
    hist_msg msg[HIST_MSGS]; /* on their way */
    int64_t base_ms;
    int epoch_of[HM_SESSIONS]; /* of the last time it was told that it is the leader */
    hm_item item[HM_JOBS];     /* as it was enqueued */
    int payloads;              /* numbers of payloads that were given away */
    dq_zones *zones;           /* as leaders read them */
    int requests;              /* numbers of starts of workflows and batches */
    int acknowledged; /* holder (as of keys) of the workflow or batch whose cancel was acknowledged by this call; 0: none */
    int64_t n_left;   /* what flow_step said last */
    int upstream_len[HM_JOBS]; /* of a job that gets results: */
    char upstream[HM_JOBS][HIST_UPSTREAM];
    bool was_small; /* scripts had to do what they do in more steps than usual, at some time */
    bool stale;     /* the call that was sent last was refused as a whole */
    bool trace;
    int step;
    bool failed;
    char fault[512];
} hist;

void hist_fail(hist *h, const char *fmt, ...) DUREQ_PRINTF(2, 3);
void hist_say(hist *h, const char *fmt, ...) DUREQ_PRINTF(2, 3);       /* a line of the trace */
bool hist_equal(hist *h, const char *what, int64_t want, int64_t got); /* false: failed */

/* hist_play.c */
void hist_play(hist *h, hist_wire *w, const hist_step *steps, int n, bool trace);
void hist_make(uint64_t seed, hist_step *steps, int *ret_n);
hist_kind hist_kind_of(uint64_t seed);
void hist_turn_clock(hist *h, int units);
/* hist_calls.c: the calls as bytes */
void hist_put_enqueue(hist *h, hist_msg *msg);
void hist_put_beat(hist *h, hist_msg *msg);
void hist_put_complete(hist *h, hist_msg *msg, const hist_held *const *held);
void hist_put_return(hist *h, hist_msg *msg, const hist_held *held);
void hist_put_row(hist *h, dq_buf *out, const hist_held *t, int session, dureq_job_state state, dureq_str m);
void hist_put_operator(hist *h, hist_msg *msg);
dq_entry hist_entry_of(const hist *h, const hist_held *t);
dureq_str hist_large_payload(int which); /* valid until the next one */
bool hist_is_large(const hist_held *t);
bool hist_is_wanted(const hist_held *t); /* of a task or an item: others get its result */
void hist_pack_item(const hm_item *it, int payload, dq_buf *j);
size_t hist_pack_template(const hm_item *it, int payload, dq_buf *j); /* of a schedule's jobs */
dureq_str hist_holder_id(const hist *h, int holder);                  /* a job, or HM_JOBS and a schedule */
const char *hist_key_text(int key);
void hist_put_item(const hm_item *it, dq_buf *args, dq_enqueue_job *ret);
dq_enqueue_head hist_producer_head(const hist_msg *msg, char name[24]);
/* hist_produce.c: the plain calls of producers */
bool hist_may_seal(const hist *h, const hist_msg *msg);
void hist_put_seal(hist *h, hist_msg *msg);
void hist_ask_token(hist *h, int producer);
void hist_see_queues(hist *h, int producer);
void hist_go_general(hist *h, hist_msg *msg, bool twice);
void hist_by_name(hist *h, const hist_msg *msg);
int hist_seal_commands(const hist_msg *msg); /* with MULTI and EXEC */
/* Sends it; EXEC's reply. */
dq_reply hist_send_seal(hist *h, const hist_msg *msg);
/* hist_exec.c: a call is sent, its answer is compared with the model's */
void hist_exec(hist *h, const hist_msg *msg);
/* An error where one is due (HM_FENCED, HM_UNKNOWN), and none where none is. true: the answer is to be looked at. */
bool hist_answered(hist *h, const hist_msg *msg, dq_reply r, int want);
int64_t hist_read_be(dq_reader *r, int n); /* n bytes, highest first */
/* hist_node.c: what a node does on its own connection */
void hist_node_open(hist *h);
const char *hist_node_name(int node);
void hist_node_watch(hist *h, int session);
void hist_node_hear(hist *h, int session, bool no_slot); /* of what was pushed to it; without a slot it gives that back */
void hist_node_cut(hist *h, int session);                /* its connections end, and what was on its way to it with them */
void hist_node_end(hist *h, int session);                /* frees what it holds */
void hist_node_turn(hist *h, int session, const uint32_t *r);
void hist_node_drop(hist_node *n, int at);
/* hist_wake.c: what came with wake-ups is the model's too, once it was right that it came */
typedef struct hist_before {
    bool any; /* session waits for work */
    int n_jobs, turn[HM_JOBS];
} hist_before;
hist_before hist_wake_before(const hist *h);
void hist_wake_after(hist *h, const hist_before *before);
/* hist_schedule.c */
void hist_step_schedule(hist *h, const uint32_t *r, hist_msg *ret); /* by hand; MSG_NONE: nothing to do */
void hist_step_fire(hist *h, int who, hist_msg *ret);
void hist_exec_schedule(hist *h, const hist_msg *msg, dq_reply r);
int hist_schedule_jobs(const hist_msg *msg); /* how many jobs it makes at most */
bool hist_schedule_fits(const hist *h, const hist_msg *msg);
/* hist_check_schedule.c: schedules in Redis as in the model; jobs that they made get their ids */
void hist_check_schedules(hist *h);
void hist_pack_definition(const hist *h, const hm_def *d, dq_buf *out);
/* hist_flow.c */
void hist_step_flow(hist *h, const uint32_t *r, hist_msg *ret); /* by hand; MSG_NONE: nothing to do */
void hist_fill_batch(hist *h, const uint32_t *r, int n_before); /* when there is one more */
void hist_put_flow_step(hist *h, int leader, hist_msg *msg);
bool hist_flow_fits(const hist *h, const hist_msg *msg);
void hist_exec_flow(hist *h, const hist_msg *msg, dq_reply r);
void hist_end_flows(hist *h); /* given an end of its jobs, each workflow and batch ends */
/* hist_check_flow.c: what a call did to workflows and batches, and their jobs get their ids */
void hist_check_flows(hist *h);
/* hist_check.c */
void hist_check_jobs(hist *h);
void hist_check_all(hist *h);
/* The doctor, with a client of its own: slow, so for a share of the histories. */
void hist_check_health(hist *h);
