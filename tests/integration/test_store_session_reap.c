/* SPDX-License-Identifier: Apache-2.0 */
#include "test_places.h"

#include "store/turn_calls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define LEASE_MS    60000
#define MAX_CRASHES 3

static dq_reaped reap_as(test_world *w, unsigned shard, dq_term t, int *ret_code)
{
    dq_reaped r = {0};
    dq_buf call = {0};
    dq_reply reply;

    dq_call_session_reap(&call, dq_store_keys(w->s.store), shard, t,
                         &(dq_reap){.lease_ms = LEASE_MS, .max_crashes = MAX_CRASHES});
    reply = test_store_call(&w->s, shard, &call, ret_code);
    if (!ret_code || *ret_code == 0)
        assert_int_equal(dq_session_reap_decode(&reply, &r), 0);
    return r;
}

static dq_reaped reap(test_world *w, unsigned shard)
{
    return reap_as(w, shard, w->leader[shard], NULL);
}

static unsigned last_shard(const test_world *w)
{
    return w->n_shards - 1;
}

/* A session that took one job of "normal|mail|" and reported its start, or not. */
static uint64_t open_with_job(test_world *w, unsigned shard, test_id *ret, bool started)
{
    uint64_t session = test_session_open(w, shard, "n1", LEASE_MS);

    *ret = test_job_add(w, shard, NULL, "mail", "x");
    assert_int_equal(test_session_take(w, shard, session, test_lane(w, shard, "normal|mail|"), 1), 1);
    if (started)
        test_session_started(w, shard, session, ret, test_server_ms(w), NULL);
    assert_int_equal(test_job_state(w, shard, ret), DUREQ_JOB_RUNNING);
    return session;
}

static bool session_exists(test_world *w, unsigned shard, uint64_t session)
{
    char key[32];

    snprintf(key, sizeof(key), "s:%llu", (unsigned long long)session);
    return test_key_exists(w, shard, key);
}

static void living_sessions_keep_what_they_have(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    test_id id;
    uint64_t session = open_with_job(w, shard, &id, true);
    dq_reaped r = reap(w, shard);

    assert_int_equal(r.session, 0);
    assert_false(r.more);
    assert_int_equal(test_job_state(w, shard, &id), DUREQ_JOB_RUNNING);
    assert_true(session_exists(w, shard, session));
}

static void jobs_of_a_lost_session_are_handed_over(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    test_id id;
    uint64_t session = open_with_job(w, shard, &id, true), next;
    dq_moved m;
    dq_attempt a;
    dq_reaped r;

    test_session_expire(w, shard, session);
    r = reap(w, shard);
    assert_int_equal(r.session, session);
    assert_int_equal(r.n_handed_over, 1);
    assert_int_equal(r.n_dead, 0);
    assert_false(r.more);
    assert_false(session_exists(w, shard, session));
    assert_int_equal(test_job_state(w, shard, &id), DUREQ_JOB_PENDING);
    m = test_job_moved(w, shard, &id);
    assert_int_equal(m.runs, 1);
    assert_int_equal(m.crashes, 1);
    assert_int_equal(m.attempts, 0); /* a crash spends none: how often a job may crash is counted by itself */
    assert_int_equal(m.n_attempts, 1);
    assert_true(dq_attempt_next(&m.tail, &a));
    assert_int_equal(a.outcome, DUREQ_OUTCOME_CRASHED);
    assert_int_equal(a.session, session);

    next = test_session_open(w, shard, "n2", LEASE_MS);
    assert_int_equal(test_session_take(w, shard, next, test_lane(w, shard, "normal|mail|"), 1), 1);
    assert_int_equal(test_job_state(w, shard, &id), DUREQ_JOB_RUNNING);
}

