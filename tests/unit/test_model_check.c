/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "model/job.h"

#define YEARS_100 (100LL * 366 * 86400000)

static const char *text_of_len(size_t len)
{
    static char text[DUREQ_HEADER_VALUE_MAX + 2];

    memset(text, 'x', len);
    text[len] = '\0';
    return text;
}

/* ---- names, keys, prefixes ---- */

static void names_are_checked(void **state)
{
    static const char *const good[] = {"a", "order.created", "A-Z_09:x", "-", ".."};
    static const char *const bad[] = {"", "a b", "a/b", "\xc3\xa9", "a\n", "a*", "a|b", "{a}"};
    dureq_error err;

    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(good); i++)
        assert_int_equal(dq_name_check("name", dureq_str_from(good[i]), &err), 0);
    for (size_t i = 0; i < DQ_ARRAY_LEN(bad); i++) {
        assert_int_equal(dq_name_check("the thing", dureq_str_from(bad[i]), &err), DUREQ_EINVAL);
        assert_non_null(strstr(err.msg, "the thing"));
    }
    assert_int_equal(dq_name_check("name", DQ_STR_LIT("a\0b"), &err), DUREQ_EINVAL);
    assert_int_equal(dq_name_check("name", dureq_str_from(text_of_len(128)), &err), 0);
    assert_int_equal(dq_name_check("name", dureq_str_from(text_of_len(129)), &err), DUREQ_EINVAL);
    assert_int_equal(dq_name_check("name", dureq_str_of(NULL, 0), NULL), DUREQ_EINVAL);
}

static void keys_may_hold_any_bytes(void **state)
{
    dureq_error err;

    (void)state;
    assert_int_equal(dq_key_check("unique_key", DQ_STR_LIT("\0\xff \n"), &err), 0);
    assert_int_equal(dq_key_check("unique_key", dureq_str_from(text_of_len(256)), &err), 0);
    assert_int_equal(dq_key_check("unique_key", dureq_str_from(text_of_len(257)), &err), DUREQ_EINVAL);
    assert_non_null(strstr(err.msg, "unique_key"));
    assert_int_equal(dq_key_check("unique_key", DQ_STR_LIT(""), &err), DUREQ_EINVAL);
}

static void prefixes_are_checked(void **state)
{
    dureq_error err;

    (void)state;
    assert_int_equal(dq_prefix_check(DQ_STR_LIT("dureq"), &err), 0);
    assert_int_equal(dq_prefix_check(dureq_str_from(text_of_len(64)), &err), 0);
    assert_int_equal(dq_prefix_check(dureq_str_from(text_of_len(65)), &err), DUREQ_EINVAL);
    assert_int_equal(dq_prefix_check(DQ_STR_LIT(""), &err), DUREQ_EINVAL);
    assert_int_equal(dq_prefix_check(DQ_STR_LIT("a:b"), &err), DUREQ_EINVAL); /* ends the prefix in a key */
    assert_int_equal(dq_prefix_check(DQ_STR_LIT("a{b"), &err), DUREQ_EINVAL); /* a hash tag of its own */
}

/* ---- options of other versions ---- */

typedef struct newer_policy {
    dureq_retry_policy known;
    int64_t unknown;
} newer_policy;

static void an_older_programs_options_are_filled_up(void **state)
{
    dureq_retry_policy theirs = dureq_retry_policy_init(), ours;
    dureq_error err;

    (void)state;
    theirs.max_attempts = 7;
    theirs.jitter = 0.5;
    theirs.struct_size = offsetof(dureq_retry_policy, jitter);
    memset(&ours, 0xff, sizeof ours);
    assert_int_equal(dq_options_adopt(&ours, sizeof ours, &theirs, "policy", &err), 0);
    assert_int_equal(ours.max_attempts, 7);
    assert_true(ours.jitter == 0);
    assert_int_equal(ours.struct_size, sizeof ours);
    assert_int_equal(ours.pause_retry_delay_ms, 0);
}

