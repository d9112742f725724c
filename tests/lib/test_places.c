/* SPDX-License-Identifier: Apache-2.0 */
#include "test_places.h"

#include "store/turn_calls.h"

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

    dq_call_job_cancel(&call, dq_store_keys(w->s.store), shard, DQ_STR_LIT("me"), DQ_STR_LIT("no more"), (dureq_str){0}, ids, 1);
    return only_answer(w, shard, &call);
}

int test_job_move(test_world *w, unsigned shard, dq_job_verb verb, int64_t at_ms, const test_id *id)
{
    dureq_str ids[] = {test_id_str(id)};
    dq_buf call = {0};

    dq_call_job_move(&call, dq_store_keys(w->s.store), shard, DQ_STR_LIT("me"), &(dq_job_move){.verb = verb, .at_ms = at_ms}, ids,
                     1);
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

/* Where the job's entry is. */
static dq_entry entry_of(test_world *w, unsigned shard, const test_id *id)
{
    dureq_str front = dq_reply_str(test_key(w, "HGET", shard, "loc", test_id_str(id)));
    dq_id parsed, at;

    assert_true(dq_id_unpack(test_id_str(id), &parsed));
    at = parsed;
    if (front.len)
        assert_true(dq_id_from_entry(front, parsed.lane, (uint16_t)shard, &at));
    return (dq_entry){.ms = at.ms, .seq = at.seq, .lane = parsed.lane, .front = front.len > 0};
}

/* Up to the only job of the call, whose group this is. */
static dq_complete begin_complete(test_world *w, dq_buf *call, unsigned shard, uint64_t session, const dq_end_group *group,
                                  const dq_entry *entry)
{
    dq_complete_head head = {.shard = shard, .session = session, .call_no = ++w->call_no, .is_repeat = w->repeats};
    dq_complete c = dq_complete_begin(call, dq_store_keys(w->s.store), &head);

    dq_complete_group(&c, group, entry, 1);
    return c;
}

static int refused(test_world *w, unsigned shard, dq_buf *call)
{
    dq_refusals r;

    assert_int_equal(dq_refusals_decode(dq_reply_str(test_store_call(&w->s, shard, call, NULL)), &r), 0);
    return (int)r.left;
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
    dq_entry entry = entry_of(w, shard, id);
    dq_end_group group = {.kind = state == DUREQ_JOB_DEAD ? DQ_END_DEAD : DQ_END_KEPT, .front = entry.front, .lane = entry.lane};
    dq_buf call = {0}, bytes = {0};

    assert_int_equal(dq_envelope_unpack(row.j, &e), 0);
    dq_row_pack_head(&bytes, &row, &p.id);
    dq_buf_append_str(&bytes, row.j);
    group.class_ms = (e.flags & DQ_J_RETENTION) ? e.retention_ms : DQ_RETENTION_DEFAULT_MS;
    group.has_side_keys = e.flags & DQ_J_BLOB;
    dq_complete c = begin_complete(w, &call, shard, session, &group, &entry);
    dq_complete_job(&c, &(dq_end_job){.id = p.id, .row = dq_buf_str(&bytes)});
    if ((e.flags & DQ_J_UNIQUE) && e.unique_for_ms == 0)
        dq_complete_side(&c, DQ_SIDE_KEY, 0, &p.id, e.unique_key);
    if (e.flags & DQ_J_TRACKED)
        dq_complete_side(&c, DQ_SIDE_SCHEDULE, 0, &p.id, e.more);
    dq_complete_end(&c);
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

void test_job_fail_once(test_world *w, unsigned shard, uint64_t session, const test_id *id)
{
    parts p = parts_of(w, shard, id);
    dq_moved m = {.id = p.id, .attempts = 1, .runs = 1, .ready_at_ms = (int64_t)p.id.ms};
    dq_entry entry = entry_of(w, shard, id);
    dq_end_group group = {.kind = DQ_END_DUE, .front = entry.front, .lane = entry.lane};
    dq_buf call = {0}, packed = {0}, record = {0};

    dq_moved_pack(&packed, &m);
    dq_record_pack(&record, dq_buf_str(&packed), dq_buf_str(&p.j));
    dq_complete c = begin_complete(w, &call, shard, session, &group, &entry);
    dq_complete_job(&c, &(dq_end_job){.id = p.id, .delay_ms = 3600000, .row = dq_buf_str(&record)});
    dq_complete_end(&c);
    dq_buf_deinit(&packed);
    dq_buf_deinit(&record);
    parts_deinit(&p);
    assert_int_equal(refused(w, shard, &call), 0);
}

/* ---- places ---- */

void test_job_take(test_world *w, unsigned shard, uint64_t session, const test_id *id)
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
    case TEST_PLACE_RUNNING: test_job_take(w, shard, session, id); break;
    case TEST_PLACE_FRONT_RUNNING:
        assert_int_equal(test_job_move(w, shard, DQ_JOB_RUN_NOW, 0, id), 0);
        test_job_take(w, shard, session, id);
        break;
    case TEST_PLACE_RETRYING:
        test_job_take(w, shard, session, id);
        test_job_fail_once(w, shard, session, id);
        break;
    case TEST_PLACE_PAUSED: assert_int_equal(test_job_move(w, shard, DQ_JOB_PAUSE, 0, id), 0); break;
    case TEST_PLACE_COMPLETED:
    case TEST_PLACE_DEAD:
        test_job_take(w, shard, session, id);
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