/* It may be the job that took the process down, or one beside it: suspected, not accused. */
static void a_job_whose_start_was_not_reported_is_only_suspected(void **state)
{
    test_world *w = *state;
    test_id id;
    uint64_t session = open_with_job(w, 0, &id, false);
    dq_moved m;

    test_session_expire(w, 0, session);
    assert_int_equal(reap(w, 0).n_handed_over, 1);
    m = test_job_moved(w, 0, &id);
    assert_int_equal(m.runs, 0);
    assert_int_equal(m.crashes, 0);
    assert_int_equal(m.n_attempts, 0);
    assert_int_equal(m.flags & DQ_M_SUSPECT, DQ_M_SUSPECT);
}

/* While a suspect runs alone, the crash is its own. */
static void a_crash_is_charged_to_the_blamed_job_alone(void **state)
{
    test_world *w = *state;
    test_id beside, blamed;
    uint64_t session = open_with_job(w, 0, &beside, true);

    blamed = test_job_add(w, 0, NULL, "mail", "x");
    assert_int_equal(test_session_take(w, 0, session, test_lane(w, 0, "normal|mail|"), 1), 1);
    test_session_started(w, 0, session, &blamed, test_server_ms(w), &blamed);
    test_session_expire(w, 0, session);
    assert_int_equal(reap(w, 0).n_handed_over, 2);
    assert_int_equal(test_job_moved(w, 0, &beside).runs, 1);
    assert_int_equal(test_job_moved(w, 0, &beside).crashes, 0);
    assert_int_equal(test_job_moved(w, 0, &blamed).runs, 1);
    assert_int_equal(test_job_moved(w, 0, &blamed).crashes, 1);
}

static void report(test_world *w, uint64_t session, const test_id *id)
{
    test_session_started(w, 0, session, id, test_server_ms(w), &test_blame_suspects);
}

/* While suspects that were never charged run together, it is theirs: once. */
static void a_crash_is_charged_to_the_suspects_that_are_blamed(void **state)
{
    test_world *w = *state;
    uint32_t lane;
    test_id suspect, beside;
    uint64_t session = open_with_job(w, 0, &suspect, false);

    lane = test_lane(w, 0, "normal|mail|");
    test_session_expire(w, 0, session);
    assert_int_equal(reap(w, 0).n_handed_over, 1);
    beside = test_job_add(w, 0, NULL, "mail", "x");
    for (int crashes = 1; crashes <= 2; crashes++) {
        session = test_session_open(w, 0, "n1", LEASE_MS);
        assert_int_equal(test_session_take(w, 0, session, lane, 2), 2);
        report(w, session, &beside);
        report(w, session, &suspect);
        test_session_expire(w, 0, session);
        assert_int_equal(reap(w, 0).n_handed_over, 2);
        assert_int_equal(test_job_moved(w, 0, &suspect).runs, crashes);
        assert_int_equal(test_job_moved(w, 0, &suspect).crashes, 1);
        assert_int_equal(test_job_moved(w, 0, &beside).runs, crashes);
        assert_int_equal(test_job_moved(w, 0, &beside).crashes, 0);
    }
}

/* What one of them would make of it when it reaps: nothing. */
static void suspects_are_not_blamed_beside_a_session_of_before(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    test_id id;
    uint64_t session = open_with_job(w, shard, &id, false), old;
    char key[32], lua[80];

    snprintf(key, sizeof(key), "s:%llu", (unsigned long long)session);
    test_session_started(w, shard, session, &id, test_server_ms(w), &test_blame_suspects);
    assert_true(dq_str_eq_text(dq_reply_str(test_key(w, "HGET", shard, key, DQ_STR_LIT("bl"))), "s"));
    old = test_session_open(w, shard, "n2", LEASE_MS);
    snprintf(lua, sizeof(lua), "call('HSET', K .. 's:%llu', 'ver', 2)", (unsigned long long)old);
    (void)test_plant(w, shard, &id, lua);
    test_session_started(w, shard, session, &id, test_server_ms(w), &test_blame_suspects);
    assert_int_equal(dq_reply_str(test_key(w, "HGET", shard, key, DQ_STR_LIT("bl"))).len, 0);
    test_session_close(w, shard, old);
    test_session_started(w, shard, session, &id, test_server_ms(w), &test_blame_suspects);
    assert_true(dq_str_eq_text(dq_reply_str(test_key(w, "HGET", shard, key, DQ_STR_LIT("bl"))), "s"));
}

