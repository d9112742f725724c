/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "model/job.h"

#define EXPECT_STR(want, got)                                                     \
    do {                                                                          \
        dureq_str got_ = (got);                                                   \
        if (!dq_str_eq_text(got_, want))                                          \
            fail_msg("got '" DQ_STR_FMT "', not '%s'", DQ_STR_ARG(got_), (want)); \
    } while (0)

static const dureq_header headers[] = {{"h1", {"v\0", 2}}, {"h2", {"", 0}}};
static const char *const tags[] = {"red", "blue"};
static const char *const finals[] = {"no such"};

/* All that can be said of a job. */
static void pack_full(dq_buf *out)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_retry_policy p = dureq_retry_policy_init();
    dureq_job_spec spec = {.task_type = "a", .payload = DQ_STR_LIT("\0payload"), .options = &o};

    p.max_attempts = 4;
    p.non_retryable_errors = finals;
    p.n_non_retryable_errors = 1;
    o.priority = 10;
    o.timeout_ms = 300;
    o.schedule_to_start_timeout_ms = 1LL << 40;
    o.heartbeat_timeout_ms = 3;
    o.dlq_after = 2;
    o.retention_ms = 9000;
    o.retry_policy = &p;
    o.unique_key = DQ_STR_LIT("u\0k");
    o.unique_for_ms = 77;
    o.request_id = DQ_STR_LIT("req");
    o.headers = headers;
    o.n_headers = 2;
    o.tags = tags;
    o.n_tags = 2;
    o.content_type = "image/png";
    dq_envelope_pack(out, &spec, 513);
}

static void expect_full_but_content(const dq_envelope *e)
{
    dureq_str rest, name, value;
    dq_retry r;

    assert_int_equal(e->priority, 10);
    assert_int_equal(e->timeout_ms, 300);
    assert_int_equal(e->s2s_ms, 1LL << 40);
    assert_int_equal(e->heartbeat_ms, 3);
    assert_int_equal(e->dlq_after, 2);
    assert_int_equal(e->retention_ms, 10000); /* its class */
    assert_int_equal(dq_retry_unpack(e->retry, &r), 0);
    assert_int_equal(r.max_attempts, 4);
    assert_true(dq_retry_is_final(&r, DQ_STR_LIT("no such file")));
    assert_true(dq_str_eq(e->unique_key, DQ_STR_LIT("u\0k")));
    assert_int_equal(e->unique_for_ms, 77);
    assert_int_equal(e->unique_shard, 513);
    EXPECT_STR("req", e->request_id);
    rest = e->headers;
    assert_true(dq_headers_next(&rest, &name, &value));
    EXPECT_STR("h1", name);
    assert_true(dq_str_eq(value, DQ_STR_LIT("v\0")));
    assert_true(dq_headers_next(&rest, &name, &value));
    EXPECT_STR("h2", name);
    assert_int_equal(value.len, 0);
    assert_false(dq_headers_next(&rest, &name, &value));
    rest = e->tags;
    assert_true(dq_tags_next(&rest, &name));
    EXPECT_STR("red", name);
    assert_true(dq_tags_next(&rest, &name));
    EXPECT_STR("blue", name);
    assert_false(dq_tags_next(&rest, &name));
}

static void all_that_is_packed_is_read_back(void **state)
{
    DQ_BUF_AUTO j = {0};
    dq_envelope e;

    (void)state;
    pack_full(&j);
    assert_int_equal(dq_envelope_unpack(dq_buf_str(&j), &e), 0);
    expect_full_but_content(&e);
    EXPECT_STR("image/png", e.content_type);
    assert_true(dq_str_eq(e.payload, DQ_STR_LIT("\0payload")));
}

