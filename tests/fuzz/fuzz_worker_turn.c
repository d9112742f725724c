/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_server.h"

#include <stdio.h>

#include "store/queue_calls.h"
#include "worker/worker_internal.h"

/* Its timers are its own. */
#include "leader/leader.c" /* NOLINT(bugprone-suspicious-include) */

/* A node's sessions before a server that answers as it likes: store, worker and leader as they are, with handlers whose ends the input chooses. The
   input is steps, one after the other:

     m REPLY, c REPLY   the next bytes of the store's own connection, of the cycle's: one reply
     e C                the oldest run ends as C says        p   it tells its progress
     b, t, w            time passes: a heartbeat is due; the leader's timers fire; what was put off goes on
     V                  the cycle's connection is made, and greeted
     X, Y               the connection breaks (the store's, the cycle's)
     U, u               the store's is made again, and opened: by the same server, by another one
     R                  it is made again, and REPLYs open it
     d, s, S            drain on and off, stop, stop now
     q C                a queue is set (0), set if it is missing (1), paused (2) or resumed (3)

   Whatever is answered: what is written is whole commands, each claim is counted where it is, nothing waits for an answer that does not come, and a stop comes to an
   end once the connections are gone and the handlers are through. */

const size_t fuzz_replay_fewer = 10;

enum { RUNNING_MAX = 4096, STEPS_MAX = 512 };

typedef struct node {
    dq_store *store;
    dq_worker *worker;
    dq_leaders *leaders;
    dq_handlers handlers;
    fuzz_peer main, cycle;
    dureq_run *running[RUNNING_MAX]; /* oldest first; those that were lost as well */
    size_t n_running;
    bool drained, stopped;
    unsigned n_up, n_down;
    unsigned n_changes; /* of queues, not answered yet */
} node;

static dq_loop *loop;

/* ---- the node, as node/ puts it together ---- */

static void on_up(dq_store *s, bool same_server, void *userdata)
{
    node *n = userdata;

    (void)s;
    assert(n->n_up++ == n->n_down);
    if (dq_worker_on_up(n->worker, 0, same_server) < 0)
        abort();
}

static void on_down(dq_store *s, const dureq_error *why, void *userdata)
{
    node *n = userdata;

    (void)s;
    assert(why->code < 0);
    n->n_down++;
    assert(n->n_up == n->n_down);
    dq_worker_on_down(n->worker, 0);
    dq_leaders_down(n->leaders);
}

static void on_refused(dq_store *s, const dureq_error *why, void *userdata)
{
    (void)s;
    (void)userdata;
    assert(why->code < 0 && why->msg[0]);
}

static void on_message(dq_store *s, unsigned shard, dureq_str name, dureq_str text, void *userdata)
{
    node *n = userdata;

    (void)s;
    dq_worker_on_message(n->worker, shard, name, text);
}

static void on_queues(dq_store *s, void *userdata)
{
    node *n = userdata;

    (void)s;
    dq_worker_on_queues(n->worker);
}

static void on_cycle(dq_store *s, bool ready, void *userdata)
{
    node *n = userdata;

    (void)s;
    dq_worker_on_cycle(n->worker, 0, ready);
}

static void on_beat(dq_worker *w, const dq_worker_beat *b, void *userdata)
{
    node *n = userdata;

    (void)w;
    assert(b->shard < w->n_shards && b->session == w->shards[b->shard].session.no);
    dq_leaders_beat(n->leaders, &(dq_leader_beat){.shard = b->shard,
                                                  .session = b->session,
                                                  .epoch = b->epoch,
                                                  .next_due_ms = b->next_due_ms,
                                                  .n_expired = b->n_expired,
                                                  .n_outbox = b->n_outbox,
                                                  .next_late_ms = b->next_late_ms,
                                                  .memory_is_short = b->memory_is_short});
}

static void on_due(dq_worker *w, unsigned shard, int64_t at_ms, void *userdata)
{
    node *n = userdata;

    (void)w;
    dq_leaders_due(n->leaders, shard, at_ms);
}

static void on_history(dq_worker *w, unsigned shard, void *userdata)
{
    node *n = userdata;

    (void)w;
    dq_leaders_history(n->leaders, shard);
}

static void on_stopped(dq_worker *w, void *userdata)
{
    node *n = userdata;

    assert(!n->stopped && dq_worker_is_stopping(w));
    n->stopped = true;
}

static void on_event(const dureq_node_event *e, void *userdata)
{
    (void)userdata;
    assert(e->job_id && strlen(e->job_id) == DUREQ_JOB_ID_LEN && e->run_id && e->task_type && e->queue && e->error);
}

