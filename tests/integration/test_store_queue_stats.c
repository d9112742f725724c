/* SPDX-License-Identifier: Apache-2.0 */
#include "store/queue_calls.h"
#include "test_jobs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const names[] = {"high", "normal", "no such queue"};
enum { HIGH, NORMAL, NONE, N };

typedef struct stats {
    dq_queue_stats of[N];
    int64_t now_ms;
} stats;

static int add(dureq_str queue, const dq_queue_stats *part, void *userdata)
{
    stats *s = userdata;

    for (int i = 0; i < N; i++)
        if (dq_str_eq_text(queue, names[i]))
            dq_queue_stats_add(&s->of[i], part);
    return 0;
}

/* All shards summed up, so many lanes a page. */
static stats look_by(test_world *w, int limit)
{
    stats s = {.of = {{.oldest_ms = -1}, {.oldest_ms = -1}, {.oldest_ms = -1}}};

    for (unsigned shard = 0; shard < w->n_shards; shard++)
        for (int64_t from = 1; from > 0;) {
            dq_buf call = {0};
            dq_reply reply;

            dq_call_queue_stats(&call, dq_store_keys(w->s.store), shard, from, limit);
            reply = test_store_call(&w->s, shard, &call, NULL);
            assert_int_equal(dq_queue_stats_decode(&reply, &from, &s.now_ms, add, &s), 0);
        }
    return s;
}

static stats look(test_world *w)
{
    stats whole = look_by(w, 100), paged = look_by(w, 1);

    assert_memory_equal(whole.of, paged.of, sizeof whole.of);
    return whole;
}

static void expect_stats(const dq_queue_stats *s, int64_t pending, int64_t running)
{
    assert_int_equal(s->pending, pending);
    assert_int_equal(s->running, running);
}

static void an_empty_prefix_has_empty_queues(void **state)
{
    test_world *w = *state;
    stats s = look(w);

    for (int i = 0; i < N; i++) {
        expect_stats(&s.of[i], 0, 0);
        assert_int_equal(s.of[i].oldest_ms, -1);
    }
    assert_in_range(s.now_ms, test_server_ms(w) - 2000, test_server_ms(w));
}

static void jobs_are_counted_over_lanes_and_shards(void **state)
{
    test_world *w = *state;
    dureq_job_options high = dureq_job_options_init(), later = dureq_job_options_init();
    stats s;

    high.queue = "high";
    later.delay_ms = 3600000;
    for (unsigned shard = 0; shard < w->n_shards; shard++) {
        (void)test_job_add(w, shard, NULL, "mail", "x");
        (void)test_job_add(w, shard, NULL, "fax", "x");
        (void)test_job_add(w, shard, &high, "mail", "x");
        (void)test_job_add(w, shard, &later, "mail", "x"); /* waits for its time, not for a worker */
    }
    s = look(w);
    expect_stats(&s.of[NORMAL], 2 * w->n_shards, 0);
    expect_stats(&s.of[HIGH], w->n_shards, 0);
    expect_stats(&s.of[NONE], 0, 0);
}

static void delivered_jobs_run_and_no_longer_wait(void **state)
{
    test_world *w = *state;
    unsigned shard = w->n_shards - 1;
    uint64_t session = test_session_open(w, shard, "n1", 60000);
    stats s;

    for (int i = 0; i < 5; i++)
        (void)test_job_add(w, shard, NULL, "mail", "x");
    assert_int_equal(test_session_take(w, shard, session, test_lane(w, shard, "normal|mail|"), 3), 3);
    s = look(w);
    expect_stats(&s.of[NORMAL], 2, 3);
    assert_int_equal(test_session_take(w, shard, session, test_lane(w, shard, "normal|mail|"), 3), 2);
    s = look(w);
    expect_stats(&s.of[NORMAL], 0, 5);
    assert_int_equal(s.of[NORMAL].oldest_ms, -1);
}

static void a_job_that_was_taken_out_of_the_middle_does_not_count(void **state)
{
    test_world *w = *state;
    test_id id;
    dureq_str ids[1];
    dq_buf call = {0};
    stats s;

    (void)test_job_add(w, 0, NULL, "mail", "x");
    id = test_job_add(w, 0, NULL, "mail", "y");
    (void)test_job_add(w, 0, NULL, "mail", "z");
    ids[0] = test_id_str(&id);
    dq_call_job_cancel(&call, dq_store_keys(w->s.store), 0, DQ_STR_LIT("me"), DQ_STR_LIT(""), (dureq_str){0}, ids, 1);
    (void)test_store_call(&w->s, 0, &call, NULL);
    s = look(w);
    expect_stats(&s.of[NORMAL], 2, 0);
}

