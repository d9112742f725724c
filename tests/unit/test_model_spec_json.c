/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "model/job_json.h"

typedef struct spec_out {
    dq_json doc;
    dq_arena arena;
    dureq_job_spec spec;
    dureq_job_options options;
    dureq_error err;
    int rc;
} spec_out;

static void read_spec(spec_out *o, dureq_str json)
{
    *o = (spec_out){0};
    o->rc = dq_json_parse(json, &o->doc, &o->err);
    if (o->rc == 0)
        o->rc = dq_job_spec_from_json(&o->doc, 0, &o->arena, &o->spec, &o->options, &o->err);
}

static void drop_spec(spec_out *o)
{
    dq_json_deinit(&o->doc);
    dq_arena_deinit(&o->arena);
}

#define EXPECT_STR(want, got)                                                     \
    do {                                                                          \
        dureq_str got_ = (got);                                                   \
        if (!dq_str_eq_text(got_, want))                                          \
            fail_msg("got '" DQ_STR_FMT "', not '%s'", DQ_STR_ARG(got_), (want)); \
    } while (0)

static void the_least_is_a_task_type(void **state)
{
    spec_out o;

    (void)state;
    read_spec(&o, DQ_STR_LIT("{\"task_type\":\"mail.send\"}"));
    assert_int_equal(o.rc, 0);
    assert_string_equal(o.spec.task_type, "mail.send");
    EXPECT_STR("null", o.spec.payload);
    assert_string_equal(o.options.content_type, "application/json");
    assert_ptr_equal(o.spec.options, &o.options);
    assert_int_equal(o.options.struct_size, sizeof o.options);
    assert_int_equal(dq_job_spec_check(&o.spec, 100, &o.err), 0);
    drop_spec(&o);
}

static void every_field_is_taken(void **state)
{
    spec_out o;

    (void)state;
    read_spec(&o, DQ_STR_LIT("{\"task_type\":\"a\",\"payload\":{\"b\": 1.0},\"queue\":\"q\",\"priority\":10,\"delay\":\"1m30s\","
                             "\"unique_key\":\"k\\u0000\\n\",\"unique_for\":\"2h\",\"request_id\":\"r\","
                             "\"headers\":{\"h\":\"v\\u0000\",\"i\":\"\"},\"tags\":[\"t\",\"u\"],\"timeout\":\"10s\","
                             "\"schedule_to_start_timeout\":\"5ms\",\"heartbeat_timeout\":\"3s\",\"retention\":\"1h\","
                             "\"dlq_after\":4,\"content_type\":\"application/json\","
                             "\"retry_policy\":{\"max_attempts\":7}}"));
    if (o.rc < 0)
        fail_msg("%s", o.err.msg);
    EXPECT_STR("{\"b\": 1.0}", o.spec.payload);
    assert_string_equal(o.options.queue, "q");
    assert_int_equal(o.options.priority, 10);
    assert_int_equal(o.options.delay_ms, 90000);
    assert_int_equal(o.options.unique_key.len, 3);
    assert_memory_equal(o.options.unique_key.ptr, "k\0\n", 3);
    assert_int_equal(o.options.unique_for_ms, 7200000);
    EXPECT_STR("r", o.options.request_id);
    assert_int_equal(o.options.n_headers, 2);
    assert_string_equal(o.options.headers[0].name, "h");
    assert_int_equal(o.options.headers[0].value.len, 2);
    assert_string_equal(o.options.headers[1].name, "i");
    assert_int_equal(o.options.headers[1].value.len, 0);
    assert_int_equal(o.options.n_tags, 2);
    assert_string_equal(o.options.tags[1], "u");
    assert_int_equal(o.options.timeout_ms, 10000);
    assert_int_equal(o.options.schedule_to_start_timeout_ms, 5);
    assert_int_equal(o.options.heartbeat_timeout_ms, 3000);
    assert_int_equal(o.options.retention_ms, 3600000);
    assert_int_equal(o.options.dlq_after, 4);
    assert_int_equal(o.options.retry_policy->max_attempts, 7);
    assert_int_equal(dq_job_spec_check(&o.spec, 100, &o.err), 0);
    drop_spec(&o);
}

static void a_time_to_start_at(void **state)
{
    spec_out o;

    (void)state;
    read_spec(&o, DQ_STR_LIT("{\"task_type\":\"a\",\"run_at\":\"1970-01-01T01:00:01.5+01:00\"}"));
    assert_int_equal(o.rc, 0);
    assert_int_equal(o.options.run_at_ms, 1500);
    drop_spec(&o);
}

static void nothing_kept_is_said_by_zero(void **state)
{
    spec_out o;

    (void)state;
    read_spec(&o, DQ_STR_LIT("{\"task_type\":\"a\",\"retention\":\"0s\"}"));
    assert_int_equal(o.rc, 0);
    assert_int_equal(o.options.retention_ms, -1);
    drop_spec(&o);
}

