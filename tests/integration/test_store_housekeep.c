/* SPDX-License-Identifier: Apache-2.0 */
#include "test_places.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define DAY_MS 86400000LL

/* As a node without options keeps. */
static const dq_keep usual = {.dead_ms = DQ_RETENTION_DEAD_DEFAULT_MS,
                              .audit_ms = DQ_RETENTION_AUDIT_DEFAULT_MS,
                              .minutes_ms = DQ_RETENTION_MINUTES_DEFAULT_MS,
                              .hours_ms = DQ_RETENTION_HOURS_DEFAULT_MS,
                              .days_ms = DQ_RETENTION_DAYS_DEFAULT_MS};

static dq_kept keep_for(test_world *w, unsigned shard, dq_term t, const dq_keep *times, bool memory_short, int *ret_code)
{
    dq_kept k = {0};
    dq_buf call = {0};
    dq_reply reply;

    dq_call_housekeep(&call, dq_store_keys(w->s.store), shard, t, times, memory_short);
    reply = test_store_call(&w->s, shard, &call, ret_code);
    if (!ret_code || *ret_code == 0)
        assert_int_equal(dq_housekeep_decode(&reply, &k), 0);
    return k;
}

static dq_kept keep_as(test_world *w, unsigned shard, dq_term t, int64_t dead_ms, bool memory_short, int *ret_code)
{
    dq_keep times = usual;

    times.dead_ms = dead_ms;
    return keep_for(w, shard, t, &times, memory_short, ret_code);
}

static dq_kept keep(test_world *w, unsigned shard)
{
    return keep_as(w, shard, w->leader[shard], 30 * DAY_MS, false, NULL);
}

/* Until there is no more to do; how many steps that took. */
static int keep_all(test_world *w, unsigned shard)
{
    int steps = 1;

    for (; keep(w, shard).more; steps++)
        assert_true(steps < 1000);
    return steps;
}

static unsigned last_shard(const test_world *w)
{
    return w->n_shards - 1;
}

static void a_young_shard_needs_nothing(void **state)
{
    test_world *w = *state;
    dq_kept k;

    (void)test_job_add(w, 0, NULL, "mail", "x");
    (void)keep_all(w, 0);
    k = keep(w, 0);
    assert_false(k.more);
    assert_int_equal(k.n_dead, 0);
    assert_int_equal(k.next_late_ms, -1);
}

static void only_the_leader_of_this_epoch_may(void **state)
{
    test_world *w = *state;
    dq_term t = w->leader[last_shard(w)];
    int code;

    t.epoch++;
    (void)keep_as(w, last_shard(w), t, 0, false, &code);
    assert_int_equal(code, DUREQ_EFENCED);
}

/* ---- those who waited and went away ---- */

static void waits_of_clients_that_are_gone_are_cleared_away(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    test_id id = test_job_add(w, shard, NULL, "mail", "x");

    assert_int_equal(dq_store_subscribe(w->s.store, shard, "d:", DQ_STR_LIT("me")), 0);
    (void)test_plant(
        w, shard, &id,
        "call('HSET', K .. 'wt', id, 'gone me away') for i = 1, 300 do call('HSET', K .. 'wt', 'job' .. i, 'gone') end");
    assert_true(keep(w, shard).more); /* many are */
    for (int i = 0; i < 1000 && dq_reply_int(test_key(w, "HLEN", shard, "wt", (dureq_str){0})) > 1; i++)
        (void)keep(w, shard);
    assert_int_equal(dq_reply_int(test_key(w, "HLEN", shard, "wt", (dureq_str){0})), 1);
    for (int i = 0; i < 3; i++)
        (void)keep_all(w, shard);
    assert_int_equal(dq_reply_int(test_key(w, "HSTRLEN", shard, "wt", dureq_str_of(id.bytes, sizeof id.bytes))), 2);
}

/* ---- schedule to start ---- */

static test_id add_with_limit(test_world *w, unsigned shard, dureq_job_options *o)
{
    o->schedule_to_start_timeout_ms = 60000;
    return test_job_add(w, shard, o, "mail", "x");
}

static void end_limit(test_world *w, unsigned shard, const test_id *id)
{
    (void)test_plant(w, shard, id, "call('ZADD', K .. 's2s', now - 1, id)");
}

