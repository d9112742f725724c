/* SPDX-License-Identifier: Apache-2.0 */
#include "api/operator.h"

#include "api/operation.h"
#include "api/passes.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/random.h"
#include "client/call.h"
#include "client/client.h"
#include "client/meter.h"
#include "client/tokens.h"

#include <stdatomic.h>
#include <stdio.h>

#define LEASE_MS     5000
#define LOOK_US      INT64_C(2000000) /* between two looks for what another daemon left */
#define RENEW_US     INT64_C(1000000)
#define CHECK_US     INT64_C(1000000) /* between two looks whether its token is still there */
#define AGAIN_MS     2000             /* until what failed is tried again */
#define STACK_BYTES  (512 * 1024)
#define HOLDER_BYTES 8

struct dq_api_operator {
    dureq_client *client;
    const dq_log *log;
    char holder[2 * HOLDER_BYTES + 1];
    pthread_t thread;
    bool has_joined; /* of who stops and destroys it */
    atomic_bool is_closing;

    dq_mutex mu; /* guards the rest */
    dq_cond cond;
    bool is_wanted;
};

/* An operation under way. */
typedef struct work {
    dq_api_operator *o;
    dq_api_ctx c; /* its arena and the query of its filter */
    dq_api_operation op;
    dq_scope scope; /* of op */
    char id[DQ_OPERATION_ID_MAX + 1];
    dq_buf spec, state, cursor;
    dq_buf step; /* as_of and id, for each call */
    dq_buf key;  /* of a job's group */
    int64_t n_seen, n_refused, turned_us;
    int64_t checked_us; /* when its token was seen to be there */
    const char **ids;
    int *codes;
    bool stops;
} work;

/* ---- its record ---- */

static int turn(work *w, dq_operation_verb verb, int64_t lease_ms, const dureq_str *fields, size_t n, dureq_error *err)
{
    dq_operation_turn what = {.verb = verb,
                              .holder = dureq_str_from(w->o->holder),
                              .id = dureq_str_from(w->id),
                              .lease_ms = lease_ms,
                              .fields = fields,
                              .n_fields = n};

    w->turned_us = dq_mono_us();
    return dq_client_operation_turn(w->o->client, &what, &w->stops, err);
}

/* Where it stands, with the lease anew. */
static int save(work *w, dq_operation_verb verb, int64_t lease_ms, const char *problem, dureq_error *err)
{
    char seen[24], refused[24];
    dureq_str fields[] = {DQ_STR_LIT("cur"), dq_buf_str(&w->cursor), DQ_STR_LIT("seen"), {0}, DQ_STR_LIT("ref"), {0},
                          DQ_STR_LIT("err"), dureq_str_from(problem)};

    (void)snprintf(seen, sizeof seen, "%lld", (long long)w->n_seen);
    (void)snprintf(refused, sizeof refused, "%lld", (long long)w->n_refused);
    fields[3] = dureq_str_from(seen);
    fields[5] = dureq_str_from(refused);
    return turn(w, verb, lease_ms, fields, DQ_ARRAY_LEN(fields), err);
}

/* Closed everywhere first: then the number does not change any more. */
static int finish(work *w, const char *state, const char *problem, dureq_error *err)
{
    char n_done[24];
    int64_t n = 0;
    int rc = dq_client_operation_count(w->o->client, "close", dureq_str_from(w->id), &n, err);
    dureq_str fields[] = {DQ_STR_LIT("st"),  dureq_str_from(state),  DQ_STR_LIT("n"), {0},
                          DQ_STR_LIT("err"), dureq_str_from(problem)};

    (void)snprintf(n_done, sizeof n_done, "%lld", (long long)n);
    fields[3] = dureq_str_from(n_done);
    if (rc == 0)
        rc = save(w, DQ_OPERATION_SAVE, LEASE_MS, problem, err);
    if (rc == 0)
        rc = turn(w, DQ_OPERATION_FINISH, LEASE_MS, fields, DQ_ARRAY_LEN(fields), err);
    return rc;
}

