/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/clock.h"
#include "fault_wait.h"
#include "redis_server.h"
#include "test_daemon.h"
#include "test_pids.h"

#include <dureq/dureq.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* The program itself, from its command line to its exit code. */

#define WAIT_MS TEST_DAEMON_WAIT_MS

/* ---- ends at once ---- */

static const struct once_case {
    const char *args[6];
    int code;
    const char *said;
} once_cases[] = {
    {{"--version"}, 0, "dureqd " DUREQ_VERSION},
    {{"--help"}, 0, "Usage: dureqd [--config FILE]"},
    {{"--nothing"}, 2, "dureqd: unknown argument '--nothing'"},
    {{"--check", "--handler", "a=exec:true"}, 0, "the settings are fine: 1 handlers, 0 queues"},
    {{"--check", "--handler", "a=exec:/no/program"}, 2, "'/no/program' does not exist"},
    {{"--check", "--redis-server", "no-redis"}, 2, "'no-redis' is in no directory of PATH"},
    {{"--check", "--redis", "unix:///nowhere", "--redis-server", "no-redis"}, 0, "the settings are fine"},
    {{"--redis-server", "no-redis"}, 1, "'no-redis' is in no directory of PATH"},
    {{"--config", "/no/file"}, 2, "cannot open the configuration '/no/file'"},
    {{"--handler", "a=webhook:http://h"}, 2, "handlers of kind 'webhook' are not supported by this version"},
    {{"--redis", "unix:///no/such/socket", "--check"}, 0, "the settings are fine"},
};

static void wrong_use_ends_with_a_word_and_a_code(void **state)
{
    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(once_cases); i++) {
        test_child c;
        int code;

        test_child_start(&c, once_cases[i].args);
        code = test_child_end(&c);
        if (code != once_cases[i].code || !test_child_said(&c, once_cases[i].said))
            fail_msg("case %zu: code %d: %s", i, code, c.out.ptr);
        test_child_free(&c);
    }
}

static void a_fault_in_the_file_has_its_place(void **state)
{
    DQ_BUF_AUTO path = {0};
    DQ_BUF_AUTO want = {0};
    const char *args[] = {"--config", NULL, NULL};
    FILE *f;
    test_child c;

    (void)state;
    test_daemon_path("bad.yaml", &path);
    f = fopen(path.ptr, "w");
    assert_non_null(f);
    (void)fputs("dureqd:\n  concurrency: [\n", f);
    (void)fclose(f);
    args[1] = path.ptr;
    test_child_start(&c, args);
    assert_int_equal(test_child_end(&c), 2);
    dq_buf_append_fmt(&want, "dureqd: %s:3:1: ", path.ptr);
    test_child_wait_for(&c, want.ptr);
    test_child_free(&c);
}

/* ---- a server that is not for it ---- */

static int code_at(test_redis *server, const char *user_and_password)
{
    DQ_BUF_AUTO url = {0};
    const char *args[] = {"--redis", NULL, NULL};
    test_child c;
    int code;

    dq_buf_append_fmt(&url, "unix://%s%s", user_and_password, test_redis_socket(server));
    args[1] = url.ptr;
    test_child_start(&c, args);
    code = test_child_end(&c);
    test_child_free(&c);
    return code;
}

static void why_it_could_not_start_is_told_by_the_code(void **state)
{
    test_redis *server = test_redis_start(NULL);

    (void)state;
    free(test_redis_command(server, "ACL", "SETUSER", "less", "on", ">secret", "~*", "&*", "+@all", "-eval", NULL));
    assert_int_equal(code_at(server, "less:wrong@"), 7);
    assert_int_equal(code_at(server, "less:secret@"), 7);
    free(test_redis_command(server, "REPLICAOF", "127.0.0.1", "1", NULL));
    assert_int_equal(code_at(server, ""), 6); /* it may become a master yet: told when the time for a start is over */
    test_redis_stop(server);
}

/* ---- runs ---- */

static void it_runs_jobs_and_stops_cleanly(void **state)
{
    test_daemon d;
    dureq_job_id exec_id, echo_id;

    (void)state;
    test_daemon_start(&d, "clean", "sum.*=exec:sh -c 'wc -c'");
    test_daemon_connect(&d);
    exec_id = test_daemon_enqueue(&d, "sum.bytes", "{\"a\":1}");
    echo_id = test_daemon_enqueue(&d, "echo", "{\"message\":\"hi\"}");
    test_daemon_expect(&d, &exec_id, "7");
    test_daemon_expect(&d, &echo_id, "{\"message\":\"hi\"}");
    assert_int_equal(kill(d.c.pid, SIGHUP), 0);
    test_child_wait_for(&d.c, "\"event\":\"daemon.reloaded\"");
    assert_int_equal(kill(d.c.pid, SIGTERM), 0);
    assert_int_equal(test_child_end(&d.c), 0);
    assert_true(test_child_said(&d.c, "\"event\":\"embedded.stopped\""));
    assert_true(test_child_said(&d.c, "\"event\":\"daemon.stopped\""));
    test_daemon_free(&d);
}

