/* SPDX-License-Identifier: Apache-2.0 */
/* See ticker.h. One call a shard in flight for each of the four duties; each is bounded, and repeated at once while it says that there is more.
   Nothing polls: promotion sleeps until the next due time by the server's clock; reaping and the outbox start when a heartbeat says so;
   housekeeping runs each minute, sooner when a schedule-to-start limit is near, a bucket of history was opened or the server's memory is
   short. A call that is lost is made again by the next heartbeat. */

#include "leader/ticker.h"

#include "base/clock.h"
#include "model/job.h"
#include "store/tick_calls.h"

#define HOUSEKEEP_MS 60000

typedef struct ticker {
    dq_tickers *all;
    unsigned shard;
    dq_ticker me; /* epoch 0: not ticker */
    dq_timer due, house;
    int64_t due_ms;   /* what `due` is set for; INT64_MAX: nothing */
    int64_t house_ms; /* the same for `house` */
    bool promoting, reaping, keeping, settling;
    bool keep_again;
    bool again; /* promote: something became due while a call was in flight */
    bool reap_more, settle_more;
    bool memory_short;      /* for the next call */
    int64_t short_since_us; /* 0: it is not, or that was looked at */
} ticker;

struct dq_tickers {
    dq_store *store;
    dq_tickers_options opts;
    ticker *items; /* made at the first beat */
    unsigned n;
};

static void promote(ticker *t);
static void reap(ticker *t);
static void keep(ticker *t);
static void settle(ticker *t);

static bool send_call(ticker *t, const dq_buf *call, dq_store_fn fn)
{
    return !dq_buf_failed(call) && dq_store_send(t->all->store, t->shard, 0, dq_buf_str(call), fn, t) == 0;
}

/* Whether the answer can be used. A fenced ticker stops. */
static bool answered(ticker *t, int code, const dureq_error *err, const char *what)
{
    if (code == 0)
        return true;
    if (code == DUREQ_EFENCED)
        t->me.epoch = 0;
    else if (code != DUREQ_EUNAVAILABLE && code != DUREQ_ECLOSED)
        DQ_LOG(t->all->opts.log, DUREQ_LOG_WARN, "ticker.error", "shard=%u call=%s error=\"%s\"", t->shard, what, err->msg);
    return false;
}

/* ---- due ---- */

static void set_due(ticker *t, int64_t at_ms)
{
    int64_t now_ms = dq_store_now_ms(t->all->store);

    t->due_ms = at_ms;
    if (at_ms == INT64_MAX)
        dq_timer_clear(&t->due);
    else
        dq_timer_set(&t->due, at_ms <= now_ms ? 0 : DQ_MIN(at_ms - now_ms, 3600000) * 1000);
}

static int64_t sooner(int64_t a_ms, int64_t b_ms)
{
    a_ms = a_ms < 0 ? INT64_MAX : a_ms;
    b_ms = b_ms < 0 ? INT64_MAX : b_ms;
    return DQ_MIN(a_ms, b_ms);
}

static void on_promoted(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    ticker *t = userdata;
    dq_promoted p;

    t->promoting = false;
    if (!answered(t, code, err, "due_promote") || dq_due_promote_decode(reply, &p) < 0)
        return;
    dq_store_saw_time(t->all->store, p.now_ms);
    int64_t next = sooner(p.next_due_ms, p.next_resume_ms);
    if (t->again || (p.n > 0 && next <= p.now_ms)) {
        t->again = false;
        promote(t);
        return;
    }
    set_due(t, next);
}

static void promote(ticker *t)
{
    DQ_BUF_AUTO call = {0};

    if (t->promoting) {
        t->again = true;
        return;
    }
    if (t->me.epoch == 0)
        return;
    dq_call_due_promote(&call, dq_store_keys(t->all->store), t->shard, t->me);
    t->promoting = send_call(t, &call, on_promoted);
}

static void due_fired(dq_timer *timer)
{
    ticker *t = dq_container_of(timer, ticker, due);

    t->due_ms = INT64_MAX;
    promote(t);
}

/* ---- reaping ---- */

static void on_reaped(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    ticker *t = userdata;
    dq_reaped r;

    t->reaping = false;
    if (!answered(t, code, err, "session_reap") || dq_session_reap_decode(reply, &r) < 0)
        return;
    if (r.session && (r.n_handed_over || r.n_dead))
        DQ_LOG(t->all->opts.log, DUREQ_LOG_INFO, "session.reaped", "shard=%u session=%llu handed_over=%lld dead=%lld", t->shard,
               (unsigned long long)r.session, (long long)r.n_handed_over, (long long)r.n_dead);
    if (r.more || t->reap_more)
        reap(t);
}

static void reap(ticker *t)
{
    dq_reap opts = {.lease_ms = t->all->opts.lease_ms, .max_crashes = t->all->opts.max_crashes};
    DQ_BUF_AUTO call = {0};

    if (t->reaping || t->me.epoch == 0)
        return;
    t->reap_more = false;
    dq_call_session_reap(&call, dq_store_keys(t->all->store), t->shard, t->me, &opts);
    t->reaping = send_call(t, &call, on_reaped);
}