/* Each is looked at once, a thousand in a heartbeat. */
static void suspects_are_blamed_beside_thousands_of_sessions(void **state)
{
    test_world *w = *state;
    test_id id;
    uint64_t session = open_with_job(w, 0, &id, false);
    char key[32];

    (void)test_plant(w, 0, NULL,
                     "for i = 1, 2500 do local n = call('HINCRBY', K .. 'sh', 'ss', 1) "
                     "call('HSET', K .. 's:' .. n, 'st', 'live', 'node', 'n' .. i, 'at', now, 'ver', 4) "
                     "call('ZADD', K .. 'lease', 1e15, n) end");
    snprintf(key, sizeof(key), "s:%llu", (unsigned long long)session);
    for (int i = 0; i < 3; i++)
        test_session_started(w, 0, session, &id, test_server_ms(w), &test_blame_suspects);
    assert_true(dq_str_eq_text(dq_reply_str(test_key(w, "HGET", 0, key, DQ_STR_LIT("bl"))), "s"));
}

static void blame_ends_with_the_next_heartbeat(void **state)
{
    test_world *w = *state;
    test_id id, other;
    uint64_t session = open_with_job(w, 0, &id, true);

    other = test_job_add(w, 0, NULL, "other", "x");
    test_session_started(w, 0, session, &id, test_server_ms(w), &other);
    (void)test_session_beat(w, 0, session, LEASE_MS, false, NULL);
    test_session_expire(w, 0, session);
    assert_int_equal(reap(w, 0).n_handed_over, 1);
    assert_int_equal(test_job_moved(w, 0, &id).crashes, 1);
}

static void a_job_that_crashed_too_often_is_dead(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    dureq_job_options o = dureq_job_options_init();
    test_id id;
    dq_row row;

    o.unique_key = DQ_STR_LIT("mine");
    o.schedule_to_start_timeout_ms = 3600000;
    id = test_job_add(w, shard, &o, "mail", "x");
    assert_int_equal(dq_store_subscribe(w->s.store, shard, "d:", DQ_STR_LIT("me")), 0);
    (void)test_plant(w, shard, &id, "call('HSET', K .. 'wt', id, 'me')");
    for (int crash = 1; crash <= MAX_CRASHES; crash++) {
        uint64_t session = test_session_open(w, shard, "n1", LEASE_MS);
        dq_reaped r;

        assert_int_equal(test_session_take(w, shard, session, test_lane(w, shard, "normal|mail|"), 1), 1);
        test_session_started(w, shard, session, &id, test_server_ms(w), NULL);
        test_session_expire(w, shard, session);
        r = reap(w, shard);
        assert_int_equal(r.n_dead, crash == MAX_CRASHES);
        assert_int_equal(r.n_handed_over, crash < MAX_CRASHES);
    }
    assert_int_equal(test_job_state(w, shard, &id), DUREQ_JOB_DEAD);
    row = test_job_row(w, shard, &id);
    assert_true(dq_str_eq_text(row.reason, "its process crashed 3 times"));
    assert_int_equal(test_job_moved(w, shard, &id).n_attempts, 3);
    assert_false(test_key_exists(w, shard, "u:mine")); /* the key is free */
    assert_false(test_key_exists(w, shard, "s2s"));
    assert_false(test_key_exists(w, shard, "loc"));
    TEST_UNTIL(w->s.loop, w->s.n_messages == 1); /* who waited was told */
}

/* ---- fencing ---- */

