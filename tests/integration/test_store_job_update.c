/* SPDX-License-Identifier: Apache-2.0 */
#include "test_places.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static unsigned last_shard(const test_world *w)
{
    return w->n_shards - 1;
}

static int update_seen(test_world *w, unsigned shard, const test_id *id, dureq_str seen, const char *payload)
{
    dureq_str text = dureq_str_from(payload);
    bool is_large = text.len > DQ_PAYLOAD_INLINE_MAX;
    dq_buf call = {0}, fresh = {0};

    assert_int_equal(dq_envelope_repack(&fresh, seen, text, "text/plain"), 0);
    dq_call_job_update(&call, dq_store_keys(w->s.store), shard, DQ_STR_LIT("me"), test_id_str(id), seen, dq_buf_str(&fresh),
                       is_large ? text : (dureq_str){0});
    dq_buf_deinit(&fresh);
    return (int)dq_reply_int(dq_reply_at(test_store_call(&w->s, shard, &call, NULL), 0));
}

/* The envelope of a job, or of its row. The caller deinits. */
static dq_buf envelope_of(test_world *w, unsigned shard, const test_id *id)
{
    dq_job_view view = test_job_view(w, shard, id, NULL);
    bool is_row = view.state == -1 || view.state == DUREQ_JOB_DEAD;
    dureq_str j = is_row ? test_job_row(w, shard, id).j : view.body;
    dq_buf copy = {0};

    dq_buf_append_str(&copy, j);
    return copy;
}

static int update(test_world *w, unsigned shard, const test_id *id, const char *payload)
{
    dq_buf seen = envelope_of(w, shard, id);
    int code = update_seen(w, shard, id, dq_buf_str(&seen), payload);

    dq_buf_deinit(&seen);
    return code;
}

static bool has_payload(test_world *w, unsigned shard, const test_id *id, const char *payload)
{
    dq_buf j = envelope_of(w, shard, id);
    dq_envelope e;
    bool same;

    assert_int_equal(dq_envelope_unpack(dq_buf_str(&j), &e), 0);
    same = dq_str_eq_text(e.payload, payload);
    dq_buf_deinit(&j);
    return same;
}

static void jobs_that_wait_get_a_new_payload_and_no_others(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    uint64_t session = test_session_open(w, shard, "n1", 60000);

    for (test_place place = 0; place < TEST_PLACES; place++) {
        test_id id = test_job_at_with(w, shard, place, NULL, session, "old");
        bool may = place <= TEST_PLACE_DUE || place == TEST_PLACE_RETRYING || place == TEST_PLACE_PAUSED;
        int code = update(w, shard, &id, "new");

        if (code != (may ? 0 : -4) || !has_payload(w, shard, &id, may ? "new" : "old"))
            fail_msg("%s: %d", test_place_names[place], code);
        assert_int_equal(test_job_state(w, shard, &id), test_place_states[place]);
        if (may)
            test_expect_audit(w, shard, "job.update", &id);
    }
}

static void a_job_that_nobody_knows_is_told(void **state)
{
    test_world *w = *state;
    test_id known = test_job_at(w, 0, TEST_PLACE_DUE, NULL, 0), id = {{1, 2, 3}};
    dq_buf j = envelope_of(w, 0, &known);

    assert_int_equal(update_seen(w, 0, &id, dq_buf_str(&j), "new"), -3);
    dq_buf_deinit(&j);
}

/* Two operators: the second one's change must not undo the first one's unseen. */
static void what_changed_meanwhile_is_to_be_read_again(void **state)
{
    test_world *w = *state;
    static const test_place places[] = {TEST_PLACE_LANE, TEST_PLACE_DUE, TEST_PLACE_PAUSED};

    for (size_t i = 0; i < DQ_ARRAY_LEN(places); i++) {
        test_id id = test_job_at_with(w, 0, places[i], NULL, 0, "old");
        dq_buf seen = envelope_of(w, 0, &id);

        assert_int_equal(update(w, 0, &id, "first"), 0);
        assert_int_equal(update_seen(w, 0, &id, dq_buf_str(&seen), "second"), -7);
        assert_true(has_payload(w, 0, &id, "first"));
        assert_int_equal(update(w, 0, &id, "second"), 0);
        dq_buf_deinit(&seen);
    }
}

