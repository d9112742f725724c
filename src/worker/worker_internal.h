/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of the worker share. Loop thread, except for what says otherwise.

   worker.c    life, deadlines, stop
   lanes.c     lanes of a shard, which of them may hold jobs, the reads of a turn
   share.c     whose turn it is: free slots for queues by weight
   paused.c    which queues are paused
   cycle.c     the turn: transaction of plain commands, or complete.lua; watching
   fetch.c     from a reply to running tasks
   outcome.c   what a run's end means
   record.c    tasks whose outcome is known, as arguments of calls
   session.c   open, heartbeat, resync, give back, close
   message.c   wake-ups and news from others
   suspect.c   jobs whose process went down before they were on record */

#include "base/arena.h"
#include "base/heap.h"
#include "base/map.h"
#include "base/random.h"
#include "store/turn_calls.h"
#include "worker/pool.h"
#include "worker/task.h"
#include "worker/worker.h"

#define DQ_BATCH_MAX    256
#define DQ_STATS_OF_RUN 5             /* rows at most: what became of it (2), died, waited, ran */
#define DQ_BATCH_BYTES  (256 * 1024)  /* of a script */
#define DQ_PLAIN_BYTES  (1024 * 1024) /* of plain commands */

typedef struct dq_wflow dq_wflow; /* share.c */
typedef struct dq_wroom dq_wroom;

/* A queue in one shard; kept as long as that. */
typedef struct dq_wqueue {
    char *name; /* NUL-ended, in its own block */
    int32_t weight;
    bool paused;
    int64_t class_ms;    /* retention class of jobs that name none */
    dq_buf retry_packed; /* its policy; empty: none */
    dq_wflow *first;     /* of its flows */
    dq_list flows;       /* those with something to read, in turn */
    dq_heap_node turn;   /* in shard->ready */
} dq_wqueue;

struct dq_wlane {
    dq_wshard *shard;
    uint32_t no;
    char *name, *queue, *type; /* NUL-ended, in the lane's own block */
    struct dq_wlane *next_old; /* of w->old_lanes */
    dq_handler *handler;       /* NULL: none here, or pinned to a version */
    dq_wqueue *queue_of;
    dq_wflow *flow;             /* NULL: no handler */
    dq_list ready;              /* in its flow, while it may be read */
    dq_list fresh;              /* in shard->fresh: nothing is known of it, and nobody was told that we wait for its jobs */
    dq_list called;             /* in shard->called: we were woken, and may find more than we have slots for */
    dq_list at_rest;            /* in shard->at_rest */
    bool main_busy, front_busy; /* may hold jobs */
    bool resting;               /* a job was read that this node does not understand; until the next heartbeat but one */
    int8_t beats_left;          /* of that */
    /* the read under way */
    dq_list planned; /* in shard->planned */
    int32_t share;   /* slots it was given */
    int32_t want_main, want_front, got_main, got_front;
    bool front_turn; /* the odd slot of a share goes to the front stream */
    bool listing;    /* this read, or the next, comes with a registration */
    bool woken;      /* a wake-up came while it was in flight */
};

typedef enum wshard_state {
    WSHARD_CLOSED,
    WSHARD_OPENING,
    WSHARD_LIVE,
    WSHARD_CLOSING,
    WSHARD_GONE,
} wshard_state;

typedef struct dq_names {
    dq_map map;
    dq_arena arena;
} dq_names;

struct dq_wshard {
    dq_worker *worker;
    unsigned no;
    wshard_state state;
    uint64_t session;
    char session_text[24];
    int64_t opened_ms;
    char x[24], hv[24]; /* values of the watched keys as far as we know */
    bool verified;      /* watched, and they were these */
    bool needs_resync, resyncing;
    char data[96];         /* identity of what the server held when we were last told; empty: it does not tell */
    bool refused_unseen;   /* a transaction was refused for a change of the watched keys; their values were not read since */
    int64_t rest_until_us; /* its turns fail for a reason that will not be over at once */
    bool unsure_session, unsure_lanes; /* the server may have forgotten them, and given their numbers away again */
    bool opened_unsure;     /* the session: while its lanes were not sure, so it has nothing of those that were before */
    int64_t plain_again_us; /* transactions were refused (memory): general calls until then, and reads by script */
    int64_t reads_again_us; /* reads by script were refused as well */
    bool reads_in_script;   /* those of the turn that is planned, or in flight */

