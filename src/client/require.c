/* SPDX-License-Identifier: Apache-2.0 */
/* The version of the scripts that all sessions must know is raised on the loop (store/versions.c); a caller's thread waits for it here. */

#include "client/require.h"

#include "client/client_internal.h"
#include "store/versions.h"

typedef struct require_call {
    dq_message message;
    dureq_client *client;
    int version;
    atomic_int refs; /* caller and loop */

    dq_mutex mu; /* guards the next two */
    dq_cond cond;
    bool done;
    dureq_error err;
} require_call;

static void call_unref(require_call *r)
{
    if (atomic_fetch_sub(&r->refs, 1) != 1)
        return;
    dq_cond_deinit(&r->cond);
    dq_mutex_deinit(&r->mu);
    dq_free(r);
}

static void on_required(void *userdata, int code, const dureq_error *err)
{
    require_call *r = userdata;

    dq_mutex_lock(&r->mu);
    r->done = true;
    if (code < 0)
        r->err = *err;
    dq_cond_signal(&r->cond);
    dq_mutex_unlock(&r->mu);
    call_unref(r);
}

static void run_call(dq_message *m)
{
    require_call *r = dq_container_of(m, require_call, message);
    int rc = dq_store_require_version(r->client->store, r->version, on_required, r);
    dureq_error err;

    if (rc == 0)
        return;
    dq_fail(&err, rc, "%s", dureq_errcode_text(rc));
    on_required(r, rc, &err);
}

static int wait_for_it(require_call *r, dureq_error *err)
{
    int64_t deadline_us = dq_client_deadline_us(r->client);
    bool in_time = true;

    dq_mutex_lock(&r->mu);
    while (!r->done && in_time)
        in_time = dq_cond_wait_until(&r->cond, &r->mu, deadline_us);
    bool done = r->done;
    dureq_error why = r->err;
    dq_mutex_unlock(&r->mu);
    if (!done)
        return dq_client_why_down(r->client, err);
    if (why.code < 0 && err)
        *err = why;
    return why.code;
}

int dq_client_require_version(dureq_client *c, int version, dureq_error *err)
{
    require_call *r;
    int rc;

    if (atomic_load_explicit(&c->required, memory_order_relaxed) >= version)
        return 0;
    rc = dq_client_may_write(c, err);
    if (rc < 0)
        return rc;
    r = dq_calloc(1, sizeof *r);
    if (!r)
        return dq_fail_nomem(err);
    r->message.fn = run_call;
    r->client = c;
    r->version = version;
    atomic_init(&r->refs, 2);
    dq_mutex_init(&r->mu);
    dq_cond_init(&r->cond);
    dq_loop_post(c->loop, &r->message);
    rc = wait_for_it(r, err);
    if (rc == 0)
        atomic_store_explicit(&c->required, version, memory_order_relaxed);
    call_unref(r);
    return rc;
}