static void a_job_that_waited_too_long_is_dead(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    dureq_job_options o = dureq_job_options_init();
    test_id id, other;
    dq_kept k;
    dq_row row;

    o.unique_key = DQ_STR_LIT("mine");
    id = add_with_limit(w, shard, &o);
    o.unique_key = (dureq_str){0};
    other = add_with_limit(w, shard, &o);
    assert_int_equal(dq_store_subscribe(w->s.store, shard, "d:", DQ_STR_LIT("me")), 0);
    (void)test_plant(w, shard, &id, "call('HSET', K .. 'wt', id, 'me')");
    end_limit(w, shard, &id);
    k = keep(w, shard);
    assert_int_equal(k.n_dead, 1);
    assert_in_range(k.next_late_ms, k.now_ms + 50000, k.now_ms + 60000);
    assert_int_equal(test_job_state(w, shard, &id), DUREQ_JOB_DEAD);
    assert_int_equal(test_job_state(w, shard, &other), DUREQ_JOB_PENDING);
    row = test_job_row(w, shard, &id);
    assert_true(dq_str_eq_text(row.reason, "schedule_to_start_timeout"));
    assert_int_equal(row.started_at_ms, 0);
    assert_false(test_key_exists(w, shard, "u:mine"));
    TEST_UNTIL(w->s.loop, w->s.n_messages == 1);
}

static void a_job_that_runs_or_ran_has_started(void **state)
{
    test_world *w = *state;
    dureq_job_options o = dureq_job_options_init();
    uint64_t session = test_session_open(w, 0, "n1", 60000);
    test_id running = add_with_limit(w, 0, &o), ended = add_with_limit(w, 0, &o), retrying;

    assert_int_equal(test_session_take(w, 0, session, test_lane(w, 0, "normal|mail|"), 1), 1);
    assert_int_equal(test_job_cancel(w, 0, &ended), 0);
    o.delay_ms = 3600000;
    retrying = add_with_limit(w, 0, &o);
    (void)test_plant(w, 0, &retrying, /* one run behind it */
                     "local r = call('HGET', K .. 'due:h', id) "
                     "call('HSET', K .. 'due:h', id, string.sub(r, 1, 20) .. pack('>I2', 1) .. string.sub(r, 23))");
    assert_int_equal(test_job_state(w, 0, &retrying), DUREQ_JOB_RETRYING);
    end_limit(w, 0, &running);
    end_limit(w, 0, &retrying);
    end_limit(w, 0, &ended); /* as if left behind */
    assert_int_equal(keep(w, 0).n_dead, 0);
    assert_int_equal(test_job_state(w, 0, &running), DUREQ_JOB_RUNNING);
    assert_int_equal(test_job_state(w, 0, &retrying), DUREQ_JOB_RETRYING);
    assert_false(test_key_exists(w, 0, "s2s"));
}

static int64_t limit_of(test_world *w, unsigned shard, const test_id *id)
{
    double score = 0; /* a double in RESP3 */

    assert_int_equal(dq_parse_f64(dq_reply_str(test_key(w, "ZSCORE", shard, "s2s", test_id_str(id))), &score), 0);
    return (int64_t)score;
}

static void a_start_put_off_by_hand_puts_the_limit_off(void **state)
{
    test_world *w = *state;
    dureq_job_options o = dureq_job_options_init();
    test_id later = add_with_limit(w, 0, &o), paused = add_with_limit(w, 0, &o);
    int64_t at_ms = test_server_ms(w) + 3600000;

    assert_int_equal(test_job_move(w, 0, DQ_JOB_RESCHEDULE, at_ms, &later), 0);
    assert_int_equal(test_job_move(w, 0, DQ_JOB_PAUSE, 0, &paused), 0);
    end_limit(w, 0, &later);
    end_limit(w, 0, &paused);
    assert_int_equal(keep(w, 0).n_dead, 0);
    assert_int_equal(test_job_state(w, 0, &later), DUREQ_JOB_SCHEDULED);
    assert_int_equal(test_job_state(w, 0, &paused), DUREQ_JOB_PAUSED);
    assert_int_equal(limit_of(w, 0, &later), at_ms + 60000);
    assert_true(limit_of(w, 0, &paused) > at_ms - 3600000);
}

