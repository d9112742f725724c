/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The reference model: what each job of a shard may be in, and what each call must answer. It knows no Redis, no streams and no Lua;
   what it says follows from docs/state-machines.md and docs/redis-keys.md alone. One function a script, named after it: it changes the
   model as the script must change the shard, and returns what the script must answer. Time is counted in units (HIST_UNIT_MS): what
   really passes within a history is far less than one, so it decides nothing. The model asserts nothing: hist_exec.c, hist_node.c, hist_wake.c and
   hist_check.c compare. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HM_JOBS      160
#define HM_SESSIONS  16 /* numbers 1 to 15 */
#define HM_PRODUCERS 3
#define HM_LANES     4 /* queue and type: lane / 2 is the queue */
#define HM_QUEUES    2
#define HM_NODES     2 /* a session's is its number modulo these */
#define HM_KEYS      3
#define HM_REQUESTS  4
#define HM_ITEMS     4
#define HM_LEASE     4    /* units */
#define HM_CRASHES   3    /* make a job dead */
#define HM_SUSPECTS  (-2) /* blamed: those never charged */
#define HM_FULL      5    /* a queue with a limit takes so many; at first the second one has it */
#define HM_NEVER     1000000000
#define HM_UNIT_S    100
#define HM_LATE      160
#define HM_SCHEDS    6
#define HM_SKEYS     2
#define HM_BUFFER    4   /* so many wait at most (of 10,000: hist_wire.c) */
#define HM_KEPT_S    400 /* a schedule that has ended is listed for so long (of a week) */
#define HM_RECORDS   100
#define HM_FIRED     24
#define HM_NEVER_MS  INT64_MAX
#define HM_FLOWS     6
#define HM_TASKS     8
#define HM_BATCHES   4
#define HM_MEMBERS   8                     /* items of a batch */
#define HM_FLOW_KEYS (HM_JOBS + HM_SCHEDS) /* holders of unique keys: from here on workflows, then batches */

typedef enum hm_place { HM_GONE, HM_LANE, HM_FRONT, HM_DUE, HM_PAUSED, HM_DEAD, HM_HISTORY } hm_place;

typedef struct hm_job {
    char id[13];
    char entry[32]; /* while it runs: of its stream, as the session read it */
    hm_place place;
    int lane, session /* 0: nobody was given it */, turn /* grows with each new place */;
    int state; /* dureq_job_state of what ended */
    int attempts, runs, crashes, due;
    bool suspect, was_run /* its row tells of a run */;
    int ukey, s2s, s2s_at; /* -1 none */
    int payload;           /* a number for it: 0 as it was enqueued */
    bool large;            /* its payload is a key of its own */
    int large_no;          /* which, of an occurrence */
    bool ukey_stays /* held on after its end */, kept /* in the history */;
    int sched, at /* s */; /* of an occurrence; sched -1: it is none */
    bool by_hand, minds /* its end is looked at */, pauses /* its death pauses its schedule */;
    bool active, lingers /* over, and its handler may still run */;
    int flow, batch /* of a task, of an item: number of its workflow or batch + 1; 0: it is none */,
        task /* or item; HM_MEMBERS: the one-time task */;
    bool skips; /* how its run ended */
    int result; /* the number that it gave, 0: nothing */
} hm_job;

typedef enum hm_life { HM_NO_SESSION, HM_LIVE, HM_REAPING, HM_DROPPED } hm_life;

typedef struct hm_session {
    hm_life life;
    int lease /* on the served clock */, lane /* the reaper's next */, blamed /* job; -1: all; HM_SUSPECTS */;
    int touched; /* how often something was taken from it */
    int64_t last_call;
    int n_refused;
    uint8_t refused[HM_ITEMS * 2];
    bool started[HM_JOBS];  /* reported */
    int cancelled[HM_JOBS]; /* how often, since it was last told */
} hm_session;

/* A run whose job went on without it, and whose handler may still run. */
typedef struct hm_late {
    int session, job, run;
} hm_late;

typedef struct hm_item {
    int lane, delay /* 0 now */, ukey, request, s2s;
    bool ukey_stays, kept;
    int large; /* 0, else which payload it has that is a key of its own */
} hm_item;

