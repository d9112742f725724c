/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <stdlib.h>

#include "api/api.h"
#include "client/client_internal.h"
#include "client/request.h"
#include "doctor/doctor.h"
#include "json/json.h"
#include "redis/resp.h"
#include "store/core.h"

/* What a client and the API make of a server's answers: the input is a request as its first line ("METHOD /path?query", or DOCTOR), its body as the second,
   and then replies, one for each call in turn. client/call.c is replaced by what stands here: each call gets the next reply, and when there is
   none the server is gone. A response has a status that HTTP has and a body that is JSON, and each reply that was given is freed. With NOMEM before
   the request all of that holds, too, when the n-th allocation fails, for each n. */

const size_t fuzz_replay_fewer = 20;

enum { SHARDS = 2, CALLS_MAX = 2000, NOMEM_MAX = 2000 };

static dureq_str replies; /* those not given yet */
static int n_calls;
static long failing; /* the allocation that fails; 0: none */

/* What is done here gets its memory, and does not count. Gives the number of the one to fail from there on. */
static long hold_failing(void)
{
    long left = failing - dq_alloc_count();

    dq_alloc_fail_at(0);
    return failing && left > 0 ? left : 0;
}

static void go_on_failing(long left)
{
    failing = left;
    dq_alloc_fail_at(left);
}

static int take_reply(dq_buf *call, dq_owned_reply *ret, dureq_error *err)
{
    dq_owned_reply o = {0};
    dq_resp_parser *parser = NULL;
    dq_buf bytes = {0};
    size_t used = 0;
    dq_reply r;
    int rc;

    assert(call->len > 0);
    dq_buf_deinit(call);
    if (dq_resp_parser_create(&parser) < 0)
        abort();
    rc = ++n_calls > CALLS_MAX ? 0 : dq_resp_parse(parser, replies.ptr, replies.len, &used, &r, NULL);
    dq_resp_parser_destroy(parser);
    if (rc != 1)
        return dq_fail(err, DUREQ_EUNAVAILABLE, "the server is gone");
    dq_buf_append(&bytes, replies.ptr, used); /* in a block of its own: what is read behind it is seen */
    replies = dureq_str_of(replies.ptr + used, replies.len - used);
    if (dq_owned_reply_parse(&bytes, &o, err) < 0)
        abort();
    rc = dq_reply_error(o.reply, err);
    if (rc < 0)
        dq_owned_reply_deinit(&o);
    else
        *ret = o;
    return rc;
}

static int next_reply(dq_buf *call, dq_owned_reply *ret, dureq_error *err)
{
    bool failed = dq_buf_failed(call);
    long left = hold_failing();
    int rc;

    if (failed) {
        dq_buf_deinit(call);
        rc = dq_fail_nomem(err);
    } else {
        rc = take_reply(call, ret, err);
    }
    go_on_failing(left);
    return rc;
}

int dq_client_call(dureq_client *c, unsigned shard, unsigned flags, dq_buf *call, dq_owned_reply *ret, dureq_error *err)
{
    (void)flags;
    assert(shard < dq_client_keys(c)->n_shards);
    return next_reply(call, ret, err);
}

/* Answered when it is begun: in order, as several under way are. */
typedef struct begun {
    dq_owned_reply reply;
    dureq_error err;
    int rc;
} begun;

void *dq_client_call_begin(dureq_client *c, unsigned shard, unsigned flags, dq_buf *call)
{
    long left = hold_failing();
    begun *b = calloc(1, sizeof *b);

    if (!b)
        abort();
    go_on_failing(left);
    b->rc = dq_client_call(c, shard, flags, call, &b->reply, &b->err);
    return b;
}

int dq_client_call_end(void *begun_call, int64_t deadline_us, dq_owned_reply *ret, dureq_error *err)
{
    begun *b = begun_call;
    int rc = b->rc;

    (void)deadline_us;
    if (rc == 0)
        *ret = b->reply;
    else if (err)
        *err = b->err;
    free(b);
    return rc;
}

int dq_client_command(dureq_client *c, dq_buf *bytes, int n_replies, dq_owned_reply *ret, dureq_error *err)
{
    (void)c;
    assert(n_replies > 0);
    return next_reply(bytes, ret, err);
}

int dq_client_read_large(dureq_client *c, dq_buf *bytes, dq_owned_reply *ret, dureq_error *err)
{
    (void)c;
    return next_reply(bytes, ret, err);
}

/* Answered before it returns. */
int dq_client_submit_call(dureq_client *c, unsigned shard, unsigned flags, dq_buf *call, dq_request_fn fn, void *userdata,
                          dq_request **ret, dureq_error *err)
{
    dq_owned_reply reply;
    dureq_error why = {0};
    int rc = dq_client_call(c, shard, flags, call, &reply, &why);

    (void)err;
    *ret = NULL;
    fn(userdata, &(dq_answer){.code = rc, .err = &why, .reply = &reply.reply, .state = -1});
    if (rc == 0)
        dq_owned_reply_deinit(&reply);
    return 0;
}