static void many_paused_jobs_keep_nobody_busy(void **state)
{
    test_world *w = *state;
    dureq_job_options o = dureq_job_options_init();
    test_id ids[250];
    dq_kept k;
    int64_t first_ms;

    for (size_t i = 0; i < DQ_ARRAY_LEN(ids); i++) {
        ids[i] = add_with_limit(w, 0, &o);
        assert_int_equal(test_job_move(w, 0, DQ_JOB_PAUSE, 0, &ids[i]), 0);
        end_limit(w, 0, &ids[i]);
    }
    (void)keep_all(w, 0);
    k = keep(w, 0);
    first_ms = limit_of(w, 0, &ids[0]);
    assert_in_range(first_ms, k.now_ms + 590000, k.now_ms + 660000);
    for (size_t i = 0; i < DQ_ARRAY_LEN(ids); i++)
        assert_in_range(limit_of(w, 0, &ids[i]), first_ms, first_ms + 60000); /* two rounds at most */
    assert_int_equal(test_job_move(w, 0, DQ_JOB_RESUME, 0, &ids[0]), 0);
    assert_in_range(limit_of(w, 0, &ids[0]), k.now_ms + 60000, test_server_ms(w) + 60000);
    end_limit(w, 0, &ids[0]);
    assert_int_equal(keep(w, 0).n_dead, 1);
    assert_int_equal(test_job_state(w, 0, &ids[0]), DUREQ_JOB_DEAD);
    assert_int_equal(test_job_state(w, 0, &ids[1]), DUREQ_JOB_PAUSED);
}

static void many_late_jobs_take_several_steps(void **state)
{
    test_world *w = *state;
    dureq_job_options o = dureq_job_options_init();
    int64_t dead = 0;
    dq_kept k;

    for (int i = 0; i < 130; i++) {
        test_id id = add_with_limit(w, 0, &o);

        end_limit(w, 0, &id);
    }
    k = keep(w, 0);
    assert_true(k.more);
    assert_int_equal(k.n_dead, 100);
    for (dead = k.n_dead; k.more; dead += k.n_dead)
        k = keep(w, 0);
    assert_int_equal(dead, 130);
}

/* ---- the dead ---- */

static void dead_jobs_go_when_their_time_is_over(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    dureq_job_options o = dureq_job_options_init();
    test_id old = add_with_limit(w, shard, &o), young = add_with_limit(w, shard, &o);

    end_limit(w, shard, &old);
    end_limit(w, shard, &young);
    assert_int_equal(keep(w, shard).n_dead, 2);
    (void)test_plant(
        w, shard, &old,
        "call('ZADD', K .. 'dead', now - 2592000001, id) call('SET', K .. 'lg:' .. id, 'x') call('SET', K .. 'b:' .. id, 'x')");
    (void)keep_as(w, shard, w->leader[shard], 0, false, NULL); /* for ever */
    assert_int_equal(test_job_state(w, shard, &old), DUREQ_JOB_DEAD);
    (void)keep(w, shard);
    assert_int_equal(test_job_state(w, shard, &old), -1);
    assert_int_equal(test_job_state(w, shard, &young), DUREQ_JOB_DEAD);
    assert_false(test_id_key_exists(w, shard, "lg:", &old));
    assert_false(test_id_key_exists(w, shard, "b:", &old));
    assert_int_equal(dq_reply_int(test_key(w, "HLEN", shard, "dead:h", (dureq_str){0})), 1);
}

/* ---- history ---- */

/* Ended jobs in a bucket of ten seconds' retention, some with a payload of their own. */
static void fill_history(test_world *w, unsigned shard, int64_t retention_ms, int n, test_id *ret)
{
    dureq_job_options o = dureq_job_options_init();
    char *payload = calloc(1, DQ_PAYLOAD_INLINE_MAX + 2);

    memset(payload, 'x', DQ_PAYLOAD_INLINE_MAX + 1);
    o.retention_ms = retention_ms;
    for (int i = 0; i < n; i++) {
        ret[i] = test_job_add(w, shard, &o, "mail", i % 3 ? "small" : payload);
        assert_int_equal(test_job_cancel(w, shard, &ret[i]), 0);
        assert_int_equal(test_job_state(w, shard, &ret[i]), DUREQ_JOB_CANCELLED);
    }
    free(payload);
}

static size_t keys_like(test_world *w, const char *pattern)
{
    return dq_reply_len(test_command(w, "KEYS", pattern, NULL));
}

