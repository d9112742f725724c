/* SPDX-License-Identifier: Apache-2.0 */
#include "exec_outcome.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const struct judge_case {
    bool by_signal;
    int status;
    const char *line; /* on descriptor 3 */
    const char *stderr_tail;
    dureq_outcome outcome;
    int code;
    int64_t after_ms;
    const char *msg;
} judge_cases[] = {
    {false, 0, NULL, "", DUREQ_OUTCOME_DONE, 0, 0, ""},
    {false, 0, NULL, "noise\n", DUREQ_OUTCOME_DONE, 0, 0, ""},
    {false, 1, NULL, "first\nlast words\n\n", DUREQ_OUTCOME_RETRY, 1, 0, "exit code 1: last words"},
    {false, 63, NULL, "", DUREQ_OUTCOME_RETRY, 63, 0, "exit code 63"},
    {false, 64, NULL, "", DUREQ_OUTCOME_FAIL, 64, 0, "exit code 64"},
    {false, 74, NULL, "", DUREQ_OUTCOME_FAIL, 74, 0, "exit code 74"},
    {false, 75, NULL, "", DUREQ_OUTCOME_RETRY, 75, 0, "exit code 75"},
    {false, 76, NULL, "", DUREQ_OUTCOME_FAIL, 76, 0, "exit code 76"},
    {false, 78, NULL, "a\tb", DUREQ_OUTCOME_FAIL, 78, 0, "exit code 78: a b"},
    {false, 79, NULL, "not today", DUREQ_OUTCOME_SKIP, 79, 0, "exit code 79: not today"},
    {false, 80, NULL, "", DUREQ_OUTCOME_RETRY, 80, 0, "exit code 80"},
    {true, SIGSEGV, NULL, "", DUREQ_OUTCOME_RETRY, 139, 0, "died by signal 11 (SIGSEGV)"},
    {true, SIGKILL, "{\"outcome\":\"done\"}", "", DUREQ_OUTCOME_RETRY, 137, 0, "died by signal 9 (SIGKILL)"},
    {false, 1, "{\"outcome\":\"done\"}", "x", DUREQ_OUTCOME_DONE, 1, 0, ""},
    {false, 0, "{\"outcome\":\"rate_limited\",\"after\":\"30s\"}", "", DUREQ_OUTCOME_RATE_LIMITED, 0, 30000,
     "outcome rate_limited"},
    {false, 0, "{\"outcome\":\"fail\",\"error\":\"no such\\ncustomer\"}", "", DUREQ_OUTCOME_FAIL, 0, 0, "no such customer"},
    {false, 0, "{\"outcome\":\"fail\",\"error\":{\"a\":1}}", "", DUREQ_OUTCOME_FAIL, 0, 0, "{\"a\":1}"},
    {false, 0, "{\"outcome\":\"pause\",\"after\":\"1m\",\"error\":\"wait\"}", "", DUREQ_OUTCOME_PAUSE, 0, 60000, "wait"},
    {false, 0, "{\"outcome\":\"crashed\"}", "", DUREQ_OUTCOME_RETRY, 0, 0,
     "unknown outcome crashed on descriptor 3; known are done, retry, fail, rate_limited, skip, pause, repeat"},
    {false, 0, "{\"outcome\":7}", "", DUREQ_OUTCOME_RETRY, 0, 0,
     "unknown outcome (not a text) on descriptor 3; known are done, retry, fail, rate_limited, skip, pause, repeat"},
    {false, 0, "{\"outcome\":\"repeat\",\"after\":30}", "", DUREQ_OUTCOME_RETRY, 0, 0,
     "'after' on descriptor 3 is no duration such as \"30s\""},
    {false, 0, "{\"outcome\":\"repeat\",\"limit\":3}", "", DUREQ_OUTCOME_REPEAT, 0, 0, "outcome repeat"},
    {false, 0, "{\"outcome\":\"repeat\",\"limit\":0}", "", DUREQ_OUTCOME_RETRY, 0, 0, "'limit' on descriptor 3 takes 1 to 255"},
};

static void exit_codes_signals_and_words_become_outcomes(void **state)
{
    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(judge_cases); i++) {
        const struct judge_case *c = &judge_cases[i];
        dq_exec_said said = {0};
        dq_exec_line line = {0};
        dq_exec_end end = {
            .by_signal = c->by_signal, .status = c->status, .said = &said, .stderr_tail = dureq_str_from(c->stderr_tail)};
        dq_exec_verdict v;

        if (c->line)
            assert_int_equal(dq_exec_line_read(dureq_str_from(c->line), &said, &line, NULL), 0);
        dq_exec_judge(&end, &v);
        assert_string_equal(v.msg, c->msg);
        assert_int_equal(v.outcome, c->outcome);
        assert_int_equal(v.code, c->code);
        assert_int_equal(v.after_ms, c->after_ms);
        dq_exec_line_deinit(&line);
        dq_exec_said_deinit(&said);
    }
}

static void limits_are_named(void **state)
{
    dq_exec_said said = {0};
    dq_exec_end cpu = {.by_signal = true, .status = SIGXCPU, .said = &said, .cpu_limit_seconds = 3};
    dq_exec_end output = {.by_signal = true, .status = SIGKILL, .said = &said, .limit = "more than 10 bytes of output"};
    dq_exec_verdict v;

    (void)state;
    dq_exec_judge(&cpu, &v);
    assert_string_equal(v.msg, "killed: more than 3 s of CPU time");
    dq_exec_judge(&output, &v);
    assert_string_equal(v.msg, "killed: more than 10 bytes of output");
    assert_int_equal(v.outcome, DUREQ_OUTCOME_RETRY);
}