    dq_wlane **lanes; /* lane no - 1 */
    uint32_t n_lanes, cap_lanes;
    bool loading_lanes, load_again, loading_all;
    dq_list fresh, called, at_rest, planned; /* of dq_wlane, by the links of these names */
    dq_list fresh_sent;                      /* of fresh: a call is under way about them */
    bool listening;                          /* it is */
    uint64_t listening_session;

    dq_map queues; /* name -> dq_wqueue */
    dq_wroom *rooms;
    dq_list crowded;   /* rooms where somebody waits */
    dq_heap ready;     /* of queues: who is next */
    int64_t share_now; /* virtual time (share.c) */

    dq_names paused, paused_next; /* names of paused queues: as last read; those of a read under way */
    int64_t paused_version;       /* of the shard's queues when that read began; -1: none was read */
    int64_t paused_next_version;
    int64_t paused_least; /* version that the read under way must not be older than, or it is done again; -1: any will do */
    bool paused_loading, paused_again;
    bool gate_open;      /* what the turn's reply holds may start: its gate knew no more of pauses than we do */
    dq_list gated;       /* by link: fetched, but what is paused is not read yet; each has its slot */
    int64_t slots_told;  /* free slots that the server knows of; -1: it may not */
    int64_t slots_asked; /* those of the turn in flight */

    dq_list held;                 /* tasks of this session (in_shard) */
    dq_list done_fast, done_slow; /* FINISHED, by `link` */
    size_t n_fast, n_slow;
    dq_list after_beat; /* FINISHED, named by the heartbeat in flight */
    dq_list returns;    /* to be given back: not started, or stopped at shutdown */
    size_t n_returns;
    bool returning;

    dq_list sent;     /* tasks of the call in flight, or whose reply was lost */
    bool call_lost;   /* its reply was: to be asked about first */
    uint64_t call_no; /* of the last call */

    uint64_t exchange_session; /* whose the exchange in flight is: an answer is nothing to the one behind it */
    bool load_script;          /* complete.lua is not known to the server */
    size_t cycle_gate;         /* of the transaction in flight: index of worker_cycle's answer, and the class it asked for */
    size_t cycle_reads;        /* answers after it */
    int64_t cycle_class;

    int64_t class_ms; /* of `bucket`; 0: none known */
    char bucket[24];
    int64_t width;

    dq_timer beat;
    bool beating, beat_again;
    bool beat_is_late; /* the one in flight was sent before the last doubt about the data */
    int64_t last_beat_us;
    int64_t alive_us;                  /* when the last heartbeat that came through was sent */
    bool has_young;                    /* runs that were too young to report at the last beat, or started since */
    uint64_t blame_flying, blame_told; /* w->alone_no of the heartbeat in flight, and of the last that came through */
    size_t turn_hint;
};

typedef struct dq_stat_row {
    uint32_t lane;
    int32_t field; /* 0 c, 1 f, 2 d, 100 + i: w<i>, 200 + i: r<i> */
    int64_t n;
} dq_stat_row;
typedef struct dq_stat_rows {
    dq_stat_row rows[DQ_BATCH_MAX * DQ_STATS_OF_RUN];
    size_t n;
} dq_stat_rows;

struct dq_worker {
    dq_store *store;
    dq_loop *loop;
    const dq_log *log;
    dq_handlers *handlers;
    dq_worker_callbacks cb;
    char *node_id, *info;
    uint32_t concurrency;
    int64_t lease_ms;
    bool stands_to_lead;
    dureq_node_event_fn on_event;
    void *on_event_userdata;
    dq_rng rng;

    dq_pool *pool;
    dq_list spare; /* task memory */
    size_t n_spare;
    uint32_t n_held;     /* tasks that take a slot: fetched, not finished */
    uint32_t room;       /* jobs at most, when it is under concurrency: a handler had no room for more */
    dq_timer room_timer; /* set while it is: then a few more are tried */
    uint32_t n_fetching; /* of them: their payload is on its way */
    dq_list suspects;    /* wait until nothing else runs; by link (suspect.c) */
    dureq_run *alone;    /* the suspect that runs alone or is about to */
    bool together;       /* suspects never charged run, or are about to; at most one of this and `alone` */
    bool new_waits;      /* such suspects came that no heartbeat was asked to report yet */
    int64_t together_until_us;
    uint64_t alone_no;        /* counts changes of `alone` and `together` */
    int64_t suspect_since_us; /* since when suspects wait */
    dq_timer suspect_timer;
    dq_heap deadlines;
    dq_timer deadline_timer;
    dq_list undecided; /* came with a wake-up while a read was in flight; by link */
    bool reading;      /* it is */
    dq_list to_pool;   /* collected while a reply is taken apart: */
    bool taking;