typedef struct hm_answer { /* of one enqueue call: kinds as in enqueue.lua; job is the one made, or the one in the way */
    int64_t no;
    bool sealed; /* it was a plain call: jobs are told lane by lane */
    int n;
    uint8_t kind[HM_ITEMS];
    int job[HM_ITEMS];
} hm_answer;

typedef struct hm_producer {
    int64_t last;
    hm_answer slot[64];
} hm_producer;

/* ---- schedules; times in s since the history began ---- */

/* A definition. Numbers only, so that equal ones are equal bytes. */
typedef struct hm_def {
    int lane /* HM_LANES: of a queue that is not there */, ukey, skey, s2s, kept, payload, large;
    int start /* HM_NEVER: counts from when it was made */, every, end /* HM_NEVER: none */;
    int policy, misfire_skip, catchup, per_tick, max, pauses;
} hm_def;

typedef struct hm_record {
    int kind, reason, at, first, last, n, job;
} hm_record;

typedef struct hm_sched {
    char id[13];
    bool there, paused, ended, held, failed;
    int made, version, cursor, next, taken, skipped;
    hm_def d;
    bool edited; /* a change waits */
    hm_def e;
    int e_at, e_no;
    int64_t due_ms; /* when the leader looks at it; HM_NEVER_MS */
    int n_buf, buf[HM_BUFFER];
    bool buf_by_hand[HM_BUFFER];
    int n_records;
    hm_record record[HM_RECORDS];
    int n_left_out; /* of those that came round by themselves */
} hm_sched;

/* What a leader does about one that is due, as it saw it. */
typedef struct hm_missed {
    int n, first, last; /* n 0: none */
} hm_missed;
typedef struct hm_plan {
    int sched, version, cursor, n, next, at[HM_FIRED];
    int64_t due_ms;
    hm_missed missed;
    int edit; /* 0: none waited */
    bool swaps;
    int to_cursor, to_next;
    int64_t to_due_ms;
} hm_plan;

/* ---- workflows and batches; times in units ---- */

/* Numbers only, so that equal ones are equal bytes. */
typedef struct hm_task_def {
    int lane, run_if /* dq_flow_run_if */, payload, large, s2s, priority;
    unsigned deps, inputs; /* sets of tasks */
    bool allow, kept, is_map;
} hm_task_def;

typedef struct hm_flow_def {
    int n, attempts, limit /* 0 none */, keep, ukey;
    bool cancels;
    hm_task_def task[HM_TASKS];
} hm_flow_def;

typedef struct hm_task {
    int state /* dureq_workflow_task_state */, job;
    bool swept; /* it was cancelled with all others of its workflow */
    bool after; /* it ran, or was skipped, although the workflow had failed, or follows from one that did */
    int result; /* 0: it gave none */
    bool has_error;
} hm_task;

typedef struct hm_flow {
    char id[13];
    bool there, failing, timed_out;
    bool begins_again; /* a retry was begun, and no task is empty yet */
    int status /* dureq_workflow_status */, attempt, request;
    int due;     /* when its time is over; HM_NEVER */
    int gone_at; /* when it is dropped, once it has ended */
    hm_flow_def d;
    hm_task task[HM_TASKS];
} hm_flow;

typedef struct hm_batch_def {
    int lane, once_lane /* -1: no one-time task */, once_payload, window, attempts, limit, keep, ukey, s2s;
    bool fails_fast, is_open;
} hm_batch_def;

typedef struct hm_member {
    int state /* dureq_batch_item_state */, job, payload, result;
} hm_member;

typedef struct hm_batch {
    char id[13];
    bool there, failing, timed_out, is_open;
    int status /* dureq_batch_status */, attempt, request;
    int once, once_job, once_result; /* state of the one-time task: 0 there is none, 1 waits, 2 released, 3 done, 4 failed */
    int due, gone_at, loads_until;
    int n, next /* those before it were released in this attempt, or are done */;
    int n_completed, n_skipped, n_failed, n_cancelled;
    hm_batch_def d;
    hm_member item[HM_MEMBERS];
} hm_batch;

