/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static const char *or_dash(const char *text)
{
    return text ? text : "-";
}

/* "kind host port user password db ca cert key servername insecure" */
static void print_url(const dq_redis_url *u, dq_buf *out)
{
    static const char *const kinds[] = {[DQ_REDIS_TCP] = "tcp", [DQ_REDIS_TLS] = "tls", [DQ_REDIS_UNIX] = "unix"};

    dq_buf_append_fmt(out, "%s %s %d %s %s %d %s %s %s %s %d", kinds[u->kind], or_dash(u->host), u->port, or_dash(u->user),
                      or_dash(u->password), u->db, or_dash(u->tls_ca), or_dash(u->tls_cert), or_dash(u->tls_key),
                      or_dash(u->tls_servername), u->tls_insecure);
}

typedef struct good_case {
    const char *url;
    const char *parts;
    const char *described;
} good_case;

static const good_case good_cases[] = {
    {"redis://localhost", "tcp localhost 6379 - - 0 - - - - 0", "redis://localhost:6379"},
    {"redis://h:1/15", "tcp h 1 - - 15 - - - - 0", "redis://h:1/15"},
    {"redis://h/", "tcp h 6379 - - 0 - - - - 0", "redis://h:6379"},
    {"redis://:secret@h:7000", "tcp h 7000 - secret 0 - - - - 0", "redis://h:7000"},
    {"redis://joe:se%20cr%40t@h", "tcp h 6379 joe se cr@t 0 - - - - 0", "redis://h:6379"},
    {"redis://joe:p@ss:w@h", "tcp h 6379 joe p@ss:w 0 - - - - 0", "redis://h:6379"},
    {"redis://joe@h", "tcp h 6379 joe - 0 - - - - 0", "redis://h:6379"},
    {"redis://[::1]:7/2", "tcp ::1 7 - - 2 - - - - 0", "redis://[::1]:7/2"},
    {"redis://u:p@[fe80::1]", "tcp fe80::1 6379 u p 0 - - - - 0", "redis://[fe80::1]:6379"},
    {"rediss://h:7?ca=/a/b.crt&servername=x.y", "tls h 7 - - 0 /a/b.crt - - x.y 0", "rediss://h:7"},
    {"rediss://h/3?cert=c&key=k&insecure=1", "tls h 6379 - - 3 - c k - 1", "rediss://h:6379/3"},
    {"rediss://h?insecure=0", "tls h 6379 - - 0 - - - - 0", "rediss://h:6379"},
    {"unix:///run/redis.sock", "unix /run/redis.sock 0 - - 0 - - - - 0", "unix:///run/redis.sock"},
    {"unix://u:p@/run/r%20s?db=4", "unix /run/r s 0 u p 4 - - - - 0", "unix:///run/r%20s?db=4"},
    {"unix:///a%25b%3Fc%23d%27", "unix /a%b?c#d' 0 - - 0 - - - - 0", "unix:///a%25b%3Fc%23d%27"},
    {"unix:///run/a@b", "unix /run/a@b 0 - - 0 - - - - 0", "unix:///run/a@b"},
};

static void urls_are_taken_apart(void **state)
{
    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(good_cases); i++) {
        dq_redis_url u, copy;
        dureq_error err = {0};
        DQ_BUF_AUTO parts = {0};
        DQ_BUF_AUTO parts_of_copy = {0};
        DQ_BUF_AUTO described = {0};

        if (dq_redis_url_parse(dureq_str_from(good_cases[i].url), &u, &err) < 0)
            fail_msg("%s: %s", good_cases[i].url, err.msg);
        print_url(&u, &parts);
        assert_string_equal(parts.ptr, good_cases[i].parts);
        dq_redis_url_describe(&u, &described);
        assert_string_equal(described.ptr, good_cases[i].described);
        assert_int_equal(dq_redis_url_dup(&u, &copy), 0);
        dq_redis_url_deinit(&u);
        print_url(&copy, &parts_of_copy);
        assert_string_equal(parts_of_copy.ptr, good_cases[i].parts);
        dq_redis_url_deinit(&copy);
    }
}

typedef struct bad_case {
    const char *url;
    const char *says;
} bad_case;

static const bad_case bad_cases[] = {
    {"", "must begin with"},
    {"localhost:6379", "must begin with"},
    {"http://h", "must begin with"},
    {"redis://", "host is missing"},
    {"redis://:pw@", "host is missing"},
    {"redis://:6379", "host is missing"},
    {"redis://h:", "port ''"},
    {"redis://h:0", "port '0'"},
    {"redis://h:65536", "port '65536'"},
    {"redis://h:12x", "port '12x'"},
    {"redis://h/x", "database 'x'"},
    {"redis://h/-1", "database '-1'"},
    {"redis://[::1", "without a fitting ']'"},
    {"redis://[::1]7", "without a fitting ']'"},
    {"redis://a b", "blank"},
    {"redis://:pass%zzhunter2@h", "two hex digits in the password"},
    {"redis://:pass%4@h", "two hex digits in the password"},
    {"redis://:a%00b@h", "NUL byte in the password"},
    {"redis://h?db=1", "unknown parameter 'db'"},
    {"rediss://h?color=red", "unknown parameter 'color'"},
    {"rediss://h?ca=", "ca is empty"},
    {"rediss://h?insecure=yes", "insecure must be 0 or 1"},
    {"rediss://h?cert=x", "cert and key go together"},
    {"unix://run/x", "must begin with '/'"},
    {"unix://", "must begin with '/'"},
    {"unix:///x?db=", "database ''"},
    {"unix:///xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
     "longer than 107"},
};

static void what_is_wrong_with_a_url_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(bad_cases); i++) {
        dq_redis_url u;
        dureq_error err = {0};

        if (dq_redis_url_parse(dureq_str_from(bad_cases[i].url), &u, &err) != DUREQ_EINVAL)
            fail_msg("%s was taken", bad_cases[i].url);
        if (!strstr(err.msg, bad_cases[i].says))
            fail_msg("%s: %s", bad_cases[i].url, err.msg);
    }
}

static void messages_never_show_the_password(void **state)
{
    static const char *const urls[] = {"redis://u:hunter2%zz@h", "redis://u:hunter2@h:x", "redis://:hunter2@",
                                       "unix://:hunter2@x", "rediss://u:hunter2@h?x=y"};

    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(urls); i++) {
        dq_redis_url u;
        dureq_error err = {0};

        assert_int_equal(dq_redis_url_parse(dureq_str_from(urls[i]), &u, &err), DUREQ_EINVAL);
        assert_null(strstr(err.msg, "hunter2"));
    }
}

static void without_memory_nothing_is_left_behind(void **state)
{
    dureq_str text = dureq_str_from("rediss://u:p@h?ca=a&cert=b&key=c&servername=d");
    bool done = false;

    (void)state;
    for (long n = 1; !done; n++) {
        dq_redis_url u = {0}, copy = {0};
        int rc;

        assert_true(n < 100);
        dq_alloc_fail_at(n);
        rc = dq_redis_url_parse(text, &u, NULL);
        if (rc == 0) {
            rc = dq_redis_url_dup(&u, &copy);
            dq_redis_url_deinit(&u);
        }
        dq_alloc_fail_at(0);
        assert_true(rc == 0 || rc == DUREQ_ENOMEM);
        done = rc == 0;
        dq_redis_url_deinit(&copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_taken_apart),
        cmocka_unit_test(what_is_wrong_with_a_url_is_named),
        cmocka_unit_test(messages_never_show_the_password),
        cmocka_unit_test(without_memory_nothing_is_left_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