static void a_reaped_session_is_fenced(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    test_id id;
    uint64_t session = open_with_job(w, shard, &id, true);
    int code;

    test_session_expire(w, shard, session);
    (void)reap(w, shard);
    (void)test_session_beat(w, shard, session, LEASE_MS, false, &code);
    assert_int_equal(code, DUREQ_EFENCED);
    assert_false(session_exists(w, shard, session)); /* nor brought back to half a life */
}

/* Its transactions watch this key: whatever it has in one is refused from the first step on, and who looks at it between two steps sees
   that the session is gone. Were it only touched, such a session would go on, and what it then read of a lane that the reaper has left
   after would be nobody's when the session is dropped. Nor does a cancel bring the key back. */
static void its_watched_key_goes_with_the_first_step(void **state)
{
    test_world *w = *state;
    uint64_t session = test_session_open(w, 0, "n1", LEASE_MS);
    uint32_t lane;
    test_id last;
    char key[32];
    int code;

    for (int i = 0; i < DQ_REAP_LIMIT + 10; i++)
        last = test_job_add(w, 0, NULL, "mail", "x");
    lane = test_lane(w, 0, "normal|mail|");
    assert_int_equal(test_session_take(w, 0, session, lane, 1000), DQ_REAP_LIMIT + 10);
    snprintf(key, sizeof(key), "x:%llu", (unsigned long long)session);
    test_session_expire(w, 0, session);
    assert_true(reap(w, 0).more);
    assert_false(test_key_exists(w, 0, key));
    assert_int_equal(test_job_cancel(w, 0, &last), 0);
    assert_false(test_key_exists(w, 0, key));
    (void)test_session_beat(w, 0, session, LEASE_MS, false, &code);
    assert_int_equal(code, DUREQ_EFENCED);
    while (reap(w, 0).more)
        ;
}

static void only_the_leader_of_this_epoch_may(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    dq_term t = w->leader[shard];
    test_id id;
    uint64_t session = open_with_job(w, shard, &id, true);
    int code;

    test_session_expire(w, shard, session);
    t.epoch++;
    (void)reap_as(w, shard, t, &code);
    assert_int_equal(code, DUREQ_EFENCED);
    assert_int_equal(test_job_state(w, shard, &id), DUREQ_JOB_RUNNING);
}

static void the_leader_does_not_reap_itself(void **state)
{
    test_world *w = *state;
    uint64_t other = test_session_open(w, 0, "n1", LEASE_MS);

    test_session_expire(w, 0, w->leader[0].session);
    assert_int_equal(reap(w, 0).session, 0);
    test_session_expire(w, 0, other);
    assert_int_equal(reap(w, 0).session, other);
    assert_true(session_exists(w, 0, w->leader[0].session));
}

/* ---- bounds ---- */

static void a_step_is_bounded_and_the_next_goes_on(void **state)
{
    test_world *w = *state;
    uint64_t session = test_session_open(w, 0, "n1", LEASE_MS);
    int64_t total = 0;
    int steps = 0;
    dq_reaped r;

    for (int i = 0; i < 250; i++) {
        char type[16];

        snprintf(type, sizeof(type), "type%d", i % 5);
        (void)test_job_add(w, 0, NULL, type, "x");
    }
    for (uint32_t lane = 1; lane <= 5; lane++)
        assert_int_equal(test_session_take(w, 0, session, lane, 1000), 50);
    test_session_expire(w, 0, session);
    do {
        r = reap(w, 0);
        assert_int_equal(r.session, session);
        assert_true(r.n_handed_over <= DQ_REAP_LIMIT);
        total += r.n_handed_over;
        steps++;
    } while (r.more && steps < 20);
    assert_int_equal(total, 250);
    assert_in_range(steps, 3, 4);
    assert_false(session_exists(w, 0, session));
    assert_int_equal(reap(w, 0).session, 0);
}

