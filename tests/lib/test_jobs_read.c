/* SPDX-License-Identifier: Apache-2.0 */
#include "test_jobs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* The reading half of test_jobs.h. */

/* ---- plain commands ---- */

static const dq_resp_node nil_node = {.type = DQ_RESP_NIL, .end = 1};

dq_reply test_command_of(test_world *w, const dureq_str *words, int n, int *ret_code)
{
    static test_store_answer a;

    test_store_answer_reset(&a);
    a.store = &w->s;
    assert_int_equal(dq_redis_command(dq_store_redis(w->s.store, 0, DQ_CONN_MAIN), 0, test_store_fn, &a, n, words), 0);
    TEST_UNTIL(w->s.loop, a.calls == 1);
    if (ret_code)
        *ret_code = a.code;
    else if (a.code < 0)
        fail_msg(DQ_STR_FMT ": %s", DQ_STR_ARG(words[0]), a.err.msg);
    return a.code < 0 ? (dq_reply){.node = &nil_node} : a.owned.reply;
}

dq_reply test_command(test_world *w, const char *word, ...)
{
    dureq_str words[24];
    int n = 0;
    va_list args;

    va_start(args, word);
    for (const char *text = word; text; text = va_arg(args, const char *))
        words[n++] = dureq_str_from(text);
    va_end(args);
    return test_command_of(w, words, n, NULL);
}

dq_reply test_key(test_world *w, const char *command, unsigned shard, const char *key, dureq_str arg)
{
    char name[320];
    dureq_str words[] = {dureq_str_from(command), {0}, arg};

    snprintf(name, sizeof(name), "{dureq:%u}:%s", shard, key);
    words[1] = dureq_str_from(name);
    return test_command_of(w, words, arg.ptr ? 3 : 2, NULL);
}

bool test_key_exists(test_world *w, unsigned shard, const char *key)
{
    return dq_reply_int(test_key(w, "EXISTS", shard, key, (dureq_str){0})) == 1;
}

bool test_id_key_exists(test_world *w, unsigned shard, const char *key, const test_id *id)
{
    char name[64];
    int n = snprintf(name, sizeof(name), "{dureq:%u}:%s", shard, key);
    dureq_str words[] = {DQ_STR_LIT("EXISTS"), {name, (size_t)n + DQ_ID_BYTES}};

    memcpy(name + n, id->bytes, DQ_ID_BYTES);
    return dq_reply_int(test_command_of(w, words, 2, NULL)) == 1;
}

int64_t test_server_ms(test_world *w)
{
    dq_reply time = test_command(w, "TIME", NULL);

    return dq_reply_int(dq_reply_at(time, 0)) * 1000 + dq_reply_int(dq_reply_at(time, 1)) / 1000;
}

dq_reply test_plant(test_world *w, unsigned shard, const test_id *id, const char *lua)
{
    DQ_BUF_AUTO text = {0};
    dureq_str words[] = {DQ_STR_LIT("EVAL"), {0}, DQ_STR_LIT("0"), id ? test_id_str(id) : DQ_STR_LIT("")};

    dq_buf_append_fmt(&text,
                      "local K, id, call, pack, unpk = '{dureq:%u}:', ARGV[1], redis.call, struct.pack, struct.unpack\n"
                      "local t = call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000)\n%s",
                      shard, lua);
    words[1] = dq_buf_str(&text);
    return test_command_of(w, words, 4, NULL);
}

void test_until_message(test_world *w, const char *text)
{
    TEST_UNTIL(w->s.loop, w->s.messages.ptr && strstr(w->s.messages.ptr, text));
}

/* ---- jobs ---- */

dq_job_view test_job_view(test_world *w, unsigned shard, const test_id *id, int *ret_code)
{
    dureq_str ids[] = {test_id_str(id)};
    dq_job_view view = {0};
    dq_buf call = {0};
    dq_reply reply;
    int rc;

    dq_call_job_get(&call, dq_store_keys(w->s.store), shard, ids, 1);
    reply = test_store_call(&w->s, shard, &call, NULL);
    assert_int_equal(dq_reply_len(reply), 1);
    rc = dq_job_view_decode(dq_reply_at(reply, 0), &view);
    if (ret_code)
        *ret_code = rc;
    else
        assert_int_equal(rc, 0);
    return view;
}

int test_job_state(test_world *w, unsigned shard, const test_id *id)
{
    int rc;
    dq_job_view view = test_job_view(w, shard, id, &rc);
    dq_row row;

    if (rc == DUREQ_ENOTFOUND)
        return -1;
    assert_int_equal(rc, 0);
    if (view.state >= 0 && view.state != DUREQ_JOB_DEAD)
        return view.state;
    assert_int_equal(dq_row_unpack(view.body, &view.id, &row), 0);
    return (int)row.state;
}

dq_row test_job_row(test_world *w, unsigned shard, const test_id *id)
{
    dq_job_view view = test_job_view(w, shard, id, NULL);
    dq_row row;

    assert_int_equal(dq_row_unpack(view.body, &view.id, &row), 0);
    return row;
}

dq_moved test_job_moved(test_world *w, unsigned shard, const test_id *id)
{
    dq_job_view view = test_job_view(w, shard, id, NULL);
    bool is_row = view.state == -1 || view.state == DUREQ_JOB_DEAD;
    dureq_str m = is_row ? test_job_row(w, shard, id).m : view.m;
    dq_moved moved = {0};

    if (m.len)
        assert_int_equal(dq_moved_unpack(m, &moved), 0);
    return moved;
}
