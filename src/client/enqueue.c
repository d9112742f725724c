/* SPDX-License-Identifier: Apache-2.0 */
/* The callers' side of enqueueing: checks jobs, packs them in the caller's thread, hands them to the loop and waits. A large call goes in
   chunks, two at a time, so that packing goes on while the server works. Nothing of a job is kept after the call. */

#include <stdio.h>

#include "base/clock.h"
#include "base/random.h"
#include "client/produce.h"
#include "client/request_internal.h"

#define CHUNK_JOBS  2048
#define CHUNK_BYTES (2 * 1024 * 1024)

/* What of a spec matters for where it goes. */
static void set_place(const dureq_client *c, enq_item *item, const dureq_job_spec *spec, const dureq_job_options *o)
{
    const dq_keys *k = dq_client_keys(c);

    item->task_type = dureq_str_from(spec->task_type);
    item->queue = dureq_str_from(o->queue);
    item->priority = (int8_t)o->priority;
    item->scheduled = o->delay_ms > 0 || o->run_at_ms > 0;
    item->shard = item->ukey_home = -1;
    if (o->unique_key.len > 0) {
        item->ukey = o->unique_key;
        item->ukey_ms = o->unique_for_ms;
        item->ukey_home = item->shard = (int16_t)dq_keys_shard_of(k, o->unique_key);
    }
    item->request_id = o->request_id;
    item->has_request = o->request_id.len > 0;
    if (item->has_request)
        item->shard = (int16_t)dq_keys_shard_of(k, o->request_id);
}

/* One job into the request. `j` is scratch. */
static int pack_item(dureq_client *c, enq_request *r, const dureq_job_spec *spec, dq_buf *j, dureq_error *err)
{
    enq_item *item = &r->items[r->n];
    dureq_job_options o = {0};
    int rc;

    rc = dq_job_spec_check(spec, c->max_payload, err);
    if (rc < 0)
        return rc;
    if (spec->options)
        memcpy(&o, spec->options, DQ_MIN(spec->options->struct_size, sizeof o));
    set_place(c, item, spec, &o);
    if (item->ukey_home >= 0 && dq_client_keys(c)->n_shards > 1) {
        rc = dq_random_bytes(item->token, sizeof item->token, err);
        if (rc < 0)
            return rc;
    }
    dq_buf_clear(j);
    dq_envelope_pack(j, spec, dq_client_keys(c)->n_shards > 1 ? item->ukey_home : -1);
    dq_enqueue_pack(&r->args, spec, &o, j, &item->job);
    if (dq_buf_failed(&r->args))
        return dq_fail_nomem(err);
    item->request = r;
    r->n++;
    return 0;
}

static int request_init(enq_request *r, size_t n_max, dureq_enqueue_result *results, dureq_error *err)
{
    *r = (enq_request){.results = results};
    r->items = dq_calloc(n_max, sizeof *r->items);
    dq_mutex_init(&r->mu);
    dq_cond_init(&r->cond);
    return r->items ? 0 : dq_fail_nomem(err);
}

static void request_deinit(enq_request *r)
{
    dq_cond_deinit(&r->cond);
    dq_mutex_deinit(&r->mu);
    dq_buf_deinit(&r->args);
    dq_free(r->items);
}

/* Until all is answered, or the time is over and the loop has answered the rest. */
static void request_wait(dureq_client *c, enq_request *r, int64_t deadline_us)
{
    bool in_time = true;

    dq_mutex_lock(&r->mu);
    while (r->left > 0 && in_time)
        in_time = dq_cond_wait_until(&r->cond, &r->mu, deadline_us);
    if (r->left > 0) {
        r->left++;
        dq_mutex_unlock(&r->mu);
        (void)dq_client_why_down(c, &r->why);
        dq_enq_withdraw(r);
        dq_mutex_lock(&r->mu);
        while (r->left > 0)
            dq_cond_wait(&r->cond, &r->mu);
    }
    dq_mutex_unlock(&r->mu);
}

static void result_refused(dureq_enqueue_result *result, const dureq_error *why)
{
    result->code = why->code;
    (void)snprintf(result->msg, sizeof result->msg, "%.95s", why->msg);
}

/* Packs specs from *at on until the chunk is full. Refused ones get their result at once. */
static void fill(dureq_client *c, enq_request *r, const dureq_job_spec *specs, size_t n, size_t *at, size_t n_max, dq_buf *j)
{
    dureq_error why;

    while (*at < n && r->n < n_max && r->args.len < CHUNK_BYTES) {
        r->items[r->n] = (enq_item){.index = (uint32_t)*at};
        if (pack_item(c, r, &specs[*at], j, &why) < 0)
            result_refused(&r->results[*at], &why);
        ++*at;
    }
}

/* A chunk that is under way, or an idle place for one. */
typedef struct chunk {
    enq_request request;
    bool open;
} chunk;

static void chunk_close(dureq_client *c, chunk *k, int64_t deadline_us)
{
    if (!k->open)
        return;
    request_wait(c, &k->request, deadline_us);
    request_deinit(&k->request);
    k->open = false;
}

