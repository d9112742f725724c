/* SPDX-License-Identifier: Apache-2.0 */
#include "handler_spec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* Words joined by '|'; a fault as "!" and its message. */
static const struct words_case {
    const char *text, *words;
} words_cases[] = {
    {"", ""},
    {"  \t ", ""},
    {"ls", "ls|"},
    {" ls  -l\t/tmp ", "ls|-l|/tmp|"},
    {"a 'b c' d", "a|b c|d|"},
    {"a \"b c\"'d e'f", "a|b cd ef|"},
    {"a ''", "a||"},
    {"a \"\" b", "a||b|"},
    {"a\\ b c\\\\d", "a b|c\\d|"},
    {"'a\\b'", "a\\b|"},
    {"\"a\\b \\\"c\\\" \\$x \\`\"", "a\\b \"c\" $x `|"},
    {"echo $HOME *.c `ls` > /x; rm &", "echo|$HOME|*.c|`ls`|>|/x;|rm|&|"},
    {"x {payload}", "x|{payload}|"},
    {"\"it's\"", "it's|"},
    {"a 'b", "!a single quote is never closed"},
    {"a \"b", "!a double quote is never closed"},
    {"a \\", "!a backslash at the end of the command"},
};

static void commands_are_split_like_a_shell_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(words_cases); i++) {
        dq_arena arena = {0};
        dureq_error err = {0};
        DQ_BUF_AUTO got = {0};
        const char **words = NULL;
        size_t n = 0;
        int rc = dq_words_split(&arena, dureq_str_from(words_cases[i].text), &words, &n, &err);

        dq_buf_append_text(&got, "");
        if (rc < 0)
            dq_buf_append_fmt(&got, "!%s", err.msg);
        for (size_t k = 0; k < n; k++)
            dq_buf_append_fmt(&got, "%s|", words[k]);
        assert_string_equal(got.ptr ? got.ptr : "", words_cases[i].words);
        if (rc == 0)
            assert_null(words[n]);
        dq_arena_deinit(&arena);
    }
}

static void a_nul_byte_in_a_command_is_refused(void **state)
{
    dq_arena arena = {0};
    const char **words;
    size_t n;

    (void)state;
    assert_int_equal(dq_words_split(&arena, dureq_str_of("a\0b", 3), &words, &n, NULL), DUREQ_EPARSE);
    dq_arena_deinit(&arena);
}

static void too_many_words_are_refused(void **state)
{
    dq_arena arena = {0};
    DQ_BUF_AUTO text = {0};
    const char **words;
    size_t n;

    (void)state;
    for (int i = 0; i <= DQ_CONFIG_WORDS_MAX; i++)
        dq_buf_append_text(&text, "a ");
    assert_int_equal(dq_words_split(&arena, dq_buf_str(&text), &words, &n, NULL), DUREQ_ETOOLARGE);
    dq_arena_deinit(&arena);
}

/* A directory with a program, a plain file and a directory in it. */
static char dir[] = "/tmp/dureqd-spec-XXXXXX";

static void path_in_dir(const char *name, dq_buf *out)
{
    dq_buf_append_fmt(out, "%s/%s", dir, name);
}

static void make_file(const char *name, mode_t mode)
{
    DQ_BUF_AUTO path = {0};
    FILE *f;

    path_in_dir(name, &path);
    f = fopen(path.ptr, "w");
    assert_non_null(f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path.ptr, mode), 0);
}

static int make_dir(void **state)
{
    DQ_BUF_AUTO sub = {0};

    (void)state;
    assert_non_null(mkdtemp(dir));
    make_file("program", 0755);
    make_file("plain", 0644);
    path_in_dir("sub", &sub);
    return mkdir(sub.ptr, 0755);
}

static int remove_dir(void **state)
{
    const char *names[] = {"program", "plain"};
    DQ_BUF_AUTO sub = {0};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        DQ_BUF_AUTO path = {0};

        path_in_dir(names[i], &path);
        (void)unlink(path.ptr);
    }
    path_in_dir("sub", &sub);
    (void)rmdir(sub.ptr);
    return rmdir(dir);
}

static void programs_are_found_through_path(void **state)
{
    dq_arena arena = {0};
    DQ_BUF_AUTO env = {0};
    DQ_BUF_AUTO want = {0};
    const char *found = NULL;
    dureq_error err = {0};

    (void)state;
    dq_buf_append_fmt(&env, ":relative:/nowhere:%s", dir);
    path_in_dir("program", &want);
    assert_int_equal(dq_program_find(&arena, "program", env.ptr, &found, &err), 0);
    assert_string_equal(found, want.ptr);
    assert_int_equal(dq_program_find(&arena, want.ptr, NULL, &found, &err), 0);
    assert_string_equal(found, want.ptr);
    assert_int_equal(dq_program_find(&arena, "sh", NULL, &found, &err), 0);
    dq_arena_deinit(&arena);
}

static const struct no_program {
    const char *word;
    bool in_dir; /* with the directory in front */
    int code;
    const char *part; /* of the message */
} no_programs[] = {
    {"absent", false, DUREQ_ENOTFOUND, "'absent' is in no directory of PATH"},
    {"absent", true, DUREQ_ENOTFOUND, "does not exist"},
    {"plain", false, DUREQ_EPERM, "is not executable"},
    {"plain", true, DUREQ_EPERM, "is not executable"},
    {"sub", true, DUREQ_EPERM, "is not a regular file"},
};

static void what_is_no_program_is_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(no_programs); i++) {
        dq_arena arena = {0};
        DQ_BUF_AUTO path = {0};
        const char *found = NULL;
        dureq_error err = {0};

        path_in_dir(no_programs[i].word, &path);
        assert_int_equal(dq_program_find(&arena, no_programs[i].in_dir ? path.ptr : no_programs[i].word, dir, &found, &err),
                         no_programs[i].code);
        assert_non_null(strstr(err.msg, no_programs[i].part));
        dq_arena_deinit(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_are_split_like_a_shell_does), cmocka_unit_test(a_nul_byte_in_a_command_is_refused),
        cmocka_unit_test(too_many_words_are_refused),           cmocka_unit_test(programs_are_found_through_path),
        cmocka_unit_test(what_is_no_program_is_told),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