static void its_place_and_turn_stay_in_a_set(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    uint64_t session = test_session_open(w, shard, "n1", 60000);
    test_id retrying = test_job_at(w, shard, TEST_PLACE_RETRYING, NULL, session);
    test_id due = test_job_at(w, shard, TEST_PLACE_DUE, NULL, session);
    int64_t due_ms = test_job_view(w, shard, &due, NULL).due_at_ms, retry_ms = test_job_view(w, shard, &retrying, NULL).due_at_ms;

    assert_int_equal(update(w, shard, &due, "new"), 0);
    assert_int_equal(update(w, shard, &retrying, "new"), 0);
    assert_int_equal(test_job_view(w, shard, &due, NULL).due_at_ms, due_ms);
    assert_int_equal(test_job_view(w, shard, &retrying, NULL).due_at_ms, retry_ms);
    assert_int_equal(test_job_moved(w, shard, &retrying).attempts, 1);
}

static void in_a_lane_it_is_delivered_once_with_the_new_payload(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    uint64_t session = test_session_open(w, shard, "n1", 60000);
    test_id first = test_job_at(w, shard, TEST_PLACE_LANE, NULL, session),
            id = test_job_at(w, shard, TEST_PLACE_LANE, NULL, session);
    dq_id packed;

    assert_int_equal(update(w, shard, &id, "new"), 0);
    assert_int_equal(update(w, shard, &id, "newer"), 0);
    assert_true(dq_id_unpack(test_id_str(&id), &packed));
    assert_int_equal(test_job_moved(w, shard, &id).ready_at_ms, (int64_t)packed.ms); /* it has waited since then */
    assert_int_equal(test_session_take(w, shard, session, test_lane(w, shard, "normal|mail|"), 10), 2);
    assert_int_equal(test_job_state(w, shard, &first), DUREQ_JOB_RUNNING);
    assert_int_equal(test_job_state(w, shard, &id), DUREQ_JOB_RUNNING);
    assert_true(has_payload(w, shard, &id, "newer"));
}

static void all_but_the_payload_stays(void **state)
{
    test_world *w = *state;
    dureq_job_options o = dureq_job_options_init();
    const char *tags[] = {"red"};
    dq_envelope e;
    test_id id;
    dq_buf j;

    o.tags = tags;
    o.n_tags = 1;
    o.unique_key = DQ_STR_LIT("mine");
    o.timeout_ms = 4321;
    o.retention_ms = 10000;
    id = test_job_at(w, 0, TEST_PLACE_LANE, &o, 0);
    assert_int_equal(update(w, 0, &id, "new"), 0);
    j = envelope_of(w, 0, &id);
    assert_int_equal(dq_envelope_unpack(dq_buf_str(&j), &e), 0);
    assert_true(dq_str_eq_text(e.unique_key, "mine"));
    assert_true(dq_str_eq_text(e.content_type, "text/plain"));
    assert_int_equal(e.timeout_ms, 4321);
    assert_int_equal(e.retention_ms, 10000);
    dq_buf_deinit(&j);
    assert_int_equal(test_job_cancel(w, 0, &id), 0);
    assert_false(test_key_exists(w, 0, "u:mine"));
}

static void a_payload_moves_into_a_key_of_its_own_and_back(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    uint64_t session = test_session_open(w, shard, "n1", 60000);
    char *large = calloc(1, DQ_PAYLOAD_INLINE_MAX + 2);
    static const test_place places[] = {TEST_PLACE_RETRYING, TEST_PLACE_LANE, TEST_PLACE_FRONT, TEST_PLACE_DUE,
                                        TEST_PLACE_PAUSED};

    memset(large, 'x', DQ_PAYLOAD_INLINE_MAX + 1);
    for (size_t i = 0; i < DQ_ARRAY_LEN(places); i++) {
        test_id id = test_job_at_with(w, shard, places[i], NULL, session, "small");

        assert_int_equal(update(w, shard, &id, large), 0);
        assert_int_equal(test_job_view(w, shard, &id, NULL).blob.len, DQ_PAYLOAD_INLINE_MAX + 1);
        large[0] = 'y';
        assert_int_equal(update(w, shard, &id, large), 0);
        assert_int_equal(test_job_view(w, shard, &id, NULL).blob.ptr[0], 'y');
        assert_int_equal(update(w, shard, &id, "small again"), 0);
        assert_false(test_id_key_exists(w, shard, "b:", &id));
        assert_true(has_payload(w, shard, &id, "small again"));
    }
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WORLDS(jobs_that_wait_get_a_new_payload_and_no_others),      TEST_WORLDS(a_job_that_nobody_knows_is_told),
        TEST_WORLDS(what_changed_meanwhile_is_to_be_read_again),          TEST_WORLDS(its_place_and_turn_stay_in_a_set),
        TEST_WORLDS(in_a_lane_it_is_delivered_once_with_the_new_payload), TEST_WORLDS(all_but_the_payload_stays),
        TEST_WORLDS(a_payload_moves_into_a_key_of_its_own_and_back),
    };

    return cmocka_run_group_tests(tests, test_world_group_start, test_world_group_stop);
}