static int handler_start(dureq_run *run, void *userdata)
{
    node *n = userdata;

    if (n->n_running == RUNNING_MAX)
        return DUREQ_ELIMIT;
    assert(strncmp(dureq_run_id(run), dureq_run_job_id(run), DUREQ_JOB_ID_LEN) == 0);
    assert(dureq_run_attempt(run) >= 1 && dureq_run_max_attempts(run) >= 1);
    (void)dureq_run_headers(run, NULL);
    n->running[n->n_running++] = run;
    return 0;
}

static void finish(node *n, size_t i, int rc)
{
    dureq_run *t = n->running[i];

    n->n_running--;
    memmove(&n->running[i], &n->running[i + 1], (n->n_running - i) * sizeof n->running[0]);
    dq_run_finish(t, rc);
}

/* A handler's process may outlive the order to stop; nothing outlives a kill. */
static void handler_stop(dureq_run *run, dq_stop_reason why, void *userdata)
{
    (void)run;
    (void)userdata;
    assert(why >= DQ_STOP_CANCELLED && why <= DQ_STOP_SHUTDOWN);
}

static void handler_kill(dureq_run *run, void *userdata)
{
    node *n = userdata;

    for (size_t i = 0; i < n->n_running; i++)
        if (n->running[i] == run) {
            finish(n, i, DUREQ_ETIMEOUT);
            return;
        }
    assert(!"killed is what runs");
}

static const dq_external_ops ops = {.start = handler_start, .stop = handler_stop, .kill = handler_kill};

static void create(node *n)
{
    static const dq_log quiet;
    dq_store_callbacks sc = {.on_up = on_up,
                             .on_down = on_down,
                             .on_refused = on_refused,
                             .on_message = on_message,
                             .on_queues = on_queues,
                             .on_cycle = on_cycle,
                             .userdata = n};
    dq_worker_callbacks wc = {
        .on_beat = on_beat, .on_due = on_due, .on_history = on_history, .on_stopped = on_stopped, .userdata = n};
    dq_store_options so = {.redis_url = "unix:///none", .prefix = "dq", .shards = FUZZ_SHARDS, .log = &quiet};
    dq_worker_options wo = {.node_id = "n",
                            .info = "{}",
                            .concurrency = 8,
                            .lease_ms = 30000,
                            .stands_to_lead = true,
                            .on_event = on_event,
                            .log = &quiet};
    dq_leaders_options to = {.lease_ms = 30000, .max_crashes = 3, .log = &quiet};
    dureq_handler_options narrow = dureq_handler_options_init();

    narrow.concurrency = 2;
    n->main.fd = n->cycle.fd = -1;
    if (dq_store_create(loop, &so, &sc, &n->store, NULL) < 0 || dq_leaders_create(n->store, &to, &n->leaders, NULL) < 0 ||
        dq_handlers_add(&n->handlers, "mail", NULL, &ops, n, NULL, NULL) < 0 ||
        dq_handlers_add(&n->handlers, "few.*", NULL, &ops, n, &narrow, NULL) < 0 ||
        dq_worker_create(n->store, &n->handlers, &wo, &wc, &n->worker, NULL) < 0)
        abort();
    n->main.redis = n->store->main;
}

/* ---- what holds at any time ---- */

static void check_shard(const dq_wshard *s)
{
    dq_session_state state = s->session.state;

    for (unsigned i = 0; i < DQ_CLAIM_STATES; i++) {
        assert(s->claims[i].n == fuzz_length(&s->claims[i].list));
        DQ_LIST_FOREACH (dq_claim, c, (dq_list *)&s->claims[i].list, link)
            assert(c->state == (dq_claim_state)i && c->shard == s && dq_list_linked(&c->in_shard));
    }
    assert(state == DQ_SESSION_LIVE || s->claims[DQ_CLAIM_SENT].n == 0 || state == DQ_SESSION_CLOSING ||
           state == DQ_SESSION_GONE);
    assert(memchr(s->session.x, '\0', sizeof s->session.x) && memchr(s->session.hv, '\0', sizeof s->session.hv) &&
           memchr(s->turn.bucket, '\0', sizeof s->turn.bucket));
    DQ_LIST_FOREACH (dq_claim, c, (dq_list *)&s->held, in_shard)
        assert(c->shard == s && c->state != DQ_CLAIM_READ && c->state != DQ_CLAIM_OVER);
}

static int32_t handlers_running(const node *n)
{
    int32_t sum = 0;

    for (size_t i = 0; i < n->handlers.n; i++) {
        assert(n->handlers.items[i]->running >= 0 && n->handlers.items[i]->planned == 0);
        sum += n->handlers.items[i]->running;
    }
    return sum;
}