static void a_newer_programs_options_are_taken_while_unused(void **state)
{
    newer_policy theirs = {.known = dureq_retry_policy_init()};
    dureq_retry_policy ours;
    dureq_error err;

    (void)state;
    theirs.known.struct_size = sizeof theirs;
    theirs.known.max_attempts = 7;
    assert_int_equal(dq_options_adopt(&ours, sizeof ours, &theirs, "policy", &err), 0);
    assert_int_equal(ours.max_attempts, 7);
    theirs.unknown = 1;
    assert_int_equal(dq_options_adopt(&ours, sizeof ours, &theirs, "policy", &err), DUREQ_EINVAL);
    assert_non_null(strstr(err.msg, "policy"));
}

static void a_missing_size_is_named(void **state)
{
    dureq_retry_policy theirs = {0}, ours;
    dureq_error err;

    (void)state;
    assert_int_equal(dq_options_adopt(&ours, sizeof ours, &theirs, "policy", &err), DUREQ_EINVAL);
    assert_non_null(strstr(err.msg, "struct_size"));
}

/* ---- retry policies ---- */

typedef struct policy_case {
    dureq_retry_policy p;
    const char *named; /* NULL: good */
} policy_case;

static const char *const one_empty[] = {"a", ""}, *const one_null[] = {NULL};

static const policy_case policy_cases[] = {
    {{0}, NULL},
    {{.max_attempts = 10000, .initial_delay_ms = -1, .max_delay_ms = -1, .multiplier = 1, .jitter = -1}, NULL},
    {{.max_attempts = 1,
      .initial_delay_ms = 1,
      .max_delay_ms = 1,
      .multiplier = 1000,
      .jitter = 1,
      .pause_after_err_count = 10000,
      .pause_retry_delay_ms = 1},
     NULL},
    {{.max_attempts = -1}, "max_attempts"},
    {{.max_attempts = 10001}, "max_attempts"},
    {{.initial_delay_ms = -2}, "initial_delay_ms"},
    {{.max_delay_ms = -2}, "max_delay_ms"},
    {{.multiplier = 0.99}, "multiplier"},
    {{.multiplier = -1}, "multiplier"},
    {{.multiplier = 1001}, "multiplier"},
    {{.multiplier = NAN}, "multiplier"},
    {{.multiplier = INFINITY}, "multiplier"},
    {{.jitter = 1.1}, "jitter"},
    {{.jitter = -0.5}, "jitter"},
    {{.jitter = NAN}, "jitter"},
    {{.pause_after_err_count = -1}, "pause_after_err_count"},
    {{.pause_after_err_count = 10001}, "pause_after_err_count"},
    {{.pause_retry_delay_ms = -1}, "pause_retry_delay_ms"},
    {{.n_non_retryable_errors = 17}, "non_retryable_errors"},
    {{.n_non_retryable_errors = 1}, "non_retryable_errors"},
    {{.non_retryable_errors = one_empty, .n_non_retryable_errors = 2}, "non_retryable_errors[1]"},
    {{.non_retryable_errors = one_null, .n_non_retryable_errors = 1}, "non_retryable_errors[0]"},
};

static void policies_are_checked(void **state)
{
    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(policy_cases); i++) {
        dureq_retry_policy p = policy_cases[i].p;
        const char *named = policy_cases[i].named;
        dureq_error err = {0};

        p.struct_size = sizeof p;
        assert_int_equal(dq_retry_policy_check(&p, &err), named ? DUREQ_EINVAL : 0);
        if (named && !strstr(err.msg, named))
            fail_msg("case %zu: '%s' does not name %s", i, err.msg, named);
    }
}

/* ---- specs ---- */

static int check(const dureq_job_options *o, const char *payload, dureq_error *err)
{
    dureq_job_spec spec = {.task_type = "a", .payload = dureq_str_from(payload), .options = o};

    return dq_job_spec_check(&spec, 100, err);
}

static void the_least_spec_is_good(void **state)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_error err;

    (void)state;
    assert_int_equal(check(NULL, "", &err), 0);
    assert_int_equal(check(&o, "", &err), 0);
}

