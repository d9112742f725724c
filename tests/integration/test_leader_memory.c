/* SPDX-License-Identifier: Apache-2.0 */
/* History makes room for work when the server's memory stays short: by the word of heartbeats, no sooner than a quarter of a lease after the first
   of them, a bucket at a time. */
#include "test_mono.h"
#include "test_places.h"

#include "leader/leader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define HOUR_MS   3600000LL
#define LEASE_S   40
#define QUARTER_S (LEASE_S / 4)

typedef struct keeper {
    test_world *w;
    dq_leaders *leaders;
    test_id old, young; /* in buckets of their own */
} keeper;

static test_id add_ended(test_world *w, int64_t retention_ms)
{
    dureq_job_options o = dureq_job_options_init();
    test_id id;

    o.retention_ms = retention_ms;
    id = test_job_add(w, 0, &o, "mail", "x");
    assert_int_equal(test_job_cancel(w, 0, &id), 0);
    return id;
}

static void beat(keeper *k, bool leads, bool memory_is_short)
{
    dq_leaders_beat(k->leaders, &(dq_leader_beat){.session = k->w->leader[0].session,
                                                  .epoch = leads ? k->w->leader[0].epoch : 0,
                                                  .next_due_ms = -1,
                                                  .next_late_ms = -1,
                                                  .memory_is_short = memory_is_short});
}

static keeper keeper_open(test_world *w)
{
    static const dq_log none = {0};
    dq_leaders_options o = {.lease_ms = LEASE_S * 1000, .max_crashes = 3, .log = &none};
    keeper k = {.w = w, .old = add_ended(w, 2 * HOUR_MS), .young = add_ended(w, HOUR_MS)};

    assert_int_equal(dq_leaders_create(w->s.store, &o, &k.leaders, NULL), 0);
    beat(&k, /*leads=*/true, false);
    return k;
}

/* After the reply to a command all calls made before it are answered; each may have led to one more. */
static void settle(keeper *k)
{
    for (int i = 0; i < 8; i++)
        (void)test_command(k->w, "PING", NULL);
}

static void tell(keeper *k, bool memory_is_short)
{
    beat(k, /*leads=*/true, memory_is_short);
    settle(k);
}

static void expect_kept(keeper *k, bool old, bool young)
{
    assert_int_equal(test_job_state(k->w, 0, &k->old), old ? DUREQ_JOB_CANCELLED : -1);
    assert_int_equal(test_job_state(k->w, 0, &k->young), young ? DUREQ_JOB_CANCELLED : -1);
}

static void a_peak_is_none(void **state)
{
    keeper k = keeper_open(*state);

    for (int i = 0; i < 3; i++) {
        tell(&k, true);
        test_mono_pass(QUARTER_S - 1);
        tell(&k, true);
        test_mono_pass(LEASE_S);
        tell(&k, false);
    }
    expect_kept(&k, true, true);
    dq_leaders_destroy(k.leaders);
}

static void the_oldest_goes_when_memory_stays_short(void **state)
{
    keeper k = keeper_open(*state);

    tell(&k, true);
    test_mono_pass(QUARTER_S + 1);
    tell(&k, true);
    expect_kept(&k, false, true);
    tell(&k, true); /* what went is not seen to be free yet */
    test_mono_pass(QUARTER_S - 1);
    tell(&k, true);
    expect_kept(&k, false, true);
    test_mono_pass(2);
    tell(&k, true);
    expect_kept(&k, false, false);
    dq_leaders_destroy(k.leaders);
}

static void who_is_no_leader_any_more_drops_nothing(void **state)
{
    keeper k = keeper_open(*state);

    tell(&k, true);
    beat(&k, /*leads=*/false, false);
    test_mono_pass(LEASE_S);
    beat(&k, /*leads=*/false, true);
    settle(&k);
    expect_kept(&k, true, true);
    tell(&k, true); /* the first it hears of it */
    expect_kept(&k, true, true);
    dq_leaders_destroy(k.leaders);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WORLDS(a_peak_is_none),
        TEST_WORLDS(the_oldest_goes_when_memory_stays_short),
        TEST_WORLDS(who_is_no_leader_any_more_drops_nothing),
    };

    return cmocka_run_group_tests(tests, test_world_group_start, test_world_group_stop);
}
