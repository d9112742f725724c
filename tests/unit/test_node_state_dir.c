/* SPDX-License-Identifier: Apache-2.0 */
#include "node/state_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const names[] = {"DUREQ_STATE_DIR", "STATE_DIRECTORY", "XDG_STATE_HOME", "HOME"};

static const struct dir_case {
    const char *env[4]; /* in the order of names; NULL: not set */
    const char *dir;    /* for everybody */
    const char *root;   /* for root when it differs */
} dir_cases[] = {
    {{"/a", "/b", "/c", "/h"}, "/a", NULL},
    {{NULL, "/b", "/c", "/h"}, "/b", NULL},
    {{NULL, "/b:/b2", NULL, "/h"}, "/b", NULL},
    {{NULL, NULL, "/c", "/h"}, "/c/dureq", NULL},
    {{NULL, NULL, NULL, "/h"}, "/h/.local/state/dureq", "/var/lib/dureq"},
    {{"relative", "", "also/relative", "/h"}, "/h/.local/state/dureq", "/var/lib/dureq"},
};

static void set_env(const struct dir_case *c)
{
    for (size_t i = 0; i < DQ_ARRAY_LEN(names); i++) {
        if (c->env[i])
            (void)setenv(names[i], c->env[i], 1);
        else
            (void)unsetenv(names[i]);
    }
}

static void the_first_that_is_set_is_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(dir_cases); i++) {
        const struct dir_case *c = &dir_cases[i];
        const char *want = geteuid() == 0 && c->root ? c->root : c->dir;
        DQ_BUF_AUTO dir = {0};
        DQ_BUF_AUTO path = {0};
        DQ_BUF_AUTO want_path = {0};

        set_env(c);
        assert_int_equal(dq_state_dir_default(&dir, NULL), 0);
        assert_string_equal(dir.ptr, want);
        dq_buf_append_fmt(&want_path, "unix://%s/redis.sock", want);
        dq_buf_append_text(&path, "unix://");
        assert_int_equal(dq_state_socket_path(&path), 0);
        assert_string_equal(path.ptr, want_path.ptr);
    }
}

static void a_failed_allocation_is_an_error(void **state)
{
    DQ_BUF_AUTO dir = {0};

    (void)state;
    set_env(&dir_cases[0]);
    dq_alloc_fail_at(1);
    assert_int_equal(dq_state_dir_default(&dir, NULL), DUREQ_ENOMEM);
    dq_alloc_fail_at(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_that_is_set_is_taken),
        cmocka_unit_test(a_failed_allocation_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