static void the_least_is_a_few_bytes(void **state)
{
    DQ_BUF_AUTO j = {0};
    dureq_job_spec spec = {.task_type = "a", .payload = DQ_STR_LIT("{}")};
    dq_envelope e;

    (void)state;
    dq_envelope_pack(&j, &spec, -1);
    assert_int_equal(j.len, 4);
    assert_memory_equal(j.ptr, "\x01\x01{}", 4);
    assert_int_equal(dq_envelope_flags(dq_buf_str(&j)), DQ_J_JSON);
    assert_int_equal(dq_envelope_flags((dureq_str){0}), 0);
    assert_int_equal(dq_envelope_unpack(dq_buf_str(&j), &e), 0);
    EXPECT_STR("application/json", e.content_type);
    EXPECT_STR("{}", e.payload);
    assert_int_equal(e.unique_shard, -1);
    assert_int_equal(e.retention_ms, 0);
}

typedef struct type_case {
    const char *content_type, *payload, *want;
} type_case;

static void content_types_are_found_or_kept(void **state)
{
    static const type_case cases[] = {
        {NULL, "", "application/octet-stream"},
        {NULL, "[1]", "application/json"},
        {NULL, "plain", "application/octet-stream"},
        {"text/plain", "{}", "text/plain"},
        {"application/json", "1", "application/json"},
        {"application/octet-stream", "{}", "application/octet-stream"},
        {"text/html", "x", "text/html"},
    };

    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(cases); i++) {
        DQ_BUF_AUTO j = {0};
        dureq_job_options o = dureq_job_options_init();
        dureq_job_spec spec = {.task_type = "a", .payload = dureq_str_from(cases[i].payload), .options = &o};
        dq_envelope e;

        o.content_type = cases[i].content_type;
        dq_envelope_pack(&j, &spec, -1);
        assert_int_equal(dq_envelope_unpack(dq_buf_str(&j), &e), 0);
        EXPECT_STR(cases[i].want, e.content_type);
        EXPECT_STR(cases[i].payload, e.payload);
    }
}

static void not_kept_is_not_the_same_as_not_said(void **state)
{
    DQ_BUF_AUTO j = {0};
    dureq_job_options o = dureq_job_options_init();
    dureq_job_spec spec = {.task_type = "a", .options = &o};
    dq_envelope e;

    (void)state;
    o.retention_ms = -1;
    dq_envelope_pack(&j, &spec, -1);
    assert_int_equal(dq_envelope_unpack(dq_buf_str(&j), &e), 0);
    assert_true(e.flags & DQ_J_RETENTION);
    assert_int_equal(e.retention_ms, 0);
}

static void a_large_payload_stays_outside(void **state)
{
    static char payload[DQ_PAYLOAD_INLINE_MAX + 1];
    DQ_BUF_AUTO j = {0};
    DQ_BUF_AUTO inside = {0};
    dureq_job_spec spec = {.task_type = "a", .payload = {payload, sizeof payload}};
    dq_envelope e;

    (void)state;
    dq_envelope_pack(&j, &spec, -1);
    assert_true(j.len < 20);
    assert_int_equal(dq_envelope_unpack(dq_buf_str(&j), &e), 0);
    assert_true(e.flags & DQ_J_BLOB);
    assert_int_equal(e.blob_len, sizeof payload);
    assert_int_equal(e.payload.len, 0);
    spec.payload.len--;
    dq_envelope_pack(&inside, &spec, -1);
    assert_int_equal(dq_envelope_unpack(dq_buf_str(&inside), &e), 0);
    assert_false(e.flags & DQ_J_BLOB);
    assert_int_equal(e.payload.len, DQ_PAYLOAD_INLINE_MAX);
}

/* ---- another payload ---- */

static void repack(dureq_str j, dureq_str payload, const char *type, dq_buf *out, dq_envelope *ret)
{
    dq_buf_clear(out);
    assert_int_equal(dq_envelope_repack(out, j, payload, type), 0);
    assert_int_equal(dq_envelope_unpack(dq_buf_str(out), ret), 0);
}