/* An answer that is awaited is on its way. */
static void check_awaited(const node *n)
{
    const dq_worker *w = n->worker;
    const dq_store *s = n->store;
    bool main_silent = s->up && dq_redis_in_flight(s->main) == 0 && dq_list_empty(&s->again) && dq_list_empty(&s->waiting);

    if (w->links && w->links[0].exchange != DQ_EXCHANGE_NONE)
        assert(w->links[0].turns_are_up && dq_redis_in_flight(s->cycle) > 0);
    if (w->links && w->links[0].n_loading > 0)
        assert(w->links[0].turns_are_up && dq_redis_in_flight(s->cycle) >= w->links[0].n_loading);
    for (unsigned i = 0; main_silent && i < w->n_shards; i++) {
        const dq_wshard *sh = &w->shards[i];

        assert(sh->session.beating == DQ_BEAT_IDLE && sh->lanes.load == DQ_LOAD_NONE && !sh->session.returning);
        assert(!dq_sync_is_going(sh->session.sync) || !dq_shard_is_live(sh));
        assert(sh->session.state != DQ_SESSION_OPENING && sh->session.state != DQ_SESSION_CLOSING);
    }
}

/* Of claims that take a slot and have not begun to run. */
static size_t count_waiting(const dq_worker *w)
{
    size_t n = w->suspects.charged.n;

    for (unsigned i = 0; i < w->n_shards; i++) {
        const dq_claims *of = w->shards[i].claims;

        n += of[DQ_CLAIM_GATED].n + of[DQ_CLAIM_SUSPECT].n + of[DQ_CLAIM_ALONE].n;
    }
    return n;
}

static void check(const node *n)
{
    const dq_worker *w = n->worker;

    if (w->links) {
        const dq_wlink *l = &w->links[0];

        assert(w->n_slots_taken == n->n_running + l->n_loading + count_waiting(w));
        assert(l->is_up == n->store->up && l->turns_are_up == (n->store->cycle && dq_redis_is_ready(n->store->cycle)));
    }
    assert(handlers_running(n) == (int32_t)w->n_slots_taken);
    assert(atomic_load(&w->stats.running) == (int32_t)n->n_running && atomic_load(&w->stats.stuck) == 0);
    assert(!w->is_taking && dq_list_empty((dq_list *)&w->to_pool));
    for (unsigned i = 0; i < w->n_shards; i++)
        check_shard(&w->shards[i]);
    check_awaited(n);
}

/* ---- the server ---- */

/* How long an input takes must not decide what comes of it: only what is due at once goes on by itself, the rest when a step says so. */
static void stop_clocks(node *n)
{
    dq_worker *w = n->worker;

    for (unsigned i = 0; i < w->n_links; i++)
        w->links[i].last_fetch_us = 0;
    dq_timer_clear(&w->deadline_timer);
    dq_timer_clear(&n->store->retry);
    for (unsigned i = 0; i < w->n_shards; i++) {
        w->shards[i].session.last_beat_us = dq_loop_now_us(loop);
        dq_timer_clear(&w->shards[i].session.beat);
    }
    for (unsigned i = 0; i < n->leaders->n; i++)
        for (int j = 0; j < DQ_DUTY_COUNT; j++)
            dq_timer_clear(&n->leaders->items[i].duties[j].timer);
}

static void turn(node *n)
{
    n->cycle.redis = n->store->cycle;
    for (int i = 0; i < 2; i++) {
        fuzz_peer_stop_clock(&n->main);
        if (n->cycle.redis)
            fuzz_peer_stop_clock(&n->cycle);
        dq_loop_run_once(loop, /*block=*/false);
        fuzz_peer_flush(&n->main);
        if (n->cycle.redis)
            fuzz_peer_flush(&n->cycle);
        stop_clocks(n);
    }
}

/* ---- steps ---- */

static void end_one(node *n, char how)
{
    dureq_run *t = n->n_running ? n->running[0] : NULL;
    dureq_str detail = DQ_STR_LIT("detail");
    int rc = 0;

    if (!t)
        return;
    switch (how) {
    case '1': rc = DUREQ_EIO; break;
    case '2': rc = dureq_run_fail_detail(t, 7, "as asked", detail); break;
    case '3': rc = dureq_run_retry_detail(t, 7, "as asked", detail); break;
    case '4': rc = dureq_run_skip(t, "skipped"); break;
    case '5': rc = dureq_run_pause(t, 0, "paused"); break;
    case '6': rc = dureq_run_repeat(t, 0, DQ_STR_LIT("2")); break;
    case '7': rc = dureq_run_rate_limited(t, 1000, "slower"); break;
    case '8': dq_run_log_bytes(t, DQ_STR_LIT("a line\n")); break;
    default: (void)dureq_run_set_result(t, DQ_STR_LIT("\"r\""), NULL); break;
    }
    finish(n, 0, rc);
}

static void beat(node *n)
{
    for (unsigned i = 0; i < n->worker->n_shards; i++)
        dq_session_timer_fired(&n->worker->shards[i].session.beat);
}