static void many_lanes_take_several_steps(void **state)
{
    test_world *w = *state;
    uint64_t session = test_session_open(w, 0, "n1", LEASE_MS);
    test_id id = {0};
    int steps = 0;
    dq_reaped r;

    for (int i = 0; i < DQ_REAP_LANES + 20; i++) {
        char type[16];

        snprintf(type, sizeof(type), "type%d", i);
        id = test_job_add(w, 0, NULL, type, "x");
    }
    assert_int_equal(test_session_take(w, 0, session, DQ_REAP_LANES + 20, 1), 1);
    test_session_expire(w, 0, session);
    do {
        r = reap(w, 0);
        steps++;
    } while (r.more && steps < 20);
    assert_int_equal(steps, 2);
    assert_int_equal(r.n_handed_over, 1);
    assert_int_equal(test_job_state(w, 0, &id), DUREQ_JOB_PENDING);
}

static void several_lost_sessions_are_reaped_one_after_the_other(void **state)
{
    test_world *w = *state;
    test_id ids[5];

    for (int i = 0; i < 5; i++)
        test_session_expire(w, 0, open_with_job(w, 0, &ids[i], i % 2));
    for (int i = 0; i < 5; i++) {
        dq_reaped r = reap(w, 0);

        assert_int_equal(r.n_handed_over, 1);
        assert_int_equal(r.more, i < 4);
    }
    for (int i = 0; i < 5; i++)
        assert_int_equal(test_job_state(w, 0, &ids[i]), DUREQ_JOB_PENDING);
}

/* ---- what it leaves ---- */

static void idle_sessions_are_woken_for_what_is_handed_over(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    test_id id;
    uint64_t session = open_with_job(w, shard, &id, false);
    uint32_t lane = test_lane(w, shard, "normal|mail|");
    char key[32], message[32];

    snprintf(key, sizeof(key), "idle:%u", lane);
    (void)test_key(w, "SADD", shard, key, DQ_STR_LIT("1")); /* the leader waits for work of this lane, too */
    assert_int_equal(dq_store_subscribe(w->s.store, shard, "w:", DQ_STR_LIT("1")), 0);
    test_session_expire(w, shard, session);
    (void)reap(w, shard);
    snprintf(message, sizeof(message), "%u w:1=L%u;", shard, lane);
    test_until_message(w, message);
}

static void nothing_of_a_session_is_left(void **state)
{
    test_world *w = *state;
    test_id id;
    uint64_t session = open_with_job(w, 0, &id, true);
    char lua[200];
    dq_reply keys;

    snprintf(lua, sizeof(lua),
             "call('SADD', K .. 'idle:1', '%llu') call('SADD', K .. 'cx:%llu', 'some id') call('HSET', K .. 'pg', id, '1')",
             (unsigned long long)session, (unsigned long long)session);
    (void)test_plant(w, 0, &id, lua);
    test_session_expire(w, 0, session);
    (void)reap(w, 0);
    snprintf(lua, sizeof(lua), "{dureq:0}:*:%llu", (unsigned long long)session);
    keys = test_command(w, "KEYS", lua, NULL);
    if (dq_reply_len(keys)) /* there is no lane of its number */
        fail_msg("left: " DQ_STR_FMT, DQ_STR_ARG(dq_reply_str(dq_reply_first(keys))));
    assert_int_equal(dq_reply_int(test_key(w, "SCARD", 0, "idle:1", (dureq_str){0})), 0);
    assert_int_equal(dq_reply_int(test_key(w, "HLEN", 0, "pg", (dureq_str){0})), 0);
}