static void a_bucket_whose_time_is_over_goes_whole(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    test_id gone[7], stays[2];

    fill_history(w, shard, 10000, 7, gone);
    fill_history(w, shard, DAY_MS, 2, stays);
    assert_int_equal(dq_reply_int(test_key(w, "ZCARD", shard, "hx", (dureq_str){0})), 2);
    (void)keep_all(w, shard);
    assert_int_equal(test_job_state(w, shard, &gone[0]), DUREQ_JOB_CANCELLED); /* not yet */
    (void)test_plant(w, shard, NULL, "call('ZADD', K .. 'hx', now - 1, call('ZRANGE', K .. 'hx', 0, 0)[1])");
    (void)keep(w, shard);
    for (int i = 0; i < 7; i++)
        assert_int_equal(test_job_state(w, shard, &gone[i]), -1); /* out of sight from the first step on */
    (void)keep_all(w, shard);
    for (int i = 0; i < 7; i++)
        assert_false(test_id_key_exists(w, shard, "b:", &gone[i]));
    for (int i = 0; i < 2; i++)
        assert_int_equal(test_job_state(w, shard, &stays[i]), DUREQ_JOB_CANCELLED);
    assert_true(test_id_key_exists(w, shard, "b:", &stays[0]));
    assert_int_equal(keys_like(w, "*:ho:*"), 1);
    assert_int_equal(keys_like(w, "*:hp:*"), 1);
    assert_int_equal(keys_like(w, "*:hk:*"), 1);
    assert_int_equal(keys_like(w, "*:hc:*"), 1);
}

static void a_dropped_bucket_is_followed_by_a_new_one(void **state)
{
    test_world *w = *state;
    test_id before[1], after[1];

    fill_history(w, 0, 10000, 1, before);
    (void)test_plant(w, 0, NULL, "call('ZADD', K .. 'hx', now - 1, call('ZRANGE', K .. 'hx', 0, 0)[1])");
    (void)keep_all(w, 0);
    fill_history(w, 0, 10000, 1, after);
    assert_int_equal(test_job_state(w, 0, &before[0]), -1);
    assert_int_equal(test_job_state(w, 0, &after[0]), DUREQ_JOB_CANCELLED);
}

static void beyond_its_bytes_the_oldest_history_goes(void **state)
{
    test_world *w = *state;
    test_id old[3], young[1];

    fill_history(w, 0, DAY_MS, 3, old);
    fill_history(w, 0, 2 * DAY_MS, 1, young);
    (void)keep_all(w, 0);
    assert_int_equal(test_job_state(w, 0, &old[0]), DUREQ_JOB_CANCELLED);
    /* The cap is what the younger bucket alone takes. */
    (void)test_plant(w, 0, NULL, "call('HSET', K .. 'sh', 'hm', call('HGET', K .. 'hz', '2'))");
    (void)keep_all(w, 0);
    assert_int_equal(test_job_state(w, 0, &old[0]), -1);
    assert_int_equal(test_job_state(w, 0, &young[0]), DUREQ_JOB_CANCELLED);
}

static void when_memory_is_short_the_oldest_history_goes(void **state)
{
    test_world *w = *state;
    test_id old[1], young[1];

    fill_history(w, 0, 2 * DAY_MS, 1, old);
    fill_history(w, 0, DAY_MS, 1, young); /* made later, though it would go sooner */
    (void)keep_as(w, 0, w->leader[0], 0, true, NULL);
    (void)keep_all(w, 0);
    assert_int_equal(test_job_state(w, 0, &old[0]), -1);
    assert_int_equal(test_job_state(w, 0, &young[0]), DUREQ_JOB_CANCELLED);
    (void)keep_as(w, 0, w->leader[0], 0, true, NULL);
    (void)keep_all(w, 0);
    assert_int_equal(test_job_state(w, 0, &young[0]), -1);
    assert_false(keep_as(w, 0, w->leader[0], 0, true, NULL).more); /* nothing left to drop */
}

