/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_server.h"

#include <stdio.h>

/* Who waits, and how a job is packed, are the files' own. */
#include "client/enqueue.c" /* NOLINT(bugprone-suspicious-include) */
#include "client/wait.c"    /* NOLINT(bugprone-suspicious-include) */

/* A client before a server that answers as it likes: store, producer and waiters as they are; their callers are the input, which is steps, one after the
   other:

     m REPLY   the next bytes of the connection: one reply, or a message
     j C       jobs are enqueued; C says which (see put_jobs)
     g, G      the oldest caller gives up, the newest
     w C       job C is waited for (two on each shard)
     l, L      the oldest waiting caller gives up, the newest
     X         the connection breaks
     U, u      it is made again, and opened: by the same server, by another one
     R         it is made again, and REPLYs open it

   Whatever is answered: what is written is whole commands, each job is in one place until it is answered once, an id that is given can be read, and nothing waits
   for an answer that does not come. */

const size_t fuzz_replay_fewer = 10;

enum { REQUESTS_MAX = 16, WAITERS_MAX = 16, JOBS_MAX = 3, STEPS_MAX = 512 };

typedef struct request {
    enq_request r;
    dureq_enqueue_result results[JOBS_MAX];
} request;

typedef struct turns {
    dq_store *store;
    dureq_client *client;
    fuzz_peer main;
    request *requests[REQUESTS_MAX]; /* oldest first */
    size_t n_requests;
    wait_request *waiters[WAITERS_MAX]; /* oldest first */
    size_t n_waiters;
} turns;

static dq_loop *loop;

/* ---- the client, as node/ puts it together ---- */

static void on_up(dq_store *s, bool same_server, void *userdata)
{
    (void)s;
    dq_client_on_up(((turns *)userdata)->client, same_server);
}

static void on_down(dq_store *s, const dureq_error *why, void *userdata)
{
    (void)s;
    assert(why->code < 0);
    dq_client_on_down(((turns *)userdata)->client, why);
}

static void on_refused(dq_store *s, const dureq_error *why, void *userdata)
{
    (void)s;
    assert(why->code < 0 && why->msg[0]);
    dq_client_on_refused(((turns *)userdata)->client, why);
}

static void on_message(dq_store *s, unsigned shard, dureq_str name, dureq_str text, void *userdata)
{
    (void)s;
    dq_client_on_message(((turns *)userdata)->client, shard, name, text);
}

static void on_queues(dq_store *s, void *userdata)
{
    (void)s;
    dq_client_on_queues(((turns *)userdata)->client);
}

/* Names that are random elsewhere are the same for each input, so that seeds can tell of them. */
static void create(turns *t)
{
    static const dq_log quiet;
    dq_store_callbacks sc = {.on_up = on_up,
                             .on_down = on_down,
                             .on_refused = on_refused,
                             .on_message = on_message,
                             .on_queues = on_queues,
                             .userdata = t};
    dq_store_options so = {.redis_url = "unix:///none", .prefix = "dq", .shards = FUZZ_SHARDS, .log = &quiet};

    t->main.fd = -1;
    if (dq_store_create(loop, &so, &sc, &t->store, NULL) < 0 ||
        dq_client_create_shared(loop, t->store, &quiet, "a", "unix:///none", 0, &t->client, NULL) < 0)
        abort();
    t->main.redis = t->store->main;
    (void)snprintf(t->client->waiters->channel, sizeof t->client->waiters->channel, "1");
    (void)snprintf(t->client->producer->id, sizeof t->client->producer->id, "1.1");
}

/* ---- what holds at any time ---- */

static void check_result(const enq_item *item, const dureq_enqueue_result *r)
{
    dq_id id;

    assert(memchr(r->msg, '\0', sizeof r->msg) && memchr(r->id.text, '\0', sizeof r->id.text));
    if (!item->done) {
        assert(r->code == 0 && !r->id.text[0] && !r->msg[0]);
        return;
    }
    assert(r->code <= 0 && (r->code == 0) == !r->msg[0]);
    assert(!r->id.text[0] || dq_id_parse(dureq_str_from(r->id.text), &id) == 0);
    assert(r->code != 0 || r->id.text[0]);
}

/* Where a job is that has no answer yet: in a call, after its unique key, or in its shard's queue. */
static void check_item(const turns *t, const enq_item *item)
{
    const dq_producer *p = t->client->producer;
    const enq_shard *s = &p->shards[item->shard];
    bool waits = false;

    assert(item->shard >= 0 && (unsigned)item->shard < p->n_shards && item->lane && !(item->call && item->reserve));
    if (item->call) {
        assert(item->call->items[item->call_slot] == item && item->call->shard == (unsigned)item->shard);
        return;
    }
    for (const dq_list *at = s->waiting.next; at != &s->waiting; at = at->next)
        waits = waits || at == &item->link;
    assert(waits == !item->reserve);
}