/* ---- housekeeping ---- */

static void set_house(ticker *t, int64_t at_ms)
{
    t->house_ms = at_ms;
    dq_timer_set(&t->house, DQ_MAX(at_ms - dq_store_now_ms(t->all->store), 5) * 1000);
}

static void on_kept(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    ticker *t = userdata;
    int64_t wait_ms = HOUSEKEEP_MS, now_ms = dq_store_now_ms(t->all->store);
    dq_kept k;

    t->keeping = false;
    if (!answered(t, code, err, "housekeep") || dq_housekeep_decode(reply, &k) < 0)
        return;
    if (k.more || t->keep_again) {
        keep(t);
        return;
    }
    if (k.next_late_ms >= 0)
        wait_ms = DQ_MIN(wait_ms, k.next_late_ms - now_ms);
    set_house(t, now_ms + wait_ms);
}

static void keep(ticker *t)
{
    DQ_BUF_AUTO call = {0};

    if (t->keeping || t->me.epoch == 0)
        return;
    t->keep_again = false;
    dq_call_housekeep(&call, dq_store_keys(t->all->store), t->shard, t->me, &t->all->opts.keep, t->memory_short);
    t->memory_short = false;
    t->keeping = send_call(t, &call, on_kept);
}

static void house_fired(dq_timer *timer)
{
    keep(dq_container_of(timer, ticker, house));
}

/* ---- outbox: rows of this shard for keys at home on others ---- */

typedef struct settlement {
    ticker *t;
    unsigned pending;
    bool failed;
    dq_buf bytes; /* the call that forgets those that were settled */
    dq_call done;
    size_t n_done;
} settlement;

static void settlement_free(settlement *m)
{
    dq_buf_deinit(&m->bytes);
    dq_free(m);
}

static void on_forgotten(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    ticker *t = userdata;

    (void)reply;
    t->settling = false;
    if (answered(t, code, err, "outbox_done") && t->settle_more)
        settle(t);
}

static void forget(settlement *m)
{
    ticker *t = m->t;

    t->settling = false;
    if (!m->failed && m->n_done > 0) {
        dq_call_end(&m->done);
        t->settling = send_call(t, &m->bytes, on_forgotten);
    }
    settlement_free(m);
}

static void on_settled(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    settlement *m = userdata;

    (void)reply;
    if (!answered(m->t, code, err, "key_settle"))
        m->failed = true;
    m->pending--;
    if (m->pending == 0)
        forget(m);
}

/* One row to the home of its key. */
static bool settle_row(settlement *m, const dq_outbox_row *row)
{
    ticker *t = m->t;
    const dq_keys *k = dq_store_keys(t->all->store);
    unsigned home = dq_keys_shard_of(k, dq_outbox_key(row));
    DQ_BUF_AUTO call = {0};

    dq_call_outbox_settle(&call, k, t->shard, row);
    dq_outbox_done_add(&m->done, row);
    m->n_done++;
    return !dq_buf_failed(&call) && dq_store_send(t->all->store, home, 0, dq_buf_str(&call), on_settled, m) == 0;
}

static void on_outbox(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    ticker *t = userdata;
    settlement *m;
    dq_outbox_row row;

    t->settling = false;
    if (!answered(t, code, err, "outbox_read") || dq_reply_len(*reply) < 2 || t->me.epoch == 0)
        return;
    m = dq_calloc(1, sizeof *m);
    if (!m)
        return;
    m->t = t;
    m->pending = 1;
    m->done = dq_call_outbox_done(&m->bytes, dq_store_keys(t->all->store), t->shard);
    t->settling = true;
    dq_outbox rows = dq_outbox_decode(reply);
    t->settle_more = rows.more;
    while (dq_outbox_next(&rows, &row)) {
        m->pending++;
        if (!settle_row(m, &row)) {
            m->pending--;
            m->failed = true;
        }
    }
    m->pending--;
    if (m->pending == 0)
        forget(m);
}

static void settle(ticker *t)
{
    DQ_BUF_AUTO call = {0};

    if (t->settling || t->me.epoch == 0)
        return;
    dq_call_outbox_read(&call, dq_store_keys(t->all->store), t->shard);
    t->settling = send_call(t, &call, on_outbox);
}

/* ---- all of them ---- */

static int64_t resolved(int64_t given_ms, int64_t default_ms)
{
    return given_ms < 0 ? 0 : given_ms ? given_ms : default_ms;
}

static void resolve_keep(dq_keep *k)
{
    k->dead_ms = resolved(k->dead_ms, DQ_RETENTION_DEAD_DEFAULT_MS);
    k->audit_ms = resolved(k->audit_ms, DQ_RETENTION_AUDIT_DEFAULT_MS);
    k->minutes_ms = resolved(k->minutes_ms, DQ_RETENTION_MINUTES_DEFAULT_MS);
    k->hours_ms = resolved(k->hours_ms, DQ_RETENTION_HOURS_DEFAULT_MS);
    k->days_ms = resolved(k->days_ms, DQ_RETENTION_DAYS_DEFAULT_MS);
}