/* Its handlers may go on, like those of any session whose lease is over; nothing waits for them any more. */
static void late_runs_are_over_with_their_session(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    uint64_t session = test_session_open(w, shard, "n1", LEASE_MS), other = test_session_open(w, shard, "n2", LEASE_MS);
    test_id id = test_job_add(w, shard, NULL, "mail", "x");
    char lua[400], key[40];
    int steps = 0;

    snprintf(lua, sizeof(lua),
             "for i = 1, 300 do call('SADD', K .. 'lr:%llu', id .. pack('>I2', i)) end "
             "call('SADD', K .. 'lr:%llu', id .. pack('>I2', 7)) local all = pack('>I6I2', %llu, 7) "
             "for i = 1, 300 do all = all .. pack('>I6I2', %llu, i) end call('HSET', K .. 'lr', id, all)",
             (unsigned long long)session, (unsigned long long)other, (unsigned long long)other, (unsigned long long)session);
    (void)test_plant(w, shard, &id, lua);
    test_session_expire(w, shard, session);
    for (; session_exists(w, shard, session) && steps < 20; steps++)
        (void)reap(w, shard);
    assert_in_range(steps, 3, 5);
    snprintf(key, sizeof(key), "lr:%llu", (unsigned long long)session);
    assert_false(test_key_exists(w, shard, key));
    dureq_str left = dq_reply_str(test_key(w, "HGET", shard, "lr", test_id_str(&id)));
    assert_int_equal(left.len, 8); /* the other session's, which lives */
    assert_int_equal(left.ptr[7], 7);
    test_session_expire(w, shard, other);
    (void)reap(w, shard);
    assert_false(test_key_exists(w, shard, "lr"));
}

/* Of the attempts of a job that crashed often under a generous limit, the first two and the last ones stay. */
static void attempts_are_thinned_as_the_model_does_it(void **state)
{
    test_world *w = *state;
    test_id id = test_job_add(w, 0, NULL, "mail", "x"), blamed = test_job_add(w, 0, NULL, "other", "x");
    dq_moved m;
    dq_attempt a;

    for (int i = 0; i < 25; i++) {
        uint64_t session = test_session_open(w, 0, "n1", LEASE_MS);

        assert_int_equal(test_session_take(w, 0, session, test_lane(w, 0, "normal|mail|"), 1), 1);
        test_session_started(w, 0, session, &id, test_server_ms(w), &blamed);
        test_session_expire(w, 0, session);
        assert_int_equal(reap(w, 0).n_handed_over, 1);
    }
    m = test_job_moved(w, 0, &id);
    assert_int_equal(m.runs, 25);
    assert_int_equal(m.n_attempts, DQ_ATTEMPTS_KEPT);
    for (int i = 0; i < DQ_ATTEMPTS_KEPT; i++) {
        assert_true(dq_attempt_next(&m.tail, &a));
        assert_int_equal(a.run, i < 2 ? i + 1 : i + 6);
    }
    assert_int_equal(m.tail.len, 0);
}

/* The job's run ends and it is ready again, with an attempt that left these texts. */
static void end_with_texts(test_world *w, uint64_t session, const test_id *id, const char *detail, const char *output)
{
    dq_job_view view = test_job_view(w, 0, id, NULL);
    dq_attempt a = {.run = 1,
                    .outcome = DUREQ_OUTCOME_RETRY,
                    .error = DQ_STR_LIT("why"),
                    .detail = dureq_str_from(detail),
                    .output = dureq_str_from(output)};
    dq_moved m = {.id = view.id, .attempts = 1, .runs = 1, .ready_at_ms = (int64_t)view.id.ms};
    dq_complete_head head = {.session = session, .call_no = ++w->call_no, .n_about = 1};
    dq_entry entry = {.ms = view.id.ms, .seq = view.id.seq, .lane = view.id.lane};
    dq_end_group group = {.kind = DQ_END_FRONT, .lane = view.id.lane};
    dq_buf call = {0}, tail = {0}, packed = {0};
    dq_refusals r;
    dq_complete c = dq_complete_begin(&call, dq_store_keys(w->s.store), &head);

    dq_attempts_add(&tail, (dureq_str){0}, &a, &m.n_attempts);
    m.tail = dq_buf_str(&tail);
    dq_moved_pack(&packed, &m);
    dq_complete_group(&c, &group, &entry, 1);
    dq_complete_job(&c, &(dq_end_job){.id = view.id, .m = dq_buf_str(&packed), .j = view.body});
    dq_complete_end(&c);
    assert_int_equal(dq_refusals_decode(dq_reply_str(test_store_call(&w->s, 0, &call, NULL)), &r), 0);
    assert_int_equal(r.left, 0);
    dq_buf_deinit(&tail);
    dq_buf_deinit(&packed);
}