static void a_large_bucket_takes_several_bounded_steps(void **state)
{
    test_world *w = *state;
    test_id id[1];

    fill_history(w, 0, 10000, 1, id);
    /* 250 parts and 250 side keys, as hours of work leave them. */
    (void)test_plant(w, 0, &id[0],
                     "for i = 1, 250 do call('HSET', K .. 'h:1:' .. i, 'x', 'y') call('SADD', K .. 'hp:1', i) "
                     "local side = pack('>I6', i) .. string.rep('s', 7) call('RPUSH', K .. 'hk:1', side) "
                     "call('SET', K .. 'b:' .. side, 'x') end "
                     "call('ZADD', K .. 'hx', now - 1, call('ZRANGE', K .. 'hx', 0, 0)[1])");
    assert_in_range(keep_all(w, 0), 7, 9); /* 3 of parts, 3 of side keys, the end, and nothing more to do */
    assert_int_equal(keys_like(w, "{dureq:0}:h:*"), 0);
    assert_int_equal(keys_like(w, "{dureq:0}:b:*"), 0);
    assert_int_equal(keys_like(w, "{dureq:0}:h[opk]:*"), 0);
}

/* ---- statistics, events, audit ---- */

/* A number of the hash of counters that `kind` and the time now make, `back` units ago. */
static int64_t counter(test_world *w, unsigned shard, const char *kind, int64_t unit_ms, int64_t at_ms)
{
    char key[48];

    snprintf(key, sizeof(key), "%s:%lld", kind, (long long)(at_ms / unit_ms));
    return dq_reply_int(test_key(w, "HGET", shard, key, DQ_STR_LIT("1:e")));
}

static void minutes_are_summed_into_hours_and_days_once(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    int64_t now, hour_ms = 3600000;

    (void)keep_all(w, shard); /* remembers where it is */
    now = test_server_ms(w);
    /* As if nobody had looked for five hours, in each minute of which one job was enqueued. */
    (void)test_plant(w, shard, NULL,
                     "local m = math.floor(now / 60000) for i = m - 300, m - 1 do "
                     "call('HSET', K .. 'st:' .. i, '1:e', 1) call('PEXPIRE', K .. 'st:' .. i, 172800000) end "
                     "call('HSET', K .. 'sh', 'rm', m - 301, 'rh', math.floor((m - 301) / 60) - 1)");
    (void)keep_all(w, shard);
    (void)keep_all(w, shard); /* nothing is summed twice */
    assert_int_equal(counter(w, shard, "sth", hour_ms, now - 2 * hour_ms), 60);
    assert_int_equal(counter(w, shard, "sth", hour_ms, now - 3 * hour_ms), 60);
    assert_true(dq_reply_int(test_plant(w, shard, NULL, "return call('PTTL', K .. 'sth:' .. math.floor(now / 3600000) - 2)")) >
                29 * DAY_MS);
    /* Of the day or the two days they fall into, all finished hours. */
    assert_in_range(counter(w, shard, "std", DAY_MS, now - 2 * hour_ms) + counter(w, shard, "std", DAY_MS, now - 26 * hour_ms),
                    60, 300);
}

static void a_long_absence_is_summed_in_bounded_steps(void **state)
{
    test_world *w = *state;
    int64_t now = test_server_ms(w);

    (void)keep_all(w, 0);
    (void)test_plant(w, 0, NULL,
                     "local m = math.floor(now / 60000) for i = m - 2000, m - 1 do "
                     "call('HSET', K .. 'st:' .. i, '1:e', 1) call('PEXPIRE', K .. 'st:' .. i, 172800000) end "
                     "call('HSET', K .. 'sh', 'rm', m - 2001, 'rh', math.floor((m - 2001) / 60) - 1)");
    assert_in_range(keep_all(w, 0), 3, 6);
    assert_int_equal(counter(w, 0, "sth", 3600000, now - 20 * 3600000), 60);
}

/* Of the days until today, all shards' jobs that were enqueued. */
static int64_t enqueued_in_days(test_world *w, unsigned shard, int n)
{
    int64_t sum = 0;
    dq_buf call = {0};
    dq_reply days;

    dq_call_stats_days(&call, dq_store_keys(w->s.store), shard, test_server_ms(w) / DAY_MS - n + 1, n);
    days = test_store_call(&w->s, shard, &call, NULL);
    for (int i = 0; i < n; i++)
        sum += dq_reply_int(dq_reply_at(dq_reply_at(days, (size_t)i), 0));
    return sum;
}