static void a_long_reason_is_cut_between_characters(void **state)
{
    char reason[2000];
    dq_exec_said said = {0};
    dq_exec_end end = {.status = 1, .said = &said, .stderr_tail = dureq_str_of(reason, sizeof reason)};
    dq_exec_verdict v;

    (void)state;
    for (size_t shift = 0; shift < 3; shift++) {
        for (size_t i = 0; i < sizeof reason; i++)
            reason[i] = i < shift ? 'x' : "\xe2\x82\xac"[(i - shift) % 3];
        end.stderr_tail.len = sizeof reason - (sizeof reason - shift) % 3;
        dq_exec_judge(&end, &v);
        assert_true(strlen(v.msg) > sizeof v.msg - 5);
        assert_memory_equal(v.msg + strlen(v.msg) - 3, "\xe2\x82\xac", 3);
    }
}

static void the_last_outcome_counts_and_lines_may_say_more(void **state)
{
    dq_exec_said said = {0};
    dq_exec_line line = {0};
    const char *first = "{\"outcome\":\"fail\",\"error\":\"x\",\"after\":\"1s\"}";
    const char *second =
        "{\"progress\":{\"n\": 1},\"log\":\"a\\nb\",\"heartbeat\":true,\"outcome\":\"repeat\",\"payload\":{\"at\": 7}}";

    (void)state;
    assert_int_equal(dq_exec_line_read(dureq_str_from(first), &said, &line, NULL), 0);
    dq_exec_line_deinit(&line);
    assert_int_equal(dq_exec_line_read(dureq_str_from(second), &said, &line, NULL), 0);
    assert_true(dq_str_eq_text(line.progress, "{\"n\": 1}"));
    assert_string_equal(line.log.ptr, "a\nb\n");
    assert_true(line.heartbeat);
    assert_int_equal(said.outcome, DUREQ_OUTCOME_REPEAT);
    assert_int_equal(said.after_ms, 0);
    assert_int_equal(said.error.len, 0);
    assert_string_equal(said.payload.ptr, "{\"at\": 7}");
    dq_exec_line_deinit(&line);
    dq_exec_said_deinit(&said);
}

static void what_is_no_json_object_is_refused(void **state)
{
    const char *bad[] = {"", "x", "[]", "\"progress\"", "{\"a\":", "{} {}"};
    dq_exec_said said = {0};

    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(bad); i++) {
        dq_exec_line line = {0};

        assert_int_equal(dq_exec_line_read(dureq_str_from(bad[i]), &said, &line, NULL), DUREQ_EPARSE);
        assert_false(said.has_outcome);
    }
}

static const struct result_case {
    const char *out, *result, *type;
} result_cases[] = {
    {"{\"a\": 1}\n", "{\"a\": 1}", "application/json"},
    {"12\n", "12", "application/json"},
    {"hello\n\n", "hello\n", "text/plain"},
    {"hello", "hello", "text/plain"},
    {"\n", "", "text/plain"},
    {"\xff\xfe\n", "\xff\xfe", "application/octet-stream"},
};

static void standard_output_becomes_the_result(void **state)
{
    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(result_cases); i++) {
        DQ_BUF_AUTO out = {0};

        dq_buf_append_text(&out, result_cases[i].out);
        assert_string_equal(dq_exec_result(&out), result_cases[i].type);
        assert_string_equal(out.ptr, result_cases[i].result);
    }
}

static void a_result_of_the_largest_size_is_kept_whole(void **state)
{
    DQ_BUF_AUTO out = {0};

    (void)state;
    for (int i = 0; i < DUREQ_RESULT_MAX; i++)
        dq_buf_append_char(&out, 'x');
    dq_buf_append_char(&out, '\n');
    assert_string_equal(dq_exec_result(&out), "text/plain");
    assert_int_equal(out.len, DUREQ_RESULT_MAX);
    assert_int_equal(out.ptr[out.len - 1], 'x');
}

static void a_larger_result_is_cut_between_characters_and_marked(void **state)
{
    (void)state;
    for (size_t shift = 0; shift < 3; shift++) {
        DQ_BUF_AUTO out = {0};

        for (size_t i = 0; i < DQ_EXEC_STDOUT_KEEP; i++)
            dq_buf_append_char(&out, i < shift ? 'x' : "\xe2\x82\xac"[(i - shift) % 3]);
        assert_string_equal(dq_exec_result(&out), "text/plain");
        assert_in_range(out.len, DUREQ_RESULT_MAX - 3, DUREQ_RESULT_MAX);
        assert_string_equal(out.ptr + out.len - 15, "\n[cut at 1 MiB]");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exit_codes_signals_and_words_become_outcomes),
        cmocka_unit_test(limits_are_named),
        cmocka_unit_test(a_long_reason_is_cut_between_characters),
        cmocka_unit_test(the_last_outcome_counts_and_lines_may_say_more),
        cmocka_unit_test(what_is_no_json_object_is_refused),
        cmocka_unit_test(standard_output_becomes_the_result),
        cmocka_unit_test(a_result_of_the_largest_size_is_kept_whole),
        cmocka_unit_test(a_larger_result_is_cut_between_characters_and_marked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