typedef struct hm {
    int now, served, looked_at, n_sessions, leader, epoch, leader_until, n_lanes, n_jobs;
    int lane_no[HM_LANES];
    bool paused[HM_QUEUES], draining[HM_NODES];
    int limit[HM_QUEUES] /* 0 none */, version /* of the queues: grows with each change */;
    int key[HM_KEYS], request[HM_REQUESTS]; /* job, or -1 */
    int stat_e[HM_LANES], stat_x[HM_LANES], stat_d[HM_LANES], stat_c[HM_LANES];
    hm_job job[HM_JOBS];
    hm_session session[HM_SESSIONS];
    hm_producer producer[HM_PRODUCERS];
    bool idle[HM_LANES][HM_SESSIONS]; /* asked to be woken when this lane gets work */
    int n_late;
    hm_late late[HM_LATE];
    int n_scheds, skey[HM_SKEYS]; /* schedule, or -1 */
    hm_sched sched[HM_SCHEDS];
    bool replaces; /* the call that is made now */
    bool room_seen[HM_QUEUES];
    int room[HM_QUEUES]; /* as this call saw it first, less what it dispatched */
    int n_flows, n_batches;
    hm_flow flow[HM_FLOWS];
    hm_batch batch[HM_BATCHES];
    int lost; /* a schedule of which something came round and was neither dispatched nor recorded; -1 */
} hm;

/* Answers of scripts that are no number of the script's own. */
#define HM_FENCED  (-100)
#define HM_UNKNOWN (-101)
#define HM_STALE   (-102)

void hm_init(hm *m);

/* 0, or HM_UNKNOWN. Jobs it makes have no id yet: the caller fills it in from the answer. */
int hm_enqueue(hm *m, int producer, int64_t no, const hm_item *items, int n, hm_answer *ret);
/* A plain call: of jobs that run now and have no keys, whose lanes its producer knows, and the queues as they were at `version`. The same, or
   HM_STALE: nothing came of it, and its number is as free as before. */
int hm_enqueue_seal(hm *m, int producer, int64_t no, int version, const hm_item *items, int n, hm_answer *ret);

int hm_session_open(hm *m);
/* Leader's epoch, or HM_FENCED. */
int hm_session_beat(hm *m, int session, bool leader, int blamed, const int *started, int n);
int hm_session_close(hm *m, int session);
/* How many were given back, or HM_FENCED. turn: of the job when it was read. */
int hm_session_return(hm *m, int session, const int *job, const int *turn, const bool *ran, int n);
void hm_fetch(hm *m, int session, int job, const char *entry);

typedef struct hm_done {
    int job, turn;
    char kind;         /* as in complete.lua: c n r f d p i */
    int delay;         /* units; -1: paused until resumed */
    bool late;         /* its handler did not end */
    int run;           /* number of this run */
    bool fails, skips; /* an item; a task or an item */
    int result;        /* of a task or an item: what it gave; 0: nothing */
} hm_done;
/* 0 with the refused in the session, or HM_FENCED. */
int hm_complete(hm *m, int session, int64_t no, const hm_done *done, int n);
/* All of them are its own: else EXEC said no. false: the session is being reaped, what it reads is the reaper's. */
bool hm_cycle(hm *m, int session, int64_t no, const hm_done *done, int n);
void hm_register(hm *m, int session, int lane); /* with a turn: it wants to be woken */
/* May a job that was added just now go out in the message that wakes this session? Which of them is woken is the server's choice. */
bool hm_may_deliver(const hm *m, int session, int lane, int n_added);
bool hm_is_next(const hm *m, int job, int lane, hm_place place); /* that somebody must be given of a stream */

typedef struct hm_reaped {
    int handed, dead;
    int late; /* late runs that go with it in this step: which, the script chooses */
    bool more, through;
} hm_reaped;
/* May the reaper take this one now? 0: none is over. */
bool hm_is_over(const hm *m, int session, int leader);
void hm_serve(hm *m);                                     /* somebody looks at the served clock */
int hm_leader_check(const hm *m, int session, int epoch); /* 0, or HM_FENCED */
hm_reaped hm_session_reap(hm *m, int victim, int leader, int limit, int lanes);
void hm_session_reaped(hm *m, int victim); /* when it is through, and its late runs were forgotten */
int hm_due_promote(hm *m);
int hm_housekeep(hm *m); /* how many died waiting */

int hm_cancel(hm *m, int job);
int hm_retry(hm *m, int job, bool force);
int hm_delete(hm *m, int job);
int hm_move(hm *m, int job, int verb /* dq_job_verb */, int at);
int hm_update(hm *m, int job, int from, int to); /* payloads: the one that its sender read, and the new one */
int hm_purge(hm *m, int queue);
int hm_queue_set(hm *m, int queue, bool paused, int limit); /* version */
int hm_key_delete(hm *m, int key);
int hm_node_drain(hm *m, int node, bool drain); /* how many sessions it has */

