/* SPDX-License-Identifier: Apache-2.0 */
/* All schedules that have a time zone are gone through, some in a call: each once, whatever becomes of it meanwhile, and to the end. */
#include "test_jobs.h"

#include "store/schedule_calls.h"

#include <dureq/schedule.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N 7

typedef struct scene {
    test_world *w;
    dureq_client *client;
    dureq_job_id ids[N]; /* of shard 0 */
    char *payload;
} scene;

static void make_one(scene *s, dureq_job_id *ret)
{
    static const dureq_at_time nine = {9, 0, 0};
    dureq_schedule schedule = dureq_schedule_init();
    dureq_job_spec spec = {.task_type = "t", .payload = dureq_str_from(s->payload)};
    dureq_error err = {0};
    dq_id id;

    schedule.type = DUREQ_SCHEDULE_DAILY;
    schedule.at_times = &nine;
    schedule.n_at_times = 1;
    schedule.timezone = "America/New_York";
    for (;;) {
        if (dureq_client_create_schedule(s->client, &schedule, &spec, ret, &err) < 0)
            fail_msg("%s", err.msg);
        assert_int_equal(dq_id_parse(dureq_str_from(ret->text), &id), 0);
        if (id.shard == 0)
            return;
        if (dureq_client_delete_schedule(s->client, ret->text, &err) < 0)
            fail_msg("%s", err.msg);
    }
}

/* As computed: all come round at the same time, in an hour. */
static void put_in_place(scene *s)
{
    (void)test_plant(s->w, 0, NULL,
                     "local at = call('GET', K .. 'test') or now + 3600000 call('SET', K .. 'test', at) "
                     "for _, id in ipairs(call('ZRANGE', K .. 'sch', 0, -1)) do call('ZADD', K .. 'sch', at, id) end");
}

static scene open_scene(test_world *w, size_t payload_bytes)
{
    dureq_client_options o = dureq_client_options_init();
    scene s = {.w = w, .payload = calloc(payload_bytes + 1, 1)};
    dureq_error err = {0};

    assert_non_null(s.payload);
    memset(s.payload, '1', payload_bytes);
    o.redis_url = test_redis_url(w->server);
    if (dureq_client_create(&o, &s.client, &err) < 0)
        fail_msg("%s", err.msg);
    for (int i = 0; i < N; i++)
        make_one(&s, &s.ids[i]);
    put_in_place(&s);
    return s;
}

static void close_scene(scene *s)
{
    dureq_error err = {0};

    for (int i = 0; i < N; i++)
        if (dureq_client_delete_schedule(s->client, s->ids[i].text, &err) < 0)
            fail_msg("%s", err.msg);
    (void)test_plant(s->w, 0, NULL, "call('DEL', K .. 'test')");
    dureq_client_destroy(s->client);
    free(s->payload);
}

static dq_looked look(scene *s, const char *version, int limit, size_t bytes_max, dq_look_at *at)
{
    dq_look l = {
        .version = dureq_str_from(version), .upto_ms = test_server_ms(s->w) + 7200000, .limit = limit, .bytes_max = bytes_max};
    dq_looked ret = {0};
    dq_buf call = {0};
    dq_reply reply;

    dq_call_schedule_look(&call, dq_store_keys(s->w->s.store), 0, s->w->leader[0], &l, at);
    reply = test_store_call(&s->w->s, 0, &call, NULL);
    assert_int_equal(dq_schedule_look_decode(&reply, &ret, at), 0);
    return ret;
}

/* What was looked at comes round when it did, and is in its place again before the next call. */
static void of_many_at_the_same_time_each_is_looked_at_once(void **state)
{
    scene s = open_scene(*state, 1);
    dq_look_at at = {0};
    int64_t n = 0;

    for (int calls = 1;; calls++) {
        dq_looked looked = look(&s, "one", /*limit=*/2, 1 << 20, &at);

        n += looked.n;
        assert_in_range(calls, 1, N);
        put_in_place(&s);
        if (!looked.more)
            break;
    }
    assert_int_equal(n, N);
    at = (dq_look_at){0};
    assert_int_equal(look(&s, "one", 100, 1 << 20, &at).n, 0); /* it is done with */
    assert_int_equal(look(&s, "two", 100, 1 << 20, &at).n, N);
    close_scene(&s);
}

