/* SPDX-License-Identifier: Apache-2.0 */
/* What a leader sends of schedules that are due: the same call again, a late one, one of an old definition and one of an old epoch do nothing. */
#include "test_jobs.h"

#include "base/date.h"
#include "store/schedule_calls.h"

#include <dureq/schedule.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WOUND_BACK_S 300

typedef struct scene {
    test_world *w;
    dureq_client *client;
    dureq_job_id text;
    test_id id;
    unsigned shard;
} scene;

/* As if nobody had looked at it for five minutes: what came round since is due now. */
static void wind_back(scene *s)
{
    (void)test_plant(s->w, s->shard, &s->id,
                     "local f = '>BBI4I6I6I6I4I4' local v = { unpk(f, call('HGET', K .. 'sch:s', id)) } "
                     "v[4], v[5], v[6] = v[4] - 300000, v[5] - 300, 0 "
                     "call('HSET', K .. 'sch:s', id, pack(f, unpack(v, 1, 8))) call('ZADD', K .. 'sch', 0, id)");
}

/* One that comes round each second, max times (0: without end), and does so since five minutes. */
static scene open_limited(test_world *w, dureq_overlap policy, int32_t max)
{
    dureq_client_options o = dureq_client_options_init();
    dureq_schedule schedule = dureq_schedule_init();
    dureq_job_options jo = dureq_job_options_init();
    dureq_job_spec spec = {.task_type = "t", .payload = DQ_STR_LIT("1"), .options = &jo};
    dureq_error err = {0};
    scene s = {.w = w};
    dq_id id;

    o.redis_url = test_redis_url(w->server);
    schedule.type = DUREQ_SCHEDULE_DURATION;
    schedule.interval_ms = 1000;
    schedule.overlap_policy = policy;
    schedule.max_occurrences = max;
    if (dureq_client_create(&o, &s.client, &err) < 0 ||
        dureq_client_create_schedule(s.client, &schedule, &spec, &s.text, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(dq_id_parse(dureq_str_from(s.text.text), &id), 0);
    dq_id_pack(&id, (unsigned char *)s.id.bytes);
    s.shard = id.shard;
    wind_back(&s);
    return s;
}

static scene open_scene(test_world *w, dureq_overlap policy)
{
    return open_limited(w, policy, /*max=*/0);
}

/* What the leader sees of it now. */
static dq_due_schedule look(scene *s)
{
    dq_due_schedules due;
    dq_due_schedule ret;
    dq_buf call = {0};
    dq_reply reply;

    dq_call_schedule_due(&call, dq_store_keys(s->w->s.store), s->shard, s->w->leader[s->shard]);
    reply = test_store_call(&s->w->s, s->shard, &call, NULL);
    assert_int_equal(dq_schedule_due_decode(&reply, &due), 0);
    assert_int_equal(due.left, 1);
    assert_int_equal(dq_due_schedules_next(&due, &ret), 1);
    ret.id = test_id_str(&s->id); /* the answer's bytes are gone with the next call */
    return ret;
}

/* n occurrences after what was seen; due again at once, so that a call that is too late is not kept out by the time. */
static dq_fired fire_as(scene *s, dq_term t, const dq_due_schedule *seen, size_t n, uint32_t edit, int *ret_code)
{
    int64_t at[8], cursor = seen->state.cursor;
    dq_firing f = {.next = cursor + (int64_t)n + 1, .due_ms = 1, .at = at, .n = n, .missed = {.n = -1}, .edit = edit};
    dq_fired fired = {0};
    DQ_BUF_AUTO bytes = {0};
    dq_reply reply;

    for (size_t i = 0; i < n; i++)
        at[i] = cursor + 1 + (int64_t)i;
    f.to.cursor = cursor; /* where the old one was, so that only the version tells them apart */
    f.to.next = cursor + 1;
    f.to.due_ms = 1;
    dq_call call = dq_call_schedule_fire(&bytes, dq_store_keys(s->w->s.store), s->shard, t);
    dq_fire_add(&call, seen, &f);
    dq_call_end(&call);
    reply = test_store_call(&s->w->s, s->shard, &bytes, ret_code);
    if (!ret_code || *ret_code == 0)
        assert_int_equal(dq_schedule_fire_decode(&reply, &fired), 0);
    return fired;
}

static dq_fired fire(scene *s, const dq_due_schedule *seen, size_t n)
{
    return fire_as(s, s->w->leader[s->shard], seen, n, 0, NULL);
}

/* All that a firing may write: state, due time, definition, the change that waits, records, what is active and waits, the jobs. */
static char *snapshot(scene *s)
{
    dureq_str text = dq_reply_str(test_plant(
        s->w, s->shard, &s->id,
        "local lane = call('HGET', K .. 'lanes', 'normal|t|') or 0 "
        "local t = { call('HGET', K .. 'sch:s', id), call('ZSCORE', K .. 'sch', id), call('HGET', K .. 'sch:d', id), "
        "call('HGET', K .. 'sch:e', id) or '-', table.concat(call('LRANGE', K .. 'so:' .. id, 0, -1)), call('SCARD', K .. 'sa:' .. id), "
        "call('LLEN', K .. 'sb:' .. id), call('XLEN', K .. 'l:' .. lane) } "
        "local hex = string.gsub(table.concat(t, '/'), '.', function(c) return string.format('%02x', string.byte(c)) end) return hex"));
    char *ret = strndup(text.ptr, text.len);

    assert_true(text.len > 0);
    return ret;
}

static void expect_as(scene *s, char *before)
{
    char *now = snapshot(s);

    assert_string_equal(now, before);
    free(now);
    free(before);
}

static int64_t n_jobs(scene *s)
{
    return dq_reply_int(
        test_plant(s->w, s->shard, NULL, "return call('XLEN', K .. 'l:' .. call('HGET', K .. 'lanes', 'normal|t|'))"));
}

static int64_t n_active(scene *s)
{
    return dq_reply_int(test_plant(s->w, s->shard, &s->id, "return call('SCARD', K .. 'sa:' .. id)"));
}

/* The doctor comes after each test, and schedules that nobody looks at are late: none is left. */
static void close_scene(scene *s)
{
    dureq_error err = {0};

    if (dureq_client_delete_schedule(s->client, s->text.text, &err) < 0)
        fail_msg("%s", err.msg);
    dureq_client_destroy(s->client);
}

static void the_same_call_again_does_nothing(void **state)
{
    scene s = open_scene(*state, DUREQ_OVERLAP_ALLOW_ALL);
    dq_due_schedule seen = look(&s);
    dq_fired fired = fire(&s, &seen, 3);
    char *before = snapshot(&s);

    assert_int_equal(fired.n, 3);
    assert_int_equal(fired.n_stale, 0);
    assert_int_equal(n_jobs(&s), 3);
    for (int i = 0; i < 2; i++) {
        fired = fire(&s, &seen, 3);
        assert_int_equal(fired.n, 0);
        assert_int_equal(fired.n_stale, 1);
    }
    expect_as(&s, before);
    close_scene(&s);
}

static void a_late_call_does_nothing_though_it_says_more(void **state)
{
    scene s = open_scene(*state, DUREQ_OVERLAP_ALLOW_ALL);
    dq_due_schedule first = look(&s), second;

    assert_int_equal(fire(&s, &first, 1).n, 1);
    second = look(&s);
    assert_int_equal(second.state.cursor, first.state.cursor + 1);
    assert_int_equal(fire(&s, &second, 2).n, 2);
    char *before = snapshot(&s);
    assert_int_equal(fire(&s, &first, 8).n_stale, 1);
    assert_int_equal(fire(&s, &second, 8).n_stale, 1);
    expect_as(&s, before);
    assert_int_equal(n_jobs(&s), 3);
    close_scene(&s);
}

static void a_call_before_its_time_does_nothing(void **state)
{
    scene s = open_scene(*state, DUREQ_OVERLAP_ALLOW_ALL);
    dq_due_schedule seen = look(&s);

    (void)test_plant(s.w, s.shard, &s.id, "call('ZADD', K .. 'sch', now + 60000, id)");
    char *before = snapshot(&s);
    assert_int_equal(fire(&s, &seen, 1).n_stale, 1);
    expect_as(&s, before);
    close_scene(&s);
}

static void a_call_of_an_old_definition_does_nothing(void **state)
{
    scene s = open_scene(*state, DUREQ_OVERLAP_ALLOW_ALL);
    dq_due_schedule old = look(&s), now;
    dureq_schedule other = dureq_schedule_init();
    dureq_error err = {0};

    other.type = DUREQ_SCHEDULE_DURATION;
    other.interval_ms = 2000;
    if (dureq_client_edit_schedule(s.client, s.text.text, &other, NULL, &err) < 0)
        fail_msg("%s", err.msg);
    now = look(&s);
    assert_true(now.is_edited);
    /* Another change than the one that waits takes nobody's place. */
    assert_int_equal(fire_as(&s, s.w->leader[s.shard], &now, 0, now.edit.number + 1, NULL).n_stale, 0);
    assert_true(look(&s).is_edited);
    assert_int_equal(look(&s).state.version, old.state.version);
    now = look(&s);
    assert_int_equal(fire_as(&s, s.w->leader[s.shard], &now, 0, now.edit.number, NULL).n_stale, 0);
    now = look(&s);
    assert_false(now.is_edited);
    assert_int_not_equal(now.state.version, old.state.version);
    assert_int_equal(now.state.cursor, old.state.cursor);
    char *before = snapshot(&s);
    assert_int_equal(fire(&s, &old, 3).n_stale, 1);
    expect_as(&s, before);
    close_scene(&s);
}

static void a_call_of_an_old_epoch_is_refused(void **state)
{
    scene s = open_scene(*state, DUREQ_OVERLAP_ALLOW_ALL);
    test_world *w = s.w;
    dq_term old = w->leader[s.shard];
    dq_due_schedule seen = look(&s);
    int code = 0;

    test_session_close(w, s.shard, old.session);
    w->leader[s.shard].session = test_session_open(w, s.shard, "next", 60000);
    w->leader[s.shard].epoch =
        dq_reply_int(dq_reply_at(test_session_beat(w, s.shard, w->leader[s.shard].session, 60000, true, NULL), 1));
    assert_int_equal(w->leader[s.shard].epoch, old.epoch + 1);
    const dq_term others[] = {
        old, {.session = old.session, .epoch = old.epoch + 1}, {.session = w->leader[s.shard].session, .epoch = old.epoch}};
    char *before = snapshot(&s);
    for (size_t i = 0; i < DQ_ARRAY_LEN(others); i++) {
        (void)fire_as(&s, others[i], &seen, 3, 0, &code);
        assert_int_equal(code, DUREQ_EFENCED);
    }
    expect_as(&s, before);
    assert_int_equal(fire(&s, &seen, 3).n, 3);
    close_scene(&s);
}

/* 200 of them active at a time: what is past, by hand. */
static void have_many_active(scene *s)
{
    dureq_overlap all = DUREQ_OVERLAP_ALLOW_ALL;
    int64_t n = 0, from_ms = dq_floor_div(test_server_ms(s->w), 1000) * 1000 - (WOUND_BACK_S - 10) * 1000;
    dureq_error err = {0};

    if (dureq_client_backfill_schedule(s->client, s->text.text, from_ms, from_ms + 199999, &all, &n, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(n, 200);
    assert_int_equal(n_active(s), 200);
}

static void what_is_replaced_is_cancelled_some_in_a_step_before_the_newest_starts(void **state)
{
    scene s = open_scene(*state, DUREQ_OVERLAP_REPLACE);
    const int64_t left[] = {200 - 64, 200 - 128, 200 - 192};
    dq_due_schedule seen;

    have_many_active(&s);
    seen = look(&s);
    for (size_t i = 0; i < DQ_ARRAY_LEN(left); i++) {
        dq_fired fired = fire(&s, &seen, 1);

        assert_int_equal(fired.n, 0);
        assert_int_equal(fired.n_stale, 0);
        assert_in_range(fired.next_ms, 1, fired.now_ms); /* at once */
        assert_int_equal(n_active(&s), left[i]);
        assert_int_equal(look(&s).state.cursor, seen.state.cursor);
    }
    assert_int_equal(fire(&s, &seen, 1).n, 1);
    assert_int_equal(n_active(&s), 1);
    assert_int_equal(look(&s).state.cursor, seen.state.cursor + 1);
    close_scene(&s);
}

static void one_by_hand_replaces_all_that_are_active(void **state)
{
    scene s = open_scene(*state, DUREQ_OVERLAP_REPLACE);
    dureq_job_id job = {0};
    dureq_error err = {0};

    have_many_active(&s);
    if (dureq_client_trigger_schedule(s.client, s.text.text, NULL, &job, &err) < 0)
        fail_msg("%s", err.msg);
    assert_true(job.text[0]);
    assert_int_equal(n_active(&s), 1);
    close_scene(&s);
}

#define LINGERING 5000

/* Ended, and their handlers have not: as many as there are. */
static void have_many_lingering(scene *s)
{
    (void)test_plant(s->w, s->shard, &s->id,
                     "for i = 1, 5000 do local job = string.format('%013d', i) "
                     "call('HSET', K .. 'sch:l', job, id) call('SADD', K .. 'sa:' .. id, job) end");
}

/* Calls until the next one has been settled; how many it took. */
static int fire_next(scene *s)
{
    dq_due_schedule seen = look(s);

    for (int n = 1;; n++) {
        assert_in_range(n, 1, 100);
        (void)fire(s, &seen, 1);
        if (look(s).state.cursor > seen.state.cursor)
            return n;
    }
}

static bool has_scanned(scene *s)
{
    dureq_str stats = dq_reply_str(test_command(s->w, "INFO", "commandstats", NULL));

    assert_true(stats.len > 0);
    return memmem(stats.ptr, stats.len, "cmdstat_sscan:", strlen("cmdstat_sscan:")) != NULL;
}

static void what_lingers_is_passed_over_once_some_in_a_step(void **state)
{
    scene s = open_scene(*state, DUREQ_OVERLAP_REPLACE);
    dureq_overlap all = DUREQ_OVERLAP_ALLOW_ALL;
    dureq_error err = {0};
    dureq_job_id text;
    test_id job;
    dq_id id;

    have_many_lingering(&s);
    assert_in_range(fire_next(&s), 2, 10);
    (void)test_command(s.w, "CONFIG", "RESETSTAT", NULL);
    for (int i = 0; i < 3; i++)
        assert_int_equal(fire_next(&s), 1);
    assert_false(has_scanned(&s));
    assert_int_equal(n_active(&s), LINGERING);

    /* What is active since is cancelled all the same. */
    if (dureq_client_trigger_schedule(s.client, s.text.text, &all, &text, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(n_active(&s), LINGERING + 1);
    (void)fire_next(&s);
    assert_int_equal(n_active(&s), LINGERING);
    assert_int_equal(dq_id_parse(dureq_str_from(text.text), &id), 0);
    dq_id_pack(&id, (unsigned char *)job.bytes);
    assert_int_equal(test_job_state(s.w, s.shard, &job), DUREQ_JOB_CANCELLED);
    (void)test_plant(s.w, s.shard, &s.id, "call('DEL', K .. 'sch:l', K .. 'sa:' .. id)");
    close_scene(&s);
}

/* ---- what happens between the look and the call ---- */

static void pause_it(scene *s)
{
    dureq_error err = {0};

    if (dureq_client_pause_schedule(s->client, s->text.text, &err) < 0)
        fail_msg("%s", err.msg);
}

static void edit_it(scene *s, int64_t interval_ms)
{
    dureq_schedule other = dureq_schedule_init();
    dureq_error err = {0};

    other.type = DUREQ_SCHEDULE_DURATION;
    other.interval_ms = interval_ms;
    if (dureq_client_edit_schedule(s->client, s->text.text, &other, NULL, &err) < 0)
        fail_msg("%s", err.msg);
}

static bool is_looked_at(scene *s)
{
    return dq_reply_int(
               test_plant(s->w, s->shard, &s->id, "return tonumber(call('ZSCORE', K .. 'sch', id)) <= now and 1 or 0")) == 1;
}

static void resume_it(scene *s)
{
    dureq_error err = {0};

    if (dureq_client_resume_schedule(s->client, s->text.text, &err) < 0)
        fail_msg("%s", err.msg);
}

static void a_pause_between_leaves_what_came_round_to_the_next_look(void **state)
{
    scene s = open_scene(*state, DUREQ_OVERLAP_ALLOW_ALL);
    dq_due_schedule seen;

    edit_it(&s, 2000);
    seen = look(&s);
    pause_it(&s);
    (void)test_plant(s.w, s.shard, &s.id,
                     "call('ZADD', K .. 'sch', 0, id)"); /* as an earlier version has it while a change waits */
    assert_int_equal(fire_as(&s, s.w->leader[s.shard], &seen, 3, seen.edit.number, NULL).n, 0);
    assert_false(is_looked_at(&s));
    resume_it(&s);
    assert_true(look(&s).is_edited); /* else the three would be neither dispatched nor recorded */
    assert_int_equal(look(&s).state.cursor, seen.state.cursor);
    close_scene(&s);
}

/* What came round before it counts as it was then: that is known when it is resumed. */
static void a_change_of_a_paused_one_waits_for_the_resume(void **state)
{
    scene s = open_scene(*state, DUREQ_OVERLAP_ALLOW_ALL);
    dq_due_schedule seen = look(&s);

    pause_it(&s);
    edit_it(&s, 2000);
    edit_it(&s, 3000);
    assert_false(is_looked_at(&s));
    resume_it(&s);
    assert_true(look(&s).is_edited);
    assert_int_equal(look(&s).state.version, seen.state.version);
    assert_int_equal(look(&s).state.cursor, seen.state.cursor);
    close_scene(&s);
}

static dq_fired fire_at(scene *s, const dq_due_schedule *seen, dq_firing *f)
{
    DQ_BUF_AUTO bytes = {0};
    dq_fired fired = {0};
    dq_reply reply;

    f->missed.n = -1;
    dq_call call = dq_call_schedule_fire(&bytes, dq_store_keys(s->w->s.store), s->shard, s->w->leader[s->shard]);
    dq_fire_add(&call, seen, f);
    dq_call_end(&call);
    reply = test_store_call(&s->w->s, s->shard, &bytes, NULL);
    assert_int_equal(dq_schedule_fire_decode(&reply, &fired), 0);
    return fired;
}

static void a_clock_that_was_set_back_loses_no_last_occurrence(void **state)
{
    scene s = open_scene(*state, DUREQ_OVERLAP_ALLOW_ALL);
    dq_due_schedule seen = look(&s);
    int64_t at[] = {seen.state.cursor + 1, seen.state.cursor + 86400};

    dq_fired fired = fire_at(&s, &seen, &(dq_firing){.next = 0, .at = at, .n = 2});
    assert_int_equal(fired.n, 1);
    assert_int_equal(dq_reply_int(test_plant(s.w, s.shard, &s.id, "return tonumber(call('ZSCORE', K .. 'sch', id))")),
                     at[1] * 1000);
    assert_int_equal(dq_reply_int(test_plant(s.w, s.shard, &s.id, "return string.byte(call('HGET', K .. 'sch:s', id), 2)")), 0);
    close_scene(&s);
}

static void a_change_that_has_to_wait_lets_the_pace_be(void **state)
{
    scene s = open_scene(*state, DUREQ_OVERLAP_ALLOW_ALL);
    dq_due_schedule seen;
    int64_t at, due_ms = test_server_ms(s.w) + 60000;

    edit_it(&s, 2000);
    seen = look(&s);
    at = seen.state.cursor + 1;
    dq_firing f = {.next = at + 1, .due_ms = due_ms, .at = &at, .n = 1, .edit = seen.edit.number, .to = {.cursor = -1}};
    assert_int_equal(fire_at(&s, &seen, &f).n, 1);
    assert_int_equal(dq_reply_int(test_plant(s.w, s.shard, &s.id, "return tonumber(call('ZSCORE', K .. 'sch', id))")), due_ms);
    assert_int_equal(dq_reply_int(test_plant(s.w, s.shard, &s.id, "return call('HEXISTS', K .. 'sch:e', id)")), 1);
    close_scene(&s);
}

static int64_t n_keys(scene *s)
{
    return dq_reply_int(test_plant(s->w, s->shard, NULL, "return #call('KEYS', K .. 'u:*')"));
}

/* The key of a change is held from when it came, before its definition takes the other's place. */
static void one_that_is_deleted_with_a_change_lets_the_key_of_that_go(void **state)
{
    scene s = open_scene(*state, DUREQ_OVERLAP_ALLOW_ALL);
    dureq_job_options jo = dureq_job_options_init();
    dureq_job_spec spec = {.task_type = "t", .payload = DQ_STR_LIT("1"), .options = &jo};
    dureq_error err = {0};
    char key = 'a';
    int rc;

    do { /* one that is at home where the schedule is */
        jo.unique_key = dureq_str_of(&key, 1);
        rc = dureq_client_edit_schedule(s.client, s.text.text, NULL, &spec, &err);
    } while (rc < 0 && key++ < 'z');
    if (rc < 0)
        fail_msg("%s", err.msg);
    assert_true(look(&s).is_edited);
    assert_int_equal(n_keys(&s), 1);
    close_scene(&s);
    assert_int_equal(n_keys(&s), 0);
}

/* ---- what cannot be read ---- */

static void one_that_cannot_be_read_holds_up_no_other(void **state)
{
    static const char *const broken[] = {
        "call('HSET', K .. 'sch:d', 'one', 'x')",
        "call('HSET', K .. 'sch:s', 'one', string.char(9) .. string.sub(call('HGET', K .. 'sch:s', 'one'), 2))",
        "call('HSET', K .. 'sch:s', 'one', 'x')",
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(broken); i++) {
        scene s = open_scene(*state, DUREQ_OVERLAP_ALLOW_ALL);

        (void)test_plant(
            s.w, s.shard, &s.id,
            "for _, part in ipairs({ 'sch:s', 'sch:d' }) do call('HSET', K .. part, 'one', call('HGET', K .. part, id)) end "
            "call('ZADD', K .. 'sch', -1, 'one')");
        (void)test_plant(s.w, s.shard, NULL, broken[i]);
        dq_due_schedule seen = look(&s); /* it alone */
        assert_int_equal(fire(&s, &seen, 1).n, 1);
        assert_int_equal(
            dq_reply_int(test_plant(s.w, s.shard, NULL, "return call('ZCOUNT', K .. 'sch', now + 3500000, now + 3600000)")), 1);
        (void)test_plant(s.w, s.shard, NULL,
                         "call('HDEL', K .. 'sch:s', 'one') call('HDEL', K .. 'sch:d', 'one') call('ZREM', K .. 'sch', 'one')");
        close_scene(&s);
    }
}

/* ---- what counts ---- */

static int64_t n_taken(scene *s)
{
    return dq_reply_int(test_plant(
        s->w, s->shard, &s->id, "local f = '>BBI4I6I6I6I4I4' local v = { unpk(f, call('HGET', K .. 'sch:s', id)) } return v[7]"));
}

/* A change waits until all that came round before it is settled, which takes two calls here. */
static void a_change_that_waits_lets_no_more_through_than_the_limit(void **state)
{
    scene s = open_limited(*state, DUREQ_OVERLAP_ALLOW_ALL, 2);
    int64_t at[3], due_ms = test_server_ms(s.w) - 1000;

    edit_it(&s, 2000);
    for (int i = 0; i < 2; i++) {
        dq_due_schedule seen = look(&s);
        dq_firing f = {.due_ms = due_ms, .at = at, .n = 3, .edit = seen.edit.number, .to = {.cursor = -1}};

        for (int k = 0; k < 3; k++)
            at[k] = seen.state.cursor + 1 + k;
        f.next = at[2] + 1;
        assert_int_equal(fire_at(&s, &seen, &f).n, i == 0 ? 2 : 0);
        assert_int_equal(n_taken(&s), 2);
    }
    assert_int_equal(look(&s).state.cursor, at[2]);
    assert_true(look(&s).is_edited);
    close_scene(&s);
}

static void trigger_as(scene *s, dureq_overlap policy)
{
    dureq_job_id job;
    dureq_error err = {0};

    if (dureq_client_trigger_schedule(s->client, s->text.text, &policy, &job, &err) < 0)
        fail_msg("%s", err.msg);
}

static void what_waits_by_hand_and_is_replaced_does_not_count(void **state)
{
    scene s = open_scene(*state, DUREQ_OVERLAP_REPLACE);
    dq_due_schedule seen = look(&s);

    assert_int_equal(fire(&s, &seen, 1).n, 1);
    trigger_as(&s, DUREQ_OVERLAP_BUFFER_ALL);
    assert_int_equal(n_taken(&s), 1);
    seen = look(&s);
    assert_int_equal(fire(&s, &seen, 1).n, 1);
    assert_int_equal(n_taken(&s), 2);
    close_scene(&s);
}

static void what_waits_and_is_replaced_by_hand_counts_no_more(void **state)
{
    scene s = open_scene(*state, DUREQ_OVERLAP_BUFFER_ALL);
    dq_due_schedule seen = look(&s);

    assert_int_equal(fire(&s, &seen, 2).n, 1);
    assert_int_equal(n_taken(&s), 2);
    trigger_as(&s, DUREQ_OVERLAP_REPLACE);
    assert_int_equal(n_taken(&s), 1);
    close_scene(&s);
}

static void what_is_left_out_takes_no_room_in_its_queue(void **state)
{
    scene s = open_scene(*state, DUREQ_OVERLAP_SKIP);
    dq_due_schedule seen = look(&s);

    assert_int_equal(fire(&s, &seen, 1).n, 1);
    (void)test_plant(
        s.w, s.shard, NULL,
        "call('XREADGROUP', 'GROUP', 'g', '1', 'COUNT', '1', 'STREAMS', K .. 'l:' .. call('HGET', K .. 'lanes', 'normal|t|'), '>') "
        "call('SET', K .. 'row', call('HGET', K .. 'q', 'normal')) "
        "call('HSET', K .. 'q', 'normal', pack('>I6', 1) .. string.sub(call('HGET', K .. 'q', 'normal'), 7))");
    seen = look(&s);
    assert_int_equal(fire(&s, &seen, 2).n, 0);
    assert_int_equal(look(&s).state.cursor, seen.state.cursor + 2); /* both were left out, none is held */
    (void)test_plant(
        s.w, s.shard, NULL,
        "call('HSET', K .. 'q', 'normal', call('GET', K .. 'row')) call('DEL', K .. 'row') "
        "local key = K .. 'l:' .. call('HGET', K .. 'lanes', 'normal|t|') "
        "for _, e in ipairs(call('XRANGE', key, '-', '+')) do call('XACK', key, 'g', e[1]) call('XDEL', key, e[1]) end "
        "call('XGROUP', 'DELCONSUMER', key, 'g', '1')");
    close_scene(&s);
}

/* Of a job that ended before its handler, and was started again since. */
static void one_that_is_retried_stays_active_when_its_last_handler_ends(void **state)
{
    scene s = open_scene(*state, DUREQ_OVERLAP_ALLOW_ALL);
    dureq_overlap skip = DUREQ_OVERLAP_SKIP;
    dureq_job_id text;
    dureq_error err = {0};
    test_id job;
    dq_id id;

    if (dureq_client_trigger_schedule(s.client, s.text.text, &skip, &text, &err) < 0 ||
        dureq_client_cancel(s.client, text.text, NULL, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(dq_id_parse(dureq_str_from(text.text), &id), 0);
    dq_id_pack(&id, (unsigned char *)job.bytes);
    (void)test_plant(s.w, s.shard, &job,
                     "local of = call('HKEYS', K .. 'sch:s')[1] local session = call('HGET', K .. 'sh', 'tk') "
                     "call('HSET', K .. 'sch:l', id, of) call('SADD', K .. 'sa:' .. of, id) "
                     "call('HSET', K .. 'lr', id, pack('>I6I2', tonumber(session), 1)) "
                     "call('SADD', K .. 'lr:' .. session, id .. pack('>I2', 1))");
    if (dureq_client_retry(s.client, text.text, /*force=*/false, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(dq_reply_int(test_plant(s.w, s.shard, &job, "return call('HEXISTS', K .. 'sch:l', id)")), 0);
    assert_int_equal(n_active(&s), 1);
    (void)test_plant(s.w, s.shard, &job, "call('DEL', K .. 'lr', K .. 'lr:' .. call('HGET', K .. 'sh', 'tk'))");
    close_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WORLDS(the_same_call_again_does_nothing),
        TEST_WORLDS(a_late_call_does_nothing_though_it_says_more),
        TEST_WORLDS(a_call_before_its_time_does_nothing),
        TEST_WORLDS(a_call_of_an_old_definition_does_nothing),
        TEST_WORLDS(a_call_of_an_old_epoch_is_refused),
        TEST_WORLDS(what_is_replaced_is_cancelled_some_in_a_step_before_the_newest_starts),
        TEST_WORLDS(one_by_hand_replaces_all_that_are_active),
        TEST_WORLDS(what_lingers_is_passed_over_once_some_in_a_step),
        TEST_WORLDS(a_pause_between_leaves_what_came_round_to_the_next_look),
        TEST_WORLDS(a_change_of_a_paused_one_waits_for_the_resume),
        TEST_WORLDS(a_clock_that_was_set_back_loses_no_last_occurrence),
        TEST_WORLDS(a_change_that_has_to_wait_lets_the_pace_be),
        TEST_WORLDS(one_that_is_deleted_with_a_change_lets_the_key_of_that_go),
        TEST_WORLDS(one_that_cannot_be_read_holds_up_no_other),
        TEST_WORLDS(a_change_that_waits_lets_no_more_through_than_the_limit),
        TEST_WORLDS(what_waits_by_hand_and_is_replaced_does_not_count),
        TEST_WORLDS(what_waits_and_is_replaced_by_hand_counts_no_more),
        TEST_WORLDS(what_is_left_out_takes_no_room_in_its_queue),
        TEST_WORLDS(one_that_is_retried_stays_active_when_its_last_handler_ends),
    };

    return cmocka_run_group_tests(tests, test_world_group_start, test_world_group_stop);
}