static void tick(node *n)
{
    for (unsigned i = 0; i < n->leaders->n; i++) {
        timer_fired(&n->leaders->items[i].duties[DQ_DUTY_PROMOTE].timer);
        timer_fired(&n->leaders->items[i].duties[DQ_DUTY_KEEP].timer);
    }
    dq_open_retry_fired(&n->store->retry);
}

static void go_on(node *n)
{
    for (unsigned i = 0; i < n->worker->n_shards; i++) {
        dq_wshard *s = &n->worker->shards[i];

        s->turn.rest_until_us = s->turn.plain_again_us = s->turn.reads_again_us = 0;
    }
    dq_worker_pump(n->worker);
}

static void on_changed(void *userdata, int code, bool differs, const dureq_error *err)
{
    node *n = userdata;

    assert(n->n_changes-- > 0 && code <= 0 && (code == 0 || (err && err->code == code && !differs)));
}

static void change_queue(node *n, char how)
{
    const dq_queue wanted = {.name = DQ_STR_LIT("low"), .weight = 2};
    dq_queue_verb verb = (dq_queue_verb)(how & 3);
    bool sets = verb == DQ_QUEUE_SET || verb == DQ_QUEUE_SET_IF_MISSING;

    n->n_changes++;
    if (dq_store_change_queue(n->store, verb, wanted.name, sets ? &wanted : NULL, DQ_STR_LIT("a"), on_changed, n, NULL) < 0)
        n->n_changes--;
}

static void stop(node *n)
{
    if (!dq_worker_is_stopping(n->worker))
        dq_worker_stop(n->worker);
}

static void stop_now(node *n)
{
    stop(n);
    if (!dq_worker_gives_up(n->worker))
        dq_worker_stop_now(n->worker);
}

static void step(node *n, char what, const uint8_t **at, size_t *left)
{
    switch (what) {
    case 'm': fuzz_say_one(&n->main, at, left); break;
    case 'c': fuzz_say_one(&n->cycle, at, left); break;
    case 'e':
        end_one(n, *left ? (char)**at : '0');
        *at += *left > 0;
        *left -= *left > 0;
        break;
    case 'q':
        change_queue(n, *left ? (char)**at : '0');
        *at += *left > 0;
        *left -= *left > 0;
        break;
    case 'p':
        if (n->n_running)
            (void)dureq_run_progress(n->running[0], DQ_STR_LIT("{\"at\": 1}"));
        break;
    case 'b': beat(n); break;
    case 't': tick(n); break;
    case 'w': go_on(n); break;
    case 'X': fuzz_lose(&n->main); break;
    case 'Y': fuzz_lose(&n->cycle); break;
    case 'U': fuzz_connect_to(&n->main, "a", /*opens=*/true); break;
    case 'u': fuzz_connect_to(&n->main, "b", /*opens=*/true); break;
    case 'R': fuzz_connect_to(&n->main, "a", /*opens=*/false); break;
    case 'V': fuzz_connect_to(&n->cycle, "a", /*opens=*/false); break;
    case 'd':
        n->drained = !n->drained;
        dq_worker_drain(n->worker, n->drained);
        break;
    case 's': stop(n); break;
    case 'S': stop_now(n); break;
    default: return;
    }
    turn(n);
    if (n->main.redis->fd >= 0)
        (void)fuzz_peer_commands(&n->main);
    if (n->cycle.redis && n->cycle.redis->fd >= 0)
        (void)fuzz_peer_commands(&n->cycle);
    check(n);
}

/* Handlers end, connections go, and so does the node. */
static void end(node *n)
{
    stop_now(n);
    while (n->n_running > 0)
        finish(n, 0, 0);
    fuzz_lose(&n->main);
    fuzz_lose(&n->cycle);
    turn(n);
    check(n);
    assert(n->stopped);
    dq_store_destroy(n->store);
    assert(n->n_changes == 0);
    dq_worker_destroy(n->worker);
    dq_leaders_destroy(n->leaders);
    dq_handlers_deinit(&n->handlers);
    fuzz_peer_deinit(&n->main);
    fuzz_peer_deinit(&n->cycle);
}

static void begin(node *n)
{
    const uint8_t *none = NULL;
    size_t left = 0;

    create(n);
    turn(n);
    step(n, 'U', &none, &left);
    assert(n->store->up && n->store->cycle);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static node n;
    int n_steps = 0;

    if (!loop && dq_loop_create(&loop, NULL) < 0)
        abort();
    n = (node){0};
    begin(&n);
    while (size > 0 && n_steps++ < STEPS_MAX) {
        char what = (char)*data++;

        size--;
        step(&n, what, &data, &size);
    }
    end(&n);
    return 0;
}