static void one_that_went_away_is_no_reason_to_begin_again(void **state)
{
    scene s = open_scene(*state, 1);
    dq_look_at at = {0};
    dureq_error err = {0};
    dureq_job_id last = {0};
    dq_id id;

    assert_int_equal(look(&s, "one", 3, 1 << 20, &at).n, 3);
    put_in_place(&s);
    assert_true(dq_id_unpack(dureq_str_of(at.id, at.n_id), &id));
    dq_id_to_text(&id, &last);
    if (dureq_client_delete_schedule(s.client, last.text, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(look(&s, "one", 100, 1 << 20, &at).n, N - 3);
    for (int i = 0; i < N; i++)
        if (strcmp(s.ids[i].text, last.text) == 0)
            make_one(&s, &s.ids[i]); /* for close_scene */
    close_scene(&s);
}

static void large_definitions_are_read_few_in_a_call(void **state)
{
    scene s = open_scene(*state, 30000);
    dq_look_at at = {0};
    dq_looked looked = look(&s, "one", 100, 50000, &at);

    assert_int_equal(looked.n, 2);
    assert_true(looked.more);
    looked = look(&s, "one", 100, 1 << 20, &at);
    assert_int_equal(looked.n, N - 2);
    assert_false(looked.more);
    close_scene(&s);
}

/* Else a leader of the version before would find nothing to do, and leave those that were computed by the other one. */
static void what_was_not_gone_through_to_the_end_is_begun_again_by_any_version(void **state)
{
    scene s = open_scene(*state, 1);
    dq_look_at at = {0};

    assert_int_equal(look(&s, "one", 100, 1 << 20, &at).n, N);
    put_in_place(&s);
    at = (dq_look_at){0};
    assert_true(look(&s, "two", 3, 1 << 20, &at).more);
    put_in_place(&s);
    at = (dq_look_at){0};
    assert_int_equal(look(&s, "one", 100, 1 << 20, &at).n, N);
    close_scene(&s);
}

/* A page goes on after the schedule that the page before ended with, also when that is gone. */
static void a_page_goes_on_after_one_that_went_away(void **state)
{
    scene s = open_scene(*state, 1);
    char score[40], packed[DQ_ID_BYTES];
    dq_schedules_page page;
    dq_schedule_view v = {0};
    dureq_job_id last = {0};
    dureq_error err = {0};
    dq_buf call = {0};
    dq_reply reply, row;
    dq_id id;

    dq_call_schedules_page(&call, dq_store_keys(s.w->s.store), 0, (dureq_str){0}, (dureq_str){0}, 3, 1 << 20);
    reply = test_store_call(&s.w->s, 0, &call, NULL);
    assert_int_equal(dq_schedules_page_decode(&reply, &page), 0);
    assert_int_equal(page.n, 3);
    row = page.rows;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(dq_schedule_view_decode(row, &v), 0);
        row = i < 2 ? dq_reply_next(row) : row;
    }
    assert_true(v.score.len < sizeof score);
    memcpy(score, v.score.ptr, v.score.len);
    memcpy(packed, v.id.ptr, sizeof packed);
    size_t n_score = v.score.len;
    assert_true(dq_id_unpack(v.id, &id));
    dq_id_to_text(&id, &last);
    if (dureq_client_delete_schedule(s.client, last.text, &err) < 0)
        fail_msg("%s", err.msg);
    call = (dq_buf){0};
    dq_call_schedules_page(&call, dq_store_keys(s.w->s.store), 0, dureq_str_of(score, n_score),
                           dureq_str_of(packed, sizeof packed), 100, 1 << 20);
    reply = test_store_call(&s.w->s, 0, &call, NULL);
    assert_int_equal(dq_schedules_page_decode(&reply, &page), 0);
    assert_int_equal(page.n, N - 3);
    for (int i = 0; i < N; i++)
        if (strcmp(s.ids[i].text, last.text) == 0)
            make_one(&s, &s.ids[i]);
    close_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WORLDS(of_many_at_the_same_time_each_is_looked_at_once),
        TEST_WORLDS(one_that_went_away_is_no_reason_to_begin_again),
        TEST_WORLDS(large_definitions_are_read_few_in_a_call),
        TEST_WORLDS(what_was_not_gone_through_to_the_end_is_begun_again_by_any_version),
        TEST_WORLDS(a_page_goes_on_after_one_that_went_away),
    };

    return cmocka_run_group_tests(tests, test_world_group_start, test_world_group_stop);
}
