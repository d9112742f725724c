/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/script.h"

#include "redis/conn_internal.h"

#include <openssl/sha.h>

#include <assert.h>

/* A script may vanish from the server at any moment (SCRIPT FLUSH, a restart behind a proxy, a failover), so the arguments
   of each call in flight are kept until its answer: a copy into a recycled buffer, which costs a tenth of what sending them
   does. Everything behind the script's name is the same in EVALSHA and EVAL, so the copy is sent as it is. */

enum { SPARE_MAX = 32, SPARE_CAP_MAX = 256 * 1024 };

typedef struct dq_script_call {
    struct dq_script_call *next; /* among the spare ones */
    dq_redis *redis;
    dq_buf rest; /* "$n..." number of keys, keys, arguments: RESP bytes */
    size_t n_rest;
    dureq_str text;
    dq_redis_reply_fn fn;
    void *userdata;
} dq_script_call;

static dq_script_call *take_call(dq_redis *r)
{
    dq_script_call *call = r->spare_calls;

    if (!call)
        return dq_calloc(1, sizeof(*call));
    r->spare_calls = call->next;
    r->n_spare_calls--;
    return call;
}

static void free_call(dq_script_call *call)
{
    dq_buf_deinit(&call->rest);
    dq_free(call);
}

static void give_back(dq_redis *r, dq_script_call *call)
{
    if (r->n_spare_calls == SPARE_MAX || call->rest.cap > SPARE_CAP_MAX || r->state == DQ_CONN_CLOSED) {
        free_call(call);
        return;
    }
    call->next = r->spare_calls;
    r->spare_calls = call;
    r->n_spare_calls++;
}

void dq_script_deinit(dq_redis *r)
{
    while (r->spare_calls) {
        dq_script_call *call = r->spare_calls;

        r->spare_calls = call->next;
        free_call(call);
    }
}

int dq_redis_eval_begin(dq_redis *r, const char sha1[41], size_t n_keys, size_t n_args)
{
    dq_buf *out = &r->out;

    dq_resp_begin(out, 3 + n_keys + n_args);
    dq_resp_arg_text(out, "EVALSHA");
    dq_resp_arg(out, dureq_str_of(sha1, 40));
    dq_resp_arg_i64(out, (int64_t)n_keys);
    return 0;
}

/* What dq_redis_eval_begin writes before the number of keys: "*N\r\n$7\r\nEVALSHA\r\n$40\r\n<sha1>\r\n". */
static size_t opening_len(const char *command, size_t len, size_t *ret_n_args)
{
    const char *lf = memchr(command, '\n', len);
    int64_t n = 0;

    assert(command[0] == '*' && lf); /* the caller began with dq_redis_eval_begin */
    (void)dq_parse_i64(dureq_str_of(command + 1, (size_t)(lf - command) - 2), 3, INT64_MAX, &n);
    *ret_n_args = (size_t)n;
    return (size_t)(lf + 1 - command) + strlen("$7\r\nEVALSHA\r\n$40\r\n") + 40 + strlen("\r\n");
}

static int send_whole(dq_redis *r, dq_script_call *call);

static void on_answer(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_script_call *call = userdata;
    dq_redis *r = call->redis;
    dq_redis_reply_fn fn = call->fn;
    void *fn_userdata = call->userdata;
    dureq_error failed;
    int rc;

    if (code == DUREQ_ENOSCRIPT && call->n_rest > 0) {
        rc = send_whole(r, call);
        if (rc == 0)
            return;
        give_back(r, call);
        if (fn) {
            (void)dq_fail(&failed, rc, "%s: the script is gone and cannot be sent again", r->address);
            fn(fn_userdata, rc, NULL, &failed);
        }
        return;
    }
    give_back(r, call); /* before fn, which may destroy the connection; reply and err are not in it */
    if (fn)
        fn(fn_userdata, code, reply, err);
}

static int send_whole(dq_redis *r, dq_script_call *call)
{
    dq_buf *out = &r->out;
    size_t n_args = call->n_rest;

    call->n_rest = 0; /* once: the answer to this goes to fn, whatever it is */
    dq_resp_begin(out, n_args);
    dq_resp_arg_text(out, "EVAL");
    dq_resp_arg(out, call->text);
    dq_buf_append(out, call->rest.ptr, call->rest.len);
    return dq_redis_commit(r, 0, on_answer, call);
}

int dq_redis_eval_commit(dq_redis *r, unsigned flags, dureq_str text, dq_redis_reply_fn fn, void *userdata)
{
    dq_script_call *call;
    size_t start;
    int rc;

    if (dq_buf_failed(&r->out))
        return dq_redis_commit(r, flags, fn, userdata); /* which takes back and says why */
    call = take_call(r);
    if (!call) {
        r->out.failed = true;
        return dq_redis_commit(r, flags, fn, userdata);
    }
    call->redis = r;
    call->text = text;
    call->fn = fn;
    call->userdata = userdata;
    start = r->mark + opening_len(r->out.ptr + r->mark, r->out.len - r->mark, &call->n_rest);
    dq_buf_clear(&call->rest);
    dq_buf_append(&call->rest, r->out.ptr + start, r->out.len - start);
    r->out.failed = dq_buf_failed(&call->rest);
    rc = dq_redis_commit(r, flags, on_answer, call);
    if (rc < 0)
        give_back(r, call);
    return rc;
}

void dq_redis_script_sha1(dureq_str text, char out[41])
{
    static const char hex[] = "0123456789abcdef";
    unsigned char digest[SHA_DIGEST_LENGTH];

    (void)SHA1((const unsigned char *)text.ptr, text.len, digest);
    for (size_t i = 0; i < sizeof(digest); i++) {
        out[2 * i] = hex[digest[i] >> 4];
        out[2 * i + 1] = hex[digest[i] & 15];
    }
    out[40] = '\0';
}