static void built_ins_behave_as_told(void **state)
{
    static const struct builtin_case {
        const char *type, *payload;
        dureq_job_state state;
        const char *error;
    } cases[] = {
        {"noop", "{}", DUREQ_JOB_COMPLETED, ""},
        {"fail-always", "{}", DUREQ_JOB_DEAD, "fail-always always fails"},
        {"sleep", "{\"duration_ms\":\"x\"}", DUREQ_JOB_DEAD, "duration_ms is not a whole number of milliseconds up to a year"},
        {"sleep", "[]", DUREQ_JOB_DEAD, "sleep takes an object such as {\"duration_ms\": 500}"},
        {"sleep", "{\"duration_ms\":20,\"message\":\"m\"}", DUREQ_JOB_COMPLETED, ""},
    };
    test_daemon d;

    (void)state;
    test_daemon_start(&d, "builtins", "x=exec:true");
    test_daemon_connect(&d);
    for (size_t i = 0; i < DQ_ARRAY_LEN(cases); i++) {
        dureq_job_id id = test_daemon_enqueue(&d, cases[i].type, cases[i].payload);
        dureq_job_list *list = NULL;

        assert_int_equal(dureq_client_wait(d.client, id.text, WAIT_MS, &list, NULL), 0);
        assert_int_equal(list->items[0].state, cases[i].state);
        assert_true(dq_str_eq_text(list->items[0].last_error, cases[i].error));
        dureq_job_list_destroy(list);
    }
    assert_int_equal(kill(d.c.pid, SIGINT), 0);
    assert_int_equal(test_child_end(&d.c), 0);
    test_daemon_free(&d);
}

static bool file_is_there(void *path)
{
    return access(path, F_OK) == 0;
}

static void a_second_signal_gives_jobs_back_and_a_new_start_runs_them(void **state)
{
    DQ_BUF_AUTO flag = {0};
    DQ_BUF_AUTO handler = {0};
    int64_t begun_us;
    dureq_job_id id;
    test_daemon d;

    (void)state;
    test_daemon_path("flag", &flag);
    dq_buf_append_fmt(&handler, "t=exec:sh -c 'trap \"\" TERM; if test -e %s; then echo again; else touch %s; sleep 1000; fi'",
                      flag.ptr, flag.ptr);
    test_daemon_start(&d, "second", handler.ptr);
    test_daemon_connect(&d);
    id = test_daemon_enqueue(&d, "t", "1");
    test_daemon_wait_running(&d, &id);
    assert_true(fault_wait(WAIT_MS, file_is_there, flag.ptr));
    begun_us = dq_mono_us();
    assert_int_equal(kill(d.c.pid, SIGTERM), 0);
    test_child_wait_for(&d.c, "\"event\":\"daemon.stopping\"");
    assert_int_equal(kill(d.c.pid, SIGTERM), 0);
    assert_int_equal(test_child_end(&d.c), 0);
    assert_true(dq_mono_us() - begun_us < 20 * 1000000);
    test_daemon_free(&d);

    test_daemon_start(&d, "second", handler.ptr);
    test_daemon_connect(&d);
    test_daemon_expect(&d, &id, "again");
    test_daemon_stop(&d);
}

static void a_killed_daemon_takes_its_programs_along_and_loses_nothing(void **state)
{
    DQ_BUF_AUTO file = {0};
    DQ_BUF_AUTO handler = {0};
    pid_t pid;
    dureq_job_id id;
    test_daemon d;

    (void)state;
    test_daemon_path("pid", &file);
    dq_buf_append_fmt(&handler, "t=exec:sh -c 'if test -s %s; then echo again; else echo $$ >%s; sleep 1000; fi'", file.ptr,
                      file.ptr);
    test_daemon_start(&d, "killed", handler.ptr);
    test_daemon_connect(&d);
    id = test_daemon_enqueue(&d, "t", "1");
    test_daemon_wait_running(&d, &id);
    (void)test_pids_wait(file.ptr, &pid, 1);
    assert_int_equal(kill(d.c.pid, SIGKILL), 0);
    (void)test_child_end(&d.c);
    test_daemon_free(&d);

    test_daemon_start(&d, "killed", handler.ptr); /* waits for the server that was left */
    test_daemon_connect(&d);
    test_daemon_expect(&d, &id, "again");
    test_pids_wait_gone(&pid, 1);
    test_daemon_stop(&d);
}