int hm_state(const hm *m, int job); /* dureq_job_state, or -1 */

void hm_end(hm *m, int job, hm_place place, int state);
int hm_room(const hm *m, int queue);
void hm_late_add(hm *m, int session, int job, int run);
void hm_late_over(hm *m, int session, int job, int run); /* its handler has ended */
int hm_n_late(const hm *m, int session);
bool hm_has_late(const hm *m, int job);

/* hist_model_schedule.c: what follows for schedules, and their own calls, which answer as the scripts do. */
void hm_occurrence_ended(hm *m, int job, bool died);
void hm_occurrence_late_over(hm *m, int job);
bool hm_occurrence_retried(hm *m, int job);
int hm_sched_put(hm *m, int by_id /* -1: by key */, const hm_def *seen, const hm_def *d, int *ret);
int hm_sched_pause(hm *m, int sched, bool pause);
int hm_sched_delete(hm *m, int sched); /* how many waited, or -3 */
typedef struct hm_triggered {
    int what, n, done, why, job;
} hm_triggered;
hm_triggered hm_sched_trigger(hm *m, int sched, int policy, const int *at, int n);
bool hm_sched_is_due(const hm *m, int sched);
void hm_sched_plan(const hm *m, int sched, hm_plan *ret);
typedef struct hm_fired {
    int n, n_stale;
} hm_fired;
hm_fired hm_sched_fire(hm *m, const hm_plan *plans, int n);
int hm_n_buffered(const hm *m); /* of all: jobs that calls may yet make by themselves */
int64_t hm_now_ms(const hm *m);

/* hist_model_flow.c: what follows for workflows. */
void hm_flow_job_ended(hm *m, int job, int state); /* dureq_job_state; -1: purged */
/* Answers of flow_start: dq_flow_started; *ret_holder: as of unique keys. */
int hm_flow_start(hm *m, int request, const hm_flow_def *d, int *ret_holder);
int hm_flow_cancel(hm *m, int flow,
                   bool first); /* 0: what was released is being cancelled; -1: it was over, and this is no first call; -3, -4 */
int hm_flow_retry(hm *m, int flow);
void hm_flows_time_out(hm *m);
void hm_flows_drop(hm *m); /* whose time after their end is over */
/* What a task that waits becomes: -1: it must wait; else its state, RELEASED when it starts. */
int hm_task_becomes(const hm *m, int flow, int task, bool *ret_after);
bool hm_task_stays(const hm *m, int flow, int task);            /* over a retry */
bool hm_task_may_be_cancelled(const hm *m, int flow, int task); /* by its workflow */
void hm_task_decide(hm *m, int flow, int task, int state, bool after);
void hm_flow_reset(hm *m, int flow);
void hm_flow_settle(hm *m, int flow); /* it ends, or begins again, when nothing is left of it to do */
bool hm_flow_is_over(const hm_flow *f);
int hm_flows_to_come(const hm *m); /* jobs that workflows and batches may yet make */
int hm_make_of(hm *m, const hm_item *it);

/* hist_model_batch.c */
void hm_batch_job_ended(hm *m, int job, int state);
int hm_batch_start(hm *m, int request, const hm_batch_def *d, int *ret_holder);
int hm_batch_add(hm *m, int batch, int at, const int *payloads, int n); /* n of items now, -3, -4, -5 */
int hm_batch_seal(hm *m, int batch);
int hm_batch_cancel(hm *m, int batch, bool first);
int hm_batch_retry(hm *m, int batch, bool all);
void hm_batches_time_out(hm *m);
void hm_batches_drop(hm *m);
bool hm_batch_stops(const hm_batch *b);
bool hm_batch_may_release(const hm *m, int batch);
bool hm_batch_may_cancel(const hm_batch *b);
int hm_batch_next(const hm_batch *b); /* the item that is to be released next; -1: none */
int hm_batch_running(const hm_batch *b);
void hm_batch_release(hm *m, int batch, int item);
void hm_batch_settle(hm *m, int batch);
bool hm_batch_is_over(const hm_batch *b);
