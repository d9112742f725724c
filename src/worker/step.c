/* SPDX-License-Identifier: Apache-2.0 */
/* Steps: what a handler does once however often its job runs. Before the step the loop asks the job's shard whether it was done, after it what it gave goes on record;
   both are refused to a run whose job went on without it. The handler waits meanwhile, over a lost connection as well, until its run is told to stop.

   A call is held by both sides: by the handler while it waits, and by the loop from the message on. Which of them is through last frees it. While the
   handler waits its claim stays in memory: the message that says that it returned comes after those that it posted. */

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/clock.h"
#include "store/step_calls.h"
#include "store/versions.h"
#include "worker/worker_internal.h"

struct dureq_step {
    char *idempotency_key;
    dq_buf result;
};

typedef struct step_call {
    dq_message message;
    dq_list link;     /* in its shard's `steps`. Loop's, as the next four */
    dq_wshard *shard; /* NULL: it is gone */
    bool flies;
    bool has_required; /* the version, once */
    atomic_int holders;
    atomic_bool left; /* the handler: its claim must not be touched any more. Set by the handler, with release */
    dq_claim *claim;
    bool is_end;
    dq_step_at at; /* but its session */
    dq_buf key, result;

    /* guarded by the run's lock */
    bool answered;
    int code;
    dureq_error err;
    dq_step_begun begun; /* but its result: */
    dq_buf answer;
} step_call;

/* ---- both sides ---- */

static void let_go(step_call *s)
{
    if (atomic_fetch_sub_explicit(&s->holders, 1, memory_order_acq_rel) > 1)
        return;
    dq_buf_deinit(&s->key);
    dq_buf_deinit(&s->result);
    dq_buf_deinit(&s->answer);
    dq_free(s);
}

/* ---- loop thread ---- */

static void look(step_call *s);

static bool has_left(const step_call *s)
{
    return atomic_load_explicit(&s->left, memory_order_acquire);
}

/* The last that the loop does with it. */
static void answer(step_call *s, int code, const dureq_error *err, const dq_step_begun *begun)
{
    if (dq_list_linked(&s->link))
        dq_list_remove(&s->link);
    if (!has_left(s)) {
        dureq_run *r = &s->claim->run;

        dq_mutex_lock(&r->mu);
        s->code = code;
        if (err)
            s->err = *err;
        if (begun) {
            s->begun = *begun;
            dq_buf_append_str(&s->answer, begun->result);
            if (dq_buf_failed(&s->answer))
                s->code = DUREQ_ENOMEM;
        }
        s->answered = true;
        dq_cond_broadcast(&r->cond);
        dq_mutex_unlock(&r->mu);
    }
    let_go(s);
}

static void answer_code(step_call *s, int code)
{
    dureq_error err = {0};

    if (code == DUREQ_EFENCED)
        (void)dq_fail(&err, code, "its job went on without this run");
    else if (code < 0)
        (void)dq_fail(&err, code, "%s", dureq_errcode_text(code));
    answer(s, code, &err, NULL);
}

static void on_required(void *userdata, int code, const dureq_error *err)
{
    step_call *s = userdata;

    s->flies = false;
    if (!s->shard) {
        let_go(s);
    } else if (code < 0 && code != DUREQ_EUNAVAILABLE) {
        answer(s, code, err, NULL);
    } else {
        s->has_required = code == 0;
        look(s);
    }
}

static void require_version(step_call *s)
{
    dureq_error err = {0};
    int rc;

    if (s->has_required) {
        answer(s, dq_fail(&err, DUREQ_ECONFLICT, "a shard was made again meanwhile"), &err, NULL);
        return;
    }
    s->flies = s->has_required = true; /* on_required may be called before the call returns, and end this */
    rc = dq_store_require_version(s->shard->worker->store, DQ_STEP_SCRIPTS, on_required, s);
    if (rc == 0)
        return;
    s->flies = s->has_required = false;
    if (rc != DUREQ_EUNAVAILABLE) /* that is waited for */
        answer_code(s, rc);
}

static void read_begun(step_call *s, const dq_reply *reply)
{
    dq_step_begun begun;
    int rc = dq_step_begin_decode(reply, &begun);

    if (rc < 0)
        answer_code(s, rc);
    else if (begun.may == DQ_STEP_TOO_OLD)
        require_version(s);
    else
        answer(s, 0, NULL, &begun);
}