/* The number is on record: the shards may forget theirs. */
static int drop(work *w, dureq_error *err)
{
    int64_t n;
    int rc = dq_client_operation_count(w->o->client, "drop", dureq_str_from(w->id), &n, err);

    return rc < 0 ? rc : turn(w, DQ_OPERATION_DROP, 0, NULL, 0, err);
}

/* ---- its steps ---- */

/* After each wave of jobs: whether to go on. */
static bool on_progress(size_t n_done, size_t n, void *userdata)
{
    work *w = userdata;

    (void)n_done;
    (void)n;
    if (atomic_load(&w->o->is_closing))
        return false;
    if (dq_mono_us() - w->turned_us > RENEW_US && turn(w, DQ_OPERATION_SAVE, LEASE_MS, NULL, 0, NULL) < 0)
        return false;
    return !w->stops;
}

static size_t take_ids(work *w, const dureq_job_list *list)
{
    size_t n = 0;

    for (size_t i = 0; i < list->n; i++)
        if (dq_api_operation_wants(&w->op, &list->items[i], &w->key))
            w->ids[n++] = list->items[i].id.text;
    return n;
}

/* What moved on meanwhile, or came later, is none of it. */
static void count_refused(work *w, size_t n)
{
    for (size_t i = 0; i < n; i++)
        w->n_refused += w->codes[i] != 0 && w->codes[i] != DUREQ_ECONFLICT && w->codes[i] != DUREQ_ENOTFOUND;
}

static int act(work *w, const dureq_job_list *list, dureq_error *err)
{
    dureq_many_options opts = dureq_many_options_init();
    size_t n = take_ids(w, list);
    int rc;

    opts.reason = w->op.reason;
    opts.force = w->op.force;
    opts.progress_fn = on_progress;
    opts.progress_userdata = w;
    rc = dq_client_change_many(w->o->client, w->op.verb->many, dq_buf_str(&w->step), w->ids, n, &opts, w->codes, err);
    if (rc == 0)
        count_refused(w, n);
    return rc;
}

/* One page. 1: it was the last. */
static int step(work *w, dureq_error *err)
{
    dureq_job_list *list;
    bool is_last;
    int rc;

    w->op.filter.cursor = w->cursor.len ? w->cursor.ptr : NULL;
    rc = dq_client_list_jobs_within(w->o->client, &w->op.filter, &w->scope, &list, err);
    if (rc < 0)
        return rc;
    rc = act(w, list, err);
    is_last = list->next_cursor.len == 0;
    if (rc == 0) {
        w->n_seen += (int64_t)list->n;
        dq_buf_clear(&w->cursor);
        dq_buf_append_str(&w->cursor, list->next_cursor);
        rc = dq_buf_finish(&w->cursor, err);
    }
    dureq_job_list_destroy(list);
    if (rc == 0)
        rc = save(w, DQ_OPERATION_SAVE, LEASE_MS, "", err);
    return rc < 0 ? rc : is_last;
}

/* Of a token that is there: why it lets nobody do anything any more, NULL while it does. */
static void note_token(void *userdata, size_t i, dureq_str text)
{
    const char **why = userdata;
    dq_token t = {.id = ""};

    (void)i;
    if (dq_token_read(text, &t))
        *why = t.expires_at_ms && dq_wall_ms() >= t.expires_at_ms ? "its token has expired" : NULL;
    dq_token_deinit(&t);
}

