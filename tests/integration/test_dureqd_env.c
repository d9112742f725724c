/* SPDX-License-Identifier: Apache-2.0 */
#include "test_daemon.h"

#include <dureq/dureq.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* What programs are given by env, envFile and passEnv, as a user of the daemon sees it. */

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

/* A file of settings and one of variables, by their names in the directory of the tests. In `yaml` ENVFILE is the path of the latter. */
static void write_files(const char *name, const char *yaml, const char *env, dq_buf *ret_path)
{
    const char *at = strstr(yaml, "ENVFILE");
    DQ_BUF_AUTO env_path = {0};
    DQ_BUF_AUTO text = {0};

    test_daemon_path(name, ret_path);
    dq_buf_append_fmt(&env_path, "%s.env", ret_path->ptr);
    dq_buf_append(&text, yaml, at ? (size_t)(at - yaml) : strlen(yaml));
    if (at)
        dq_buf_append_fmt(&text, "%s%s", env_path.ptr, at + strlen("ENVFILE"));
    write_text(ret_path->ptr, text.ptr);
    write_text(env_path.ptr, env);
}

static void programs_get_what_they_are_told(void **state)
{
    DQ_BUF_AUTO path = {0};
    test_daemon d;

    (void)state;
    write_files("env.yaml",
                "handlers:\n"
                "  - type: show\n"
                "    exec: [sh, -c, 'echo $A $B $C $D $E $LEFT $DUREQ_TASK_TYPE $DUREQ_ATTEMPT']\n"
                "    env: {A: env, B: env, DUREQ_TASK_TYPE: mine, DUREQ_ATTEMPT: 77}\n"
                "    envFile: ENVFILE\n"
                "    passEnv: [A, B, C, 'E*', 'DUREQ*']\n"
                "  - {type: bare, exec: [sh, -c, 'echo none $A $B $C $LEFT']}\n",
                "B=file\nC=file\nD='from the file'\nDUREQ_TASK_TYPE=mine\n", &path);
    for (int i = 0; i < 5; i++)
        assert_int_equal(setenv((const char *const[]){"A", "B", "C", "EXTRA", "LEFT"}[i], "daemon", 1), 0);
    assert_int_equal(setenv("E", "passed", 1), 0);
    test_daemon_start_with(&d, "env", (const char *const[]){"--config", path.ptr, NULL});
    test_daemon_connect(&d);
    test_daemon_run(&d, "show", "1", "env env file from the file passed show 1");
    test_daemon_run(&d, "bare", "1", "none");
    assert_true(test_child_said(&d.c, "env.DUREQ_TASK_TYPE has no effect: dureqd sets it itself"));
    assert_true(test_child_said(&d.c, "env.yaml.env:4: DUREQ_TASK_TYPE has no effect: dureqd sets it itself"));
    test_daemon_stop(&d);
    for (int i = 0; i < 6; i++)
        assert_int_equal(unsetenv((const char *const[]){"A", "B", "C", "EXTRA", "LEFT", "E"}[i]), 0);
}

/* Neither what it logs at its most talkative, nor a check, nor the errors of jobs have a value. */
static void no_value_is_in_any_word_of_the_daemon(void **state)
{
    DQ_BUF_AUTO path = {0};
    test_daemon d;
    dureq_job_id id;
    test_child c;

    (void)state;
    write_files("secret.yaml",
                "log: {level: debug}\n"
                "handlers:\n"
                "  - {type: fails, exec: [sh, -c, 'exit 65'], env: {A: hunter2}, envFile: ENVFILE, passEnv: [SECRET*]}\n"
                "  - {type: huge, exec: [/bin/true, '{payload}'], env: {A: hunter2}}\n",
                "B=hunter2\n", &path);
    assert_int_equal(setenv("SECRET_OF_DAEMON", "hunter2", 1), 0);
    test_child_start(&c, (const char *const[]){"--check", "--config", path.ptr, NULL});
    assert_int_equal(test_child_end(&c), 0);
    assert_false(test_child_said(&c, "hunter2"));
    test_child_free(&c);
    test_daemon_start_with(&d, "secret", (const char *const[]){"--config", path.ptr, NULL});
    test_daemon_connect(&d);
    id = test_daemon_enqueue(&d, "fails", "1");
    test_daemon_expect_dead(&d, &id, "exit code 65");
    id = test_daemon_enqueue(&d, "huge", "\"a\\u0000b\"");
    test_daemon_expect_dead(&d, &id, "NUL");
    test_child_wait_for(&d.c, "outcome\":\"dead\"");
    assert_false(test_child_said(&d.c, "hunter2"));
    test_daemon_stop(&d);
    assert_int_equal(unsetenv("SECRET_OF_DAEMON"), 0);
}

