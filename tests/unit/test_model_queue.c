/* SPDX-License-Identifier: Apache-2.0 */
#include "model/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* A set of "name:weight" or "name:weight:min-max", indexed. */
static void fill_set(dq_queue_set *s, const char *text)
{
    dureq_str rest = dureq_str_from(text);

    *s = (dq_queue_set){0};
    s->items = dq_arena_alloc(&s->arena, 16 * sizeof *s->items);
    while (rest.len) {
        dureq_str word = dq_str_cut(&rest, ' '), name = dq_str_cut(&word, ':');
        dureq_str weight = dq_str_cut(&word, ':'), min = dq_str_cut(&word, '-');
        dq_queue *q = &s->items[s->n++];
        int64_t v;

        q->name = name;
        assert_int_equal(dq_parse_i64(weight, 1, 1000, &v), 0);
        q->weight = (int32_t)v;
        if (min.len == 0)
            continue;
        assert_int_equal(dq_parse_i64(min, 1, 10, &v), 0);
        q->priority_min = (int32_t)v;
        assert_int_equal(dq_parse_i64(word, 1, 10, &v), 0);
        q->priority_max = (int32_t)v;
    }
    dq_queue_set_index(s);
}

typedef struct share_case {
    const char *queues;
    const char *by_priority; /* first letters, priority 1 to 10 */
} share_case;

static const share_case share_cases[] = {
    {"a:1", "aaaaaaaaaa"},
    {"a:9 b:1", "bbbbbaaaaa"},
    {"low:1 normal:3 high:6", "llllnnnhhh"},
    {"a:4 b:3 c:2 d:1", "dddccbbbaa"},
    {"a:5 b:4 c:3 d:2 e:1", "eeddccbbaa"},
    {"a:1 b:1", "bbbbbaaaaa"},                                         /* equal weights: by name */
    {"a:9 b:8 c:7 d:6 e:5 f:4 g:3 h:2 i:2 j:2 k:1 l:1", "jihgfedcba"}, /* more queues than priorities */
    {"high:6:8-10 normal:3:4-7 low:1:1-3", "lllnnnnhhh"},
    {"high:6:8-10 normal:3:4-7 low:1:1-3 mail:100", "lllnnnnhhh"}, /* nothing is left for mail: by name only */
    {"a:9:10-10 b:2 c:1", "ccccc"
                          "bbbb"
                          "a"},
    {"a:9:1-6 b:1:5-10", "aaaaaabbbb"}, /* overlap: the heaviest */
    {"a:9:9-10 b:1:2-3", "bbbbbaaaaa"}, /* gaps: the nearest, the higher one when two are */
};

static void priorities_are_shared_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(share_cases); i++) {
        dq_queue_set s;
        char got[11] = {0};

        fill_set(&s, share_cases[i].queues);
        assert_null(s.by_priority[0]);
        for (int p = 1; p <= 10; p++) {
            assert_non_null(s.by_priority[p]);
            got[p - 1] = s.by_priority[p]->name.ptr[0];
        }
        if (strcmp(got, share_cases[i].by_priority) != 0)
            fail_msg("%s: got %s, not %s", share_cases[i].queues, got, share_cases[i].by_priority);
        dq_queue_set_deinit(&s);
    }
}

static void a_set_is_sorted_and_found_in(void **state)
{
    dq_queue_set s;

    (void)state;
    fill_set(&s, "b:1 c:5 a:1");
    assert_true(dq_str_eq_text(s.items[0].name, "c"));
    assert_true(dq_str_eq_text(s.items[1].name, "a"));
    assert_true(dq_str_eq_text(s.items[2].name, "b"));
    assert_ptr_equal(dq_queue_set_find(&s, DQ_STR_LIT("b")), &s.items[2]);
    assert_null(dq_queue_set_find(&s, DQ_STR_LIT("bb")));
    assert_null(dq_queue_set_find(&s, DQ_STR_LIT("")));
    dq_queue_set_deinit(&s);
    assert_int_equal(s.n, 0);
}

static void an_empty_set_maps_nothing(void **state)
{
    dq_queue_set s = {0};

    (void)state;
    dq_queue_set_index(&s);
    for (int p = 0; p <= 10; p++)
        assert_null(s.by_priority[p]);
    assert_null(dq_queue_set_find(&s, DQ_STR_LIT("a")));
    dq_queue_set_deinit(&s);
}