    struct dq_wlane *old_lanes; /* that the server does not have any more; handlers may still hold their names */

    dq_wshard *shards;
    unsigned n_shards;
    bool up, cycle_up, was_live;
    int64_t last_fetch_us;
    dq_timer hold_off;   /* a turn was put off (cycle.c) */
    bool exchanging;     /* something of the cycle's connection is in flight */
    dq_wshard *watching; /* whose keys are watched there */
    unsigned turn;
    dq_deferred pump;

    bool draining, drain_asked, stopping, give_up, stopped;
    bool too_old;           /* a heartbeat said so; until a session is opened, which one that is too old is not */
    dq_buf scratch;         /* one row */
    dq_stat_rows stat_rows; /* of the turn that is written */
    dq_message progress_message;
    atomic_bool progress_noted; /* progress_message is under way: acquired by who sends it, released when it came */

    /* statistics; relaxed atomics: written on the loop, read anywhere */
    _Atomic uint64_t s_started, s_completed, s_failed, s_dead, s_cancelled, s_returned, s_lost;
    _Atomic int32_t s_running, s_stuck;
    _Atomic uint64_t s_unsent; /* tasks whose `unsent` is set */
    atomic_bool s_connected, s_draining;
};

static inline void dq_stat_add(_Atomic uint64_t *s, uint64_t n)
{
    atomic_fetch_add_explicit(s, n, memory_order_relaxed);
}

/* Nothing is sent but what finds out. */
static inline bool dq_shard_is_unsure(const dq_wshard *s)
{
    return s->unsure_session || s->unsure_lanes;
}

/* The server is a replica, or reads what its master sent: once it is a master again, it may hold other data. */
static inline bool dq_is_of_replica(int code)
{
    return code == DUREQ_EREADONLY || code == DUREQ_ELOADING;
}

