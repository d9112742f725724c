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

static dureq_str node_n1(uint64_t session, void *userdata)
{
    return session == *(uint64_t *)userdata ? DQ_STR_LIT("n1") : (dureq_str){0};
}

/* From the script's answer to the public struct. */
static void a_job_is_found_wherever_it_is(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    uint64_t session = test_session_open(w, shard, "n1", 60000);
    dureq_job_options o = dureq_job_options_init();
    const char *tags[] = {"red", "green"};

    o.tags = tags;
    o.n_tags = 2;
    o.timeout_ms = 1234;
    for (test_place place = 0; place < TEST_PLACES; place++) {
        test_id id = test_job_at_with(w, shard, place, &o, session, "{\"a\":1}");
        dq_job_view view = test_job_view(w, shard, &id, NULL);
        dq_arena arena = {0};
        dureq_job job = {0};
        dq_id packed;
        dureq_job_id text;

        assert_int_equal(dq_job_view_to_job(&view, node_n1, &session, &arena, &job, NULL), 0);
        assert_int_equal(job.state, test_place_states[place]);
        assert_true(dq_id_unpack(test_id_str(&id), &packed));
        dq_id_to_text(&packed, &text);
        assert_string_equal(job.id.text, text.text);
        assert_true(dq_str_eq_text(job.queue, "normal"));
        assert_true(dq_str_eq_text(job.task_type, "mail"));
        assert_int_equal(job.version.len, 0);
        assert_true(dq_str_eq_text(job.payload, "{\"a\":1}"));
        assert_true(dq_str_eq_text(job.content_type, "application/json"));
        assert_int_equal(job.n_tags, 2);
        assert_true(dq_str_eq_text(job.tags[1], "green"));
        assert_int_equal(job.timeout_ms, 1234);
        assert_in_range(job.created_at_ms, test_server_ms(w) - 10000, test_server_ms(w));
        assert_int_equal(job.attempt, place == TEST_PLACE_RETRYING || place == TEST_PLACE_COMPLETED);
        dq_arena_deinit(&arena);
    }
}

static void a_running_job_tells_where_since_when_and_how_far(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);

    for (test_place place = TEST_PLACE_RUNNING; place <= TEST_PLACE_FRONT_RUNNING; place++) {
        uint64_t session = test_session_open(w, shard, "n1", 60000);
        test_id id = test_job_at(w, shard, place, NULL, session);
        int64_t now = test_server_ms(w);
        dq_job_view view = test_job_view(w, shard, &id, NULL);

        assert_int_equal(view.session, session);
        assert_int_equal(view.started_at_ms, 0); /* not reported yet */
        assert_int_equal(view.progress.len, 0);
        test_session_started(w, shard, session, &id, now, NULL);
        (void)test_plant(w, shard, &id, "call('HSET', K .. 'pg', id, '{\"done\":7}')");
        view = test_job_view(w, shard, &id, NULL);
        assert_int_equal(view.started_at_ms, now);
        assert_true(dq_str_eq_text(view.progress, "{\"done\":7}"));
    }
}

static void a_waiting_job_tells_until_when(void **state)
{
    test_world *w = *state;
    int64_t at_ms = test_server_ms(w) + 5000000;
    dureq_job_options o = dureq_job_options_init();
    test_id due, paused = test_job_at(w, 0, TEST_PLACE_PAUSED, NULL, 0);

    o.run_at_ms = at_ms;
    due = test_job_add(w, 0, &o, "mail", "x");
    assert_int_equal(test_job_view(w, 0, &due, NULL).due_at_ms, at_ms);
    assert_int_equal(test_job_view(w, 0, &paused, NULL).due_at_ms, -1);
    (void)test_plant(w, 0, &paused, "call('ZADD', K .. 'paused', 4000000000000, id)");
    assert_int_equal(test_job_view(w, 0, &paused, NULL).due_at_ms, 4000000000000);
}