static void a_faulty_file_is_refused_without_its_text(void **state)
{
    static const struct fault_case {
        const char *env, *said;
    } cases[] = {
        {"A=1\nhunter2\n", "envFile: "},
        {"A=1\nhunter2\n", ".env:2: not NAME=value"},
        {"A='hunter2\n", ".env:1: a quote is never closed"},
        {"A=1\nB=\"hunter2\" hunter2\n", ".env:2: there is more after the closing quote"},
    };

    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(cases); i++) {
        DQ_BUF_AUTO path = {0};
        test_child c;

        write_files("faulty.yaml", "handlers:\n  - {type: a, exec: ls, envFile: ENVFILE}\n", cases[i].env, &path);
        test_child_start(&c, (const char *const[]){"--check", "--config", path.ptr, NULL});
        assert_int_equal(test_child_end(&c), 2);
        assert_true(test_child_said(&c, "faulty.yaml:2:34: envFile: "));
        assert_true(test_child_said(&c, cases[i].said));
        assert_false(test_child_said(&c, "hunter2"));
        test_child_free(&c);
    }
}

static void a_file_of_variables_that_others_write_is_warned_of(void **state)
{
    DQ_BUF_AUTO path = {0};
    DQ_BUF_AUTO env_path = {0};

    (void)state;
    if (geteuid() != 0)
        skip(); /* nothing is started as root */
    write_files("loose.yaml", "handlers:\n  - {type: a, exec: ls, envFile: ENVFILE}\n", "A=1\n", &path);
    dq_buf_append_fmt(&env_path, "%s.env", path.ptr);
    for (int i = 0; i < 2; i++) {
        test_child c;

        assert_int_equal(chmod(env_path.ptr, i == 0 ? 0640 : 0620), 0);
        test_child_start(&c, (const char *const[]){"--check", "--config", path.ptr, NULL});
        assert_int_equal(test_child_end(&c), 0);
        assert_int_equal(test_child_said(&c, "others than root can write it"), i);
        test_child_free(&c);
    }
}

/* Programs compete for processors, functions of the C library mostly wait. */
static void as_many_programs_run_as_there_are_processors(void **state)
{
    static const char *const more[] = {"--handler", "t=exec:true", "--handler", "x=builtin:echo", NULL};
    test_daemon d;

    (void)state;
    test_daemon_start_by(&d, "processors", (const char *const[]){"taskset", "-c", "0", NULL}, "exec \"$@\"", more);
    test_child_wait_for(&d.c, "\"type\":\"t\",\"kind\":\"exec\",\"concurrency\":1,");
    test_daemon_stop(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs_get_what_they_are_told),
        cmocka_unit_test(no_value_is_in_any_word_of_the_daemon),
        cmocka_unit_test(a_faulty_file_is_refused_without_its_text),
        cmocka_unit_test(a_file_of_variables_that_others_write_is_warned_of),
        cmocka_unit_test(as_many_programs_run_as_there_are_processors),
    };

    return cmocka_run_group_tests(tests, test_daemon_make_dir, test_daemon_remove_dir);
}