/* How often `text` was said. */
static size_t count_said(const test_child *c, const char *text)
{
    size_t n = 0;

    for (const char *at = strstr(c->out.ptr, text); at; at = strstr(at + 1, text))
        n++;
    return n;
}

static void the_log_tells_how_runs_ended_and_how_many_it_left_out(void **state)
{
    DQ_BUF_AUTO end = {0};
    dureq_job_id ids[60], fine;
    test_daemon d;

    (void)state;
    test_daemon_start_with(&d, "told",
                           (const char *const[]){"--handler", "bad.*=exec:sh -c 'echo no \\\"such\\\" thing >&2; exit 65'",
                                                 "--handler", "good=exec:true", "--prefix", "dureq", NULL});
    test_child_wait_for(&d.c, "\"event\":\"daemon.try\",\"command\":\"dureqctl --server unix://");
    assert_true(test_child_said(&d.c, "\"event\":\"daemon.handler\",\"type\":\"bad.*\",\"kind\":\"exec\",\"concurrency\":"));
    assert_true(test_child_said(&d.c, "\"event\":\"daemon.handler\",\"type\":\"noop\",\"kind\":\"builtin\",\"concurrency\":10,"));
    assert_true(test_child_said(&d.c, " enqueue --wait echo\""));
    test_daemon_connect(&d);
    fine = test_daemon_enqueue(&d, "good", "1");
    test_daemon_expect(&d, &fine, "");
    ids[0] = test_daemon_enqueue(&d, "bad.one", "1");
    dq_buf_append_fmt(&end, "\"event\":\"run.ended\",\"type\":\"bad.one\",\"job\":\"%s\",\"run\":\"", ids[0].text);
    test_child_wait_for(&d.c, end.ptr);
    test_child_wait_for(&d.c, "\"outcome\":\"dead\",\"error\":\"exit code 65: no 'such' thing\"}");
    assert_false(test_child_said(&d.c, "\"outcome\":\"completed\""));
    for (size_t i = 0; i < DQ_ARRAY_LEN(ids); i++)
        ids[i] = test_daemon_enqueue(&d, "fail-always", "1");
    for (size_t i = 0; i < DQ_ARRAY_LEN(ids); i++)
        test_daemon_expect_dead(&d, &ids[i], "fail-always");
    test_child_wait_for(&d.c, "\"event\":\"run.left_out\",\"count\":");
    assert_true(count_said(&d.c, "\"event\":\"run.ended\"") < DQ_ARRAY_LEN(ids));
    test_daemon_stop(&d);
}

/* The number after "pid": of an event. */
static int event_pid(const test_child *c, const char *event)
{
    const char *at = strstr(c->out.ptr, event);
    const char *pid = at ? strstr(at, "\"pid\":") : NULL;

    assert_non_null(pid);
    return atoi(pid + 6);
}

static void it_goes_on_when_its_server_dies(void **state)
{
    dureq_job_id id;
    test_daemon d;
    int server;

    (void)state;
    test_daemon_start(&d, "server", "t=exec:echo yes");
    test_daemon_connect(&d);
    id = test_daemon_enqueue(&d, "t", "1");
    test_daemon_expect(&d, &id, "yes");
    server = event_pid(&d.c, "\"event\":\"embedded.ready\"");
    d.c.out.len = 0;
    assert_int_equal(kill(server, SIGKILL), 0);
    test_child_wait_for(&d.c, "\"event\":\"embedded.died\"");
    test_child_wait_for(&d.c, "\"event\":\"embedded.ready\"");
    id = test_daemon_enqueue(&d, "t", "1");
    test_daemon_expect(&d, &id, "yes");
    test_daemon_stop(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_use_ends_with_a_word_and_a_code),
        cmocka_unit_test(a_fault_in_the_file_has_its_place),
        cmocka_unit_test(why_it_could_not_start_is_told_by_the_code),
        cmocka_unit_test(it_runs_jobs_and_stops_cleanly),
        cmocka_unit_test(built_ins_behave_as_told),
        cmocka_unit_test(the_log_tells_how_runs_ended_and_how_many_it_left_out),
        cmocka_unit_test(a_second_signal_gives_jobs_back_and_a_new_start_runs_them),
        cmocka_unit_test(a_killed_daemon_takes_its_programs_along_and_loses_nothing),
        cmocka_unit_test(it_goes_on_when_its_server_dies),
    };

    return cmocka_run_group_tests(tests, test_daemon_make_dir, test_daemon_remove_dir);
}
