/* SPDX-License-Identifier: Apache-2.0 */
#include "exec_args.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "json/json.h"

#define JSON "application/json"

static const struct argv_case {
    const char *words[6];
    const char *content_type, *payload;
    size_t payload_len; /* 0: strlen */
    const char *argv;   /* joined by '|'; NULL: refused */
} argv_cases[] = {
    {{"p", "-x"}, JSON, "{}", 0, "p|-x|"},
    {{"p", "{payload}"}, JSON, "\"/etc/a \\u00e9\"", 0, "p|/etc/a \xc3\xa9|"},
    {{"p", "{payload}"}, JSON, " {\"a\": 1}", 0, "p| {\"a\": 1}|"},
    {{"p", "{payload}"}, "text/plain", "\"quoted\"", 0, "p|\"quoted\"|"},
    {{"p", "{payload}"}, "application/x+json", "\"t\"", 0, "p|t|"},
    {{"p", "{payload}"}, "application/octet-stream", "a b; rm -r $HOME", 0, "p|a b; rm -r $HOME|"},
    {{"p", "--data={payload};{payload}", "{payload}"}, JSON, "1", 0, "p|--data=1;1|1|"},
    {{"p", "{payload}"}, JSON, "\"{payload}\"", 0, "p|{payload}|"},
    {{"p", "{payload}"}, JSON, "", 0, "p||"},
    {{"p", "{payload}"}, JSON, "\"--output=/etc/x\"", 0, NULL},
    {{"p", "{payload}"}, JSON, "-1", 0, NULL},
    {{"p", "{payload}.txt"}, JSON, "\"-x\"", 0, NULL},
    {{"p", "--", "{payload}"}, JSON, "\"--output=/etc/x\"", 0, "p|--|--output=/etc/x|"},
    {{"p", "--data={payload}"}, JSON, "\"-x\"", 0, "p|--data=-x|"},
    {{"p", "--", "--", "{payload}"}, JSON, "\"-\"", 0, "p|--|--|-|"},
    {{"p", "{payload}"}, "application/octet-stream", "a\0b", 3, NULL},
    {{"p", "{payload}"}, JSON, "\"a\\u0000b\"", 0, NULL},
    {{"p", "-"}, "application/octet-stream", "a\0b", 3, "p|-|"},
};

static void the_payload_becomes_one_argument(void **state)
{
    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(argv_cases); i++) {
        const struct argv_case *c = &argv_cases[i];
        dq_exec_facts f = {.content_type = c->content_type,
                           .payload = dureq_str_of(c->payload, c->payload_len ? c->payload_len : strlen(c->payload))};
        dq_arena arena = {0};
        DQ_BUF_AUTO got = {0};
        char **argv = NULL;
        size_t n = 0;
        int rc;

        while (c->words[n])
            n++;
        rc = dq_exec_build_argv(&arena, c->words, n, &f, &argv, NULL);
        assert_int_equal(rc, c->argv ? 0 : DUREQ_EINVAL);
        for (size_t k = 0; c->argv && argv[k]; k++)
            dq_buf_append_fmt(&got, "%s|", argv[k]);
        if (c->argv)
            assert_string_equal(got.ptr, c->argv);
        dq_arena_deinit(&arena);
    }
}

static void a_leading_dash_can_be_allowed(void **state)
{
    const char *words[] = {"p", "{payload}"};
    dq_exec_facts f = {.content_type = "text/plain", .payload = DQ_STR_LIT("-x"), .allow_leading_dash = true};
    dq_arena arena = {0};
    char **argv;

    (void)state;
    assert_int_equal(dq_exec_build_argv(&arena, words, 2, &f, &argv, NULL), 0);
    assert_string_equal(argv[1], "-x");
    dq_arena_deinit(&arena);
}

static void a_payload_larger_than_an_argument_is_refused(void **state)
{
    const char *words[] = {"p", "{payload}"};
    dq_exec_facts f = {.content_type = "text/plain"};
    dq_arena arena = {0};
    DQ_BUF_AUTO text = {0};
    dureq_error err = {0};
    char **argv;

    (void)state;
    while (text.len < DQ_EXEC_ARG_MAX)
        dq_buf_append_char(&text, 'x');
    f.payload = dq_buf_str(&text);
    assert_int_equal(dq_exec_build_argv(&arena, words, 2, &f, &argv, &err), 0);
    dq_buf_append_char(&text, 'x');
    f.payload = dq_buf_str(&text);
    assert_int_equal(dq_exec_build_argv(&arena, words, 2, &f, &argv, &err), DUREQ_ETOOLARGE);
    assert_non_null(strstr(err.msg, "read it from standard input"));
    dq_arena_deinit(&arena);
}

static const dureq_header headers[] = {
    {"trace-id", {"t1", 2}}, {"Trace.Id", {"t2", 2}}, {"nul", {"a\0b", 3}}, {"empty", {"", 0}}};

