/* SPDX-License-Identifier: Apache-2.0 */
#include "model/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test_moves.h"

#define N_STATES 8

static bool can(unsigned from, unsigned to)
{
    return dq_job_state_can_move((dureq_job_state)from, (dureq_job_state)to);
}

static void the_table_and_the_document_are_the_same(void **state)
{
    const char *names[N_STATES];

    (void)state;
    for (unsigned i = 0; i < N_STATES; i++)
        names[i] = dureq_job_state_to_str((dureq_job_state)i);
    test_moves_compare("job", names, N_STATES, can, 21);
}

static void there_are_as_many_states_as_are_compared(void **state)
{
    (void)state;
    assert_string_not_equal(dureq_job_state_to_str((dureq_job_state)(N_STATES - 1)), "unknown");
    assert_string_equal(dureq_job_state_to_str((dureq_job_state)N_STATES), "unknown");
}

static void staying_is_no_move(void **state)
{
    (void)state;
    for (unsigned s = 0; s < N_STATES; s++)
        assert_false(dq_job_state_can_move((dureq_job_state)s, (dureq_job_state)s));
}

static void unknown_states_move_nowhere(void **state)
{
    (void)state;
    for (unsigned s = 0; s < N_STATES; s++) {
        assert_false(dq_job_state_can_move((dureq_job_state)s, (dureq_job_state)N_STATES));
        assert_false(dq_job_state_can_move((dureq_job_state)N_STATES, (dureq_job_state)s));
        assert_false(dq_job_state_can_move((dureq_job_state)s, (dureq_job_state)-1));
        assert_false(dq_job_state_can_move((dureq_job_state)-1, (dureq_job_state)s));
        assert_false(dq_job_state_can_move((dureq_job_state)s, (dureq_job_state)40));
    }
}

static bool has_ended(unsigned s)
{
    return s == DUREQ_JOB_COMPLETED || s == DUREQ_JOB_DEAD || s == DUREQ_JOB_CANCELLED;
}

/* What product and engine promise of the moves, whatever the table looks like. */
static void what_must_hold(void **state)
{
    (void)state;
    for (unsigned s = 0; s < N_STATES; s++) {
        dureq_job_state from = (dureq_job_state)s;

        assert_int_equal(dq_job_state_can_move(from, DUREQ_JOB_CANCELLED), !has_ended(s));           /* in any living state */
        assert_int_equal(dq_job_state_can_move(from, DUREQ_JOB_RUNNING), from == DUREQ_JOB_PENDING); /* only from a lane */
        assert_int_equal(dq_job_state_can_move(from, DUREQ_JOB_COMPLETED), from == DUREQ_JOB_RUNNING);
        assert_int_equal(dq_job_state_can_move(from, DUREQ_JOB_PENDING), from != DUREQ_JOB_PENDING); /* no dead end */
        for (unsigned to = 0; has_ended(s) && to < N_STATES; to++)
            assert_int_equal(dq_job_state_can_move(from, (dureq_job_state)to), to == DUREQ_JOB_PENDING);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_and_the_document_are_the_same),
        cmocka_unit_test(there_are_as_many_states_as_are_compared),
        cmocka_unit_test(staying_is_no_move),
        cmocka_unit_test(unknown_states_move_nowhere),
        cmocka_unit_test(what_must_hold),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