/* Of all that wait, the one that could run first counts, in whichever stream, lane and shard it is. */
static void the_oldest_waiting_job_is_told(void **state)
{
    test_world *w = *state;
    unsigned last = w->n_shards - 1;
    dureq_job_options due = dureq_job_options_init();
    uint64_t session = test_session_open(w, last, "n1", 60000);
    dq_id id;
    test_id a;
    dq_buf call = {0};

    for (unsigned shard = w->n_shards; shard-- > 0;) {
        test_id next = test_job_add(w, shard, NULL, "mail", "x");

        if (shard == last)
            a = next;
    }
    assert_true(dq_id_unpack(test_id_str(&a), &id));
    assert_int_equal(look(w).of[NORMAL].oldest_ms, (int64_t)id.ms);

    /* One that was due long ago waits since it was handed over. */
    due.run_at_ms = 1000;
    (void)test_job_add(w, last, &due, "mail", "y");
    dq_call_due_promote(&call, dq_store_keys(w->s.store), last, w->leader[last]);
    (void)test_store_call(&w->s, last, &call, NULL);
    assert_true(look(w).of[NORMAL].oldest_ms >= (int64_t)id.ms);

    /* When the oldest runs, the next one is told. */
    (void)test_session_take(w, last, session, test_lane(w, last, "normal|mail|"), 2);
    if (w->n_shards == 1)
        assert_int_equal(look(w).of[NORMAL].oldest_ms, -1);
    else
        assert_true(look(w).of[NORMAL].oldest_ms >= (int64_t)id.ms);
}

/* ---- lanes where jobs wait ---- */

typedef struct seen {
    char names[256];
    int64_t n;
} seen;

static int note_lane(dureq_str queue, dureq_str type, int64_t n, void *userdata)
{
    seen *s = userdata;
    size_t len = strlen(s->names);

    (void)snprintf(s->names + len, sizeof s->names - len, " " DQ_STR_FMT "/" DQ_STR_FMT, DQ_STR_ARG(queue), DQ_STR_ARG(type));
    s->n += n;
    return 0;
}

/* All lanes of the last shard, so many a page; how many pages. */
static int walk(test_world *w, int limit, seen *ret)
{
    int64_t from = 1;
    int n_pages = 0;

    *ret = (seen){0};
    while (from > 0) {
        dq_buf call = {0};
        dq_reply reply;

        dq_call_lanes_waiting(&call, dq_store_keys(w->s.store), w->n_shards - 1, from, limit);
        reply = test_store_call(&w->s, w->n_shards - 1, &call, NULL);
        assert_int_equal(dq_lanes_waiting_decode(&reply, &from, note_lane, ret), 0);
        n_pages++;
    }
    return n_pages;
}

static void lanes_where_jobs_wait_are_told_page_by_page(void **state)
{
    test_world *w = *state;
    unsigned shard = w->n_shards - 1;
    uint64_t session = test_session_open(w, shard, "n1", 60000);
    seen s;

    assert_int_equal(walk(w, 2, &s), 1);
    assert_string_equal(s.names, "");
    for (int i = 0; i < 3; i++) {
        (void)test_job_add(w, shard, NULL, "mail", "x");
        (void)test_job_add(w, shard, NULL, "fax", "x");
        (void)test_job_add(w, shard, NULL, "wire", "x");
    }
    assert_int_equal(test_session_take(w, shard, session, test_lane(w, shard, "normal|fax|"), 3), 3);
    assert_int_equal(test_session_take(w, shard, session, test_lane(w, shard, "normal|wire|"), 1), 1);
    assert_int_equal(walk(w, 100, &s), 1);
    assert_string_equal(s.names, " normal/mail normal/wire");
    assert_int_equal(s.n, 5);
    assert_int_equal(walk(w, 2, &s), 2);
    assert_string_equal(s.names, " normal/mail normal/wire");
    assert_int_equal(walk(w, 1, &s), 4);
    assert_int_equal(s.n, 5);
}

static void an_answer_of_another_shape_is_not_read(void **state)
{
    test_world *w = *state;
    stats s = {0};
    int64_t next;
    dq_reply reply = test_command(w, "EVAL", "return {0,7,'q',1,2}", "0", NULL);

    assert_int_equal(dq_queue_stats_decode(&reply, &next, &s.now_ms, add, &s), DUREQ_EPROTO);
    reply = test_command(w, "EVAL", "return {0}", "0", NULL);
    assert_int_equal(dq_queue_stats_decode(&reply, &next, &s.now_ms, add, &s), DUREQ_EPROTO);
    reply = test_command(w, "PING", NULL);
    assert_int_equal(dq_queue_stats_decode(&reply, &next, &s.now_ms, add, &s), DUREQ_EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WORLDS(an_empty_prefix_has_empty_queues),       TEST_WORLDS(jobs_are_counted_over_lanes_and_shards),
        TEST_WORLDS(delivered_jobs_run_and_no_longer_wait),  TEST_WORLDS(a_job_that_was_taken_out_of_the_middle_does_not_count),
        TEST_WORLDS(the_oldest_waiting_job_is_told),         TEST_WORLDS(lanes_where_jobs_wait_are_told_page_by_page),
        TEST_WORLDS(an_answer_of_another_shape_is_not_read),
    };

    return cmocka_run_group_tests(tests, test_world_group_start, test_world_group_stop);
}
