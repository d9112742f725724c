/* SPDX-License-Identifier: Apache-2.0 */
/* Which queues are paused. A pause that was acknowledged holds: nothing more of that queue starts.

   Each change of a shard's queues raises the version of the shard's queues (`qv`), by programs of the version before as well. A turn says the version it knows the
   paused queues of. Its gate runs in one transaction with the reads: when the version is still that one, what was read may start. When it is another one,
   the gate answers with the new version and the first page of names, and what was read waits, each in its slot (GATED), until the last page
   is here: then what belongs to a paused queue is given back, and the rest starts. Names that are there from the first page to the last are never
   missed by such a read (SSCAN), and the gate came no later than the first page: so nothing starts that the gate would have held back.
   Names that come or go while pages are read raise the version again.

   Queues that are paused are not read, so a resume is noticed by a heartbeat, or by the message that queues changed: then the names are read without
   a turn. A turn that meets no change costs the same however many queues are paused. Loop thread. */

#include "base/clock.h"
#include "store/queue_calls.h"
#include "worker/worker_internal.h"

void dq_paused_init(dq_wshard *s)
{
    s->pauses.version = -1;
}

static void names_clear(dq_names *n)
{
    dq_map_deinit(&n->map);
    dq_arena_deinit(&n->arena);
}

void dq_paused_deinit(dq_wshard *s)
{
    names_clear(&s->pauses.names);
    names_clear(&s->pauses.next);
}

bool dq_paused_has(const dq_wshard *s, dureq_str queue)
{
    return dq_map_get(&s->pauses.names.map, queue) != NULL;
}

bool dq_paused_sure(const dq_wshard *s)
{
    return s->pauses.version >= 0 && s->pauses.load == DQ_LOAD_NONE;
}

static bool names_add(dq_names *n, dureq_str name)
{
    char *own = dq_arena_dup(&n->arena, name);

    return own && dq_map_put(&n->map, dureq_str_of(own, name.len), own) == 0;
}

/* ---- what waits for the names ---- */

static dq_list *gated(dq_wshard *s)
{
    return &s->claims[DQ_CLAIM_GATED].list;
}

static dq_claim *first_gated(dq_wshard *s)
{
    return dq_container_of(gated(s)->next, dq_claim, link);
}

/* A process that stood still meanwhile may find that its lease is long over: then others run it. */
static void decide(dq_claim *c)
{
    const dq_worker *w = c->worker;
    bool alive = dq_mono_us() - c->shard->session.alive_us < w->lease_ms * 1000;

    if (c->lane->queue_of->paused || dq_worker_is_stopping(w) || !alive || (w->suspects.alone && !dq_claim_is_suspect(c)))
        dq_claim_move(c, DQ_CLAIM_RETURN);
    else
        dq_fetch_begin(c);
}

static void decide_all(dq_wshard *s)
{
    while (!dq_list_empty(gated(s)))
        decide(first_gated(s));
    dq_session_return(s);
    dq_worker_pump(s->worker);
}

void dq_paused_give_back(dq_worker *w)
{
    for (unsigned i = 0; i < w->n_shards; i++) {
        dq_wshard *s = &w->shards[i];

        while (!dq_list_empty(gated(s)))
            dq_claim_move(first_gated(s), DQ_CLAIM_RETURN);
        dq_session_return(s);
    }
}

/* ---- reading them ---- */

static void next_page(dq_wshard *s, dureq_str cursor);

static void finish(dq_wshard *s)
{
    dq_names old = s->pauses.names;

    bool again = s->pauses.load == DQ_LOAD_AGAIN;

    s->pauses.load = DQ_LOAD_NONE;
    s->pauses.names = s->pauses.next;
    s->pauses.next = (dq_names){0};
    s->pauses.version = s->pauses.next_version;
    names_clear(&old);
    dq_share_paused(s);
    if (again || s->pauses.version < s->pauses.least)
        dq_paused_load(s);
    else
        decide_all(s);
}

static void fail(dq_wshard *s)
{
    s->pauses.load = DQ_LOAD_NONE;
    names_clear(&s->pauses.next); /* a heartbeat begins it again */
}

/* cursor, names */
static void take_page(dq_wshard *s, dureq_str cursor, dq_reply names)
{
    dq_reply_items items = dq_reply_items_of(names);
    dq_reply name;
    bool ok = true;

    while (ok && dq_reply_items_next(&items, &name))
        ok = names_add(&s->pauses.next, dq_reply_str(name));
    if (!ok)
        fail(s);
    else if (dq_str_eq_text(cursor, "0"))
        finish(s);
    else
        next_page(s, cursor);
}

static void on_page(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_wshard *s = userdata;
    dq_paused_page page = {0};

    if (code == 0)
        code = dq_paused_page_decode(reply, &page);
    if (code < 0) {
        if (code != DUREQ_EUNAVAILABLE && code != DUREQ_ECLOSED)
            DQ_LOG(s->worker->log, DUREQ_LOG_WARN, "queues.paused", "shard=%u error=\"%s\"", s->no, err->msg);
        fail(s);
        return;
    }
    if (s->pauses.next_version < 0)
        s->pauses.next_version = page.version;
    take_page(s, page.cursor, page.names);
}

static void next_page(dq_wshard *s, dureq_str cursor)
{
    dq_worker *w = s->worker;
    DQ_BUF_AUTO call = {0};

    dq_call_queues_paused(&call, dq_store_keys(w->store), s->no, cursor);
    int rc = dq_buf_failed(&call) ? DUREQ_ENOMEM : dq_store_send(w->store, s->no, 0, dq_buf_str(&call), on_page, s);
    if (rc < 0)
        fail(s);
}

static void begin(dq_wshard *s, int64_t version)
{
    s->pauses.load = DQ_LOAD_FLYING;
    s->pauses.least = -1;
    s->pauses.next_version = version;
    names_clear(&s->pauses.next);
}

void dq_paused_load(dq_wshard *s)
{
    if (!s->link->is_up || !dq_shard_is_live(s))
        return;
    if (s->pauses.load != DQ_LOAD_NONE) {
        s->pauses.load = DQ_LOAD_AGAIN;
        return;
    }
    begin(s, -1);
    next_page(s, DQ_STR_LIT("0"));
}

void dq_paused_told(dq_wshard *s, int64_t version, dq_reply page)
{
    if (s->pauses.load != DQ_LOAD_NONE) { /* what is on its way may be from before this gate */
        s->pauses.least = DQ_MAX(s->pauses.least, version);
        return;
    }
    begin(s, version);
    take_page(s, dq_reply_str(dq_reply_at(page, 0)), dq_reply_at(page, 1));
}

void dq_paused_beat(dq_wshard *s, int64_t version)
{
    if (s->pauses.load != DQ_LOAD_NONE) /* begun again only for what is newer: a long read would never end */
        s->pauses.least = DQ_MAX(s->pauses.least, version);
    else if (version != s->pauses.version || !dq_list_empty(gated(s)))
        dq_paused_load(s);
}
