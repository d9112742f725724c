/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_peer.h"

#include <stdio.h>

/* A server that answers the greeting as it likes, and goes on as it likes. The first byte says what the client asks for; then come rounds of bytes, ended
   by RS: between them time passes, so that what waits for it goes on (a pause is over, an answer did not come, a new connection is
   made). Bytes that come one by one lead to the same as bytes that come at once. */

const size_t fuzz_replay_fewer = 5;

enum {
    RESP2 = 1,
    USER = 2,
    PASSWORD = 4,
    CLIENT_NAME = 8,
    DB = 16,
    CHANNELS = 32,
    MORE = 64, /* commands and channels once it is ready */
    ROUND_END = 0x1e,
    HELD = 3,
    SLOW_MAX = 512,
    ROUNDS_MAX = 32,
};

#define SECRET "only-the-client-knows"

typedef struct view {
    dq_conn_state state;
    int code;
    unsigned n_ready, n_lost, n_answers, n_pushes;
    char version[DQ_VERSION_MAX], run_id[DQ_RUN_ID_MAX];
} view;

typedef struct peer {
    fuzz_peer p;
    unsigned options;
    bool server_knows_secret;
    unsigned n_ready, n_lost, n_pushes;
    unsigned n_sent, n_answers; /* commands numbered from 0, answered in that order */
    view seen[ROUNDS_MAX];
    size_t n_seen;
} peer;

static dq_loop *loop;

static void on_ready(dq_redis *r, bool same_server, void *userdata)
{
    peer *t = userdata;

    assert(dq_redis_is_ready(r) && t->n_ready == t->n_lost);
    assert(!same_server || t->n_ready > 0);
    t->n_ready++;
}

static void on_lost(dq_redis *r, const dureq_error *why, void *userdata)
{
    peer *t = userdata;

    assert(!dq_redis_is_ready(r) && why->code < 0);
    t->n_lost++;
    assert(t->n_ready == t->n_lost);
}

static void on_push(dq_redis *r, dq_reply push, void *userdata)
{
    peer *t = userdata;

    (void)r;
    assert(dq_reply_type(push) == DQ_RESP_PUSH);
    t->n_pushes++;
}

static peer *now; /* answers come with a number only */

static void on_answer(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    assert((uintptr_t)userdata == now->n_answers && now->n_answers < now->n_sent);
    assert(code <= 0 && (code == 0) == (err == NULL) && (code < 0 || reply));
    assert(!reply || dq_reply_type(*reply) != DQ_RESP_PUSH);
    now->n_answers++;
}

static void echo(peer *t, unsigned flags)
{
    dureq_str words[] = {DQ_STR_LIT("ECHO"), DQ_STR_LIT("x")};
    bool ready = dq_redis_is_ready(t->p.redis);
    int rc = dq_redis_command(t->p.redis, flags, on_answer, (void *)(uintptr_t)t->n_sent, 2, words);

    assert(rc == (ready || flags ? 0 : DUREQ_EUNAVAILABLE));
    t->n_sent += rc == 0;
}

static void start(peer *t)
{
    static char host[] = "/none", user[] = "u", password[] = SECRET;
    dq_redis_options o = {
        .url = {.kind = DQ_REDIS_UNIX,
                .host = host,
                .user = t->options & USER ? user : NULL,
                .password = t->options & PASSWORD ? password : NULL,
                .db = t->options & DB ? 3 : 0},
        .client_name = t->options & CLIENT_NAME ? "a name" : NULL,
        .resp2 = t->options & RESP2,
    };
    dq_redis_callbacks cb = {.on_ready = on_ready, .on_lost = on_lost, .on_push = on_push, .userdata = t};

    t->p.fd = -1;
    if (dq_redis_create(loop, &o, &cb, &t->p.redis, NULL) < 0)
        abort();
    for (int i = 0; i < HELD; i++)
        echo(t, DQ_REDIS_HOLD);
    for (int i = 0; t->options & CHANNELS && i < 2; i++)
        (void)dq_redis_subscribe(t->p.redis, /*sharded=*/i == 1, DQ_STR_LIT("c"));
    fuzz_peer_connect(&t->p);
}

/* What was written while it greeted is the greeting: nothing that waits for the connection to be ready, and all of it whole. */
static void check_written(peer *t, bool was_ready)
{
    const fuzz_peer *p = &t->p;

    fuzz_peer_flush(&t->p);
    if (!was_ready && !dq_redis_is_ready(p->redis) && p->got.len > 0)
        assert(!memmem(p->got.ptr, p->got.len, "ECHO", 4));
    if (p->redis->fd >= 0)
        (void)fuzz_peer_commands(&t->p);
}