static const dq_exec_facts facts = {
    .job_id = "j1",
    .run_id = "j1.2",
    .task_type = "a.b",
    .queue = "high",
    .node_id = "n:1",
    .content_type = JSON,
    .priority = 7,
    .attempt = 2,
    .max_attempts = 3,
    .deadline_at_ms = 1700000000123,
    .enqueued_at_ms = 1700000000000,
    .schedule_id = "s1",
    .workflow_id = "w1",
    .scheduled_at_ms = 1700000001000,
    .headers = headers,
    .n_headers = 4,
    .traceparent = {"00-ab", 5},
};

static void the_environment_is_the_context_and_the_base(void **state)
{
    const char *base[] = {"PATH=/bin", "LANG=C", NULL};
    const char *want =
        "DUREQ_CONTEXT=/x/1.json|DUREQ_JOB_ID=j1|DUREQ_RUN_ID=j1.2|DUREQ_TASK_TYPE=a.b|DUREQ_QUEUE=high|DUREQ_PRIORITY=7|"
        "DUREQ_ATTEMPT=2|DUREQ_MAX_ATTEMPTS=3|DUREQ_NODE_ID=n:1|DUREQ_DEADLINE=2023-11-14T22:13:20.123Z|"
        "DUREQ_ENQUEUED_AT=2023-11-14T22:13:20.000Z|DUREQ_SCHEDULE_ID=s1|DUREQ_SCHEDULED_AT=2023-11-14T22:13:21.000Z|DUREQ_WORKFLOW_ID=w1|DUREQ_TRACEPARENT=00-ab|DUREQ_CONTENT_TYPE=application/json|"
        "DUREQ_HEADER_TRACE_ID=t1|DUREQ_HEADER_EMPTY=|PATH=/bin|LANG=C|";
    dq_arena arena = {0};
    DQ_BUF_AUTO got = {0};
    char **env;

    (void)state;
    assert_int_equal(dq_exec_build_env(&arena, base, &facts, "/x/1.json", &env, NULL), 0);
    for (size_t i = 0; env[i]; i++)
        dq_buf_append_fmt(&got, "%s|", env[i]);
    assert_string_equal(got.ptr, want);
    dq_arena_deinit(&arena);
}

static void the_context_is_the_same_as_json(void **state)
{
    DQ_BUF_AUTO got = {0};
    const char *want =
        "{\"job_id\":\"j1\",\"run_id\":\"j1.2\",\"task_type\":\"a.b\",\"queue\":\"high\",\"priority\":7,\"attempt\":2,"
        "\"max_attempts\":3,\"node_id\":\"n:1\",\"deadline\":\"2023-11-14T22:13:20.123Z\","
        "\"enqueued_at\":\"2023-11-14T22:13:20.000Z\",\"schedule_id\":\"s1\",\"scheduled_at\":\"2023-11-14T22:13:21.000Z\",\"workflow_id\":\"w1\","
        "\"traceparent\":\"00-ab\",\"content_type\":\"application/json\","
        "\"headers\":{\"trace-id\":\"t1\",\"Trace.Id\":\"t2\",\"nul\":\"a\\u0000b\",\"empty\":\"\"}}";

    (void)state;
    dq_exec_build_context(&facts, &got);
    assert_true(dq_json_valid(dq_buf_str(&got)));
    assert_string_equal(got.ptr, want);
}

static void what_is_unknown_is_left_out(void **state)
{
    dq_exec_facts few = {.job_id = "j", .attempt = 1, .max_attempts = 3};
    const char *base[] = {NULL};
    dq_arena arena = {0};
    char **env;

    (void)state;
    assert_int_equal(dq_exec_build_env(&arena, base, &few, NULL, &env, NULL), 0);
    assert_string_equal(env[0], "DUREQ_JOB_ID=j");
    assert_string_equal(env[1], "DUREQ_ATTEMPT=1");
    assert_string_equal(env[2], "DUREQ_MAX_ATTEMPTS=3");
    assert_null(env[3]);
    dq_arena_deinit(&arena);
}

static void a_failed_allocation_is_an_error(void **state)
{
    const char *words[] = {"p", "{payload}"}, *base[] = {"A=b", NULL};
    dq_exec_facts f = facts;
    int rc = DUREQ_ENOMEM;

    (void)state;
    f.payload = DQ_STR_LIT("\"text\"");
    for (long n = 1; rc != 0; n++) {
        dq_arena arena = {0};
        char **list;

        dq_alloc_fail_at(n);
        rc = dq_exec_build_argv(&arena, words, 2, &f, &list, NULL);
        if (rc == 0)
            rc = dq_exec_build_env(&arena, base, &f, "/x", &list, NULL);
        dq_alloc_fail_at(0);
        assert_true(rc == 0 || rc == DUREQ_ENOMEM);
        dq_arena_deinit(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_payload_becomes_one_argument),
        cmocka_unit_test(a_leading_dash_can_be_allowed),
        cmocka_unit_test(a_payload_larger_than_an_argument_is_refused),
        cmocka_unit_test(the_environment_is_the_context_and_the_base),
        cmocka_unit_test(the_context_is_the_same_as_json),
        cmocka_unit_test(what_is_unknown_is_left_out),
        cmocka_unit_test(a_failed_allocation_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
