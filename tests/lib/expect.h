/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Small words over cmocka for tests that are functions without arguments. A failed expectation prints both values, the place
   and the note last set, then ends the test.

       TEST(a_list_gives_back_what_was_put_in) { EXPECT_I64(3, length_of(list)); }
       TEST_MAIN()

   TEST makes the test known by itself: none can be forgotten. What is wanted comes first, what was got after it. */

#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* After it comes the body of fn; `add` makes it known, by expect_add of fn##_run. */
#define EXPECT_CASE(fn, add)                                \
    static void fn(void);                                   \
    static void fn##_run(void **state)                      \
    {                                                       \
        (void)state;                                        \
        expect_begin();                                     \
        fn();                                               \
    }                                                       \
    __attribute__((constructor)) static void fn##_add(void) \
    {                                                       \
        add;                                                \
    }                                                       \
    static void fn(void)

#define TEST(fn) EXPECT_CASE(fn, expect_add((struct CMUnitTest){.name = #fn, .test_func = fn##_run}))

#define TEST_MAIN()                                                                         \
    int main(void)                                                                          \
    {                                                                                       \
        return _cmocka_run_group_tests(__FILE__, expect_tests, expect_n_tests, NULL, NULL); \
    }

/* Which row of a table, which round: printed with a failure. Holds until the next one or the end of the test. */
#define EXPECT_NOTE(...) ((void)snprintf(expect_note, sizeof(expect_note), __VA_ARGS__))

#define EXPECT_TRUE(condition)     expect_truth(true, (condition), #condition, __FILE__, __LINE__)
#define EXPECT_FALSE(condition)    expect_truth(false, (condition), #condition, __FILE__, __LINE__)
#define EXPECT_I64(want, got)      expect_i64((want), (got), #got, __FILE__, __LINE__)
#define EXPECT_U64(want, got)      expect_u64((want), (got), #got, __FILE__, __LINE__)
#define EXPECT_F64(want, got)      expect_f64((want), (got), #got, __FILE__, __LINE__)
#define EXPECT_PTR(want, got)      expect_ptr((want), (got), #got, __FILE__, __LINE__)
#define EXPECT_RC(want, got)       expect_rc((want), (got), #got, __FILE__, __LINE__)
#define EXPECT_STR(want, got)      expect_str((want), (got), #got, __FILE__, __LINE__)   /* two dureq_str */
#define EXPECT_TEXT(want, got)     EXPECT_STR(dureq_str_from(want), dureq_str_from(got)) /* two NUL-ended texts */
#define EXPECT_STR_TEXT(want, got) EXPECT_STR(dureq_str_from(want), (got))               /* want: NUL-ended */
#define EXPECT_HAS(part, got)      expect_has((part), (got), #got, __FILE__, __LINE__)   /* NUL-ended texts */

static struct CMUnitTest expect_tests[128];
static size_t expect_n_tests;
static char expect_note[240];

static inline void expect_add(struct CMUnitTest t)
{
    if (expect_n_tests == DQ_ARRAY_LEN(expect_tests)) {
        fprintf(stderr, "more tests in one file than expect.h holds\n");
        __builtin_trap();
    }
    expect_tests[expect_n_tests++] = t;
}

static inline void expect_begin(void)
{
    expect_note[0] = '\0';
    dq_alloc_fail_at(0); /* a failed test may have left it set */
}

static inline void expect_failed(const char *what, const char *want, const char *got, const char *file, int line)
{
    print_error("%s\n    wanted %s\n    got    %s\n", what, want, got);
    if (expect_note[0])
        print_error("    at     %s\n", expect_note);
    _fail(file, line);
}

static inline void expect_truth(bool want, bool got, const char *what, const char *file, int line)
{
    if (want != got)
        expect_failed(what, want ? "true" : "false", got ? "true" : "false", file, line);
}

static inline void expect_i64(int64_t want, int64_t got, const char *what, const char *file, int line)
{
    char a[32], b[32];

    (void)snprintf(a, sizeof(a), "%lld", (long long)want);
    (void)snprintf(b, sizeof(b), "%lld", (long long)got);
    if (want != got)
        expect_failed(what, a, b, file, line);
}

static inline void expect_u64(uint64_t want, uint64_t got, const char *what, const char *file, int line)
{
    char a[48], b[48];

    (void)snprintf(a, sizeof(a), "%llu (%#llx)", (unsigned long long)want, (unsigned long long)want);
    (void)snprintf(b, sizeof(b), "%llu (%#llx)", (unsigned long long)got, (unsigned long long)got);
    if (want != got)
        expect_failed(what, a, b, file, line);
}

static inline void expect_f64(double want, double got, const char *what, const char *file, int line)
{
    char a[40], b[40];

    (void)snprintf(a, sizeof(a), "%.17g", want);
    (void)snprintf(b, sizeof(b), "%.17g", got);
    if (memcmp(&want, &got, sizeof(want)) != 0) /* to the bit: -0 is not 0 */
        expect_failed(what, a, b, file, line);
}

static inline void expect_ptr(const void *want, const void *got, const char *what, const char *file, int line)
{
    char a[32], b[32];

    (void)snprintf(a, sizeof(a), "%p", want);
    (void)snprintf(b, sizeof(b), "%p", got);
    if (want != got)
        expect_failed(what, a, b, file, line);
}

static inline void expect_rc(int want, int got, const char *what, const char *file, int line)
{
    char a[40], b[40];

    (void)snprintf(a, sizeof(a), "%d %s", want, dureq_errcode_name(want));
    (void)snprintf(b, sizeof(b), "%d %s", got, dureq_errcode_name(got));
    if (want != got)
        expect_failed(what, a, b, file, line);
}

/* The start of a text with its length, odd bytes as \xNN. */
static inline void expect_show(dureq_str s, char *out, size_t cap)
{
    size_t n = (size_t)snprintf(out, cap, "%zu bytes '", s.len);

    for (size_t i = 0; i < s.len && n + 8 < cap; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        n += (size_t)snprintf(out + n, cap - n, c >= ' ' && c < 127 ? "%c" : "\\x%02x", c);
    }
    (void)snprintf(out + n, cap - n, "'");
}

static inline void expect_str(dureq_str want, dureq_str got, const char *what, const char *file, int line)
{
    char a[400], b[400];

    if (dq_str_eq(want, got))
        return;
    expect_show(want, a, sizeof(a));
    expect_show(got, b, sizeof(b));
    expect_failed(what, a, b, file, line);
}

static inline void expect_has(const char *part, const char *got, const char *what, const char *file, int line)
{
    char a[400], b[400];

    if (got && strstr(got, part))
        return;
    expect_show(dureq_str_from(part), a, sizeof(a));
    expect_show(dureq_str_from(got), b, sizeof(b));
    expect_failed(what, a, b, file, line);
}

/* Calls fn with the first, the second, ... allocation failing, until it has success. fn gives 0 or DUREQ_ENOMEM and leaves
   nothing behind. Returns how many calls failed. */
static inline long expect_survives_nomem(int (*fn)(void *arg), void *arg)
{
    for (long n = 1; n < 1000; n++) {
        int rc;

        dq_alloc_fail_at(n);
        rc = fn(arg);
        dq_alloc_fail_at(0);
        if (rc == 0)
            return n - 1;
        EXPECT_NOTE("allocation %ld fails", n);
        EXPECT_RC(DUREQ_ENOMEM, rc);
    }
    expect_failed("allocations", "fewer than 1000", "more", __FILE__, __LINE__);
    return 0;
}