static void on_answer(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    step_call *s = userdata;

    s->flies = false;
    if (!s->shard)
        let_go(s);
    else if (code == DUREQ_EUNAVAILABLE || dq_is_of_replica(code)) /* both may be asked again */
        look(s);
    else if (code < 0)
        answer(s, code, err, NULL);
    else if (s->is_end)
        answer_code(s, dq_step_end_decode(reply));
    else
        read_begun(s, reply);
}

static void send_call(step_call *s)
{
    const dq_keys *keys = dq_store_keys(s->shard->worker->store);
    DQ_BUF_AUTO bytes = {0};

    s->at.session = s->shard->session.no;
    if (s->is_end)
        dq_call_step_end(&bytes, keys, s->shard->no, &s->at, dq_buf_str(&s->result));
    else
        dq_call_step_begin(&bytes, keys, s->shard->no, &s->at);
    if (dq_buf_failed(&bytes)) {
        answer_code(s, DUREQ_ENOMEM);
        return;
    }
    s->flies = dq_session_send(s->shard, &bytes, on_answer, s); /* else the server is away: once it is back all are looked at */
}

/* Sent now, or when the server is there. */
static void look(step_call *s)
{
    dq_wshard *shard = s->shard;

    if (s->flies)
        return;
    if (has_left(s)) {
        answer(s, DUREQ_ECANCELLED, NULL, NULL);
        return;
    }
    /* Once its end is judged the row that says whether it has steps may be on its way. */
    if (s->claim->state != DQ_CLAIM_STARTED) {
        answer_code(s, DUREQ_EFENCED);
        return;
    }
    if (!dq_shard_is_live(shard) || shard->session.doubts || !dq_store_is_up(shard->worker->store))
        return;
    s->claim->has_steps = true;
    send_call(s);
}

static void came(dq_message *m)
{
    step_call *s = dq_container_of(m, step_call, message);

    if (s->claim->worker->n_shards == 0) {
        answer_code(s, DUREQ_ECLOSED);
        return;
    }
    s->shard = s->claim->shard;
    dq_list_push_back(&s->shard->steps, &s->link);
    look(s);
}

void dq_steps_look(dq_wshard *shard)
{
    dq_list again;

    if (dq_list_empty(&shard->steps))
        return;
    dq_list_init(&again);
    dq_list_splice_back(&again, &shard->steps);
    while (!dq_list_empty(&again)) {
        step_call *s = dq_container_of(dq_list_pop_front(&again), step_call, link);

        dq_list_push_back(&shard->steps, &s->link);
        look(s);
    }
}

void dq_steps_close(dq_wshard *shard)
{
    while (!dq_list_empty(&shard->steps)) {
        step_call *s = dq_container_of(dq_list_pop_front(&shard->steps), step_call, link);

        s->shard = NULL;
        if (s->flies) /* its answer frees it */
            atomic_fetch_add_explicit(&s->holders, 1, memory_order_relaxed);
        answer_code(s, DUREQ_ECLOSED);
    }
}

/* ---- the handler's thread ---- */

static step_call *call_create(dureq_run *r, const char *key, const dq_buf *result)
{
    dq_claim *c = dq_claim_of(r);
    step_call *s = dq_calloc(1, sizeof *s);

    if (!s)
        return NULL;
    atomic_init(&s->holders, 2);
    s->message.fn = came;
    s->claim = c;
    s->is_end = result != NULL;
    dq_buf_append_text(&s->key, key);
    if (result)
        dq_buf_append_buf(&s->result, result);
    s->at =
        (dq_step_at){.entry = c->job.entry, .id = c->job.id, .run = (unsigned)c->job.moved.runs + 1u, .key = dq_buf_str(&s->key)};
    if (dq_buf_failed(&s->key) || dq_buf_failed(&s->result)) {
        atomic_store_explicit(&s->holders, 1, memory_order_relaxed);
        let_go(s);
        return NULL;
    }
    return s;
}

/* What was done should be known to be done: its call is waited for in the first half of the grace, too. */
static int64_t patience_us(const dureq_run *r, const step_call *s)
{
    return s->is_end ? dq_add_sat(dq_mono_us(), dq_run_grace_ms(r) * 500) : 0;
}

static bool wait_for_answer(dureq_run *r, step_call *s)
{
    int64_t until_us = -1;
    bool in_time = true;

    dq_mutex_lock(&r->mu);
    while (!s->answered && in_time) {
        if (until_us < 0 && dureq_run_is_cancelled(r))
            until_us = patience_us(r, s);
        in_time = until_us != 0 && dq_cond_wait_until(&r->cond, &r->mu, until_us);
    }
    bool answered = s->answered;
    dq_mutex_unlock(&r->mu);
    if (!answered)
        atomic_store_explicit(&s->left, true, memory_order_release);
    return answered;
}

