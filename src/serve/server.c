/* SPDX-License-Identifier: Apache-2.0 */
/* The server from its addresses to its end. What other threads want of it is done by a message to the loop, and waited for. */
#include "base/clock.h"
#include "serve/serve_internal.h"

#include <fcntl.h>
#include <unistd.h>

/* ---- on the loop, for another thread ---- */

typedef struct order {
    dq_message message;
    dq_server *server;
    void (*fn)(dq_server *s);
} order;

static void run_order(dq_message *m)
{
    order *o = dq_container_of(m, order, message);
    dq_server *s = o->server;

    o->fn(s);
    dq_mutex_lock(&s->mu);
    s->is_done = true;
    dq_cond_broadcast(&s->cond);
    dq_mutex_unlock(&s->mu);
}

static void on_loop(dq_server *s, void (*fn)(dq_server *s))
{
    order o = {.message = {.fn = run_order}, .server = s, .fn = fn};

    s->is_done = false;
    dq_loop_post(s->loop, &o.message);
    dq_mutex_lock(&s->mu);
    while (!s->is_done)
        dq_cond_wait(&s->cond, &s->mu);
    dq_mutex_unlock(&s->mu);
}

static void do_start(dq_server *s)
{
    for (size_t i = 0; i < s->n_listeners; i++)
        dq_listener_on(&s->listeners[i]);
}

static void do_drain(dq_server *s)
{
    s->is_draining = true;
    dq_timer_clear(&s->again);
    for (size_t i = 0; i < s->n_listeners; i++)
        dq_listener_close(&s->listeners[i]);
    DQ_LIST_FOREACH (dq_conn, c, &s->conns, link) {
        dq_conn_drain(c);
    }
}

static void do_close(dq_server *s)
{
    while (!dq_list_empty(&s->conns))
        dq_conn_close(dq_container_of(s->conns.next, dq_conn, link));
    dq_timer_deinit(&s->again);
    dq_timer_deinit(&s->check);
    dq_timer_deinit(&s->snap);
}

static void do_nothing(dq_server *s)
{
    (void)s;
}

static void on_again(dq_timer *t)
{
    do_start(dq_container_of(t, dq_server, again));
}

void dq_server_conn_gone(dq_server *s)
{
    s->n_conns--;
    atomic_store(&s->n_conns_now, s->n_conns);
    if (s->n_conns > 0 || !s->is_draining)
        return;
    dq_mutex_lock(&s->mu);
    s->is_empty = true;
    dq_cond_broadcast(&s->cond);
    dq_mutex_unlock(&s->mu);
}

/* ---- metrics: any thread ---- */

static void put_gauge(dq_exposition *x, const char *name, const char *help, double value)
{
    dq_exposition_begin(x, DQ_GAUGE, name, help);
    dq_exposition_put(x, NULL, value);
}

static void write_metrics(dq_exposition *x, void *userdata)
{
    dq_server *s = userdata;

    dq_exposition_begin(x, DQ_COUNTER, "dureq_http_responses", "Answers to HTTP requests, by status.");
    for (size_t i = 0; i < DQ_ARRAY_LEN(s->n_answers); i++) {
        DQ_BUF_AUTO labels = {0};
        DQ_BUF_AUTO code = {0};
        unsigned long long n = atomic_load_explicit(&s->n_answers[i], memory_order_relaxed);

        if (n == 0)
            continue;
        dq_buf_append_i64(&code, (int64_t)i + 100);
        dq_label_put(&labels, "code", dq_buf_str(&code));
        dq_exposition_put_u64(x, &labels, n);
    }
    put_gauge(x, "dureq_http_connections", "HTTP connections that are open.", atomic_load(&s->n_conns_now));
    put_gauge(x, "dureq_http_requests_in_progress", "HTTP requests that are being answered.", atomic_load(&s->n_exchanges));
    put_gauge(x, "dureq_http_held_bytes", "Bodies and answers of all connections.", (double)atomic_load(&s->held));
}

/* ---- its life ---- */

static int take_options(dq_server *s, const dq_server_options *o, dureq_error *err)
{
    const dq_users_options users = {.roles = o->proxy_users, .field = o->proxy_user_field, .secret = o->proxy_secret};
    int rc;

    s->client = o->client;
    s->loop = dq_api_loop(o->client);
    s->log = o->log;
    s->needs_token = o->needs_token;
    rc = dq_proxies_create(o->proxies, &s->proxies, err);
    if (rc == 0)
        rc = dq_users_create(&users, &s->users, err);
    if (rc < 0)
        return rc;
    s->tokens = dq_api_tokens_create();
    s->meter = dq_api_meter_create();
    s->streams_of_api = dq_api_streams_create(o->client);
    s->body_max = o->body_max_bytes ? o->body_max_bytes : DQ_SERVE_BODY_MAX;
    s->head_timeout_us = (o->head_timeout_ms ? o->head_timeout_ms : 10000) * 1000;
    s->idle_timeout_us = (o->idle_timeout_ms ? o->idle_timeout_ms : 60000) * 1000;
    s->connections_max = o->connections_max ? o->connections_max : 4096;
    s->per_address_max = o->per_address_max ? o->per_address_max : 256;
    s->hosts = dq_strdup(o->hosts ? o->hosts : "");
    s->origins = dq_strdup(o->origins ? o->origins : "");
    s->workers = dq_workers_create(o->threads_max ? o->threads_max : 16);
    s->listeners = dq_calloc(o->n_addresses + 1, sizeof *s->listeners);
    s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (!s->tokens || !s->meter || !s->streams_of_api || !s->hosts || !s->origins || !s->workers || !s->listeners)
        return dq_fail_nomem(err);
    dq_api_meter_add(s->meter, write_metrics, s);
    if (o->metrics)
        dq_api_meter_add(s->meter, o->metrics, o->metrics_userdata);
    dq_api_meter_set_unsent(s->meter, o->unsent, o->metrics_userdata);
    if (o->tls_cert) {
        rc = dq_serve_tls_create(o->tls_cert, o->tls_key ? o->tls_key : o->tls_cert, &s->tls, err);
        if (rc < 0)
            return rc;
    }
    return dq_pages_init(s, o->pages, o->base_path, err);
}