static void days_count_what_nobody_has_summed_for_long(void **state)
{
    test_world *w = *state;

    (void)keep_all(w, 0);
    /* No leader for 40 hours, in each minute of which one job was enqueued; and hours of before that wait for their day. */
    (void)test_plant(w, 0, NULL,
                     "local m = math.floor(now / 60000) for i = m - 2400, m - 1 do "
                     "call('HSET', K .. 'st:' .. i, '1:e', 1) end "
                     "local h = math.floor(m / 60) for i = h - 100, h - 61 do call('HSET', K .. 'sth:' .. i, '1:e', 100) end "
                     "call('HSET', K .. 'sh', 'rm', m - 2401, 'rh', h - 101)");
    assert_int_equal(enqueued_in_days(w, 0, 7), 2400 + 4000);
    (void)keep_all(w, 0);
    assert_int_equal(enqueued_in_days(w, 0, 7), 2400 + 4000);
}

/* Minutes of a prefix that never had a leader: nothing says what is summed. */
static void days_count_what_nobody_ever_summed(void **state)
{
    test_world *w = *state;

    (void)test_plant(w, 0, NULL,
                     "local m = math.floor(now / 60000) for i = m - 2800, m - 1 do call('HSET', K .. 'st:' .. i, '1:e', 1) end "
                     "call('HDEL', K .. 'sh', 'rm', 'rh')");
    assert_int_equal(enqueued_in_days(w, 0, 7), 2800);
    (void)keep_all(w, 0);
    assert_int_equal(enqueued_in_days(w, 0, 7), 2800);
}

static void events_are_capped_by_bytes(void **state)
{
    test_world *w = *state;
    int64_t before, after, minute;

    (void)test_plant(w, 0, NULL, "for i = 1, 300 do call('XADD', K .. 'ev', '*', 'e', string.rep('x', 20000)) end");
    (void)keep(w, 0);
    before = dq_reply_int(test_key(w, "HGET", 0, "sh", DQ_STR_LIT("en")));
    assert_in_range(before, 1000, 67108864 / 15000); /* 64 MiB over the shards, by what an entry takes */
    minute = dq_reply_int(test_key(w, "HGET", 0, "sh", DQ_STR_LIT("em")));
    (void)test_plant(w, 0, NULL, "for i = 1, 3000 do call('XADD', K .. 'ev', '*', 'e', 'small') end");
    (void)keep(w, 0);
    after = dq_reply_int(test_key(w, "HGET", 0, "sh", DQ_STR_LIT("en")));
    if (dq_reply_int(test_key(w, "HGET", 0, "sh", DQ_STR_LIT("em"))) == minute)
        assert_int_equal(after, before); /* looked at once a minute */
    (void)test_plant(w, 0, NULL, "call('HSET', K .. 'sh', 'em', 1)");
    (void)keep(w, 0);
    after = dq_reply_int(test_key(w, "HGET", 0, "sh", DQ_STR_LIT("en")));
    assert_true(after > before);
}

static void audit_entries_go_after_thirty_days(void **state)
{
    test_world *w = *state;
    test_id id;

    (void)test_plant(
        w, 0, NULL,
        "for i = 1, 500 do call('XADD', K .. 'au', (now - 2600000000 + i) .. '-0', 'at', 1, 'actor', 'a', 'action', 'b', "
        "'target', 'c', 'detail', '') end");
    id = test_job_add(w, 0, NULL, "mail", "x");
    assert_int_equal(test_job_cancel(w, 0, &id), 0);
    (void)keep(w, 0);
    assert_in_range(dq_reply_int(test_key(w, "XLEN", 0, "au", (dureq_str){0})), 1, 101); /* whole nodes of the stream go */
}

static int64_t ttl_of(test_world *w, const char *key_of_now)
{
    char lua[120];

    (void)snprintf(lua, sizeof lua, "return call('PTTL', K .. %s)", key_of_now);
    return dq_reply_int(test_plant(w, 0, NULL, lua));
}