static void another_payload_leaves_the_rest_as_it_was(void **state)
{
    static char large[DQ_PAYLOAD_INLINE_MAX + 1];
    DQ_BUF_AUTO j = {0};
    DQ_BUF_AUTO again = {0};
    DQ_BUF_AUTO small = {0};
    dq_envelope e;

    (void)state;
    pack_full(&j);
    repack(dq_buf_str(&j), DQ_STR_LIT("[2]"), "application/json", &again, &e);
    expect_full_but_content(&e);
    EXPECT_STR("application/json", e.content_type);
    EXPECT_STR("[2]", e.payload);
    repack(dq_buf_str(&j), DQ_STR_LIT("x"), "audio/ogg", &again, &e);
    expect_full_but_content(&e);
    EXPECT_STR("audio/ogg", e.content_type);
    repack(dq_buf_str(&j), DQ_STR_LIT("x"), NULL, &again, &e);
    EXPECT_STR("application/octet-stream", e.content_type);
    repack(dq_buf_str(&j), dureq_str_of(large, sizeof large), NULL, &again, &e); /* out to a key of its own ... */
    expect_full_but_content(&e);
    assert_int_equal(e.blob_len, sizeof large);
    repack(dq_buf_str(&again), DQ_STR_LIT("1"), NULL, &small, &e); /* ... and back */
    expect_full_but_content(&e);
    assert_false(e.flags & DQ_J_BLOB);
    EXPECT_STR("1", e.payload);
}

static void a_trace_survives_another_payload(void **state)
{
    static const char j[] = "\x01\x80\x80\x01"
                            "0123456789abcdef01234567f"
                            "old";
    DQ_BUF_AUTO again = {0};
    dq_envelope e;

    (void)state;
    assert_int_equal(dq_envelope_unpack(DQ_STR_LIT(j), &e), 0);
    EXPECT_STR("0123456789abcdef01234567f", e.trace);
    repack(DQ_STR_LIT(j), DQ_STR_LIT("new"), "text/plain", &again, &e);
    EXPECT_STR("0123456789abcdef01234567f", e.trace);
    EXPECT_STR("new", e.payload);
}

/* ---- what cannot be read ---- */

static void parts_of_later_versions_are_skipped_and_kept(void **state)
{
    static const char packed[] = "\x01\xa0\x80\x04\x07\x03new{}"; /* flags 5 and 16: schedule-to-start 7 ms, three bytes more */
    dq_envelope e;
    DQ_BUF_AUTO out = {0};

    (void)state;
    assert_int_equal(dq_envelope_unpack(dureq_str_of(packed, sizeof packed - 1), &e), 0);
    assert_int_equal(e.s2s_ms, 7);
    EXPECT_STR("{}", e.payload);
    assert_int_equal(
        dq_envelope_repack(&out, dureq_str_of(packed, sizeof packed - 1), DQ_STR_LIT("[]"), "application/octet-stream"), 0);
    assert_int_equal(out.len, sizeof packed - 1);
    assert_memory_equal(out.ptr, packed, sizeof packed - 3);
    EXPECT_STR("[]", dureq_str_of(out.ptr + out.len - 2, 2));
    assert_int_equal(dq_envelope_unpack(DQ_STR_LIT("\x01\x80\x80\x04\x09{}"), &e), DUREQ_EPROTO); /* longer than there is */
}