static void defaults_are_good_and_cover_all_priorities(void **state)
{
    int covered = 0;

    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(dq_queue_defaults); i++) {
        dureq_error err;

        assert_int_equal(dq_queue_options_check(dq_queue_default_names[i], &dq_queue_defaults[i], &err), 0);
        for (int p = dq_queue_defaults[i].priority_min; p <= dq_queue_defaults[i].priority_max; p++)
            covered |= 1 << p;
    }
    assert_int_equal(covered, 0x7fe);
}

typedef struct check_case {
    const char *name;
    int32_t weight, min, max;
    int64_t max_len, retention_ms;
    const char *part; /* of the message; NULL: good */
} check_case;

static const check_case check_cases[] = {
    {"mail", 0, 0, 0, 0, 0, NULL},
    {"a:b.c_d-e", 1000, 1, 10, (1LL << 48) - 1, -1, NULL},
    {"mail", 0, 3, 3, 0, 1, NULL},
    {NULL, 0, 0, 0, 0, 0, "name"},
    {"", 0, 0, 0, 0, 0, "name"},
    {"a b", 0, 0, 0, 0, 0, "name"},
    {"a", -1, 0, 0, 0, 0, "weight"},
    {"a", 1001, 0, 0, 0, 0, "weight"},
    {"a", 1, 0, 5, 0, 0, "priority"},
    {"a", 1, 5, 0, 0, 0, "priority"},
    {"a", 1, 6, 5, 0, 0, "priority"},
    {"a", 1, 1, 11, 0, 0, "priority"},
    {"a", 1, -1, -1, 0, 0, "priority"},
    {"a", 1, 0, 0, -1, 0, "max_len"},
    {"a", 1, 0, 0, 1LL << 48, 0, "max_len"},
    {"a", 1, 0, 0, 0, -2, "retention"},
    {"a", 1, 0, 0, 0, INT64_MAX, "retention"},
};

static void options_are_checked(void **state)
{
    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(check_cases); i++) {
        const check_case *c = &check_cases[i];
        dureq_queue_options o = dureq_queue_options_init();
        dureq_error err = {0};

        o.weight = c->weight;
        o.priority_min = c->min;
        o.priority_max = c->max;
        o.max_len = c->max_len;
        o.retention_ms = c->retention_ms;
        assert_int_equal(dq_queue_options_check(c->name, &o, &err), c->part ? DUREQ_EINVAL : 0);
        if (c->part && !strstr(err.msg, c->part))
            fail_msg("case %zu: '%s' does not name %s", i, err.msg, c->part);
    }
}

static void a_bad_policy_in_options_is_refused(void **state)
{
    dureq_queue_options o = dureq_queue_options_init();
    dureq_retry_policy p = dureq_retry_policy_init();
    dureq_error err;

    (void)state;
    o.retry_policy = &p;
    assert_int_equal(dq_queue_options_check("a", &o, &err), 0);
    p.multiplier = 0.5;
    assert_int_equal(dq_queue_options_check("a", &o, &err), DUREQ_EINVAL);
    assert_non_null(strstr(err.msg, "multiplier"));
}

static void options_without_their_size_are_refused(void **state)
{
    dureq_queue_options o = {0};
    dureq_error err;

    (void)state;
    assert_int_equal(dq_queue_options_check("a", &o, &err), DUREQ_EINVAL);
    assert_non_null(strstr(err.msg, "struct_size"));
}

/* ---- JSON ---- */

static void goes_through_json(const dq_queue *q)
{
    DQ_BUF_AUTO json = {0};
    dq_arena arena = {0};
    dq_queue back;
    dureq_error err = {0};

    dq_queue_to_json(q, &json);
    assert_int_equal(dq_buf_finish(&json, &err), 0);
    if (dq_queue_from_json(q->name, dq_buf_str(&json), &arena, &back, &err) < 0)
        fail_msg("%s: %s", json.ptr, err.msg);
    assert_true(dq_queue_same(q, &back));
    assert_int_equal(q->paused, back.paused);
    dq_arena_deinit(&arena);
}

static void definitions_survive_json(void **state)
{
    static const char *const finals[] = {"no such user", "\"quoted\"\n"};
    dureq_retry_policy p = dureq_retry_policy_init();
    dq_queue q = {.name = DQ_STR_LIT("mail"), .weight = 7};

    (void)state;
    goes_through_json(&q);
    q.priority_min = 2;
    q.priority_max = 9;
    q.max_len = (1LL << 48) - 1;
    q.retention_ms = -1;
    q.paused = true;
    q.retry_policy = &p;
    goes_through_json(&q);
    p.max_attempts = 10000;
    p.initial_delay_ms = -1;
    p.max_delay_ms = -1;
    p.jitter = -1;
    p.multiplier = 1.7;
    p.pause_after_err_count = 4;
    p.pause_retry_delay_ms = 123456789;
    p.non_retryable_errors = finals;
    p.n_non_retryable_errors = 2;
    goes_through_json(&q);
}