static void statistics_and_audit_are_kept_as_long_as_told(void **state)
{
    test_world *w = *state;
    dq_keep times = {.audit_ms = 0, .minutes_ms = DAY_MS, .hours_ms = 100 * DAY_MS, .days_ms = 1000 * DAY_MS};

    (void)keep_all(w, 0);
    (void)test_plant(w, 0, NULL,
                     "local m = math.floor(now / 60000) for i = m - 180, m - 1 do "
                     "call('HSET', K .. 'st:' .. i, '1:e', 1) call('PEXPIRE', K .. 'st:' .. i, 172800000) end "
                     "call('HSET', K .. 'sh', 'rm', m - 181, 'rh', math.floor((m - 181) / 60) - 1, 'em', 1) "
                     "call('XADD', K .. 'au', '1-0', 'at', 1, 'actor', 'a', 'action', 'b', 'target', 'c', 'detail', '')");
    while (keep_for(w, 0, w->leader[0], &times, false, NULL).more)
        ;
    assert_in_range(ttl_of(w, "'st:' .. math.floor(now / 60000) - 120"), DAY_MS - 123 * 60000, DAY_MS - 118 * 60000);
    assert_in_range(ttl_of(w, "'sth:' .. math.floor(now / 3600000) - 1"), 99 * DAY_MS, 100 * DAY_MS);
    assert_true(ttl_of(w, "'std:' .. math.floor((now - 7200000) / 86400000)") > 999 * DAY_MS);
    assert_int_equal(dq_reply_int(test_key(w, "XLEN", 0, "au", (dureq_str){0})), 1); /* for ever */
}

/* A leader of an earlier version takes away all that it knows of a session. */
static void late_runs_of_sessions_that_are_gone_go_too(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    uint64_t gone = test_session_open(w, shard, "n1", 60000), lives = test_session_open(w, shard, "n2", 60000);
    test_id id = test_job_add(w, shard, NULL, "mail", "x");
    char lua[400];

    (void)snprintf(
        lua, sizeof lua,
        "call('SADD', K .. 'lr:%llu', id .. pack('>I2', 1)) call('SADD', K .. 'lr:%llu', id .. pack('>I2', 2)) "
        "call('HSET', K .. 'lr', id, pack('>I6I2I6I2', %llu, 1, %llu, 2)) "
        "call('UNLINK', K .. 's:%llu', K .. 'x:%llu') call('ZREM', K .. 'lease', '%llu') call('HSET', K .. 'sh', 'em', 1)",
        (unsigned long long)gone, (unsigned long long)lives, (unsigned long long)gone, (unsigned long long)lives,
        (unsigned long long)gone, (unsigned long long)gone, (unsigned long long)gone);
    (void)test_plant(w, shard, &id, lua);
    (void)keep(w, shard);
    assert_int_equal(dq_reply_str(test_key(w, "HGET", shard, "lr", test_id_str(&id))).len, 8);
    (void)snprintf(lua, sizeof lua, "return call('EXISTS', K .. 'lr:%llu') + 10 * call('EXISTS', K .. 'lr:%llu')",
                   (unsigned long long)gone, (unsigned long long)lives);
    assert_int_equal(dq_reply_int(test_plant(w, shard, &id, lua)), 10);
    test_session_close(w, shard, lives);
    assert_false(test_key_exists(w, shard, "lr"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WORLDS(a_young_shard_needs_nothing),
        TEST_WORLDS(waits_of_clients_that_are_gone_are_cleared_away),
        TEST_WORLDS(only_the_leader_of_this_epoch_may),
        TEST_WORLDS(a_job_that_waited_too_long_is_dead),
        TEST_WORLDS(a_job_that_runs_or_ran_has_started),
        TEST_WORLDS(a_start_put_off_by_hand_puts_the_limit_off),
        TEST_WORLDS(many_paused_jobs_keep_nobody_busy),
        TEST_WORLDS(late_runs_of_sessions_that_are_gone_go_too),
        TEST_WORLDS(many_late_jobs_take_several_steps),
        TEST_WORLDS(dead_jobs_go_when_their_time_is_over),
        TEST_WORLDS(a_bucket_whose_time_is_over_goes_whole),
        TEST_WORLDS(a_dropped_bucket_is_followed_by_a_new_one),
        TEST_WORLDS(beyond_its_bytes_the_oldest_history_goes),
        TEST_WORLDS(when_memory_is_short_the_oldest_history_goes),
        TEST_WORLDS(a_large_bucket_takes_several_bounded_steps),
        TEST_WORLDS(minutes_are_summed_into_hours_and_days_once),
        TEST_WORLDS(statistics_and_audit_are_kept_as_long_as_told),
        TEST_WORLDS(a_long_absence_is_summed_in_bounded_steps),
        TEST_WORLDS(days_count_what_nobody_has_summed_for_long),
        TEST_WORLDS(days_count_what_nobody_ever_summed),
        TEST_WORLDS(events_are_capped_by_bytes),
        TEST_WORLDS(audit_entries_go_after_thirty_days),
    };

    return cmocka_run_group_tests(tests, test_world_group_start, test_world_group_stop);
}