static size_t check_request(const turns *t, const request *q)
{
    size_t n_open = 0;

    for (size_t i = 0; i < q->r.n; i++) {
        const enq_item *item = &q->r.items[i];

        check_result(item, &q->results[item->index]);
        if (item->done)
            continue;
        n_open++;
        check_item(t, item);
    }
    assert(q->r.left == n_open);
    return n_open;
}

/* None is kept that nobody waits for and the server does not know; each says one thing at a time. */
static void check_jobs(const dq_waiters *ws, bool silent)
{
    size_t n_to_say = 0, n_linked = 0;
    const awaited *job;

    for (unsigned i = 0; i < ws->n_shards; i++)
        for (int verb = 0; verb < WAIT_VERBS; verb++)
            n_to_say += fuzz_length(&ws->shards[i].to_say[verb]);
    for (size_t i = 0; (job = dq_map_next(&ws->jobs, &i));) {
        assert(!dq_list_empty(&job->waits) || job->is_registered || job->is_flying);
        assert(!(job->is_flying && dq_list_linked(&job->link)) && !(silent && job->is_flying));
        n_linked += dq_list_linked(&job->link);
    }
    assert(n_linked == n_to_say && (!silent || n_to_say == 0));
}

static size_t n_waits(const dq_waiters *ws)
{
    const awaited *job;
    size_t n = 0;

    for (size_t i = 0; (job = dq_map_next(&ws->jobs, &i));)
        n += fuzz_length(&job->waits);
    return n;
}

/* An answer that is awaited is on its way. */
static void check_awaited(const turns *t)
{
    const dq_store *s = t->store;
    const dq_producer *p = t->client->producer;
    bool silent = s->up && dq_redis_in_flight(s->main) == 0 && dq_list_empty(&s->again) && dq_list_empty(&s->waiting);

    for (size_t i = 0; silent && i < t->n_requests; i++)
        assert(t->requests[i]->r.left == 0);
    for (size_t i = 0; silent && i < t->n_waiters; i++)
        assert(atomic_load(&t->waiters[i]->request.refs) == 1 + !t->waiters[i]->request.is_ended);
    check_jobs(t->client->waiters, silent);
    for (unsigned i = 0; silent && i < p->n_shards; i++)
        assert(p->shards[i].n_flying == 0 && dq_list_empty(&p->shards[i].waiting) && !p->shards[i].asks_token);
}

static void check(const turns *t)
{
    const dq_producer *p = t->client->producer;
    size_t n_waiting = 0;

    for (unsigned i = 0; i < p->n_shards; i++) {
        const enq_shard *s = &p->shards[i];

        assert(s->n_flying == fuzz_length(&s->flying) && s->n_flying <= DQ_CALLS_FLYING);
        assert(memchr(s->token, '\0', sizeof s->token) && memchr(s->shard_is, '\0', sizeof s->shard_is));
    }
    for (size_t i = 0; i < t->n_requests; i++)
        (void)check_request(t, t->requests[i]);
    for (size_t i = 0; i < t->n_waiters; i++) {
        const wait_request *w = t->waiters[i];
        const dq_request *r = &w->request;

        assert(r->is_done == r->is_ended && r->is_ended == !w->job && dq_list_linked(&w->link) == !r->is_ended);
        assert(dq_list_linked(&r->link) == !r->is_ended && r->err.code <= 0 && (r->err.code == 0) == !r->err.msg[0]);
        n_waiting += !r->is_ended;
    }
    assert(n_waits(t->client->waiters) == n_waiting && fuzz_length(&t->client->requests) == n_waiting);
    check_awaited(t);
}

/* ---- the server ---- */

static void turn(turns *t)
{
    for (int i = 0; i < 2; i++) {
        fuzz_peer_stop_clock(&t->main);
        dq_loop_run_once(loop, /*block=*/false);
        fuzz_peer_flush(&t->main);
        dq_timer_clear(&t->store->retry);
    }
}

/* ---- callers ---- */

/* The first letter that is of this shard. */
static dureq_str key_of(const turns *t, unsigned shard)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
    size_t i = 0;

    while (dq_keys_shard_of(&t->store->keys, dureq_str_of(&letters[i], 1)) != shard)
        i++;
    assert(letters[i]);
    return dureq_str_of(&letters[i], 1);
}