static void a_payload_kept_beside_comes_with_the_job(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    uint64_t session = test_session_open(w, shard, "n1", 60000);
    const size_t len = (size_t)900 * 1024;
    char *payload = calloc(1, len + 1);

    memset(payload, 'x', len);
    for (test_place place = 0; place < TEST_PLACES; place++) {
        test_id id = test_job_at_with(w, shard, place, NULL, session, payload);
        dq_job_view view = test_job_view(w, shard, &id, NULL);
        dq_arena arena = {0};
        dureq_job job = {0};

        assert_int_equal(view.blob.len, len);
        assert_int_equal(dq_job_view_to_job(&view, NULL, NULL, &arena, &job, NULL), 0);
        assert_int_equal(job.payload.len, len);
        dq_arena_deinit(&arena);
    }
    free(payload);
}

static void of_many_each_is_answered_in_its_place(void **state)
{
    test_world *w = *state;
    test_id a = test_job_at(w, 0, TEST_PLACE_LANE, NULL, 0), b = test_job_at(w, 0, TEST_PLACE_CANCELLED, NULL, 0), none = {{7}};
    dureq_str ids[] = {test_id_str(&b), test_id_str(&none), test_id_str(&a), test_id_str(&b)};
    static const int expected[] = {-1, DUREQ_ENOTFOUND, DUREQ_JOB_PENDING, -1};
    dq_job_view view;
    dq_buf call = {0};
    dq_reply reply;

    dq_call_job_get(&call, dq_store_keys(w->s.store), 0, ids, 4);
    reply = test_store_call(&w->s, 0, &call, NULL);
    assert_int_equal(dq_reply_len(reply), 4);
    for (size_t i = 0; i < 4; i++) {
        int rc = dq_job_view_decode(dq_reply_at(reply, i), &view);

        if (rc == 0)
            assert_int_equal(view.state, expected[i]);
        else
            assert_int_equal(rc, expected[i]);
    }
}

/* An id of the lane's kind whose lane there is not, an id of the due set's kind, one of another shard. */
static void ids_that_were_never_given_are_nobodys(void **state)
{
    test_world *w = *state;
    const dq_id ids[] = {{.ms = 1, .seq = 0, .lane = 1},
                         {.ms = 1, .seq = DQ_ID_SEQ_DUE, .lane = 1},
                         {.ms = 1, .seq = 0, .lane = DQ_LANE_MAX},
                         {.ms = ((uint64_t)1 << 44) - 1, .seq = DQ_ID_SEQ_MAX, .lane = 77, .shard = DQ_SHARD_MAX}};

    (void)test_job_at(w, 0, TEST_PLACE_LANE, NULL, 0);
    for (size_t i = 0; i < DQ_ARRAY_LEN(ids); i++) {
        test_id id;

        dq_id_pack(&ids[i], (unsigned char *)id.bytes);
        assert_int_equal(test_job_state(w, 0, &id), -1);
    }
}

static void reading_changes_nothing(void **state)
{
    test_world *w = *state;
    static const char all[] = "local t = redis.call('KEYS', '*') table.sort(t) local s = '' "
                              "for _, k in ipairs(t) do s = redis.sha1hex(s .. k .. redis.call('DUMP', k)) end return s";
    uint64_t session = test_session_open(w, 0, "n1", 60000);
    test_id ids[TEST_PLACES];
    char before[41] = {0};
    dureq_str sum;

    for (int i = TEST_PLACES; i-- > 0;)
        ids[i] = test_job_at(w, 0, (test_place)i, NULL, session);
    sum = dq_reply_str(test_command(w, "EVAL", all, "0", NULL));
    memcpy(before, sum.ptr, 40);
    for (int i = 0; i < TEST_PLACES; i++)
        (void)test_job_view(w, 0, &ids[i], NULL);
    sum = dq_reply_str(test_command(w, "EVAL", all, "0", NULL));
    assert_memory_equal(sum.ptr, before, 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WORLDS(a_job_is_found_wherever_it_is),
        TEST_WORLDS(a_running_job_tells_where_since_when_and_how_far),
        TEST_WORLDS(a_waiting_job_tells_until_when),
        TEST_WORLDS(a_payload_kept_beside_comes_with_the_job),
        TEST_WORLDS(of_many_each_is_answered_in_its_place),
        TEST_WORLDS(ids_that_were_never_given_are_nobodys),
        TEST_WORLDS(reading_changes_nothing),
    };

    return cmocka_run_group_tests(tests, test_world_group_start, test_world_group_stop);
}