static void a_payload_over_the_limit_is_too_large(void **state)
{
    dureq_error err;

    (void)state;
    assert_int_equal(check(NULL, text_of_len(100), &err), 0);
    assert_int_equal(check(NULL, text_of_len(101), &err), DUREQ_ETOOLARGE);
    assert_non_null(strstr(err.msg, "payload"));
}

static void a_task_type_is_a_name(void **state)
{
    dureq_job_spec spec = {.task_type = NULL};
    dureq_error err;

    (void)state;
    assert_int_equal(dq_job_spec_check(&spec, 100, &err), DUREQ_EINVAL);
    assert_non_null(strstr(err.msg, "task_type"));
    spec.task_type = "mail.*";
    assert_int_equal(dq_job_spec_check(&spec, 100, &err), DUREQ_EINVAL);
}

#define EXPECT_REFUSED(code, named, payload, change)           \
    do {                                                       \
        dureq_job_options o = dureq_job_options_init();        \
        dureq_error err = {0};                                 \
        change;                                                \
        assert_int_equal(check(&o, payload, &err), code);      \
        if (!strstr(err.msg, named))                           \
            fail_msg("'%s' does not name %s", err.msg, named); \
    } while (0)

static void options_out_of_range_are_named(void **state)
{
    (void)state;
    EXPECT_REFUSED(DUREQ_EINVAL, "queue", "", o.queue = "");
    EXPECT_REFUSED(DUREQ_EINVAL, "queue", "", o.queue = "a|b");
    EXPECT_REFUSED(DUREQ_EINVAL, "priority", "", o.priority = -1);
    EXPECT_REFUSED(DUREQ_EINVAL, "priority", "", o.priority = 11);
    EXPECT_REFUSED(DUREQ_EINVAL, "delay_ms", "", o.delay_ms = -1);
    EXPECT_REFUSED(DUREQ_EINVAL, "delay_ms", "", o.delay_ms = YEARS_100 + 1);
    EXPECT_REFUSED(DUREQ_EINVAL, "run_at_ms", "", o.run_at_ms = -1);
    EXPECT_REFUSED(DUREQ_EINVAL, "run_at_ms", "", o.run_at_ms = 1LL << 44);
    EXPECT_REFUSED(DUREQ_EINVAL, "exclude", "", o.run_at_ms = o.delay_ms = 1);
    EXPECT_REFUSED(DUREQ_EINVAL, "unique_key", "", o.unique_key = dureq_str_from(text_of_len(257)));
    EXPECT_REFUSED(DUREQ_EINVAL, "unique_for_ms", "", o.unique_for_ms = -1);
    EXPECT_REFUSED(DUREQ_EINVAL, "request_id", "", o.request_id = dureq_str_from(text_of_len(257)));
    EXPECT_REFUSED(DUREQ_EINVAL, "request_window_ms", "", o.request_window_ms = -1);
    EXPECT_REFUSED(DUREQ_EINVAL, "timeout_ms", "", o.timeout_ms = -1);
    EXPECT_REFUSED(DUREQ_EINVAL, "schedule_to_start_timeout_ms", "", o.schedule_to_start_timeout_ms = -1);
    EXPECT_REFUSED(DUREQ_EINVAL, "heartbeat_timeout_ms", "", o.heartbeat_timeout_ms = INT64_MAX);
    EXPECT_REFUSED(DUREQ_EINVAL, "retention_ms", "", o.retention_ms = -2);
    EXPECT_REFUSED(DUREQ_EINVAL, "dlq_after", "", o.dlq_after = -1);
    EXPECT_REFUSED(DUREQ_EINVAL, "content_type", "", o.content_type = "");
    EXPECT_REFUSED(DUREQ_EINVAL, "content_type", "", o.content_type = "text/\n");
    EXPECT_REFUSED(DUREQ_EINVAL, "content_type", "", o.content_type = text_of_len(129));
    EXPECT_REFUSED(DUREQ_EINVAL, "not JSON", "{x", o.content_type = "application/json");
}