static void put_jobs(turns *t, char which)
{
    static char large[DQ_PAYLOAD_INLINE_MAX + 1];
    dureq_job_options o = dureq_job_options_init();
    dureq_job_spec specs[JOBS_MAX];
    size_t n = which == '8' ? JOBS_MAX : 1, at = 0;
    DQ_BUF_AUTO j = {0};
    dureq_error err;

    if (t->n_requests == REQUESTS_MAX)
        return;
    for (size_t i = 0; i < JOBS_MAX; i++)
        specs[i] = (dureq_job_spec){.task_type = i == 1 ? "few" : "mail", .payload = DQ_STR_LIT("1"), .options = &o};
    switch (which) {
    case '1': o.delay_ms = 1000; break;
    case '2': o.unique_key = key_of(t, 0); break;
    case '3': o.request_id = key_of(t, 0); break;
    case '4': /* asked for on shard 1, its job on shard 0 */
        o.request_id = key_of(t, 0);
        o.unique_key = key_of(t, 1);
        break;
    case '5': o.queue = "small"; break;
    case '6': o.schedule_to_start_timeout_ms = 1000; break;
    case '7':
        memset(large, ' ', sizeof large - 1);
        large[0] = '1';
        specs[0].payload = dureq_str_of(large, sizeof large);
        break;
    case '9':
        o.queue = "small";
        o.unique_key = key_of(t, 1);
        break;
    default: break;
    }
    request *q = dq_calloc(1, sizeof *q);
    if (!q || request_init(&q->r, n, q->results, &err) < 0)
        abort();
    fill(t->client, &q->r, specs, n, &at, n, &j);
    dq_enq_submit(t->client->producer, &q->r);
    t->requests[t->n_requests++] = q;
}

static void give_up(turns *t, size_t i)
{
    request *q = t->requests[i];

    if (q->r.left > 0) {
        q->r.left++;
        (void)dq_client_why_down(t->client, &q->r.why);
        dq_enq_withdraw(&q->r);
        turn(t);
    }
    assert(check_request(t, q) == 0);
    request_deinit(&q->r);
    dq_free(q);
    t->n_requests--;
    memmove(&t->requests[i], &t->requests[i + 1], (t->n_requests - i) * sizeof t->requests[0]);
}

static void wait_for(turns *t, char which)
{
    dq_id id = {.ms = 1800000000000 + (which & 1), .seq = 1, .lane = 1, .shard = (uint16_t)(which >> 1 & 1)};
    wait_request *w;

    if (t->n_waiters == WAITERS_MAX)
        return;
    w = wait_create(t->client, &id, -1, /*fn=*/NULL, NULL);
    if (!w)
        abort();
    t->waiters[t->n_waiters++] = w;
    dq_request_post(&w->request);
    turn(t);
}

static void leave(turns *t, size_t i)
{
    wait_request *w = t->waiters[i];

    if (!w->request.is_ended) {
        dq_request_cancel(&w->request);
        turn(t);
        assert(w->request.is_ended);
    }
    dq_request_release(&w->request);
    t->n_waiters--;
    memmove(&t->waiters[i], &t->waiters[i + 1], (t->n_waiters - i) * sizeof t->waiters[0]);
}

/* ---- steps ---- */

static char next_char(const uint8_t **at, size_t *left)
{
    char c = *left ? (char)**at : '0';

    *at += *left > 0;
    *left -= *left > 0;
    return c;
}

static void step(turns *t, char what, const uint8_t **at, size_t *left)
{
    switch (what) {
    case 'm': fuzz_say_one(&t->main, at, left); break;
    case 'j': put_jobs(t, next_char(at, left)); break;
    case 'w': wait_for(t, next_char(at, left)); break;
    case 'g':
    case 'G':
        if (t->n_requests > 0)
            give_up(t, what == 'g' ? 0 : t->n_requests - 1);
        break;
    case 'l':
    case 'L':
        if (t->n_waiters > 0)
            leave(t, what == 'l' ? 0 : t->n_waiters - 1);
        break;
    case 'X': fuzz_lose(&t->main); break;
    case 'U': fuzz_connect_to(&t->main, "a", /*opens=*/true); break;
    case 'u': fuzz_connect_to(&t->main, "b", /*opens=*/true); break;
    case 'R': fuzz_connect_to(&t->main, "a", /*opens=*/false); break;
    default: return;
    }
    turn(t);
    if (t->main.redis->fd >= 0)
        (void)fuzz_peer_commands(&t->main);
    check(t);
}

/* Callers give up, the connection goes, and so does the client. */
static void end(turns *t)
{
    while (t->n_requests > 0)
        give_up(t, 0);
    while (t->n_waiters > 0)
        leave(t, 0);
    fuzz_lose(&t->main);
    turn(t);
    check(t);
    dq_store_destroy(t->store);
    dureq_client_destroy(t->client);
    fuzz_peer_deinit(&t->main);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static turns t;
    const uint8_t *none = NULL;
    size_t left = 0;
    int n_steps = 0;

    if (!loop && dq_loop_create(&loop, NULL) < 0)
        abort();
    t = (turns){0};
    create(&t);
    turn(&t);
    step(&t, 'U', &none, &left);
    assert(t.store->up);
    while (size > 0 && n_steps++ < STEPS_MAX) {
        char what = (char)*data++;

        size--;
        step(&t, what, &data, &size);
    }
    end(&t);
    return 0;
}
