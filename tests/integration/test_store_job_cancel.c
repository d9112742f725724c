/* SPDX-License-Identifier: Apache-2.0 */
#include "test_places.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static unsigned last_shard(const test_world *w)
{
    return w->n_shards - 1;
}

static bool has_ended(test_place place)
{
    return place >= TEST_PLACE_COMPLETED;
}

static void a_living_job_can_be_cancelled_wherever_it_is(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    uint64_t session = test_session_open(w, shard, "n1", 60000);

    for (test_place place = 0; place < TEST_PLACES; place++) {
        test_id id = test_job_at(w, shard, place, NULL, session);
        int code = test_job_cancel(w, shard, &id);

        if (code != (has_ended(place) ? -4 : 0))
            fail_msg("%s: %d", test_place_names[place], code);
        assert_int_equal(test_job_state(w, shard, &id), has_ended(place) ? test_place_states[place] : DUREQ_JOB_CANCELLED);
        if (!has_ended(place))
            test_expect_audit(w, shard, "job.cancel", &id);
    }
}

static void what_was_said_of_it_is_in_its_row(void **state)
{
    test_world *w = *state;
    uint64_t session = test_session_open(w, 0, "n1", 60000);
    test_id running = test_job_at(w, 0, TEST_PLACE_RUNNING, NULL, session);
    test_id waiting = test_job_at(w, 0, TEST_PLACE_LANE, NULL, session);
    int64_t started_ms = test_server_ms(w);
    dq_row row;

    test_session_started(w, 0, session, &running, started_ms, NULL);
    assert_int_equal(test_job_cancel(w, 0, &waiting), 0);
    assert_int_equal(test_job_cancel(w, 0, &running), 0);
    row = test_job_row(w, 0, &waiting);
    assert_true(dq_str_eq_text(row.reason, "no more"));
    assert_int_equal(row.started_at_ms, 0);
    assert_in_range(row.finished_at_ms, started_ms - 1000, started_ms + 10000);
    row = test_job_row(w, 0, &running);
    assert_in_range(row.started_at_ms, started_ms, started_ms + 1); /* never the id's own ms, which means "not started" */
    assert_int_equal(row.session, session);
    assert_int_equal(row.ran_ms, row.finished_at_ms - started_ms);
}

static void the_session_that_runs_it_is_told_and_its_word_no_longer_counts(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    uint64_t session = test_session_open(w, shard, "n1", 60000);
    test_id id = test_job_at(w, shard, TEST_PLACE_RUNNING, NULL, session);
    char number[24], key[32], start[32];
    dq_reply beat;

    snprintf(number, sizeof(number), "%llu", (unsigned long long)session);
    assert_int_equal(dq_store_subscribe(w->s.store, shard, "w:", dureq_str_from(number)), 0);
    test_session_started(w, shard, session, &id, test_server_ms(w), NULL);
    snprintf(key, sizeof(key), "x:%s", number);
    int64_t watched = dq_reply_int(test_key(w, "GET", shard, key, (dureq_str){0}));
    assert_int_equal(test_job_cancel(w, shard, &id), 0);
    snprintf(start, sizeof(start), "%u w:%s=C", shard, number);
    test_until_message(w, start);
    assert_true(dq_reply_int(test_key(w, "GET", shard, key, (dureq_str){0})) > watched); /* a transaction under way is refused */
    snprintf(key, sizeof(key), "run:%s", number);
    assert_false(test_key_exists(w, shard, key));

    /* A message may be lost: the next heartbeat says it too, once. */
    beat = test_session_beat(w, shard, session, 60000, false, NULL);
    assert_int_equal(dq_reply_len(dq_reply_at(beat, 6)), 1);
    dureq_str told = dq_reply_str(dq_reply_at(dq_reply_at(beat, 6), 0));
    assert_true(dq_str_starts_with(told, test_id_str(&id))); /* and which entry it was: it may be retried and ours again by now */
    assert_true(told.len > DQ_ID_BYTES + 1 && strchr("lf", told.ptr[DQ_ID_BYTES]));
    beat = test_session_beat(w, shard, session, 60000, false, NULL);
    assert_int_equal(dq_reply_len(dq_reply_at(beat, 6)), 0);
}

static int64_t n_late(test_world *w, unsigned shard, uint64_t session, const test_id *id)
{
    char key[40];

    snprintf(key, sizeof(key), "lr:%llu", (unsigned long long)session);
    int64_t n = dq_reply_int(test_key(w, "SCARD", shard, key, (dureq_str){0}));
    assert_int_equal(dq_reply_int(test_key(w, "HEXISTS", shard, "lr", test_id_str(id))), n > 0);
    return n;
}