void dq_client_rooms_init(dureq_client *c)
{
    (void)c; /* nothing waits here */
}

void dq_client_rooms_close(dureq_client *c)
{
    (void)c;
}

int dq_client_why_down(dureq_client *c, dureq_error *err)
{
    (void)c;
    return dq_fail(err, DUREQ_EUNAVAILABLE, "the server is gone");
}

/* ---- what is asked ---- */

/* What goes over the loop instead: producing, waiting, and changes of queues. */
static bool needs_loop(const char *method, const char *path, const char *query)
{
    bool writes = strcmp(method, "GET") != 0;

    return (writes && strcmp(path, "/api/jobs") == 0) || (query && strstr(query, "wait")) || strchr(path, '%') ||
           (writes && strncmp(path, "/api/queues/", 12) == 0 && !strstr(path, "/purge"));
}

static void check_answer(const dq_api_response *res)
{
    assert(res->status >= 200 && res->status < 600 && (res->code == 0) == (res->status < 400));
    assert(res->body.len == 0 || strcmp(res->content_type, "application/json") != 0 || dq_json_valid(dq_buf_str(&res->body)));
}

static void on_quick(void *userdata, dq_api_response *answer)
{
    (void)userdata;
    if (answer)
        check_answer(answer);
}

static void ask(dureq_client *c, char *line, dureq_str body)
{
    dq_api_request req = {.method = line, .body = body};
    dq_api_response res;
    dq_api_quick *quick;
    char *path = strchr(line, ' '), *query;

    if (!path)
        return;
    *path++ = '\0';
    query = strchr(path, '?');
    if (query)
        *query++ = '\0';
    if (needs_loop(line, path, query))
        return;
    req.path = path;
    req.query = query;
    if (strcmp(line, "GET") == 0)
        (void)dq_api_quick_start(c, &req, on_quick, NULL, &quick);
    dq_api_handle(c, &req, &res);
    check_answer(&res);
    dq_api_response_deinit(&res);
}

static void ask_doctor(dureq_client *c)
{
    const dq_doctor_options o = {.repair = true, .max_faults = 20, .settle_ms = 1};
    dq_doctor_report report = {0};
    dureq_error err = {0};
    int rc = dq_doctor_run(c, &o, &report, &err);

    assert(rc == 0 || (err.code == rc && err.msg[0]));
    if (rc == 0)
        dq_doctor_report_deinit(&report);
}

static char *cut_line(const uint8_t **data, size_t *size)
{
    const uint8_t *end = *size ? memchr(*data, '\n', *size) : NULL;
    size_t len = end ? (size_t)(end - *data) : *size;
    char *text = dq_memdup(*data, len);

    if (!text)
        abort();
    *data += len + (end != NULL);
    *size -= len + (end != NULL);
    return text;
}

/* True when the n-th allocation was asked for, and failed. */
static bool ask_one(dureq_client *c, const char *text, dureq_str body, dureq_str answers, long n)
{
    char *line = dq_memdup(text, strlen(text));
    bool failed;

    if (!line)
        abort();
    replies = answers;
    n_calls = 0;
    go_on_failing(n);
    if (strcmp(line, "DOCTOR") == 0)
        ask_doctor(c);
    else
        ask(c, line, body);
    failed = n > 0 && hold_failing() == 0;
    assert(c->n_calls == 0);
    failing = 0;
    dq_free(line);
    return failed;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char actor[] = "a", server[] = "s";
    static dq_store store;
    static dureq_client client = {.store = &store, .actor = actor, .server_name = server, .timeout_ms = 1000, .was_up = true};
    char *line = cut_line(&data, &size), *body = cut_line(&data, &size);
    bool sweeps = strncmp(line, "NOMEM ", 6) == 0;

    if (!store.has_keys) {
        if (dq_keys_init(&store.keys, DQ_STR_LIT("dq"), SHARDS) < 0)
            abort();
        store.has_keys = store.up = true;
        client.max_payload = DUREQ_PAYLOAD_DEFAULT_MAX;
        dq_mutex_init(&client.mu);
        dq_cond_init(&client.cond);
        if (dq_loop_create(&client.loop, NULL) < 0) /* it never turns; calls ask whether they are on it */
            abort();
    }
    for (long n = sweeps; n < NOMEM_MAX; n++)
        if (!ask_one(&client, line + (sweeps ? 6 : 0), dureq_str_from(body), dureq_str_of((const char *)data, size), n))
            break;
    dq_free(line);
    dq_free(body);
    return 0;
}