static void null_is_the_same_as_absent(void **state)
{
    spec_out o;

    (void)state;
    read_spec(&o, DQ_STR_LIT("{\"task_type\":\"a\",\"payload\":null,\"payload_base64\":null,\"queue\":null,\"priority\":null,"
                             "\"tags\":null,\"headers\":null,\"retry_policy\":null,\"version\":null,\"schedule\":null,"
                             "\"concurrency_keys\":null,\"run_at\":null}"));
    assert_int_equal(o.rc, 0);
    EXPECT_STR("null", o.spec.payload);
    assert_null(o.options.queue);
    assert_null(o.options.retry_policy);
    drop_spec(&o);
}

typedef struct payload_case {
    const char *members, *payload, *content_type;
} payload_case;

static const payload_case payload_cases[] = {
    {"\"payload\":[1, 2 ]", "[1, 2 ]", "application/json"},
    {"\"payload\":\"a\\nb\"", "\"a\\nb\"", "application/json"},
    {"\"payload\":false", "false", "application/json"},
    {"\"payload\":\"a\\nb\",\"content_type\":\"text/plain\"", "a\nb", "text/plain"},
    {"\"content_type\":\"text/plain\",\"payload\":\"plain\"", "plain", "text/plain"},
    {"\"payload\":{},\"content_type\":\"application/x+json\"", "{}", "application/x+json"},
    {"\"content_type\":\"text/plain\"", "", "text/plain"},
    {"\"content_type\":\"image/png\"", "", "image/png"},
    {"\"content_type\":\"application/json\"", "null", "application/json"},
    {"\"payload_base64\":\"AGE=\",\"content_type\":\"image/png\"", "\0a", "image/png"},
    {"\"payload_base64\":\"aGk=\"", "hi", NULL},
    {"\"payload_base64\":\"\"", "", NULL},
    {"\"payload_base64\":\"\\u0061Gk=\"", "hi", NULL}, /* escapes are read first */
};

static void a_payload_follows_its_content_type(void **state)
{
    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(payload_cases); i++) {
        const payload_case *c = &payload_cases[i];
        DQ_BUF_AUTO json = {0};
        spec_out o;

        dq_buf_append_fmt(&json, "{\"task_type\":\"a\",%s}", c->members);
        read_spec(&o, dq_buf_str(&json));
        if (o.rc < 0)
            fail_msg("%s: %s", json.ptr, o.err.msg);
        if (strstr(c->members, "AGE="))
            assert_memory_equal(o.spec.payload.ptr, c->payload, 2);
        else
            EXPECT_STR(c->payload, o.spec.payload);
        if (c->content_type)
            assert_string_equal(o.options.content_type, c->content_type);
        else
            assert_null(o.options.content_type);
        drop_spec(&o);
    }
}

/* ---- refusals ---- */

typedef struct bad_case {
    const char *json;
    int rc;
    const char *msg;
} bad_case;

#define BAD(members, msg)                                      \
    {                                                          \
        "{\"task_type\":\"a\"," members "}", DUREQ_EINVAL, msg \
    }