/* Both texts go when three later attempts are there, also when there is but one of them; the error stays. */
static void old_texts_of_an_attempt_are_dropped(void **state)
{
    static const struct {
        const char *detail, *output;
    } cases[] = {{"trace", "printed"}, {"trace", ""}, {"", "printed"}, {"", ""}};
    test_world *w = *state;

    for (size_t i = 0; i < DQ_ARRAY_LEN(cases); i++) {
        test_id id, blamed = test_job_add(w, 0, NULL, "other", "x");
        uint64_t session = open_with_job(w, 0, &id, false);
        dq_attempt a;
        dq_moved m;

        end_with_texts(w, session, &id, cases[i].detail, cases[i].output);
        for (int run = 2; run <= 4; run++) {
            m = test_job_moved(w, 0, &id);
            assert_true(dq_attempt_next(&m.tail, &a));
            assert_true(dq_str_eq_text(a.detail, cases[i].detail));
            assert_true(dq_str_eq_text(a.output, cases[i].output));
            session = test_session_open(w, 0, "n1", LEASE_MS);
            assert_int_equal(test_session_take(w, 0, session, test_lane(w, 0, "normal|mail|"), 1), 1);
            test_session_started(w, 0, session, &id, test_server_ms(w), &blamed);
            test_session_expire(w, 0, session);
            assert_int_equal(reap(w, 0).n_handed_over, 1);
        }
        m = test_job_moved(w, 0, &id);
        assert_int_equal(m.n_attempts, 4);
        assert_true(dq_attempt_next(&m.tail, &a));
        assert_true(dq_str_eq_text(a.error, "why"));
        assert_int_equal(a.detail.len + a.output.len, 0);
        session = test_session_open(w, 0, "n1", LEASE_MS);
        assert_int_equal(test_session_take(w, 0, session, test_lane(w, 0, "normal|mail|"), 1), 1);
        assert_int_equal(test_job_end(w, 0, session, &id, DUREQ_JOB_COMPLETED), 0);
    }
}

/* The served clock moves by a quarter of a lease at most between two looks: a server that stood still expires nobody. */
static void a_stall_of_the_server_expires_nobody(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    test_id id;
    uint64_t session = open_with_job(w, shard, &id, true);

    (void)test_plant(w, shard, NULL, "call('HSET', K .. 'sh', 'cw', now - 3600000)"); /* it last looked an hour ago */
    assert_int_equal(reap(w, shard).session, 0);
    (void)test_plant(w, shard, NULL, "call('HSET', K .. 'sh', 'cw', now - 3600000)");
    assert_int_equal(reap(w, shard).session, 0);
    assert_true(session_exists(w, shard, session));
    for (int i = 0; i < 4; i++) { /* a whole lease of served time, without a heartbeat */
        (void)test_plant(w, shard, NULL, "call('HSET', K .. 'sh', 'cw', now - 3600000)");
        (void)reap(w, shard);
    }
    assert_int_equal(test_job_state(w, shard, &id), DUREQ_JOB_PENDING);
}