static void the_json_form_is_as_documented(void **state)
{
    DQ_BUF_AUTO json = {0};
    dq_queue q = {.name = DQ_STR_LIT("mail"), .priority_min = 1, .priority_max = 3, .max_len = 5, .retention_ms = 1000};

    (void)state;
    dq_queue_to_json(&q, &json);
    assert_string_equal(json.ptr, "{\"weight\":1,\"priority_min\":1,\"priority_max\":3,\"max_len\":5,\"retention_ms\":1000,"
                                  "\"paused\":false}");
}

static void a_short_or_newer_definition_is_read(void **state)
{
    dq_arena arena = {0};
    dq_queue q;
    dureq_error err;

    (void)state;
    assert_int_equal(dq_queue_from_json(DQ_STR_LIT("a"), DQ_STR_LIT("{}"), &arena, &q, &err), 0);
    assert_int_equal(q.weight, 1);
    assert_null(q.retry_policy);
    assert_false(q.paused);
    assert_int_equal(
        dq_queue_from_json(DQ_STR_LIT("a"), DQ_STR_LIT("{\"weight\":3,\"colour\":[1],\"retry_policy\":null}"), &arena, &q, &err),
        0);
    assert_int_equal(q.weight, 3);
    dq_arena_deinit(&arena);
}

static void damaged_definitions_are_named(void **state)
{
    static const char *const damaged[] = {
        "",
        "x",
        "[]",
        "1",
        "{\"weight\":\"1\"}",
        "{\"weight\":1.5}",
        "{\"weight\":99999999999}",
        "{\"weight\":1001}",
        "{\"paused\":1}",
        "{\"max_len\":-1}",
        "{\"priority_min\":4}",
        "{\"retry_policy\":1}",
        "{\"retry_policy\":{\"max_attempts\":-1}}",
        "{\"retry_policy\":{\"jitter\":9}}",
        "{\"weight\":1",
    };

    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(damaged); i++) {
        dq_arena arena = {0};
        dq_queue q;
        dureq_error err = {0};

        if (dq_queue_from_json(DQ_STR_LIT("mail"), dureq_str_from(damaged[i]), &arena, &q, &err) != DUREQ_EPROTO)
            fail_msg("'%s' was taken", damaged[i]);
        assert_int_equal(err.code, DUREQ_EPROTO);
        assert_non_null(strstr(err.msg, "'mail'"));
        dq_arena_deinit(&arena);
    }
}

static void a_long_or_foreign_name_is_refused(void **state)
{
    char name[400];
    dq_arena arena = {0};
    dq_queue q;
    dureq_error err;

    (void)state;
    memset(name, 'n', sizeof name);
    assert_int_equal(dq_queue_from_json(dureq_str_of(name, sizeof name), DQ_STR_LIT("{}"), &arena, &q, &err), DUREQ_EPROTO);
    assert_int_equal(dq_queue_from_json(dureq_str_of(name, 128), DQ_STR_LIT("{}"), &arena, &q, &err), 0);
    assert_int_equal(dq_queue_from_json(dureq_str_of(NULL, 0), DQ_STR_LIT("{}"), &arena, &q, &err), DUREQ_EPROTO);
    dq_arena_deinit(&arena);
}

/* Every byte of a definition changed to every other value: taken or refused, never worse. */
static void changed_bytes_do_no_harm(void **state)
{
    static const char good[] = "{\"weight\":3,\"retry_policy\":{\"max_attempts\":3,\"jitter\":0.5,"
                               "\"non_retryable_errors\":[\"a\\u0041b\"]},\"paused\":true}";
    char text[sizeof good];

    (void)state;
    for (size_t i = 0; i < sizeof good - 1; i++)
        for (int c = 0; c < 256; c++) {
            dq_arena arena = {0};
            dq_queue q;
            int rc;

            memcpy(text, good, sizeof good);
            text[i] = (char)c;
            rc = dq_queue_from_json(DQ_STR_LIT("a"), dureq_str_of(text, sizeof good - 1), &arena, &q, NULL);
            assert_true(rc == 0 || rc == DUREQ_EPROTO);
            dq_arena_deinit(&arena);
        }
}