static const bad_case bad_cases[] = {
    {"[]", DUREQ_EINVAL, "a job spec is an object, not an array"},
    {"null", DUREQ_EINVAL, "a job spec is an object, not null"},
    {"{}", DUREQ_EINVAL, "field 'task_type' is missing"},
    {"{\"task_type\":null}", DUREQ_EINVAL, "field 'task_type' is missing"},
    {"{\"task_type\":1}", DUREQ_EINVAL, "field 'task_type' takes a string, not 1"},
    {"{\"task_type\":\"a\\u0000b\"}", DUREQ_EINVAL, "field 'task_type' takes text without NUL characters"},
    {"{\"task_type\":\"a\",\"version\":\"1\"}", DUREQ_EUNSUPPORTED, "field 'version' is not supported by this version"},
    {"{\"task_type\":\"a\",\"schedule\":{}}", DUREQ_EUNSUPPORTED, "field 'schedule' is not supported by this version"},
    {"{\"task_type\":\"a\",\"concurrency_keys\":[]}", DUREQ_EUNSUPPORTED,
     "field 'concurrency_keys' is not supported by this version"},
    BAD("\"colour\":1", "unknown field 'colour'"),
    BAD("\"Queue\":\"a\"", "unknown field 'Queue'"),
    BAD("\"\":1", "unknown field ''"),
    BAD("\"queue\":true", "field 'queue' takes a string, not a boolean"),
    BAD("\"priority\":0", "field 'priority' takes a whole number from 1 to 10, not 0"),
    BAD("\"priority\":11", "field 'priority' takes a whole number from 1 to 10, not 11"),
    BAD("\"priority\":\"5\"", "field 'priority' takes a whole number from 1 to 10, not \"5\""),
    BAD("\"priority\":5.0", "field 'priority' takes a whole number from 1 to 10, not 5.0"),
    BAD("\"dlq_after\":-1", "field 'dlq_after' takes a whole number from 0 to 10000, not -1"),
    BAD("\"delay\":5", "field 'delay' takes a duration such as \"30s\", not 5"),
    BAD("\"delay\":\"5\"", "field 'delay' takes a duration such as \"30s\", not \"5\""),
    BAD("\"delay\":\"-5s\"", "field 'delay' takes a duration such as \"30s\", not \"-5s\""),
    BAD("\"timeout\":\"5 apples\"", "field 'timeout' takes a duration such as \"30s\", not \"5 apples\""),
    BAD("\"timeout\":\"012345678901234567890123456789012345678901234567890\"",
        "field 'timeout' takes a duration such as \"30s\", not \"012345678901234567890123456789012345678..."),
    BAD("\"run_at\":1", "field 'run_at' takes an RFC 3339 time such as \"2026-11-23T20:00:00Z\", not 1"),
    BAD("\"run_at\":\"soon\"", "field 'run_at' takes an RFC 3339 time such as \"2026-11-23T20:00:00Z\", not \"soon\""),
    BAD("\"run_at\":\"1960-01-01T00:00:00Z\"",
        "field 'run_at' takes an RFC 3339 time such as \"2026-11-23T20:00:00Z\", not \"1960-01-01T00:00:00Z\""),
    BAD("\"run_at\":\"2026-11-23T20:00:00Z\",\"delay\":\"1s\"", "fields 'delay' and 'run_at' exclude each other"),
    BAD("\"unique_key\":\"\"", "field 'unique_key' takes a string of 1 to 256 bytes, not \"\""),
    BAD("\"unique_for\":\"1s\"", "field 'unique_for' needs 'unique_key'"),
    BAD("\"tags\":\"t\"", "field 'tags' takes an array of strings, not \"t\""),
    BAD("\"tags\":[\"t\",1]", "field 'tags' takes an array of strings, not 1"),
    BAD("\"tags\":[null]", "field 'tags' takes an array of strings, not null"),
    BAD("\"headers\":[]", "field 'headers' takes an object of strings, not an array"),
    BAD("\"headers\":{\"a\":{}}", "field 'headers' takes an object of strings, not an object"),
    BAD("\"headers\":{\"a\\u0000\":\"\"}", "field 'headers' takes text without NUL characters"),
    BAD("\"payload\":1,\"payload_base64\":\"\"", "fields 'payload' and 'payload_base64' exclude each other"),
    BAD("\"payload_base64\":1", "field 'payload_base64' takes a string of base64 with its padding"),
    BAD("\"payload_base64\":\"aGk\"", "field 'payload_base64' takes a string of base64 with its padding"),
    BAD("\"payload\":1,\"content_type\":\"text/plain\"", "field 'payload' takes a string when content_type is text/plain"),
    BAD("\"payload\":1,\"content_type\":\"image/png\"", "field 'payload' cannot hold image/png: use 'payload_base64'"),
    BAD("\"retry_policy\":3", "field 'retry_policy' takes an object, not a number"),
    BAD("\"retry_policy\":{\"attempts\":1}", "unknown field 'retry_policy.attempts'"),
    BAD("\"retry_policy\":{\"max_attempts\":\"1\"}",
        "field 'retry_policy.max_attempts' takes a whole number from 0 to 10000, not \"1\""),
    BAD("\"retry_policy\":{\"max_delay\":-1}",
        "field 'retry_policy.max_delay' takes a duration such as \"5s\", or whole nanoseconds, not -1"),
    BAD("\"retry_policy\":{\"jitter\":1.5}", "field 'retry_policy.jitter' takes a number from 0 to 1, not 1.5"),
    BAD("\"retry_policy\":{\"jitter\":-1}", "field 'retry_policy.jitter' takes a number from 0 to 1, not -1"),
    BAD("\"retry_policy\":{\"multiplier\":\"2\"}", "field 'retry_policy.multiplier' takes a number, not \"2\""),
    BAD("\"retry_policy\":{\"multiplier\":0.5}", "retry_policy.multiplier takes 1 to 1000, or 0 for the default"),
    BAD("\"retry_policy\":{\"non_retryable_errors\":[\"\"]}", "retry_policy.non_retryable_errors[0] takes 1 to 256 bytes"),
};

static void faults_are_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(bad_cases); i++) {
        spec_out o;

        read_spec(&o, dureq_str_from(bad_cases[i].json));
        if (o.rc != bad_cases[i].rc || o.err.code != o.rc || strcmp(o.err.msg, bad_cases[i].msg) != 0)
            fail_msg("%s\n gave %d '%s'\n not %d '%s'", bad_cases[i].json, o.rc, o.err.msg, bad_cases[i].rc, bad_cases[i].msg);
        drop_spec(&o);
    }
}