/* worker.c */
int64_t dq_task_timeout_ms(const dureq_run *t); /* 0: none */
void dq_worker_pump(dq_worker *w);              /* look for something to send, soon */
void dq_worker_note_progress(dq_worker *w);     /* any thread */
void dq_worker_start_task(dureq_run *t);        /* with all it needs; slots were counted at the fetch */
void dq_worker_put_done(dureq_run *t);          /* judged: among what is to be recorded */
void dq_worker_task_over(dureq_run *t);         /* its slot is free; outcome not looked at */
void dq_worker_look_for_end(dq_worker *w);
void dq_worker_tell(dureq_run *t, dureq_node_event_kind kind, const char *error);
void dq_worker_drop_task(dureq_run *t); /* out of its shard's hands; freed when no handler uses it */
void dq_worker_stop_task(dureq_run *t, dq_stop_reason why);
void dq_worker_lose_task(dureq_run *t, dq_stop_reason why); /* taken from us */
/* lanes.c */
void dq_lanes_init(dq_wshard *s);
void dq_lanes_load(dq_wshard *s);
void dq_lanes_free_old(dq_worker *w);
void dq_lanes_deinit(dq_wshard *s);
void dq_lanes_forgotten(dq_wshard *s);                        /* a new session: nobody knows what it waits for */
void dq_lane_wake(dq_wshard *s, uint32_t no, bool is_called); /* called: others were not, because we were */
void dq_lane_rest(dq_wlane *lane);                            /* not read for a while */
void dq_lanes_beat(dq_wshard *s);                             /* a heartbeat came through: some have rested enough */
void dq_lanes_plan(dq_wshard *s, dq_turn *turn);              /* adds what is to be read; sets want_ */
void dq_lanes_listing(dq_wshard *s, dq_turn *turn);           /* adds lanes of the plan that are to be registered with it */
void dq_lanes_listen(dq_wshard *s);                           /* registers fresh lanes, and looks which hold jobs */
void dq_lanes_pass(dq_wshard *s);                             /* lanes that we were woken for and have no slots for: others are */
int32_t dq_lanes_slots(const dq_wshard *s);
bool dq_lane_has_slot(const dq_wlane *lane);
bool dq_lanes_worth(dq_wshard *s);     /* a turn now may give something, or a registration is due */
void dq_lanes_read_done(dq_wshard *s); /* all replies of a plan are in */
void dq_lanes_read_off(dq_wshard *s);  /* a plan that was not carried out */
/* share.c */
void dq_share_init(dq_wshard *s);
void dq_share_deinit(dq_wshard *s);
dq_wqueue *dq_share_queue(dq_wshard *s, dureq_str name);            /* made when new; NULL: no memory */
dq_wflow *dq_share_flow(dq_wshard *s, dq_wqueue *q, dq_handler *h); /* likewise */
void dq_share_judge(dq_wshard *s);                                  /* definitions of queues changed */
void dq_share_paused(dq_wshard *s);                                 /* others are paused */
void dq_share_offer(dq_wlane *lane);                                /* whether it may be read has changed */
bool dq_share_any(dq_wshard *s);                                    /* some lane may be read, and has a slot */
void dq_share_out(dq_wshard *s, int32_t slots);                     /* into s->planned */
void dq_share_back(dq_wlane *lane, int32_t n);                      /* so many of its slots were not used */
/* paused.c */
void dq_paused_init(dq_wshard *s);
void dq_paused_deinit(dq_wshard *s);
bool dq_paused_has(const dq_wshard *s, dureq_str queue);
bool dq_paused_sure(const dq_wshard *s); /* nothing is read before */
void dq_paused_load(dq_wshard *s);
void dq_paused_told(dq_wshard *s, int64_t version, dq_reply page); /* by a gate: another version than we know */
void dq_paused_beat(dq_wshard *s, int64_t version);                /* by a heartbeat */
void dq_paused_hold(dureq_run *t);                                 /* fetched, with its slot: until that is read */
void dq_paused_give_back(dq_worker *w);                            /* those that are held: at a stop */
/* cycle.c */
void dq_cycle_look(dq_worker *w); /* sends what there is, if nothing is in flight */
void dq_cycle_lost(dq_worker *w); /* its connection is gone */
/* fetch.c */
void dq_fetch_streams(dq_wshard *s, dq_reply streams, dq_rbuf **rbuf);
void dq_fetch_pushed(dq_wshard *s, dureq_str job); /* came with a wake-up */
void dq_fetch_decide(dq_worker *w);                /* no read is in flight: which of those that came that way are started */
dureq_run *dq_fetch_held(dq_wshard *s, const dq_entry *e); /* by its entry; NULL: none */
void dq_fetch_give_back(dureq_run *t);                     /* into its shard's `returns` */
void dq_fetch_start(dureq_run *t);                         /* with its payload */
void dq_fetch_begin(dureq_run *t);                         /* it has its slot */
/* suspect.c */
void dq_suspect_admit(dureq_run *t);       /* fetched */
void dq_suspects_look(dq_worker *w);       /* something ended, or time passed */
void dq_suspects_told(dq_wshard *s);       /* a heartbeat came through */
void dq_suspect_over(dureq_run *t);        /* its slot is free */
void dq_suspects_give_back(dq_worker *w);  /* those that have not started: at a stop */
bool dq_suspects_hold(const dq_worker *w); /* nothing is to be fetched */
bool dq_suspect_wants_report(const dureq_run *t);
/* outcome.c */
void dq_outcome_judge(dureq_run *t, int rc);
/* record.c */
bool dq_record_is_plain(const dureq_run *t);
int64_t dq_record_class(const dureq_run *t);                       /* retention class; 0: not kept */
void dq_record_row(dureq_run *t, dq_buf *out);                     /* the whole row */
void dq_record_moved(const dureq_run *t, dq_buf *out);             /* its moved part after this run */
void dq_record_general(dq_wshard *s, bool is_repeat, dq_buf *out); /* the call for all of s->sent, numbered s->call_no */
void dq_stats_of(dq_stat_rows *rows, const dureq_run *t);
const char *dq_stat_name(const dq_stat_row *row, char out[32]); /* as the scripts count it */
/* session.c */
void dq_session_open(dq_wshard *s);
void dq_session_beat_now(dq_wshard *s);
void dq_session_beat_soon(dq_wshard *s); /* with what else comes up in this turn of the loop */
void dq_session_beat_fired(dq_timer *t);
void dq_session_progress(dq_worker *w);
void dq_session_started(dq_wshard *s);
void dq_session_cancelled(dq_wshard *s, dureq_str id);
void dq_session_resync(dq_wshard *s);
void dq_session_doubt(dq_wshard *s);        /* perhaps it is other data now: a heartbeat asks before anything else is sent */
void dq_session_look_if_sure(dq_wshard *s); /* goes on once session and lanes are known to be ours */
void dq_session_return(dq_wshard *s);       /* sends what is in `returns` */
void dq_session_close(dq_wshard *s);
void dq_session_lost(dq_wshard *s, const char *why); /* fenced: drops all it holds, opens a new one */
