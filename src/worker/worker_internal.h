/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of the worker share. Loop thread, except for what says otherwise.

   claim.c      an entry that is ours, its states
   run.c        what a handler sees and says
   run_life.c   the loop's side of a run: start, deadlines, stop, end
   step.c       what a handler does once however often its job runs

   link.c       a server's connection for turns: whose turn it is, watching
   turn.c       the turn: transaction of plain commands
   sent.c       what became of outcomes that were sent; the general call
   record.c     claims whose outcome is known, as arguments of calls

   session.c    open, lost, close
   beat.c       the heartbeat: starts, progress, news
   late.c       runs that go on after their claim is over
   sync.c       compares what is held with what Redis holds pending
   give_back.c  claims that are given back

   lane_list.c  lanes of a shard, and who handles them
   lane_calls.c what is said of lanes outside of turns
   lanes.c      which lanes may hold jobs, the reads of a turn
   share.c      whose turn it is: free slots for queues by weight
   paused.c     which queues are paused
   fetch.c      from a reply to started runs
   suspect.c    jobs whose process went down before they were on record
   outcome.c    what a run's end means
   message.c    wake-ups and news from others
   worker.c     create, destroy, what the store tells
   stop.c       drain and stop */

#include <string.h>

#include "base/random.h"
#include "worker/claim.h"
#include "worker/lane.h"
#include "worker/link.h"
#include "worker/pool.h"
#include "worker/session.h"
#include "worker/worker.h"

#define DQ_BATCH_MAX   256
#define DQ_BATCH_BYTES (256 * 1024)  /* of a script */
#define DQ_PLAIN_BYTES (1024 * 1024) /* of plain commands */

struct dq_wshard {
    dq_worker *worker;
    dq_wlink *link;
    unsigned no;
    dq_wsession session;
    dq_wlanes lanes;
    dq_wpauses pauses;
    dq_wturn turn;
    dq_list steps;                     /* calls of handlers' steps (step.c) */
    dq_list late;                      /* runs that go on after their claim is over, or was judged without them (late.c) */
    dq_list held;                      /* claims of this session, by in_shard */
    dq_claims claims[DQ_CLAIM_STATES]; /* the same by their state, except those whose list is elsewhere (claim.c) */
};

typedef struct dq_stat_row {
    uint32_t lane;
    int32_t field; /* 0 c, 1 f, 2 d, 100 + i: w<i>, 200 + i: r<i> */
    int64_t n;
} dq_stat_row;
typedef struct dq_stat_rows {
    dq_stat_row rows[DQ_BATCH_MAX * DQ_STATS_OF_RUN];
    size_t n;
    uint16_t of[DQ_STATS_OF_RUN]; /* of the last run: numbers of its rows, from 1; 0: none */
} dq_stat_rows;

/* suspect.c */
typedef struct dq_suspects {
    dq_claims charged; /* claims in that state */
    dq_claim *alone;   /* the suspect that runs alone or is about to */
    bool together;     /* suspects never charged run, or are about to; at most one of this and `alone` */
    bool new_waits;    /* such suspects came that no heartbeat was asked to report yet */
    int64_t together_until_us;
    uint64_t blame_no; /* counts changes of `alone` and `together` */
    int64_t since_us;  /* since when charged ones wait */
    dq_timer timer;
} dq_suspects;

/* docs/state-machines.md draws the moves; stop.c has their table. */
typedef enum dq_worker_life {
    DQ_LIFE_WORKING,
    DQ_LIFE_HALTED,   /* nothing is taken and handlers are told to end; dq_worker_stop is still to come */
    DQ_LIFE_STOPPING, /* handlers may take their time */
    DQ_LIFE_ENDING,   /* handlers are told to end, and a server that is away is not waited for */
    DQ_LIFE_STOPPED,
} dq_worker_life;

/* Why a worker that works takes nothing: */
enum {
    DQ_HOLD_DRAIN = 1 << 0,       /* its owner says so */
    DQ_HOLD_DRAIN_ASKED = 1 << 1, /* an operator does */
    DQ_HOLD_TOO_OLD = 1 << 2,     /* a heartbeat said so; until a session is opened, which one that is too old is not */
};

/* Relaxed atomics: written on the loop, read anywhere. */
typedef struct dq_worker_stats {
    _Atomic uint64_t started, completed, failed, dead, cancelled, returned, lost;
    _Atomic int32_t running, stuck;
    _Atomic uint64_t unsent; /* claims that are judged, and not over */
    atomic_bool connected, draining;
} dq_worker_stats;

struct dq_worker {
    dq_store *store;
    dq_loop *loop;
    const dq_log *log;
    dq_handlers *handlers;
    dq_worker_callbacks cb;
    char *node_id, *info;
    uint32_t concurrency;
    size_t max_payload; /* of a repeat, in bytes */
    int64_t lease_ms;
    bool stands_to_lead;
    dureq_node_event_fn on_event;
    void *on_event_userdata;
    dq_rng rng;

    dq_wlink *links;
    unsigned n_links;
    dq_wshard *shards;
    unsigned n_shards;
    dq_wlane *old_lanes; /* that a server does not have any more; handlers may still hold their names */