static void lists_are_checked(void **state)
{
    dureq_header header = {"h", {text_of_len(DUREQ_HEADER_VALUE_MAX), DUREQ_HEADER_VALUE_MAX}};
    dureq_header too_long = {"h", {text_of_len(DUREQ_HEADER_VALUE_MAX + 1), DUREQ_HEADER_VALUE_MAX + 1}};
    dureq_header nameless = {"", {NULL, 0}}, many[65];
    dureq_retry_policy policy = dureq_retry_policy_init();
    const char *tag = "t", *bad_tag = "a b", *no_tag = NULL, *many_tags[33];

    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(many); i++)
        many[i] = header;
    for (size_t i = 0; i < DQ_ARRAY_LEN(many_tags); i++)
        many_tags[i] = tag;
    policy.jitter = 2;
    EXPECT_REFUSED(0, "", "", (o.headers = many, o.n_headers = 64));
    EXPECT_REFUSED(DUREQ_EINVAL, "headers", "", (o.headers = many, o.n_headers = 65));
    EXPECT_REFUSED(DUREQ_EINVAL, "header", "", (o.headers = &nameless, o.n_headers = 1));
    EXPECT_REFUSED(DUREQ_ETOOLARGE, "'h'", "", (o.headers = &too_long, o.n_headers = 1));
    EXPECT_REFUSED(0, "", "", (o.tags = many_tags, o.n_tags = 32));
    EXPECT_REFUSED(DUREQ_EINVAL, "tags", "", (o.tags = many_tags, o.n_tags = 33));
    EXPECT_REFUSED(DUREQ_EINVAL, "tag", "", (o.tags = &bad_tag, o.n_tags = 1));
    EXPECT_REFUSED(DUREQ_EINVAL, "tag", "", (o.tags = &no_tag, o.n_tags = 1));
    EXPECT_REFUSED(DUREQ_EINVAL, "retry_policy.jitter", "", o.retry_policy = &policy);
}

/* ---- retention ---- */

static void retentions_are_rounded_up_to_a_class(void **state)
{
    static const int64_t day = 86400000;
    const int64_t cases[][2] = {
        {INT64_MIN, 0},
        {-1, 0},
        {0, 0},
        {1, 10000},
        {10000, 10000},
        {10001, 30000},
        {60000, 60000},
        {3600001, 3 * 3600000LL},
        {7 * day, 7 * day},
        {7 * day + 1, 14 * day},
        {400 * day, 400 * day},
        {401 * day, 400 * day},
        {INT64_MAX, 400 * day},
    };

    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(cases); i++)
        assert_int_equal(dq_retention_class(cases[i][0]), cases[i][1]);
    assert_int_equal(dq_retention_class(DQ_RETENTION_DEFAULT_MS), DQ_RETENTION_DEFAULT_MS);
    assert_int_equal(dq_retention_class(DQ_RETENTION_DEAD_DEFAULT_MS), DQ_RETENTION_DEAD_DEFAULT_MS);
    for (int64_t ms = 1; ms < 400 * day; ms = ms * 5 / 4 + 1) {
        int64_t class = dq_retention_class(ms);

        assert_true(class >= ms);
        assert_int_equal(dq_retention_class(class), class);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_checked),
        cmocka_unit_test(keys_may_hold_any_bytes),
        cmocka_unit_test(prefixes_are_checked),
        cmocka_unit_test(an_older_programs_options_are_filled_up),
        cmocka_unit_test(a_newer_programs_options_are_taken_while_unused),
        cmocka_unit_test(a_missing_size_is_named),
        cmocka_unit_test(policies_are_checked),
        cmocka_unit_test(the_least_spec_is_good),
        cmocka_unit_test(a_payload_over_the_limit_is_too_large),
        cmocka_unit_test(a_task_type_is_a_name),
        cmocka_unit_test(options_out_of_range_are_named),
        cmocka_unit_test(lists_are_checked),
        cmocka_unit_test(retentions_are_rounded_up_to_a_class),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