/* They lie among what the session took, in both streams of the lane: the others are handed over all the same, and each is kept by its name. */
static void what_cannot_be_read_is_set_aside_by_name(void **state)
{
    static const char bad[] = "local l, f, n = K .. 'l:' .. lane, K .. 'f:' .. lane, 0 "
                              "local function add(key, ...) call('XADD', key, '*', ...) n = n + 1 end "
                              "add(l, 'other', 'x') add(l, 'j', '\\1\\255') add(l, 'm', 'short', 'j', '\\1\\0') "
                              "call('XGROUP', 'CREATE', f, 'g', '0', 'MKSTREAM') "
                              "add(f, 'm', '\\1short', 'j', '\\1\\0') "
                              "add(f, 'm', '\\1' .. string.rep('\\0', 35) .. '\\255\\255x', 'j', '\\1\\0') return n";
    test_world *w = *state;
    unsigned shard = last_shard(w);
    test_id before, after;
    uint64_t session = open_with_job(w, shard, &before, false);
    uint32_t lane = test_lane(w, shard, "normal|mail|");
    char lua[900];
    dq_reaped r;

    snprintf(lua, sizeof lua, "local lane = %u call('DEL', K .. 'f:%u') %s", (unsigned)lane, (unsigned)lane, bad);
    assert_int_equal(dq_reply_int(test_plant(w, shard, NULL, lua)), 5);
    after = test_job_add(w, shard, NULL, "mail", "x");
    assert_int_equal(test_session_take(w, shard, session, lane, 100), 6);
    test_session_expire(w, shard, session);
    r = reap(w, shard);
    assert_int_equal(r.n_handed_over, 2);
    assert_false(r.more);
    assert_false(session_exists(w, shard, session));
    assert_int_equal(test_job_state(w, shard, &before), DUREQ_JOB_PENDING);
    assert_int_equal(test_job_state(w, shard, &after), DUREQ_JOB_PENDING);
    assert_int_equal(dq_reply_int(test_plant(w, shard, NULL, "return call('HLEN', K .. 'aside')")), 5);
    snprintf(lua, sizeof lua,
             "local n = 0 for _, what in ipairs(call('HKEYS', K .. 'aside')) do "
             "if string.match(what, '^[lf]:%u %%d+%%-%%d+$') then n = n + 1 end end return n",
             (unsigned)lane);
    assert_int_equal(dq_reply_int(test_plant(w, shard, NULL, lua)), 5);
    (void)test_plant(w, shard, NULL, "call('DEL', K .. 'aside')"); /* the doctor, who comes after each test, would name them */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WORLDS(living_sessions_keep_what_they_have),
        TEST_WORLDS(jobs_of_a_lost_session_are_handed_over),
        TEST_WORLDS(a_job_whose_start_was_not_reported_is_only_suspected),
        TEST_WORLDS(a_crash_is_charged_to_the_blamed_job_alone),
        TEST_WORLDS(a_crash_is_charged_to_the_suspects_that_are_blamed),
        TEST_WORLDS(suspects_are_not_blamed_beside_a_session_of_before),
        TEST_WORLDS(suspects_are_blamed_beside_thousands_of_sessions),
        TEST_WORLDS(blame_ends_with_the_next_heartbeat),
        TEST_WORLDS(a_job_that_crashed_too_often_is_dead),
        TEST_WORLDS(a_reaped_session_is_fenced),
        TEST_WORLDS(its_watched_key_goes_with_the_first_step),
        TEST_WORLDS(only_the_leader_of_this_epoch_may),
        TEST_WORLDS(the_leader_does_not_reap_itself),
        TEST_WORLDS(a_step_is_bounded_and_the_next_goes_on),
        TEST_WORLDS(many_lanes_take_several_steps),
        TEST_WORLDS(several_lost_sessions_are_reaped_one_after_the_other),
        TEST_WORLDS(idle_sessions_are_woken_for_what_is_handed_over),
        TEST_WORLDS(nothing_of_a_session_is_left),
        TEST_WORLDS(late_runs_are_over_with_their_session),
        TEST_WORLDS(attempts_are_thinned_as_the_model_does_it),
        TEST_WORLDS(old_texts_of_an_attempt_are_dropped),
        TEST_WORLDS(a_stall_of_the_server_expires_nobody),
        TEST_WORLDS(what_cannot_be_read_is_set_aside_by_name),
    };

    return cmocka_run_group_tests(tests, test_world_group_start, test_world_group_stop);
}