static void a_difference_in_any_field_is_seen(void **state)
{
    dureq_retry_policy p = dureq_retry_policy_init(), spelt_out = dureq_retry_policy_init();
    dq_queue a = {.name = DQ_STR_LIT("q"), .weight = 1}, b;

    (void)state;
    spelt_out.max_attempts = 3;
    spelt_out.initial_delay_ms = 5000;
    spelt_out.max_delay_ms = 300000;
    spelt_out.multiplier = 2;
    spelt_out.jitter = 0.1;
#define EXPECT_SAME(want, change)                      \
    do {                                               \
        b = a;                                         \
        change;                                        \
        assert_int_equal(dq_queue_same(&a, &b), want); \
        assert_int_equal(dq_queue_same(&b, &a), want); \
    } while (0)
    EXPECT_SAME(true, b.paused = true);
    EXPECT_SAME(true, b.weight = 0);
    EXPECT_SAME(true, b.retention_ms = 7 * 86400000LL);
    EXPECT_SAME(false, b.name = DQ_STR_LIT("r"));
    EXPECT_SAME(false, b.weight = 2);
    EXPECT_SAME(false, b.priority_min = 1);
    EXPECT_SAME(false, b.priority_max = 1);
    EXPECT_SAME(false, b.max_len = 1);
    EXPECT_SAME(false, b.retention_ms = -1);
    EXPECT_SAME(false, b.retry_policy = &p);
    a.retry_policy = &p;
    EXPECT_SAME(true, b.retry_policy = &spelt_out);
    spelt_out.max_delay_ms = -1;
    EXPECT_SAME(false, b.retry_policy = &spelt_out);
#undef EXPECT_SAME
}

static void running_out_of_memory_is_reported(void **state)
{
    static const char json[] = "{\"retry_policy\":{\"non_retryable_errors\":[\"a\\nb\",\"c\"]}}";
    int rc = DUREQ_ENOMEM;

    (void)state;
    for (long n = 1; rc == DUREQ_ENOMEM; n++) {
        dq_arena arena = {0};
        dq_queue q;

        assert_in_range(n, 1, 100);
        dq_alloc_fail_at(n);
        rc = dq_queue_from_json(DQ_STR_LIT("a"), DQ_STR_LIT(json), &arena, &q, NULL);
        dq_alloc_fail_at(0);
        dq_arena_deinit(&arena);
    }
    assert_int_equal(rc, 0);
}

/* One by one, in any order and with other weights first, it comes to the same. */
static void definitions_put_one_by_one_make_the_same_set(void **state)
{
    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(share_cases); i++) {
        dq_queue_set whole, s = {0};
        DQ_BUF_AUTO json = {0};

        fill_set(&whole, share_cases[i].queues);
        for (int pass = 0; pass < 2; pass++)
            for (size_t k = whole.n; k-- > 0;) {
                dq_queue q = whole.items[k];

                q.weight = pass == 0 ? (int32_t)k + 1 : q.weight;
                dq_buf_clear(&json);
                dq_queue_to_json(&q, &json);
                assert_int_equal(dq_queue_set_put(&s, q.name, dq_buf_str(&json), NULL), pass == 0 || q.weight != (int32_t)k + 1);
                assert_int_equal(dq_queue_set_put(&s, q.name, dq_buf_str(&json), NULL), 0);
            }
        assert_int_equal(s.n, whole.n);
        for (size_t k = 0; k < s.n; k++) {
            assert_true(dq_str_eq(s.items[k].name, whole.items[k].name));
            assert_ptr_equal(dq_queue_set_find(&s, whole.items[k].name), &s.items[k]);
        }
        for (int p = 1; p <= 10; p++)
            assert_true(dq_str_eq(s.by_priority[p]->name, whole.by_priority[p]->name));
        dq_queue_set_deinit(&whole);
        dq_queue_set_deinit(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(definitions_put_one_by_one_make_the_same_set),
        cmocka_unit_test(priorities_are_shared_out),
        cmocka_unit_test(a_set_is_sorted_and_found_in),
        cmocka_unit_test(an_empty_set_maps_nothing),
        cmocka_unit_test(defaults_are_good_and_cover_all_priorities),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(a_bad_policy_in_options_is_refused),
        cmocka_unit_test(options_without_their_size_are_refused),
        cmocka_unit_test(definitions_survive_json),
        cmocka_unit_test(the_json_form_is_as_documented),
        cmocka_unit_test(a_short_or_newer_definition_is_read),
        cmocka_unit_test(damaged_definitions_are_named),
        cmocka_unit_test(a_long_or_foreign_name_is_refused),
        cmocka_unit_test(changed_bytes_do_no_harm),
        cmocka_unit_test(a_difference_in_any_field_is_seen),
        cmocka_unit_test(running_out_of_memory_is_reported),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