/* ---- retry policy ---- */

typedef struct policy_case {
    const char *json;
    dureq_retry_policy want;
} policy_case;

static const policy_case policy_cases[] = {
    {"{}", {0}},
    {"{\"max_attempts\":0,\"multiplier\":0,\"pause_retry_delay\":0}", {0}},
    {"{\"initial_delay\":5000000000,\"max_delay\":1}", {.initial_delay_ms = 5000, .max_delay_ms = 1}},
    {"{\"initial_delay\":1000001}", {.initial_delay_ms = 2}},
    {"{\"initial_delay\":\"1.5s\",\"max_delay\":\"1h\"}", {.initial_delay_ms = 1500, .max_delay_ms = 3600000}},
    {"{\"initial_delay\":0,\"max_delay\":\"0s\",\"jitter\":0}", {.initial_delay_ms = -1, .max_delay_ms = -1, .jitter = -1}},
    {"{\"max_delay\":9223372036854775807}", {.max_delay_ms = 9223372036855}},
    {"{\"multiplier\":1.25,\"jitter\":1,\"pause_after_err_count\":3,\"pause_retry_delay\":\"1m\"}",
     {.multiplier = 1.25, .jitter = 1, .pause_after_err_count = 3, .pause_retry_delay_ms = 60000}},
};

static bool same_numbers(const dureq_retry_policy *a, const dureq_retry_policy *b)
{
    return a->struct_size == b->struct_size && a->max_attempts == b->max_attempts && a->initial_delay_ms == b->initial_delay_ms &&
           a->max_delay_ms == b->max_delay_ms && a->multiplier == b->multiplier && a->jitter == b->jitter &&
           a->pause_after_err_count == b->pause_after_err_count && a->pause_retry_delay_ms == b->pause_retry_delay_ms;
}

static void policies_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(policy_cases); i++) {
        dureq_retry_policy got, want = policy_cases[i].want;
        dq_arena arena = {0};
        dq_json doc = {0};
        dureq_error err = {0};

        want.struct_size = sizeof want;
        assert_int_equal(dq_json_parse(dureq_str_from(policy_cases[i].json), &doc, &err), 0);
        if (dq_retry_policy_from_json(&doc, 0, &arena, &got, &err) < 0)
            fail_msg("%s: %s", policy_cases[i].json, err.msg);
        if (!same_numbers(&got, &want))
            fail_msg("%s was read as something else", policy_cases[i].json);
        dq_json_deinit(&doc);
        dq_arena_deinit(&arena);
    }
}

/* ---- hostile input ---- */

static const char rich[] =
    "{\"task_type\":\"a\",\"payload_base64\":\"aGk=\",\"priority\":3,\"delay\":\"1m\",\"unique_key\":\"\\u00e9\","
    "\"headers\":{\"h\":\"\\n\"},\"tags\":[\"t\"],\"retry_policy\":{\"max_delay\":1,\"jitter\":0.5,"
    "\"non_retryable_errors\":[\"x\"]},\"content_type\":\"text/x\"}";

static void changed_bytes_do_no_harm(void **state)
{
    char text[sizeof rich];

    (void)state;
    for (size_t i = 0; i < sizeof rich - 1; i++)
        for (int c = 0; c < 256; c++) {
            spec_out o;

            memcpy(text, rich, sizeof rich);
            text[i] = (char)c;
            read_spec(&o, dureq_str_of(text, sizeof rich - 1));
            assert_int_equal(o.rc, o.err.code);
            if (o.rc == 0)
                (void)dq_job_spec_check(&o.spec, 1000, NULL); /* reads all of it */
            drop_spec(&o);
        }
}

static void running_out_of_memory_is_reported(void **state)
{
    int rc = DUREQ_ENOMEM;

    (void)state;
    for (long n = 1; rc == DUREQ_ENOMEM; n++) {
        spec_out o;

        assert_in_range(n, 1, 200);
        dq_alloc_fail_at(n);
        read_spec(&o, dureq_str_from(rich));
        dq_alloc_fail_at(0);
        rc = o.rc;
        drop_spec(&o);
    }
    assert_int_equal(rc, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_is_a_task_type),   cmocka_unit_test(every_field_is_taken),
        cmocka_unit_test(a_time_to_start_at),         cmocka_unit_test(nothing_kept_is_said_by_zero),
        cmocka_unit_test(null_is_the_same_as_absent), cmocka_unit_test(a_payload_follows_its_content_type),
        cmocka_unit_test(faults_are_named),           cmocka_unit_test(policies_are_read),
        cmocka_unit_test(changed_bytes_do_no_harm),   cmocka_unit_test(running_out_of_memory_is_reported),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
