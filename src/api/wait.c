/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that wait for the end of a job before they are answered: the wait is the client's, and holds no thread. */
#include "api/request.h"
#include "client/request.h"

struct dq_api_wait {
    dq_api_waited_fn fn;
    void *userdata;
    dq_request *request;
};

static void on_answer(void *userdata, const dq_answer *answer)
{
    dq_api_wait *w = userdata;
    dq_api_waited waited = {.state = answer->state};

    if (answer->code < 0)
        waited.err = *answer->err;
    if (answer->code == DUREQ_ECANCELLED) /* by dq_api_wait_cancel */
        (void)dq_fail(&waited.err, DUREQ_ECLOSED, "this server stops: ask again");
    dq_request_release(w->request);
    w->fn(w->userdata, &waited);
    dq_free(w);
}

static int submit(dureq_client *client, const char *id, int64_t timeout_ms, dq_api_waited_fn fn, void *userdata,
                  dq_api_wait **ret)
{
    dq_api_wait *w = dq_calloc(1, sizeof *w);
    int rc;

    if (!w)
        return DUREQ_ENOMEM;
    w->fn = fn;
    w->userdata = userdata;
    rc =
        dq_client_submit_wait(client, id, timeout_ms, on_answer, w, &w->request, NULL); /* answers in a later turn of this loop */
    if (rc < 0) {
        dq_free(w);
        return rc == DUREQ_ENOMEM ? rc : 0; /* the request says why, when it is run */
    }
    *ret = w;
    return 1;
}

/* Then c->vars[0] is the job. */
static bool read_wait(dq_api_ctx *c, int64_t *ret_ms)
{
    const char *wait = NULL;

    if (!c->req->query || !strstr(c->req->query, "wait="))
        return false;
    if (dq_api_waits(c))
        wait = dq_api_query(c, "wait");
    return wait && dq_parse_duration_ms(dureq_str_from(wait), ret_ms) == 0 && *ret_ms >= 0;
}

int dq_api_wait_start(dureq_client *client, const dq_api_request *req, dq_api_waited_fn fn, void *userdata, dq_api_wait **ret)
{
    dq_api_response res = {0};
    dq_api_ctx c = {.req = req, .res = &res};
    int64_t timeout_ms = 0;
    int rc = read_wait(&c, &timeout_ms) ? submit(client, c.vars[0], timeout_ms, fn, userdata, ret) : 0;

    dq_arena_deinit(&c.arena);
    return rc;
}

bool dq_api_wait_wanted(const dq_api_request *req)
{
    dq_api_response res = {0};
    dq_api_ctx c = {.req = req, .res = &res};
    int64_t timeout_ms = 0;
    bool is_wanted = read_wait(&c, &timeout_ms);

    dq_arena_deinit(&c.arena);
    return is_wanted;
}

bool dq_api_wait_allowed(dureq_client *client, const dq_api_request *req)
{
    dq_api_response res = {0};
    dq_api_ctx c = {.client = client, .req = req, .res = &res};
    bool is_allowed;

    c.w = dq_json_writer_of(&res.body);
    is_allowed = dq_api_admit(&c) != NULL;
    dq_arena_deinit(&c.arena);
    dq_api_response_deinit(&res);
    return is_allowed;
}

void dq_api_wait_cancel(dq_api_wait *w)
{
    dq_request_cancel(w->request);
}