static void its_run_is_late_until_the_session_says_more(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    uint64_t session = test_session_open(w, shard, "n1", 60000);
    test_id id = test_job_at(w, shard, TEST_PLACE_RUNNING, NULL, session);
    test_id waiting = test_job_at(w, shard, TEST_PLACE_LANE, NULL, session);

    assert_int_equal(test_job_cancel(w, shard, &waiting), 0);
    assert_int_equal(n_late(w, shard, session, &waiting), 0);
    assert_int_equal(test_job_cancel(w, shard, &id), 0);
    assert_int_equal(n_late(w, shard, session, &id), 1);
    dq_reply shown = dq_reply_at(test_session_beat(w, shard, session, 60000, false, NULL), 14);
    assert_int_equal(dq_reply_len(shown), 1);
    assert_int_equal(dq_reply_str(dq_reply_at(shown, 0)).len, DQ_ID_BYTES + 2);
    assert_true(dq_str_starts_with(dq_reply_str(dq_reply_at(shown, 0)), test_id_str(&id)));
    assert_int_equal(n_late(w, shard, session, &id), 1); /* to be shown is not to be over */
    test_session_close(w, shard, session);
    assert_int_equal(n_late(w, shard, session, &id), 0);
}

/* It would never say that its handler has ended. */
static void a_session_of_before_has_no_late_runs(void **state)
{
    test_world *w = *state;
    uint64_t session = test_session_open(w, 0, "n1", 60000);
    test_id id = test_job_at(w, 0, TEST_PLACE_RUNNING, NULL, session);

    (void)test_plant(w, 0, &id,
                     "for _, s in ipairs(call('ZRANGE', K .. 'lease', 0, -1)) do call('HSET', K .. 's:' .. s, 'ver', 2) end");
    assert_int_equal(test_job_cancel(w, 0, &id), 0);
    assert_int_equal(n_late(w, 0, session, &id), 0);
}

static void a_completion_that_comes_too_late_is_refused(void **state)
{
    test_world *w = *state;

    for (test_place place = TEST_PLACE_RUNNING; place <= TEST_PLACE_FRONT_RUNNING; place++) {
        uint64_t session = test_session_open(w, 0, "n1", 60000);
        test_id id = test_job_at(w, 0, place, NULL, session);
        test_id other = test_job_at(w, 0, place, NULL, session);

        /* The worker's call is on its way when the job is cancelled: it names the entry that the job had. */
        assert_int_equal(test_job_end_after(w, 0, session, &id, DUREQ_JOB_COMPLETED, test_job_cancel), 1);
        assert_int_equal(test_job_state(w, 0, &id), DUREQ_JOB_CANCELLED);
        assert_int_equal(test_job_end(w, 0, session, &other, DUREQ_JOB_COMPLETED), 0);
        assert_int_equal(test_job_state(w, 0, &other), DUREQ_JOB_COMPLETED);
    }
}

static void what_it_held_is_free(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    dureq_job_options o = dureq_job_options_init();
    uint64_t session = test_session_open(w, shard, "n1", 60000);

    o.unique_key = DQ_STR_LIT("mine");
    o.schedule_to_start_timeout_ms = 3600000;
    for (test_place place = 0; place < TEST_PLACE_COMPLETED; place++) {
        test_id id = test_job_at(w, shard, place, &o, session);

        assert_true(test_key_exists(w, shard, "u:mine"));
        assert_int_equal(test_job_cancel(w, shard, &id), 0);
        assert_false(test_key_exists(w, shard, "u:mine"));
        assert_int_equal(dq_reply_int(test_key(w, "ZCARD", shard, "s2s", (dureq_str){0})), 0);
    }
}

/* Somebody deleted the key by hand and another job took it. */
static void a_key_that_is_anothers_by_now_stays(void **state)
{
    test_world *w = *state;
    dureq_job_options o = dureq_job_options_init();
    test_id first, second, holder;

    o.unique_key = DQ_STR_LIT("mine");
    first = test_job_add(w, 0, &o, "mail", "x");
    (void)test_key(w, "DEL", 0, "u:mine", (dureq_str){0});
    second = test_job_add(w, 0, &o, "mail", "y");
    assert_int_equal(test_job_cancel(w, 0, &first), 0);
    assert_int_equal(test_job_add_code(w, 0, &o, "mail", "z", &holder), 3);
    assert_memory_equal(holder.bytes, second.bytes, sizeof(holder.bytes));
}

static void without_retention_nothing_of_it_is_kept(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    dureq_job_options o = dureq_job_options_init();
    char *payload = calloc(1, DQ_PAYLOAD_INLINE_MAX + 2);
    test_id kept, gone;

    memset(payload, 'x', DQ_PAYLOAD_INLINE_MAX + 1);
    kept = test_job_at_with(w, shard, TEST_PLACE_LANE, &o, 0, payload);
    o.retention_ms = -1;
    gone = test_job_at_with(w, shard, TEST_PLACE_DUE, &o, 0, payload);
    assert_int_equal(test_job_cancel(w, shard, &kept), 0);
    assert_int_equal(test_job_cancel(w, shard, &gone), 0);
    assert_int_equal(test_job_state(w, shard, &kept), DUREQ_JOB_CANCELLED);
    assert_true(test_id_key_exists(w, shard, "b:", &kept));
    assert_int_equal(test_job_state(w, shard, &gone), -1);
    assert_false(test_id_key_exists(w, shard, "b:", &gone));
    free(payload);
}

