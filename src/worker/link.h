/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A link: a worker's way to one server. A shard belongs to the link of the server that it is on; nothing but the link itself knows how many there
   are. Of the link are the exchange of turns, which has a connection to itself, the keys watched there, and what the server knows of scripts. Loop
   thread. */

#include "io/loop.h"
#include "worker/claim.h"

/* Of the turns' connection. */
typedef enum dq_exchange {
    DQ_EXCHANGE_NONE,
    DQ_EXCHANGE_GOING,
    DQ_EXCHANGE_READING, /* with a read, which may take the slots that are free now */
} dq_exchange;

typedef struct dq_wlink {
    dq_worker *worker;
    unsigned no;
    bool is_up, turns_are_up; /* its connections: the store's, the turns' */
    dq_exchange exchange;
    dq_wshard *watched; /* whose keys are watched; NULL: none */
    bool watch_is_sure; /* and they had the values that we know */
    bool lacks_script;  /* complete.lua */
    unsigned turn;      /* whose it is next, of `shards` */
    dq_wshard **shards;
    unsigned n_shards;
    uint32_t n_loading; /* payloads on their way */
    int64_t last_fetch_us;
    dq_timer hold_off; /* a turn was put off */
    dq_claims pushed;  /* claims in that state */
} dq_wlink;

/* What a shard's turns are about. */
typedef struct dq_wturn {
    uint64_t call_no;       /* of the last call that recorded outcomes */
    bool call_is_lost;      /* its reply was: to be asked about first */
    uint64_t session;       /* whose the exchange in flight is: an answer is nothing to the one after it */
    size_t gate_at;         /* of the transaction in flight: index of worker_cycle's answer, */
    size_t n_reads;         /* answers after it, */
    int64_t class_asked;    /* and the class it asked for */
    bool reads_by_script;   /* those of the turn that is planned, or in flight */
    bool was_general;       /* the last exchange recorded by a general call: jobs that ended well go first now */
    bool refused_unseen;    /* a transaction was refused for a change of the watched keys; their values were not read since */
    int64_t rest_until_us;  /* its turns fail for a reason that will not be over at once */
    int64_t plain_again_us; /* transactions were refused (memory): general calls until then, and reads by script */
    int64_t reads_again_us; /* reads by script were refused as well */
    int64_t class_ms;       /* of `bucket`; 0: none known */
    char bucket[24];
    int64_t width;
} dq_wturn;

/* ---- link.c ---- */

int dq_link_init(dq_wlink *l, dq_worker *w, unsigned no); /* then dq_link_add for each shard; deinit after a failure as well */
int dq_link_add(dq_wlink *l, dq_wshard *s);
void dq_link_deinit(dq_wlink *l);
void dq_link_look(dq_wlink *l);                              /* sends what there is, if nothing is in flight */
void dq_link_lost(dq_wlink *l);                              /* the turns' connection is gone */
void dq_link_unsure(dq_wshard *s);                           /* the watched keys have other values than we know */
void dq_link_watch(dq_wlink *l, dq_wshard *s, bool unwatch); /* after an exchange, or by itself */
void dq_link_read_over(dq_wlink *l);                         /* of the exchange only the watch is left */
dq_redis *dq_link_redis(dq_wlink *l);
bool dq_link_has_work(dq_wshard *s);
void dq_link_rest(dq_wshard *s, const dureq_error *err);
dq_wshard *dq_link_next_watch(dq_wlink *l, dq_wshard *s); /* whose keys to watch after the turn of s */
bool dq_link_is_stale(const dq_wshard *s);                /* the answer is an earlier session's */

/* ---- turn.c ---- */

void dq_link_send_turn(dq_wshard *s); /* the transaction */
/* Without one: after a general call, and for memory that is short. False: there is nothing to be read, and nothing was sent. */
bool dq_link_send_reads(dq_wshard *s);

/* ---- sent.c ---- */

void dq_sent_recorded(dq_wshard *s);
void dq_sent_again(dq_wshard *s); /* it was not executed */
void dq_sent_general(dq_wshard *s, bool with_plain);
void dq_sent_repeat(dq_wshard *s); /* the call whose answer was lost */