static void a_newer_schema_is_told_apart_from_damage(void **state)
{
    dq_envelope e;
    DQ_BUF_AUTO out = {0};

    (void)state;
    assert_int_equal(dq_envelope_unpack(DQ_STR_LIT("\x02\x01{}"), &e), DUREQ_ESCHEMA);
    assert_int_equal(dq_envelope_unpack(DQ_STR_LIT("\x01\x80\x80\x08{}"), &e), DUREQ_ESCHEMA); /* flag 17 */
    assert_int_equal(dq_envelope_unpack(DQ_STR_LIT("\x01"), &e), DUREQ_EPROTO);
    assert_int_equal(dq_envelope_unpack(DQ_STR_LIT("\x01\x80"), &e), DUREQ_EPROTO);
    assert_int_equal(dq_envelope_unpack(dureq_str_of(NULL, 0), &e), DUREQ_EPROTO);
    assert_int_equal(dq_envelope_repack(&out, DQ_STR_LIT("\x02\x01{}"), DQ_STR_LIT("x"), NULL), DUREQ_ESCHEMA);
    assert_int_equal(out.len, 0);
}

/* Goes through everything that a reader would: views must lie within the input. */
static void touch(dureq_str s, dureq_str whole)
{
    if (s.len == 0)
        return;
    assert_true(s.ptr >= whole.ptr && s.ptr + s.len <= whole.ptr + whole.len);
}

static void walk(dureq_str j)
{
    DQ_BUF_AUTO again = {0};
    dureq_str name, value, rest;
    dq_envelope e;
    dq_retry r;
    int rc = dq_envelope_unpack(j, &e);

    assert_int_equal(dq_envelope_repack(&again, j, DQ_STR_LIT("p"), "text/plain"), rc);
    if (rc < 0) {
        assert_true(rc == DUREQ_ESCHEMA || rc == DUREQ_EPROTO);
        return;
    }
    touch(e.payload, j);
    touch(e.unique_key, j);
    touch(e.request_id, j);
    touch(e.trace, j);
    rest = e.headers;
    while (dq_headers_next(&rest, &name, &value)) {
        touch(name, j);
        touch(value, j);
    }
    rest = e.tags;
    while (dq_tags_next(&rest, &name))
        touch(name, j);
    if ((e.flags & DQ_J_RETRY) && dq_retry_unpack(e.retry, &r) == 0)
        (void)dq_retry_is_final(&r, DQ_STR_LIT("text"));
}

/* Input in a block of its own size, so that a read after its end is seen. */
static void walk_copy(const char *ptr, size_t len)
{
    char *exact = dq_malloc(len ? len : 1);

    assert_non_null(exact);
    memcpy(exact, ptr, len);
    walk(dureq_str_of(exact, len));
    dq_free(exact);
}

static void damaged_envelopes_do_no_harm(void **state)
{
    DQ_BUF_AUTO j = {0};

    (void)state;
    pack_full(&j);
    for (size_t len = 0; len <= j.len; len++)
        walk_copy(j.ptr, len);
    for (size_t i = 0; i < j.len; i++) {
        char was = j.ptr[i];

        for (int c = 0; c < 256; c++) {
            j.ptr[i] = (char)c;
            walk_copy(j.ptr, j.len);
        }
        j.ptr[i] = was;
    }
}

static void every_truncation_before_the_payload_is_seen(void **state)
{
    DQ_BUF_AUTO j = {0};
    dq_envelope e;

    (void)state;
    pack_full(&j);
    for (size_t len = 0; len < j.len - sizeof "\0payload" + 1; len++)
        assert_int_equal(dq_envelope_unpack(dureq_str_of(j.ptr, len), &e), DUREQ_EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_is_packed_is_read_back),
        cmocka_unit_test(the_least_is_a_few_bytes),
        cmocka_unit_test(content_types_are_found_or_kept),
        cmocka_unit_test(not_kept_is_not_the_same_as_not_said),
        cmocka_unit_test(a_large_payload_stays_outside),
        cmocka_unit_test(another_payload_leaves_the_rest_as_it_was),
        cmocka_unit_test(a_trace_survives_another_payload),
        cmocka_unit_test(a_newer_schema_is_told_apart_from_damage),
        cmocka_unit_test(parts_of_later_versions_are_skipped_and_kept),
        cmocka_unit_test(damaged_envelopes_do_no_harm),
        cmocka_unit_test(every_truncation_before_the_payload_is_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