    dq_worker_life life;
    unsigned holds; /* of DQ_HOLD_... */
    bool was_live;
    dq_deferred pump;

    dq_claims spare;   /* memory */
    dq_list *by_entry; /* claims that are held, by a hash of their entry: a power of two of lists */
    uint32_t n_by_entry;
    uint32_t n_slots_taken; /* by claims that wait to run, and by runs */
    uint32_t room;          /* jobs at most, when it is under concurrency: a handler had no room for more */
    dq_timer room_timer;    /* set while it is: then a few more are tried */
    dq_suspects suspects;
    dq_heap deadlines; /* of runs */
    dq_timer deadline_timer;

    dq_pool *pool;
    dq_list to_pool; /* runs, collected while a reply is taken apart: */
    bool is_taking;
    dq_message progress_message;
    atomic_bool progress_noted; /* progress_message is under way: acquired by who sends it, released when it came */

    dq_buf scratch;         /* one row */
    dq_stat_rows stat_rows; /* of the turn that is written */
    dq_worker_stats stats;
};

static inline void dq_stat_add(_Atomic uint64_t *s, uint64_t n)
{
    atomic_fetch_add_explicit(s, n, memory_order_relaxed);
}

/* As much as fits, NUL-ended. */
static inline void dq_copy_text(char *out, size_t cap, dureq_str text)
{
    size_t n = DQ_MIN(text.len, cap - 1);

    if (n > 0)
        memcpy(out, text.ptr, n);
    out[n] = '\0';
}

static inline bool dq_shard_is_live(const dq_wshard *s)
{
    return s->session.state == DQ_SESSION_LIVE;
}

static inline bool dq_worker_is_stopping(const dq_worker *w)
{
    return w->life >= DQ_LIFE_STOPPING;
}

static inline bool dq_worker_gives_up(const dq_worker *w)
{
    return w->life == DQ_LIFE_HALTED || w->life >= DQ_LIFE_ENDING;
}

/* The server is a replica, or reads what its master sent: once it is a master again, it may hold other data. */
static inline bool dq_is_of_replica(int code)
{
    return code == DUREQ_EREADONLY || code == DUREQ_ELOADING;
}

/* worker.c */
void dq_worker_pump(dq_worker *w);          /* look for something to send, soon */
void dq_worker_note_progress(dq_worker *w); /* any thread */
void dq_worker_tell(dq_claim *c, dureq_node_event_kind kind, const char *error);
void dq_worker_less_room(dq_worker *w); /* for a while: a handler had none */
/* step.c */
void dq_steps_look(dq_wshard *s); /* sends those that waited for the server */
void dq_steps_close(dq_wshard *s);
/* stop.c */
bool dq_worker_life_can_move(dq_worker_life from, dq_worker_life to);
void dq_worker_look_for_end(dq_worker *w);
void dq_worker_hold(dq_worker *w, unsigned hold, bool on);
/* fetch.c */
void dq_fetch_streams(dq_wshard *s, dq_reply streams, dq_rbuf **rbuf);
void dq_fetch_pushed(dq_wshard *s, dureq_str job); /* came with a wake-up */
void dq_fetch_decide(dq_wlink *l);                 /* no read is in flight: which of those that came that way are started */
void dq_fetch_start(dq_claim *c);                  /* with its payload */
void dq_fetch_begin(dq_claim *c);                  /* as a suspect, or at once */
/* suspect.c */
void dq_suspect_admit(dq_claim *c);        /* fetched */
void dq_suspects_look(dq_worker *w);       /* something ended, or time passed */
void dq_suspects_told(dq_wshard *s);       /* a heartbeat came through */
void dq_suspect_over(dq_claim *c);         /* its slot is free */
void dq_suspects_give_back(dq_worker *w);  /* those that have not started: at a stop */
bool dq_suspects_hold(const dq_worker *w); /* nothing is to be fetched */
bool dq_suspect_waits(const dq_claim *c);  /* not told to start yet; whether its start is on record or not */
bool dq_suspect_wants_report(const dq_claim *c);
dureq_str dq_suspects_blame(dq_wshard *s, unsigned char id[DQ_ID_BYTES]); /* for the heartbeat that is written */
/* late.c */
void dq_late_begin(dq_claim *c);
void dq_late_ended(dq_claim *c);                    /* its handler has, or never began */
void dq_late_put(dq_wshard *s, dq_beat *b);         /* ends that are not on record yet, as many as fit */
void dq_late_told(dq_wshard *s, bool came_through); /* that heartbeat */
void dq_late_shown(dq_wshard *s, dq_reply list);    /* by a heartbeat's answer */
/* outcome.c */
void dq_outcome_judge(dq_claim *c, int rc);
/* record.c */
bool dq_record_is_plain(const dq_claim *c);
int64_t dq_record_class(const dq_claim *c);                        /* retention class; 0: not kept */
void dq_record_row(dq_claim *c, dq_buf *out);                      /* the whole row */
void dq_record_general(dq_wshard *s, bool is_repeat, dq_buf *out); /* the call for all that are sent, numbered turn.call_no */
void dq_stats_of(dq_stat_rows *rows, const dq_claim *c);
const char *dq_stat_name(const dq_stat_row *row, char out[32]); /* as the scripts count it */
