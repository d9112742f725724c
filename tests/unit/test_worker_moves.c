/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test_moves.h"
#include "worker/worker_internal.h"

/* The state machines of a worker are what docs/state-machines.md draws. */

static bool claim_can(unsigned from, unsigned to)
{
    return dq_claim_can_move((dq_claim_state)from, (dq_claim_state)to);
}

static void a_claim(void **state)
{
    static const char *const names[] = {
        [DQ_CLAIM_READ] = "read",       [DQ_CLAIM_PUSHED] = "pushed",   [DQ_CLAIM_GATED] = "gated",
        [DQ_CLAIM_SUSPECT] = "suspect", [DQ_CLAIM_CHARGED] = "charged", [DQ_CLAIM_ALONE] = "alone",
        [DQ_CLAIM_STARTED] = "started", [DQ_CLAIM_NAMED] = "named",     [DQ_CLAIM_PLAIN] = "plain",
        [DQ_CLAIM_GENERAL] = "general", [DQ_CLAIM_SENT] = "sent",       [DQ_CLAIM_RETURN] = "return",
        [DQ_CLAIM_OVER] = "over",
    };

    (void)state;
    assert_int_equal(DQ_ARRAY_LEN(names), DQ_CLAIM_STATES);
    test_moves_compare("claim", names, DQ_ARRAY_LEN(names), claim_can, 30);
}

static bool run_can(unsigned from, unsigned to)
{
    return dq_run_can_move((dq_run_state)from, (dq_run_state)to);
}

static void a_run(void **state)
{
    static const char *const names[] = {
        [DQ_RUN_NONE] = "none",     [DQ_RUN_LOADING] = "loading", [DQ_RUN_GOING] = "going", [DQ_RUN_STOPPING] = "stopping",
        [DQ_RUN_KILLED] = "killed", [DQ_RUN_STUCK] = "stuck",     [DQ_RUN_ENDED] = "ended",
    };

    (void)state;
    test_moves_compare("run", names, DQ_ARRAY_LEN(names), run_can, 10);
}

static bool session_can(unsigned from, unsigned to)
{
    return dq_session_can_move((dq_session_state)from, (dq_session_state)to);
}

static void a_session(void **state)
{
    static const char *const names[] = {
        [DQ_SESSION_CLOSED] = "closed",   [DQ_SESSION_OPENING] = "opening", [DQ_SESSION_LIVE] = "live",
        [DQ_SESSION_CLOSING] = "closing", [DQ_SESSION_GONE] = "gone",
    };

    (void)state;
    test_moves_compare("session", names, DQ_ARRAY_LEN(names), session_can, 8);
}

static bool sync_can(unsigned from, unsigned to)
{
    return dq_sync_can_move((dq_sync_state)from, (dq_sync_state)to);
}

static void a_resync(void **state)
{
    static const char *const names[] = {
        [DQ_SYNC_DONE] = "done", [DQ_SYNC_WANTED] = "wanted", [DQ_SYNC_GOING] = "going", [DQ_SYNC_STALE] = "stale"};

    (void)state;
    test_moves_compare("resync", names, DQ_ARRAY_LEN(names), sync_can, 8);
}

static bool life_can(unsigned from, unsigned to)
{
    return dq_worker_life_can_move((dq_worker_life)from, (dq_worker_life)to);
}

static void a_workers_life(void **state)
{
    static const char *const names[] = {
        [DQ_LIFE_WORKING] = "working", [DQ_LIFE_HALTED] = "halted",   [DQ_LIFE_STOPPING] = "stopping",
        [DQ_LIFE_ENDING] = "ending",   [DQ_LIFE_STOPPED] = "stopped",
    };

    (void)state;
    test_moves_compare("worker", names, DQ_ARRAY_LEN(names), life_can, 6);
}

static void what_is_over_stays_so(void **state)
{
    (void)state;
    for (unsigned to = 0; to <= DQ_CLAIM_STATES; to++) {
        assert_false(claim_can(DQ_CLAIM_OVER, to));
        assert_false(claim_can(to, to));
        assert_false(claim_can(DQ_CLAIM_STATES, to));
        assert_false(claim_can(to, DQ_CLAIM_READ));
        assert_false(run_can(DQ_RUN_ENDED, to));
        assert_false(session_can(DQ_SESSION_GONE, to));
        assert_false(life_can(DQ_LIFE_STOPPED, to));
    }
}

/* A session can be lost at any time after a claim was read, and takes with it all it holds. */
static void any_claim_can_be_lost(void **state)
{
    (void)state;
    for (unsigned from = DQ_CLAIM_READ + 1; from < DQ_CLAIM_OVER; from++)
        assert_true(claim_can(from, DQ_CLAIM_OVER));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_claim),
        cmocka_unit_test(a_run),
        cmocka_unit_test(a_session),
        cmocka_unit_test(a_resync),
        cmocka_unit_test(a_workers_life),
        cmocka_unit_test(what_is_over_stays_so),
        cmocka_unit_test(any_claim_can_be_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