int dq_tickers_create(dq_store *store, const dq_tickers_options *opts, dq_tickers **ret, dureq_error *err)
{
    dq_tickers *all = dq_calloc(1, sizeof *all);

    if (!all)
        return dq_fail_nomem(err);
    all->store = store;
    all->opts = *opts;
    resolve_keep(&all->opts.keep);
    *ret = all;
    return 0;
}

void dq_tickers_destroy(dq_tickers *all)
{
    if (!all)
        return;
    for (unsigned i = 0; i < all->n; i++) {
        dq_timer_deinit(&all->items[i].due);
        dq_timer_deinit(&all->items[i].house);
    }
    dq_free(all->items);
    dq_free(all);
}

static bool make_items(dq_tickers *all)
{
    unsigned n = dq_store_keys(all->store)->n_shards;

    all->items = dq_calloc(n, sizeof *all->items);
    if (!all->items)
        return false;
    all->n = n;
    for (unsigned i = 0; i < n; i++) {
        ticker *t = &all->items[i];

        t->all = all;
        t->shard = i;
        t->due_ms = INT64_MAX;
        if (dq_timer_init(&t->due, dq_store_loop(all->store), due_fired) < 0 ||
            dq_timer_init(&t->house, dq_store_loop(all->store), house_fired) < 0)
            return false;
    }
    return true;
}

static void step_down(ticker *t)
{
    t->me.epoch = 0;
    t->memory_short = false;
    t->short_since_us = 0;
    dq_timer_clear(&t->due);
    dq_timer_clear(&t->house);
    t->due_ms = INT64_MAX;
}

void dq_tickers_beat(dq_tickers *all, unsigned shard, uint64_t session, int64_t epoch, int64_t next_due_ms, int64_t n_expired,
                     int64_t n_outbox)
{
    ticker *t;

    if (!all->items && !make_items(all))
        return;
    t = &all->items[shard];
    bool elected = epoch > 0 && (t->me.epoch != epoch || t->me.session != session);
    if (epoch == 0) {
        step_down(t);
        return;
    }
    t->me = (dq_ticker){.session = session, .epoch = epoch};
    if (elected) {
        DQ_LOG(all->opts.log, DUREQ_LOG_DEBUG, "ticker.elected", "shard=%u epoch=%lld", shard, (long long)epoch);
        keep(t);
        promote(t); /* paused jobs have times too */
    } else if (!dq_timer_is_set(&t->house) && !t->keeping) {
        keep(t);
    }
    if (next_due_ms >= 0)
        dq_tickers_due(all, shard, next_due_ms);
    if (t->due_ms != INT64_MAX && !t->promoting)
        set_due(t, t->due_ms); /* anew: the server's clock may have been set */
    if (n_expired > 0) {
        t->reap_more = t->reaping;
        reap(t);
    }
    if (n_outbox > 0)
        settle(t);
}

void dq_tickers_due(dq_tickers *all, unsigned shard, int64_t at_ms)
{
    ticker *t = shard < all->n ? &all->items[shard] : NULL;

    if (!t || t->me.epoch == 0)
        return;
    if (t->promoting)
        t->again = true;
    else if (at_ms < t->due_ms)
        set_due(t, at_ms);
}

void dq_tickers_history(dq_tickers *all, unsigned shard)
{
    ticker *t = shard < all->n ? &all->items[shard] : NULL;

    if (!t || t->me.epoch == 0)
        return;
    if (t->keeping)
        t->keep_again = true;
    else
        keep(t);
}

/* A peak is none. And one bucket at a time: what a dropped one took is given back behind the call, and is not yet seen by the next. */
void dq_tickers_memory(dq_tickers *all, unsigned shard, bool is_short)
{
    ticker *t = shard < all->n ? &all->items[shard] : NULL;
    int64_t now_us = dq_mono_us();

    if (!t || t->me.epoch == 0)
        return;
    if (!is_short || t->short_since_us == 0) {
        t->short_since_us = is_short ? now_us : 0;
    } else if (now_us - t->short_since_us >= all->opts.lease_ms * 1000 / 4) {
        t->short_since_us = now_us;
        t->memory_short = true;
        dq_tickers_history(all, shard);
    }
}

void dq_tickers_late(dq_tickers *all, unsigned shard, int64_t at_ms)
{
    ticker *t = shard < all->n ? &all->items[shard] : NULL;

    if (t && t->me.epoch != 0 && !t->keeping && at_ms >= 0 && at_ms < t->house_ms)
        set_house(t, at_ms);
}

void dq_tickers_down(dq_tickers *all)
{
    for (unsigned i = 0; i < all->n; i++) {
        ticker *t = &all->items[i];

        step_down(t);
        t->promoting = t->reaping = t->keeping = false;
    }
}

bool dq_tickers_is_ticker(const dq_tickers *all, unsigned shard)
{
    return shard < all->n && all->items[shard].me.epoch > 0;
}