static void check_state(peer *t)
{
    const dq_redis *r = t->p.redis;
    const dq_hello *h = &r->hello;
    dureq_error why;

    dq_redis_last_error(r, &why);
    assert(memchr(why.msg, '\0', sizeof why.msg) && memchr(r->version, '\0', sizeof r->version) &&
           memchr(r->run_id, '\0', sizeof r->run_id));
    assert(t->server_knows_secret || !strstr(why.msg, SECRET));
    assert(h->i <= h->n && h->n <= DQ_HELLO_STEPS_MAX);
    assert(!(h->speaks_resp3 && (t->options & RESP2)));
    switch (r->state) {
    case DQ_CONN_READY: assert(t->n_ready == t->n_lost + 1 && why.code == 0 && r->fd >= 0); break;
    case DQ_CONN_GREETING:
        assert(t->n_ready == t->n_lost && why.code < 0 && r->fd >= 0 && h->n + h->subscribes_left > 0);
        assert(h->is_paused == dq_timer_is_set(&r->state_timer));
        break;
    case DQ_CONN_WAITING:
        assert(t->n_ready == t->n_lost && why.code < 0 && why.msg[0] && r->fd < 0);
        assert(dq_timer_is_set(&r->state_timer) && dq_redis_has_failed(r));
        break;
    default: assert(false);
    }
}

static void look(peer *t)
{
    const dq_redis *r = t->p.redis;
    view *v = &t->seen[t->n_seen++];

    memset(v, 0, sizeof *v); /* views are compared as bytes */
    v->state = r->state;
    v->code = r->last_error.code;
    v->n_ready = t->n_ready;
    v->n_lost = t->n_lost;
    v->n_answers = t->n_answers;
    v->n_pushes = t->n_pushes;
    (void)snprintf(v->version, sizeof v->version, "%s", r->version);
    (void)snprintf(v->run_id, sizeof v->run_id, "%s", r->run_id);
}

/* What would go on by itself, goes on. */
static void pass_time(peer *t)
{
    dq_redis *r = t->p.redis;

    switch (r->state) {
    case DQ_CONN_GREETING:
        dq_conn_pin(r);
        dq_hello_on_timer(r);
        dq_conn_unpin(r);
        break;
    case DQ_CONN_WAITING:
        echo(t, 0);
        fuzz_peer_connect(&t->p);
        break;
    default:
        if (!(t->options & MORE))
            break;
        echo(t, 0);
        if (!(t->options & RESP2)) {
            (void)dq_redis_subscribe(r, true, DQ_STR_LIT("more"));
            dq_redis_unsubscribe(r, false, DQ_STR_LIT("c"));
        }
        break;
    }
}

/* Time stands still while bytes arrive: a pause is what its flag says. */
static void hear(peer *t, const uint8_t *bytes, size_t len, bool slowly)
{
    dq_redis *r = t->p.redis;
    size_t step = slowly ? 1 : len;
    bool was_ready = dq_redis_is_ready(r);

    if (r->state == DQ_CONN_GREETING)
        dq_timer_clear(&r->state_timer);
    for (size_t at = 0; at < len && fuzz_peer_say(&t->p, (const char *)bytes + at, step); at += step)
        ;
    check_state(t);
    check_written(t, was_ready);
    fuzz_peer_stop_clock(&t->p);
    dq_loop_run_once(loop, /*block=*/false);
}

static void play(peer *t, const uint8_t *data, size_t size, bool slowly)
{
    now = t;
    start(t);
    while (size > 0 && t->n_seen < ROUNDS_MAX) {
        const uint8_t *end = memchr(data, ROUND_END, size);
        size_t len = end ? (size_t)(end - data) : size;

        hear(t, data, len, slowly);
        look(t);
        data += len;
        size -= len;
        if (!end)
            break;
        data++;
        size--;
        pass_time(t);
    }
    fuzz_peer_stop_clock(&t->p);
    dq_redis_destroy(t->p.redis);
    assert(t->n_answers == t->n_sent);
    fuzz_peer_deinit(&t->p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static peer whole, slow;

    if (size == 0)
        return 0;
    if (!loop && dq_loop_create(&loop, NULL) < 0)
        abort();
    whole = (peer){.options = data[0], .server_knows_secret = memmem(data, size, SECRET, strlen(SECRET))};
    slow = whole;
    play(&whole, data + 1, size - 1, /*slowly=*/false);
    if (size > SLOW_MAX)
        return 0;
    play(&slow, data + 1, size - 1, /*slowly=*/true);
    assert(slow.n_seen == whole.n_seen && memcmp(slow.seen, whole.seen, whole.n_seen * sizeof whole.seen[0]) == 0);
    return 0;
}