/* Whoever started it may do nothing any more: then it goes no further either. Redis away: the step says so. */
static void check_token(work *w)
{
    dureq_str id = dureq_str_from(w->op.token);
    const char *why = "its token was revoked";

    if (!id.len || dq_mono_us() - w->checked_us < CHECK_US ||
        dq_client_passes_some(w->o->client, DQ_PASS_TOKEN, &id, 1, note_token, &why, NULL) < 0)
        return;
    w->checked_us = dq_mono_us();
    if (!why)
        return;
    dq_client_act_as(NULL); /* the audit has that this daemon did it */
    w->stops = dq_client_operation_stop(w->o->client, dureq_str_from(w->id), dureq_str_from(why), NULL) == 0;
    dq_client_act_as(w->op.actor);
}

static int run_steps(work *w, dureq_error *err)
{
    int64_t n;
    int rc = dq_client_operation_count(w->o->client, "open", dureq_str_from(w->id), &n, err);

    while (rc == 0 && !w->stops && !atomic_load(&w->o->is_closing)) {
        check_token(w);
        if (!w->stops)
            rc = step(w, err);
    }
    if (w->stops && (rc == 0 || rc == DUREQ_ECANCELLED))
        return finish(w, "stopped", "", err);
    if (rc == 1)
        return finish(w, "completed", "", err);
    return rc < 0 ? rc : dq_fail(err, DUREQ_ECANCELLED, "this daemon stops");
}

/* ---- one operation ---- */

static int take_spec(work *w, dureq_error *err)
{
    unsigned char as_of[6];
    dq_json doc = {0};
    int rc = dq_json_parse(dq_buf_str(&w->spec), &doc, err);

    if (rc < 0)
        return rc;
    rc = dq_api_operation_read(&w->c, &doc, &w->op, err);
    if (rc == 0)
        rc = dq_api_operation_scope(&doc, &w->scope, err);
    w->op.scope = &w->scope;
    dq_json_deinit(&doc);
    for (int i = 0; i < 6; i++)
        as_of[i] = (unsigned char)((uint64_t)w->op.as_of_ms >> (40 - 8 * i));
    dq_buf_append(&w->step, as_of, sizeof as_of);
    dq_buf_append_text(&w->step, w->id);
    w->ids = dq_arena_alloc(&w->c.arena, DQ_API_OPERATION_PAGE * sizeof *w->ids);
    w->codes = dq_arena_alloc(&w->c.arena, DQ_API_OPERATION_PAGE * sizeof *w->codes);
    if (rc == 0 && (!w->ids || !w->codes))
        rc = dq_fail_nomem(err);
    return rc < 0 ? rc : dq_buf_finish(&w->step, err);
}

static int take_record(void *userdata, const dq_operation_record *r, dureq_error *err)
{
    work *w = userdata;

    (void)snprintf(w->id, sizeof w->id, DQ_STR_FMT, DQ_STR_ARG(r->id));
    dq_buf_append_str(&w->spec, r->spec);
    dq_buf_append_str(&w->state, r->state);
    dq_buf_append_str(&w->cursor, r->cursor);
    w->n_seen = r->n_seen;
    w->n_refused = r->n_refused;
    w->stops = dq_str_eq_text(r->state, "stopping");
    if (dq_buf_failed(&w->spec) || dq_buf_failed(&w->state) || dq_buf_failed(&w->cursor))
        return dq_fail_nomem(err);
    return 0;
}

static bool has_ended(const work *w)
{
    return !dq_str_eq_text(dq_buf_str(&w->state), "running") && !dq_str_eq_text(dq_buf_str(&w->state), "stopping");
}

static int run_claimed(work *w, dureq_error *err)
{
    int rc = 0;

    if (!has_ended(w)) {
        rc = take_spec(w, err);
        if (rc == 0) {
            dq_client_act_as(w->op.actor);
            rc = run_steps(w, err);
            dq_client_act_as(NULL);
        }
    }
    return rc < 0 ? rc : drop(w, err);
}

