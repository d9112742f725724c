/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that are answered on the client's loop: one call to the server and nothing to wait for beside it, so that neither a thread is woken nor the loop
   by it. Whatever is not plain (a refusal, a large body, a second question) goes the way of all others. Loop thread. */
#include "api/request.h"
#include "client/request.h"

static void quick_free(dq_api_quick *q)
{
    dq_request_release(q->request);
    dq_json_deinit(&q->doc);
    dq_arena_deinit(&q->c.arena);
    dq_api_response_deinit(&q->res);
    dq_free(q);
}

int dq_api_quick_start(dureq_client *client, const dq_api_request *req, dq_api_quick_fn fn, void *userdata, dq_api_quick **ret)
{
    const dq_api_route *route;
    dq_api_quick *q;

    if (!dq_scope_is_open(req->scope)) /* whether it is within its limits is a question of its own */
        return 0;
    q = dq_calloc(1, sizeof *q);
    if (!q)
        return 0;
    q->c = (dq_api_ctx){.client = client, .req = req, .res = &q->res};
    q->res = (dq_api_response){.status = 200, .content_type = "application/json"};
    q->c.w = dq_json_writer_of(&q->res.body);
    q->fn = fn;
    q->userdata = userdata;
    route = dq_api_taken(&q->c);
    if (route && route->begin && route->begin(q) > 0) { /* it ends in a later turn of this loop */
        *ret = q;
        return 1;
    }
    quick_free(q);
    return 0;
}

void dq_api_quick_cancel(dq_api_quick *q)
{
    dq_request_cancel(q->request);
}

void dq_api_quick_ready(dq_api_quick *q, int code, const dureq_error *err)
{
    if (code < 0)
        dq_api_write_failure(&q->c, code, err);
    if (dq_buf_failed(&q->res.body)) {
        dq_buf_deinit(&q->res.body);
        q->res.status = 500;
        q->res.code = DUREQ_ENOMEM;
    }
    q->fn(q->userdata, &q->res);
    quick_free(q);
}

void dq_api_quick_needs_thread(dq_api_quick *q)
{
    q->fn(q->userdata, NULL);
    quick_free(q);
}
