/* SPDX-License-Identifier: Apache-2.0 */
#include "test_places.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

const char *const test_place_names[TEST_PLACES] = {
#define X(name, text, state) text,
    TEST_PLACE_MAP(X)
#undef X
};

const int test_place_states[TEST_PLACES] = {
#define X(name, text, state) DUREQ_JOB_##state,
    TEST_PLACE_MAP(X)
#undef X
};

static int only_answer(test_world *w, unsigned shard, dq_buf *call)
{
    dq_reply reply = test_store_call(&w->s, shard, call, NULL);

    assert_int_equal(dq_reply_len(reply), 1);
    return (int)dq_reply_int(dq_reply_at(reply, 0));
}

int test_job_cancel(test_world *w, unsigned shard, const test_id *id)
{
    dureq_str ids[] = {test_id_str(id)};
    dq_buf call = {0};

    dq_call_job_cancel(&call, dq_store_keys(w->s.store), shard, DQ_STR_LIT("me"), DQ_STR_LIT("no more"), ids, 1);
    return only_answer(w, shard, &call);
}

int test_job_move(test_world *w, unsigned shard, dq_job_verb verb, int64_t at_ms, const test_id *id)
{
    dureq_str ids[] = {test_id_str(id)};
    dq_buf call = {0};

    dq_call_job_move(&call, dq_store_keys(w->s.store), shard, DQ_STR_LIT("me"), verb, at_ms, ids, 1);
    return only_answer(w, shard, &call);
}

/* ---- what a worker says ---- */

/* Copies, since the next call drops what the view points into. */
typedef struct parts {
    dq_buf m, j;
    dq_id id;
} parts;

static parts parts_of(test_world *w, unsigned shard, const test_id *id)
{
    dq_job_view view = test_job_view(w, shard, id, NULL);
    parts p = {.id = view.id};

    dq_buf_append_str(&p.m, view.m);
    dq_buf_append_str(&p.j, view.body);
    return p;
}

static void parts_deinit(parts *p)
{
    dq_buf_deinit(&p->m);
    dq_buf_deinit(&p->j);
}

/* Where the job's entry is: "l:LANE" or "f:LANE", and the entry id. */
static void stream_of(test_world *w, unsigned shard, const test_id *id, char stream[24], char entry[32])
{
    dureq_str front = dq_reply_str(test_key(w, "HGET", shard, "loc", test_id_str(id)));
    dq_id parsed;

    assert_true(dq_id_unpack(test_id_str(id), &parsed));
    snprintf(stream, 24, "%s%" PRIu32, front.len ? "f:" : "l:", parsed.lane);
    if (front.len)
        snprintf(entry, 32, DQ_STR_FMT, DQ_STR_ARG(front));
    else
        (void)dq_id_entry(&parsed, entry);
}

/* The head of `complete` up to the entries of one job; n_more arguments follow. */
static void begin_complete(test_world *w, unsigned shard, uint64_t session, const char *kind, const test_id *id, dq_buf *call,
                           size_t n_more)
{
    const dq_keys *k = dq_store_keys(w->s.store);
    char stream[24], entry[32];

    stream_of(w, shard, id, stream, entry);
    dq_call_begin(call, DQ_SCRIPT_COMPLETE, 5, 5 + 4 + n_more);
    dq_keys_arg(call, k, shard, "sh", (dureq_str){0});
    dq_keys_arg_u64(call, k, shard, "s:", session);
    dq_keys_arg(call, k, shard, "loc", (dureq_str){0});
    dq_keys_arg(call, k, shard, "dead", (dureq_str){0});
    dq_keys_arg(call, k, shard, "dead:h", (dureq_str){0});
    dq_resp_arg_i64(call, (int64_t)session);
    dq_resp_arg_i64(call, ++w->call_no);
    dq_resp_arg_i64(call, shard);
    dq_resp_arg_text(call, w->repeats ? "1" : "");
    dq_resp_arg_i64(call, 0);
    dq_resp_arg_text(call, kind);
    dq_resp_arg_text(call, stream);
    dq_resp_arg_i64(call, 1);
    dq_resp_arg_text(call, entry);
}

static int refused(test_world *w, unsigned shard, dq_buf *call)
{
    dq_reader r = dq_reader_of(dq_reply_str(test_store_call(&w->s, shard, call, NULL)));
    int n;

    (void)dq_read_bytes(&r, 6);
    n = dq_read_u8(&r) << 8;
    n |= dq_read_u8(&r);
    assert_false(r.bad);
    return n;
}