/* What may go well later is left for later; what cannot ends it. */
static void take_failure(work *w, int rc, const dureq_error *err)
{
    bool again = rc == DUREQ_ECANCELLED || rc == DUREQ_EUNKNOWN || dureq_errcode_is_retryable(rc);

    if (rc == DUREQ_EFENCED)
        return;
    DQ_LOG(w->o->log, again ? DUREQ_LOG_INFO : DUREQ_LOG_ERROR, again ? "operation.waits" : "operation.failed", "id=%s %s", w->id,
           err->msg);
    if (again)
        (void)save(w, DQ_OPERATION_FREE, rc == DUREQ_ECANCELLED ? 0 : AGAIN_MS, rc == DUREQ_ECANCELLED ? "" : err->msg, NULL);
    else if (finish(w, "failed", err->msg, NULL) == 0)
        (void)drop(w, NULL);
}

/* Whether there was one. */
static bool run_one(dq_api_operator *o)
{
    work w = {.o = o, .c = {.client = o->client}};
    dureq_error err = {0};
    int rc = dq_client_check_up(o->client, NULL);

    if (rc == 0)
        rc = dq_client_operation_claim(o->client, dureq_str_from(o->holder), (dureq_str){0}, LEASE_MS, take_record, &w, &err);
    if (rc > 0)
        rc = run_claimed(&w, &err);
    if (rc < 0 && *w.id)
        take_failure(&w, rc, &err);
    dq_arena_deinit(&w.c.arena);
    dq_scope_deinit(&w.scope);
    dq_buf_deinit(&w.spec);
    dq_buf_deinit(&w.state);
    dq_buf_deinit(&w.cursor);
    dq_buf_deinit(&w.step);
    dq_buf_deinit(&w.key);
    return rc == 0 && *w.id;
}

/* ---- the thread ---- */

static void *run(void *arg)
{
    dq_api_operator *o = arg;

    while (!atomic_load(&o->is_closing)) {
        if (run_one(o))
            continue;
        dq_mutex_lock(&o->mu);
        if (!o->is_wanted && !atomic_load(&o->is_closing))
            (void)dq_cond_wait_until(&o->cond, &o->mu, dq_mono_us() + LOOK_US);
        o->is_wanted = false;
        dq_mutex_unlock(&o->mu);
    }
    return NULL;
}

void dq_api_operator_wake(dq_api_operator *o)
{
    dq_mutex_lock(&o->mu);
    o->is_wanted = true;
    dq_cond_signal(&o->cond);
    dq_mutex_unlock(&o->mu);
}

static void free_parts(dq_api_operator *o)
{
    dq_cond_deinit(&o->cond);
    dq_mutex_deinit(&o->mu);
    dq_free(o);
}

int dq_api_operator_create(dureq_client *client, const dq_log *log, dq_api_operator **ret, dureq_error *err)
{
    dq_api_operator *o = dq_calloc(1, sizeof *o);
    unsigned char bytes[HOLDER_BYTES];
    int rc;

    if (!o)
        return dq_fail_nomem(err);
    o->client = client;
    o->log = log;
    dq_mutex_init(&o->mu);
    dq_cond_init(&o->cond);
    atomic_init(&o->is_closing, false);
    rc = dq_random_bytes(bytes, sizeof bytes, err);
    for (size_t i = 0; i < sizeof bytes; i++)
        (void)snprintf(o->holder + 2 * i, 3, "%02x", bytes[i]);
    if (rc == 0)
        rc = dq_thread_start(&o->thread, "dq-operator", STACK_BYTES, run, o, err);
    if (rc < 0) {
        free_parts(o);
        return rc;
    }
    *ret = o;
    return 0;
}

void dq_api_operator_stop(dq_api_operator *o)
{
    if (!o || o->has_joined)
        return;
    atomic_store(&o->is_closing, true);
    dq_api_operator_wake(o);
    (void)pthread_join(o->thread, NULL);
    o->has_joined = true;
}

void dq_api_operator_destroy(dq_api_operator *o)
{
    if (!o)
        return;
    dq_api_operator_stop(o);
    free_parts(o);
}
