/* SPDX-License-Identifier: Apache-2.0 */
/* Which queues are paused. A pause that was acknowledged holds: nothing more of that queue starts.

   Each change of a shard's queues raises the version of the shard's queues (`qv`), by programs of the version before as well. A turn says the version it knows the
   paused queues of. Its gate runs in one transaction with the reads: when the version is still that one, what was read may start. When it is another one,
   the gate answers with the new version and the first page of names, and what was read waits, each in its slot (`gated`), until the last page
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
    dq_list_init(&s->gated);
    s->paused_version = -1;
}

static void names_clear(dq_names *n)
{
    dq_map_deinit(&n->map);
    dq_arena_deinit(&n->arena);
}

void dq_paused_deinit(dq_wshard *s)
{
    names_clear(&s->paused);
    names_clear(&s->paused_next);
}

bool dq_paused_has(const dq_wshard *s, dureq_str queue)
{
    return dq_map_get(&s->paused.map, queue) != NULL;
}

bool dq_paused_sure(const dq_wshard *s)
{
    return s->paused_version >= 0 && !s->paused_loading;
}

static bool names_add(dq_names *n, dureq_str name)
{
    char *own = dq_arena_dup(&n->arena, name);

    return own && dq_map_put(&n->map, dureq_str_of(own, name.len), own) == 0;
}

/* ---- what waits for the names ---- */

void dq_paused_hold(dureq_run *t)
{
    dq_list_push_back(&t->shard->gated, &t->link);
    t->gated = true;
}

static dureq_run *pop_held(dq_wshard *s)
{
    dureq_run *t = dq_container_of(dq_list_pop_front(&s->gated), dureq_run, link);

    t->gated = false;
    return t;
}

static void give_back(dureq_run *t)
{
    dq_worker_task_over(t);
    dq_fetch_give_back(t);
}

/* A process that stood still meanwhile may find that its lease is long over: then others run it. */
static void decide(dureq_run *t)
{
    const dq_worker *w = t->worker;
    bool alive = dq_mono_us() - t->shard->alive_us < w->lease_ms * 1000;

    if (t->lane->queue_of->paused || w->stopping || !alive || (w->alone && !t->suspect))
        give_back(t);
    else
        dq_fetch_begin(t);
}

static void decide_all(dq_wshard *s)
{
    while (!dq_list_empty(&s->gated))
        decide(pop_held(s));
    dq_session_return(s);
    dq_worker_pump(s->worker);
}

void dq_paused_give_back(dq_worker *w)
{
    for (unsigned i = 0; i < w->n_shards; i++) {
        dq_wshard *s = &w->shards[i];

        while (!dq_list_empty(&s->gated))
            give_back(pop_held(s));
        dq_session_return(s);
    }
}

/* ---- reading them ---- */

static void next_page(dq_wshard *s, dureq_str cursor);

static void finish(dq_wshard *s)
{
    dq_names old = s->paused;

    s->paused_loading = false;
    s->paused = s->paused_next;
    s->paused_next = (dq_names){0};
    s->paused_version = s->paused_next_version;
    names_clear(&old);
    dq_share_paused(s);
    if (s->paused_again || s->paused_version < s->paused_least)
        dq_paused_load(s);
    else
        decide_all(s);
}

static void fail(dq_wshard *s)
{
    s->paused_loading = false;
    names_clear(&s->paused_next); /* a heartbeat begins it again */
}

/* cursor, names */
static void take_page(dq_wshard *s, dureq_str cursor, dq_reply names)
{
    size_t n = dq_reply_len(names);
    dq_reply at = n > 0 ? dq_reply_first(names) : names;
    bool ok = true;

    for (size_t i = 0; i < n; i++) {
        ok = ok && names_add(&s->paused_next, dq_reply_str(at));
        if (i + 1 < n)
            at = dq_reply_next(at);
    }
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
    if (s->paused_next_version < 0)
        s->paused_next_version = page.version;
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
    s->paused_loading = true;
    s->paused_again = false;
    s->paused_least = -1;
    s->paused_next_version = version;
    names_clear(&s->paused_next);
}

void dq_paused_load(dq_wshard *s)
{
    if (!s->worker->up || s->state != WSHARD_LIVE)
        return;
    if (s->paused_loading) {
        s->paused_again = true;
        return;
    }
    begin(s, -1);
    next_page(s, DQ_STR_LIT("0"));
}

void dq_paused_told(dq_wshard *s, int64_t version, dq_reply page)
{
    if (s->paused_loading) { /* what is on its way may be from before this gate */
        s->paused_least = DQ_MAX(s->paused_least, version);
        return;
    }
    begin(s, version);
    take_page(s, dq_reply_str(dq_reply_at(page, 0)), dq_reply_at(page, 1));
}

void dq_paused_beat(dq_wshard *s, int64_t version)
{
    if (s->paused_loading) /* begun again only for what is newer: a long read would never end */
        s->paused_least = DQ_MAX(s->paused_least, version);
    else if (version != s->paused_version || !dq_list_empty(&s->gated))
        dq_paused_load(s);
}
