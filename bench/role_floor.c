/* SPDX-License-Identifier: Apache-2.0 */
/* The floor: what a queue on a Redis stream costs at the very least. XADD of each job, XREADGROUP, XACK and XDEL of a batch,
   pipelined, without Lua, without any state of a job, a lease, an event or a count. An entry has one field: the task type and the
   payload after it.

   It is also the ear of the bare wake-up: a subscriber that notes when a message arrives. */
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "board.h"
#include "role.h"
#include "stats.h"
#include "wire.h"

#define STREAM "{bench}:floor"

typedef struct floor_role {
    wire w;
    wire ear;
} floor_role;

static int make(floor_role *f, dureq_error *err)
{
    return wire_words(&f->w, "XGROUP CREATE " STREAM " g $ MKSTREAM", NULL, err);
}

static int produce(void *role, const role_words *q, role_words *answer, dureq_error *err)
{
    floor_role *f = role;
    size_t payload = (size_t)role_get(q, "payload", BENCH_PAYLOAD), batch = (size_t)role_get(q, "batch", BENCH_BATCH);
    size_t type_len = strlen(BENCH_TASK_TYPE), left = (size_t)role_get(q, "n", 1);
    DQ_BUF_AUTO entry = {0};
    DQ_BUF_AUTO out = {0};
    int rc = 0;

    dq_buf_append_text(&entry, BENCH_TASK_TYPE);
    if (!dq_buf_reserve(&entry, payload))
        return dq_fail_nomem(err);
    board_write_payload(entry.ptr + type_len, payload);
    entry.len += payload;
    while (left && rc == 0) {
        size_t n = DQ_MIN(left, batch);

        for (size_t i = 0; i < n; i++) {
            dq_resp_begin(&out, 5);
            dq_resp_arg_text(&out, "XADD");
            dq_resp_arg_text(&out, STREAM);
            dq_resp_arg_text(&out, "*");
            dq_resp_arg_text(&out, "j");
            dq_resp_arg(&out, dq_buf_str(&entry));
        }
        rc = wire_call(&f->w, &out, n, NULL, err);
        left -= n;
    }
    role_put(answer, "left", (double)left);
    return rc;
}

/* The ids of [[stream, [[id, fields]...]]], as the end of an XACK or XDEL. */
static size_t append_ids(dq_buf *out, dq_reply entries)
{
    size_t n = dq_reply_len(entries);
    dq_reply e = dq_reply_first(entries);

    for (size_t i = 0; i < n; i++, e = dq_reply_next(e))
        dq_resp_arg(out, dq_reply_str(dq_reply_first(e)));
    return n;
}

static int consume_batch(floor_role *f, size_t batch, size_t *ret_n, dureq_error *err)
{
    DQ_BUF_AUTO out = {0};
    dq_reply reply, entries;
    char text[96];
    int rc;

    snprintf(text, sizeof(text), "XREADGROUP GROUP g c COUNT %zu STREAMS " STREAM " >", batch);
    rc = wire_words(&f->w, text, &reply, err);
    if (rc < 0)
        return rc;
    if (dq_reply_is_nil(reply))
        return dq_fail(err, DUREQ_EPROTO, "the floor's stream is empty");

    entries = dq_reply_at(dq_reply_at(reply, 0), 1);
    dq_resp_begin(&out, 3 + dq_reply_len(entries));
    dq_resp_arg_text(&out, "XACK");
    dq_resp_arg_text(&out, STREAM);
    dq_resp_arg_text(&out, "g");
    (void)append_ids(&out, entries);
    dq_resp_begin(&out, 2 + dq_reply_len(entries));
    dq_resp_arg_text(&out, "XDEL");
    dq_resp_arg_text(&out, STREAM);
    *ret_n = append_ids(&out, entries);
    return wire_call(&f->w, &out, 2, NULL, err);
}

static int consume(void *role, const role_words *q, role_words *answer, dureq_error *err)
{
    size_t batch = (size_t)role_get(q, "batch", BENCH_BATCH), left = (size_t)role_get(q, "n", 1), n = 0;
    int rc = 0;

    while (left && rc == 0) {
        rc = consume_batch(role, DQ_MIN(left, batch), &n, err);
        left -= rc == 0 ? n : 0;
    }
    role_put(answer, "left", (double)left);
    return rc;
}

/* ---- the bare wake-up ---- */

static int listen_start(void *role, const role_words *q, role_words *answer, dureq_error *err)
{
    floor_role *f = role;

    (void)q;
    (void)answer;
    return wire_words(&f->ear, "SSUBSCRIBE {bench}:wake", NULL, err);
}

/* Hears n messages; each is the microsecond at which it was sent. */
static int listen_for(void *role, const role_words *q, role_words *answer, dureq_error *err)
{
    floor_role *f = role;
    BENCH_SAMPLES_AUTO late = {0};

    for (size_t left = (size_t)role_get(q, "n", 1); left; left--) {
        dq_reply reply;
        int rc = wire_next(&f->ear, &reply, err);

        if (rc < 0)
            return rc;
        bench_samples_add(&late, (double)(dq_mono_us() - dq_reply_int(dq_reply_at(reply, 2))));
    }
    role_put(answer, "p50_us", bench_quantile(&late, 0.5));
    role_put(answer, "p99_us", bench_quantile(&late, 0.99));
    return 0;
}

static const role_command commands[] = {
    {"produce", produce}, {"consume", consume}, {"ear", listen_start}, {"listen", listen_for}, {NULL, NULL},
};

int role_floor_main(int argc, char **argv)
{
    const char *socket_path = role_option(argc, argv, "socket");
    floor_role f = {.w = {.fd = -1}, .ear = {.fd = -1}};
    dureq_error err = {0};
    int rc = wire_open(&f.w, socket_path ? socket_path : "", &err);

    if (rc == 0)
        rc = wire_open(&f.ear, socket_path, &err);
    if (rc == 0)
        rc = make(&f, &err);
    rc = rc < 0 ? role_fail_start(&err) : role_serve(commands, &f);
    wire_close(&f.w);
    wire_close(&f.ear);
    return rc;
}