static void each_of_many_is_answered_by_itself(void **state)
{
    test_world *w = *state;
    uint64_t session = test_session_open(w, 0, "n1", 60000);
    test_id ids[] = {test_job_at(w, 0, TEST_PLACE_LANE, NULL, session),
                     test_job_at(w, 0, TEST_PLACE_COMPLETED, NULL, session),
                     {{0}},
                     test_job_at(w, 0, TEST_PLACE_DUE, NULL, session)};
    static const int expected[] = {0, -4, -3, 0, -4};
    dureq_str views[] = {test_id_str(&ids[0]), test_id_str(&ids[1]), test_id_str(&ids[2]), test_id_str(&ids[3]),
                         test_id_str(&ids[0])};
    dq_buf call = {0};
    dq_reply reply;

    dq_call_job_cancel(&call, dq_store_keys(w->s.store), 0, DQ_STR_LIT("me"), DQ_STR_LIT(""), (dureq_str){0}, views,
                       DQ_ARRAY_LEN(views));
    reply = test_store_call(&w->s, 0, &call, NULL);
    assert_int_equal(dq_reply_len(reply), DQ_ARRAY_LEN(expected));
    for (size_t i = 0; i < DQ_ARRAY_LEN(expected); i++)
        assert_int_equal(dq_reply_int(dq_reply_at(reply, i)), expected[i]);
}

static void who_waits_for_it_is_told(void **state)
{
    test_world *w = *state;
    test_id id = test_job_at(w, 0, TEST_PLACE_DUE, NULL, 0);

    assert_int_equal(dq_store_subscribe(w->s.store, 0, "d:", DQ_STR_LIT("me")), 0);
    (void)test_plant(w, 0, &id, "call('HSET', K .. 'wt', id, 'me you')"); /* several may wait */
    assert_int_equal(test_job_cancel(w, 0, &id), 0);
    TEST_UNTIL(w->s.loop, w->s.n_messages == 1);
    assert_false(test_key_exists(w, 0, "wt"));
}

static void drop_history(test_world *w, unsigned shard)
{
    dq_kept k;

    (void)test_plant(w, shard, NULL,
                     "for _, b in ipairs(call('ZRANGE', K .. 'hx', 0, -1)) do call('ZADD', K .. 'hx', now - 1, b) end");
    do {
        dq_buf call = {0};
        dq_reply reply;

        dq_call_housekeep(&call, dq_store_keys(w->s.store), shard, w->leader[shard], &(dq_keep){0}, false);
        reply = test_store_call(&w->s, shard, &call, NULL);
        assert_int_equal(dq_housekeep_decode(&reply, &k), 0);
    } while (k.more);
}

static void logs_of_a_cancelled_job_go_with_its_row(void **state)
{
    test_world *w = *state;
    dureq_job_options o = dureq_job_options_init();
    uint64_t session = test_session_open(w, 0, "n1", 60000);

    for (int kept = 0; kept < 2; kept++) {
        test_id id;

        o.retention_ms = kept ? 10000 : -1;
        id = test_job_at(w, 0, TEST_PLACE_RETRYING, &o, session);
        /* As `complete` leaves it: a log, and the flag that says so. */
        (void)test_plant(w, 0, &id,
                         "call('SET', K .. 'lg:' .. id, 'a line') local r = call('HGET', K .. 'due:h', id) "
                         "call('HSET', K .. 'due:h', id, string.sub(r, 1, 23) .. '\\2' .. string.sub(r, 25))");
        assert_int_equal(test_job_moved(w, 0, &id).flags, DQ_M_LOGS);
        assert_int_equal(test_job_cancel(w, 0, &id), 0);
        assert_int_equal(test_id_key_exists(w, 0, "lg:", &id), kept);
        drop_history(w, 0);
        assert_int_equal(test_job_state(w, 0, &id), -1);
        assert_false(test_id_key_exists(w, 0, "lg:", &id));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WORLDS(a_living_job_can_be_cancelled_wherever_it_is),
        TEST_WORLDS(what_was_said_of_it_is_in_its_row),
        TEST_WORLDS(the_session_that_runs_it_is_told_and_its_word_no_longer_counts),
        TEST_WORLDS(its_run_is_late_until_the_session_says_more),
        TEST_WORLDS(a_session_of_before_has_no_late_runs),
        TEST_WORLDS(a_completion_that_comes_too_late_is_refused),
        TEST_WORLDS(what_it_held_is_free),
        TEST_WORLDS(a_key_that_is_anothers_by_now_stays),
        TEST_WORLDS(without_retention_nothing_of_it_is_kept),
        TEST_WORLDS(each_of_many_is_answered_by_itself),
        TEST_WORLDS(who_waits_for_it_is_told),
        TEST_WORLDS(logs_of_a_cancelled_job_go_with_its_row),
    };

    return cmocka_run_group_tests(tests, test_world_group_start, test_world_group_stop);
}