static int fail_stopped(dureq_error *err)
{
    return dq_fail(err, DUREQ_ECANCELLED, "the run was told to stop");
}

static int ask(dureq_run *r, step_call *s, dureq_error *err)
{
    dureq_run_heartbeat(r);
    dq_loop_post(dq_claim_of(r)->worker->loop, &s->message);
    if (!wait_for_answer(r, s))
        return fail_stopped(err);
    if (s->code < 0)
        return dq_fail(err, s->code, "%s", s->err.msg[0] ? s->err.msg : dureq_errcode_text(s->code));
    return s->code;
}

static int give(const dq_buf *result, char **ret, size_t *ret_len, dureq_error *err)
{
    char *copy;

    if (ret_len)
        *ret_len = result->len;
    if (!ret)
        return 0;
    copy = dq_malloc(result->len + 1);
    if (!copy)
        return dq_fail_nomem(err);
    if (result->len)
        memcpy(copy, result->ptr, result->len);
    copy[result->len] = '\0';
    *ret = copy;
    return 0;
}

/* 1: it was done before, and *ret has what it gave. */
static int begin(dureq_run *r, const char *key, dureq_step *step, char **ret, size_t *ret_len, dureq_error *err)
{
    step_call *s = dureq_run_is_cancelled(r) ? NULL : call_create(r, key, NULL);
    DQ_BUF_AUTO text = {0};
    int rc;

    if (!s)
        return dureq_run_is_cancelled(r) ? fail_stopped(err) : dq_fail_nomem(err);
    rc = ask(r, s, err);
    if (rc == 0 && s->begun.may == DQ_STEP_TOO_MANY)
        rc = dq_fail(err, DUREQ_ELIMIT, "a job may have %d steps", DUREQ_STEPS_MAX);
    if (rc == 0 && s->begun.may == DQ_STEP_WAS_DONE)
        rc = give(&s->answer, ret, ret_len, err) < 0 ? DUREQ_ENOMEM : 1;
    if (rc == 0) {
        dq_buf_append_fmt(&text, "dureq:%s:%" PRIu32 ":%s", dureq_run_job_id(r), s->begun.round, key);
        step->idempotency_key = dq_buf_take(&text);
        rc = step->idempotency_key ? 0 : dq_fail_nomem(err);
    }
    let_go(s);
    return rc;
}

static int end(dureq_run *r, const char *key, const dureq_step *step, dureq_error *err)
{
    step_call *s = call_create(r, key, &step->result);
    int rc;

    if (!s)
        return dq_fail_nomem(err);
    rc = ask(r, s, err);
    let_go(s);
    return rc == 1 ? dq_fail(err, DUREQ_ETOOLARGE, "the job's steps and their results would take more than %d bytes",
                             DUREQ_STEPS_BYTES_MAX)
                   : rc;
}

static int go(dureq_run *r, const char *key, dureq_step_fn fn, void *userdata, dureq_step *step, dureq_error *err)
{
    int rc = fn(step, userdata);

    if (rc < 0)
        return dq_fail(err, rc, "step '%s': %s", key, dureq_errcode_text(rc));
    if (dq_buf_failed(&step->result))
        return dq_fail_nomem(err);
    return end(r, key, step, err);
}

int dureq_run_step(dureq_run *r, const char *key, dureq_step_fn fn, void *userdata, char **ret, size_t *ret_len, dureq_error *err)
{
    dureq_step step = {0};
    size_t len = key ? strlen(key) : 0;
    int rc;

    if (!r || !fn || len == 0 || len > DUREQ_KEY_MAX)
        return dq_fail(err, DUREQ_EINVAL, "run and fn must be given, and a key of 1 to %d bytes", DUREQ_KEY_MAX);
    rc = begin(r, key, &step, ret, ret_len, err);
    if (rc == 0)
        rc = go(r, key, fn, userdata, &step, err);
    if (rc == 0 && step.idempotency_key)
        rc = give(&step.result, ret, ret_len, err);
    dq_free(step.idempotency_key);
    dq_buf_deinit(&step.result);
    return rc;
}

const char *dureq_step_idempotency_key(const dureq_step *step)
{
    return step->idempotency_key;
}

int dureq_step_set_result(dureq_step *step, dureq_str result)
{
    if (result.len > DUREQ_STEPS_BYTES_MAX)
        return DUREQ_ETOOLARGE;
    dq_buf_clear(&step->result);
    dq_buf_append_str(&step->result, result);
    return dq_buf_failed(&step->result) ? DUREQ_ENOMEM : 0;
}