static int run_chunks(dureq_client *c, const dureq_job_spec *specs, size_t n, dureq_enqueue_result *results, dureq_error *err)
{
    int64_t deadline_us = dq_client_deadline_us(c);
    chunk chunks[2] = {{.open = false}};
    size_t n_max = DQ_MIN(n, CHUNK_JOBS), at = 0;
    DQ_BUF_AUTO j = {0};
    int rc = 0;

    for (size_t turn = 0; at < n; turn++) {
        chunk *k = &chunks[turn % 2];

        chunk_close(c, k, deadline_us);
        rc = request_init(&k->request, n_max, results, err);
        if (rc < 0) {
            request_deinit(&k->request);
            break;
        }
        k->open = true;
        fill(c, &k->request, specs, n, &at, n_max, &j);
        dq_enq_submit(c->producer, &k->request);
    }
    chunk_close(c, &chunks[0], deadline_us);
    chunk_close(c, &chunks[1], deadline_us);
    for (; at < n; at++) /* never sent */
        results[at].code = rc;
    return rc;
}

int dureq_client_enqueue_many(dureq_client *c, const dureq_job_spec *specs, size_t n, dureq_enqueue_result *results,
                              dureq_error *err)
{
    int rc;

    if (!c || (n > 0 && (!specs || !results)))
        return dq_fail(err, DUREQ_EINVAL, "client, specs and results must be given");
    if (n > UINT32_MAX)
        return dq_fail(err, DUREQ_EINVAL, "n takes at most %u jobs a call", UINT32_MAX);
    if (n == 0)
        return 0;
    memset(results, 0, n * sizeof *results);
    rc = dq_client_may_write(c, err);
    if (rc < 0) {
        for (size_t i = 0; i < n; i++)
            results[i].code = rc;
        return rc;
    }
    dq_client_enter(c);
    rc = run_chunks(c, specs, n, results, err);
    dq_client_leave(c);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < n; i++) /* away for the whole call: that is a failure of the call, not of each job */
        if (results[i].code != DUREQ_EUNAVAILABLE && results[i].code != DUREQ_ETIMEOUT)
            return 0;
    return dq_fail(err, results[0].code, "%s", results[0].msg);
}

int dureq_client_enqueue(dureq_client *c, const dureq_job_spec *spec, dureq_job_id *ret, dureq_error *err)
{
    dureq_enqueue_result result = {0};
    enq_request r;
    DQ_BUF_AUTO j = {0};
    int rc;

    if (!c || !spec)
        return dq_fail(err, DUREQ_EINVAL, "client and spec must be given");
    rc = dq_client_may_write(c, err);
    if (rc < 0)
        return rc;
    dq_client_enter(c);
    rc = request_init(&r, 1, &result, err);
    if (rc == 0)
        rc = pack_item(c, &r, spec, &j, err);
    if (rc == 0) {
        dq_enq_submit(c->producer, &r);
        request_wait(c, &r, dq_client_deadline_us(c));
        rc = result.code;
        if (rc < 0)
            (void)dq_fail(err, rc, "%s", result.msg);
        if (ret && result.id.text[0])
            *ret = result.id;
    }
    request_deinit(&r);
    dq_client_leave(c);
    return rc;
}

/* ---- without a thread that waits ---- */

typedef struct submitted {
    dq_request request;
    enq_request jobs; /* one; its strings are the caller's until the end */
    dureq_enqueue_result result;
    dq_enqueued_fn fn;
    void *userdata;
} submitted;

static submitted *submitted_of(dq_request *r)
{
    return dq_container_of(r, submitted, request);
}

static void on_answered(enq_request *jobs)
{
    submitted *s = dq_container_of(jobs, submitted, jobs);

    dq_request_end(&s->request, &(dq_answer){.state = -1}, (dureq_str){0}); /* nothing, when its own end dropped the job */
}

static void on_end(void *userdata, const dq_answer *answer)
{
    submitted *s = userdata;

    if (answer->code < 0)
        result_refused(&s->result, answer->err);
    s->fn(s->userdata, &s->result);
}

static void start_submitted(dq_request *r)
{
    dq_enq_take(r->client->producer, &submitted_of(r)->jobs);
}

/* It ended before its job was answered: nobody wants to know any more. */
static void leave_submitted(dq_request *r)
{
    submitted *s = submitted_of(r);

    if (s->jobs.producer && s->jobs.left > 0)
        dq_enq_drop(&s->jobs);
}

/* Loop thread, as of all that have a callback. */
static int late_submitted(dq_request *r, dureq_error *err)
{
    if (submitted_of(r)->jobs.items[0].call)
        return dq_fail(err, DUREQ_EUNKNOWN, DQ_ENQ_NO_ANSWER);
    return dq_client_why_down(r->client, err);
}

static void destroy_submitted(dq_request *r)
{
    submitted *s = submitted_of(r);

    request_deinit(&s->jobs);
    dq_request_deinit(r);
    dq_free(s);
}

static const dq_request_kind submitted_kind = {
    .start = start_submitted, .leave = leave_submitted, .late = late_submitted, .destroy = destroy_submitted};

int dq_client_submit_enqueue(dureq_client *c, const dureq_job_spec *spec, dq_enqueued_fn fn, void *userdata, dq_request **ret,
                             dureq_error *err)
{
    submitted *s = dq_calloc(1, sizeof *s);
    DQ_BUF_AUTO j = {0};
    int rc;

    if (!s)
        return dq_fail_nomem(err);
    dq_request_init(&s->request, &submitted_kind, c, dq_client_deadline_us(c), on_end, s);
    s->fn = fn;
    s->userdata = userdata;
    rc = request_init(&s->jobs, 1, &s->result, err);
    s->jobs.done = on_answered;
    if (rc == 0)
        rc = pack_item(c, &s->jobs, spec, &j, err);
    if (rc < 0) {
        destroy_submitted(&s->request);
        return rc;
    }
    return dq_request_submit(&s->request, ret, err);
}
