/* SPDX-License-Identifier: Apache-2.0 */
#include "model/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"

#define N_STATES 8

/* docs/state-machines.md between the marks, as from x to. */
static void read_document(dq_buf *text)
{
    const char *root = getenv("DUREQ_TEST_SOURCE");
    char path[4096], chunk[4096];
    size_t n;
    FILE *f;

    if (!root)
        fail_msg("DUREQ_TEST_SOURCE is not set: run by meson test");
    (void)snprintf(path, sizeof path, "%s/docs/state-machines.md", root);
    f = fopen(path, "r");
    if (!f)
        fail_msg("cannot open %s", path);
    for (n = fread(chunk, 1, sizeof chunk, f); n > 0; n = fread(chunk, 1, sizeof chunk, f))
        dq_buf_append(text, chunk, n);
    (void)fclose(f);
    assert_false(text->failed);
}

static bool row_of(dureq_str line, dureq_job_state *ret_from, dureq_job_state *ret_to)
{
    dureq_str from, to;

    (void)dq_str_cut(&line, '|');
    from = dq_str_trim(dq_str_cut(&line, '|'));
    to = dq_str_trim(dq_str_cut(&line, '|'));
    if (from.len == 0 || dq_str_eq_text(from, "from") || from.ptr[0] == '-')
        return false;
    if (dureq_job_state_parse(from, ret_from) < 0 || dureq_job_state_parse(to, ret_to) < 0)
        fail_msg("'" DQ_STR_FMT "' to '" DQ_STR_FMT "' are no states", DQ_STR_ARG(from), DQ_STR_ARG(to));
    return true;
}

static unsigned read_moves(bool moves[N_STATES][N_STATES])
{
    DQ_BUF_AUTO text = {0};
    const char *start, *end;
    dureq_job_state from, to;
    dureq_str rest;
    unsigned n = 0;

    read_document(&text);
    start = strstr(text.ptr, "<!-- moves: job -->");
    end = start ? strstr(start, "<!-- end -->") : NULL;
    assert_non_null(end);
    rest = dureq_str_of(start, (size_t)(end - start));
    (void)dq_str_cut(&rest, '\n');
    while (rest.len)
        if (row_of(dq_str_cut(&rest, '\n'), &from, &to)) {
            if (moves[from][to])
                fail_msg("%s to %s is there twice", dureq_job_state_to_str(from), dureq_job_state_to_str(to));
            moves[from][to] = true;
            n++;
        }
    return n;
}

static void the_table_and_the_document_are_the_same(void **state)
{
    bool moves[N_STATES][N_STATES] = {{false}};

    (void)state;
    assert_true(read_moves(moves) > 20);
    for (unsigned from = 0; from < N_STATES; from++)
        for (unsigned to = 0; to < N_STATES; to++)
            if (dq_job_state_can_move((dureq_job_state)from, (dureq_job_state)to) != moves[from][to])
                fail_msg("%s to %s: the document says %s, the table not", dureq_job_state_to_str((dureq_job_state)from),
                         dureq_job_state_to_str((dureq_job_state)to), moves[from][to] ? "yes" : "no");
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
