/* SPDX-License-Identifier: Apache-2.0 */
#include "client/require.h"

#include "client/request_internal.h"
#include "store/versions.h"

typedef struct version_request {
    dq_request request;
    int version;
} version_request;

static void on_required(void *userdata, int code, const dureq_error *err)
{
    dq_request *r = userdata;

    dq_request_end(r, &(dq_answer){.code = code, .err = err, .state = -1}, (dureq_str){0});
    dq_request_unref(r);
}

static void start_version(dq_request *r)
{
    int rc;

    dq_request_ref(r);
    rc = dq_store_require_version(r->client->store, dq_container_of(r, version_request, request)->version, on_required, r);
    if (rc == 0)
        return;
    dq_request_fail(r, rc, dureq_errcode_text(rc));
    dq_request_unref(r);
}

static void leave_version(dq_request *r)
{
    (void)r;
}

static int late_version(dq_request *r, dureq_error *err)
{
    return dq_client_why_down(r->client, err);
}

static void destroy_version(dq_request *r)
{
    version_request *v = dq_container_of(r, version_request, request);

    dq_request_deinit(r);
    dq_free(v);
}

static const dq_request_kind version_kind = {
    .start = start_version, .leave = leave_version, .late = late_version, .destroy = destroy_version};

int dq_client_require_version(dureq_client *c, int version, dureq_error *err)
{
    version_request *v = dq_calloc(1, sizeof *v);
    int rc;

    if (!v)
        return dq_fail_nomem(err);
    v->version = version;
    dq_request_init(&v->request, &version_kind, c, -1, /*fn=*/NULL, NULL);
    dq_request_post(&v->request);
    rc = dq_request_await(&v->request, dq_client_deadline_us(c), err);
    dq_request_release(&v->request);
    return rc;
}