int test_job_end_after(test_world *w, unsigned shard, uint64_t session, const test_id *id, int state,
                       int (*before)(test_world *w, unsigned shard, const test_id *id))
{
    parts p = parts_of(w, shard, id);
    dq_envelope e;
    dq_row row = {.state = state,
                  .started_at_ms = (int64_t)p.id.ms + 1,
                  .finished_at_ms = (int64_t)p.id.ms + 3,
                  .ran_ms = 2,
                  .session = session,
                  .reason = state == DUREQ_JOB_DEAD ? DQ_STR_LIT("failed") : (dureq_str){0},
                  .m = dq_buf_str(&p.m),
                  .j = dq_buf_str(&p.j)};
    bool dead = state == DUREQ_JOB_DEAD, lets_key_go;
    dq_buf call = {0}, bytes = {0};

    assert_int_equal(dq_envelope_unpack(row.j, &e), 0);
    lets_key_go = (e.flags & DQ_J_UNIQUE) && e.unique_for_ms == 0;
    dq_row_pack_head(&bytes, &row, &p.id);
    dq_buf_append_str(&bytes, row.j);
    begin_complete(w, shard, session, dead ? "d" : "c", id, &call, (dead ? 2 : 4) + (lets_key_go ? 5 : 0));
    if (!dead) {
        dq_resp_arg_i64(&call, (e.flags & DQ_J_RETENTION) ? e.retention_ms : DQ_RETENTION_DEFAULT_MS);
        dq_resp_arg_text(&call, (e.flags & DQ_J_BLOB) ? "1" : "");
    }
    dq_resp_arg(&call, test_id_str(id));
    dq_resp_arg(&call, dq_buf_str(&bytes));
    if (lets_key_go) {
        dq_resp_arg_text(&call, "u");
        dq_resp_arg_i64(&call, 1);
        dq_resp_arg_i64(&call, 0);
        dq_resp_arg(&call, test_id_str(id));
        dq_resp_arg(&call, e.unique_key);
    }
    dq_buf_deinit(&bytes);
    parts_deinit(&p);
    if (before)
        assert_int_equal(before(w, shard, id), 0);
    return refused(w, shard, &call);
}

int test_job_end(test_world *w, unsigned shard, uint64_t session, const test_id *id, int state)
{
    return test_job_end_after(w, shard, session, id, state, NULL);
}

static void fail_once(test_world *w, unsigned shard, uint64_t session, const test_id *id)
{
    parts p = parts_of(w, shard, id);
    dq_moved m = {.id = p.id, .attempts = 1, .runs = 1, .ready_at_ms = (int64_t)p.id.ms};
    dq_buf call = {0}, packed = {0}, record = {0};

    dq_moved_pack(&packed, &m);
    dq_record_pack(&record, dq_buf_str(&packed), dq_buf_str(&p.j));
    begin_complete(w, shard, session, "r", id, &call, 3);
    dq_resp_arg_i64(&call, 3600000);
    dq_resp_arg(&call, test_id_str(id));
    dq_resp_arg(&call, dq_buf_str(&record));
    dq_buf_deinit(&packed);
    dq_buf_deinit(&record);
    parts_deinit(&p);
    assert_int_equal(refused(w, shard, &call), 0);
}

/* ---- places ---- */

static void take(test_world *w, unsigned shard, uint64_t session, const test_id *id)
{
    dq_id parsed;

    assert_true(dq_id_unpack(test_id_str(id), &parsed));
    while (test_job_state(w, shard, id) != DUREQ_JOB_RUNNING)
        assert_int_equal(test_session_take(w, shard, session, parsed.lane, 1), 1);
}

/* From its lane to the place. */
static void bring(test_world *w, unsigned shard, test_place place, uint64_t session, const test_id *id)
{
    switch (place) {
    case TEST_PLACE_LANE:
    case TEST_PLACE_DUE: break;
    case TEST_PLACE_FRONT: assert_int_equal(test_job_move(w, shard, DQ_JOB_RUN_NOW, 0, id), 0); break;
    case TEST_PLACE_RUNNING: take(w, shard, session, id); break;
    case TEST_PLACE_FRONT_RUNNING:
        assert_int_equal(test_job_move(w, shard, DQ_JOB_RUN_NOW, 0, id), 0);
        take(w, shard, session, id);
        break;
    case TEST_PLACE_RETRYING:
        take(w, shard, session, id);
        fail_once(w, shard, session, id);
        break;
    case TEST_PLACE_PAUSED: assert_int_equal(test_job_move(w, shard, DQ_JOB_PAUSE, 0, id), 0); break;
    case TEST_PLACE_COMPLETED:
    case TEST_PLACE_DEAD:
        take(w, shard, session, id);
        assert_int_equal(test_job_end(w, shard, session, id, test_place_states[place]), 0);
        break;
    case TEST_PLACE_CANCELLED: assert_int_equal(test_job_cancel(w, shard, id), 0); break;
    }
}

test_id test_job_at_with(test_world *w, unsigned shard, test_place place, const dureq_job_options *o, uint64_t session,
                         const char *payload)
{
    dureq_job_options ours = o ? *o : dureq_job_options_init();
    test_id id;

    ours.delay_ms = place == TEST_PLACE_DUE ? 3600000 : 0;
    id = test_job_add(w, shard, &ours, "mail", payload);
    bring(w, shard, place, session, &id);
    assert_int_equal(test_job_state(w, shard, &id), test_place_states[place]);
    return id;
}

test_id test_job_at(test_world *w, unsigned shard, test_place place, const dureq_job_options *o, uint64_t session)
{
    return test_job_at_with(w, shard, place, o, session, "x");
}

void test_expect_audit(test_world *w, unsigned shard, const char *action, const test_id *id)
{
    char key[32];
    dq_reply last, fields;

    snprintf(key, sizeof(key), "{dureq:%u}:au", shard);
    last = test_command(w, "XREVRANGE", key, "+", "-", "COUNT", "1", NULL);
    assert_int_equal(dq_reply_len(last), 1);
    fields = dq_reply_at(dq_reply_at(last, 0), 1);
    assert_true(dq_str_eq_text(dq_reply_str(dq_reply_lookup(fields, "actor")), "me"));
    assert_true(dq_str_eq_text(dq_reply_str(dq_reply_lookup(fields, "action")), action));
    assert_true(dq_str_eq(dq_reply_str(dq_reply_lookup(fields, "target")), test_id_str(id)));
}