static void free_parts(dq_server *s)
{
    for (size_t i = 0; i < s->n_listeners; i++)
        dq_listener_close(&s->listeners[i]);
    dq_workers_destroy(s->workers);
    dq_api_operator_destroy(s->operations);
    dq_api_tokens_destroy(s->tokens);
    dq_proxies_destroy(s->proxies);
    dq_users_destroy(s->users);
    dq_api_meter_destroy(s->meter);
    dq_api_streams_destroy(s->streams_of_api);
    dq_serve_tls_destroy(s->tls);
    dq_map_deinit(&s->peers);
    if (s->spare_fd >= 0)
        (void)close(s->spare_fd);
    dq_cond_deinit(&s->cond);
    dq_mutex_deinit(&s->mu);
    dq_free(s->listeners);
    dq_free(s->hosts);
    dq_free(s->origins);
    dq_buf_deinit(&s->index);
    dq_free(s);
}

int dq_server_create(const dq_server_options *o, dq_server **ret, dureq_error *err)
{
    dq_server *s = dq_calloc(1, sizeof *s);
    int rc;

    if (!s)
        return dq_fail_nomem(err);
    dq_list_init(&s->conns);
    dq_list_init(&s->waiting);
    dq_list_init(&s->streams);
    dq_mutex_init(&s->mu);
    dq_cond_init(&s->cond);
    s->spare_fd = -1;
    rc = take_options(s, o, err);
    for (size_t i = 0; i < o->n_addresses && rc == 0; i++)
        rc = dq_listener_open(&s->listeners[s->n_listeners++], s, o->addresses[i], o->stays_local, err);
    if (rc == 0)
        rc = dq_api_operator_create(o->client, o->log, &s->operations, err);
    if (rc < 0) {
        free_parts(s);
        return rc;
    }
    *ret = s;
    return 0;
}

const char *dq_server_address(const dq_server *s, size_t i)
{
    return i < s->n_listeners ? s->listeners[i].name : NULL;
}

static void do_init(dq_server *s)
{
    if (dq_timer_init(&s->again, s->loop, on_again) == 0 && dq_timer_init(&s->check, s->loop, dq_stream_check) == 0 &&
        dq_timer_init(&s->snap, s->loop, dq_stream_snapshots) == 0)
        do_start(s);
}

void dq_server_start(dq_server *s)
{
    on_loop(s, do_init);
}

static void do_swap(dq_server *s)
{
    dq_serve_tls *before = s->tls;

    s->tls = s->next_tls;
    s->next_tls = before;
}

int dq_server_reload(dq_server *s, const char *tls_cert, const char *tls_key, dureq_error *err)
{
    int rc = dq_serve_tls_create(tls_cert, tls_key ? tls_key : tls_cert, &s->next_tls, err);

    if (rc < 0)
        return rc;
    on_loop(s, do_swap);
    dq_serve_tls_destroy(DQ_TAKE(s->next_tls));
    return 0;
}

void dq_server_drain(dq_server *s)
{
    on_loop(s, do_drain);
}

static void wait_empty(dq_server *s, int64_t timeout_ms)
{
    int64_t deadline_us = dq_mono_us() + timeout_ms * 1000;
    bool in_time = true;

    dq_mutex_lock(&s->mu);
    while (!s->is_empty && in_time)
        in_time = dq_cond_wait_until(&s->cond, &s->mu, deadline_us);
    dq_mutex_unlock(&s->mu);
}

static void note_empty(dq_server *s)
{
    s->is_empty = s->n_conns == 0;
}

void dq_server_destroy(dq_server *s, int64_t timeout_ms)
{
    if (!s)
        return;
    dq_server_drain(s);
    dq_api_operator_stop(s->operations); /* requests under way may wake it until the workers are gone */
    on_loop(s, note_empty);
    wait_empty(s, timeout_ms);
    on_loop(s, do_close);
    on_loop(s, do_nothing); /* waits have ended */
    dq_workers_destroy(s->workers);
    s->workers = NULL;
    on_loop(s, do_nothing); /* the last messages of exchanges were before it */
    free_parts(s);
}
