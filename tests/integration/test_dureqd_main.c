/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/clock.h"
#include "fault_wait.h"
#include "redis_server.h"
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

#define WAIT_MS 30000

static char dir[] = "/tmp/dureqd-main-XXXXXX";

typedef struct child {
    pid_t pid; /* 0: reaped */
    int out_fd;
    dq_buf out; /* standard output and error so far */
} child;

static const char *program(void)
{
    static char path[4096];
    const char *build = getenv("DUREQ_TEST_BUILD");

    (void)snprintf(path, sizeof path, "%s/dureqd/dureqd", build ? build : ".");
    return path;
}

static void child_start(child *c, const char *const *args)
{
    const char *argv[32] = {program()};
    int fds[2];

    for (size_t i = 0; args[i]; i++) {
        assert_true(i + 2 < DQ_ARRAY_LEN(argv));
        argv[i + 1] = args[i];
    }
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    *c = (child){.out_fd = fds[0], .pid = fork()};
    if (c->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)dup2(fds[1], 1);
        (void)dup2(fds[1], 2);
        (void)execv(argv[0], (char *const *)argv);
        _exit(127);
    }
    assert_true(c->pid > 0);
    (void)close(fds[1]);
}

/* False at its end, or when nothing came in time. */
static bool child_read(child *c, int timeout_ms)
{
    struct pollfd p = {.fd = c->out_fd, .events = POLLIN};
    char *room = dq_buf_reserve(&c->out, 4096);
    ssize_t n = poll(&p, 1, timeout_ms) > 0 ? read(c->out_fd, room, 4096) : 0;

    c->out.len += n > 0 ? (size_t)n : 0;
    dq_buf_append(&c->out, "", 0);
    if (c->out.ptr)
        c->out.ptr[c->out.len] = '\0';
    return n > 0;
}

static bool child_said(const child *c, const char *text)
{
    return c->out.ptr && memmem(c->out.ptr, c->out.len, text, strlen(text));
}

static void child_wait_for(child *c, const char *text)
{
    while (!child_said(c, text))
        if (!child_read(c, WAIT_MS))
            fail_msg("no '%s' in: %.*s", text, (int)c->out.len, c->out.ptr ? c->out.ptr : "");
}

/* The exit code, or 128 + signal. */
static int child_end(child *c)
{
    int status = 0;

    while (child_read(c, WAIT_MS))
        ;
    assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
    (void)close(c->out_fd);
    c->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void child_free(child *c)
{
    dq_buf_deinit(&c->out);
}

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    char command[64];

    (void)state;
    (void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

static void path_in_dir(const char *name, dq_buf *out)
{
    dq_buf_append_fmt(out, "%s/%s", dir, name);
}

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
        child c;
        int code;

        child_start(&c, once_cases[i].args);
        code = child_end(&c);
        if (code != once_cases[i].code || !child_said(&c, once_cases[i].said))
            fail_msg("case %zu: code %d: %s", i, code, c.out.ptr);
        child_free(&c);
    }
}

static void a_fault_in_the_file_has_its_place(void **state)
{
    DQ_BUF_AUTO path = {0};
    DQ_BUF_AUTO want = {0};
    const char *args[] = {"--config", NULL, NULL};
    FILE *f;
    child c;

    (void)state;
    path_in_dir("bad.yaml", &path);
    f = fopen(path.ptr, "w");
    assert_non_null(f);
    (void)fputs("dureqd:\n  concurrency: [\n", f);
    (void)fclose(f);
    args[1] = path.ptr;
    child_start(&c, args);
    assert_int_equal(child_end(&c), 2);
    dq_buf_append_fmt(&want, "dureqd: %s:3:1: ", path.ptr);
    child_wait_for(&c, want.ptr);
    child_free(&c);
}

/* ---- a server that is not for it ---- */

static int code_at(test_redis *server, const char *user_and_password)
{
    DQ_BUF_AUTO url = {0};
    const char *args[] = {"--redis", NULL, NULL};
    child c;
    int code;

    dq_buf_append_fmt(&url, "unix://%s%s", user_and_password, test_redis_socket(server));
    args[1] = url.ptr;
    child_start(&c, args);
    code = child_end(&c);
    child_free(&c);
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

typedef struct daemon_run {
    child c;
    dq_buf state_dir, url;
    dureq_client *client;
} daemon_run;

static void daemon_start(daemon_run *d, const char *name, const char *handler)
{
    const char *args[] = {"--state-dir", NULL, "--handler", handler, "--lease-ms", "500", "--log-format", "json", NULL};

    *d = (daemon_run){0};
    path_in_dir(name, &d->state_dir);
    dq_buf_append_fmt(&d->url, "unix://%s/redis.sock", d->state_dir.ptr);
    args[1] = d->state_dir.ptr;
    child_start(&d->c, args);
    child_wait_for(&d->c, "\"event\":\"daemon.ready\"");
}

static void daemon_connect(daemon_run *d)
{
    dureq_client_options o = dureq_client_options_init();
    dureq_error err = {0};

    o.redis_url = d->url.ptr;
    if (dureq_client_create(&o, &d->client, &err) < 0)
        fail_msg("%s", err.msg);
}

static void daemon_free(daemon_run *d)
{
    dureq_client_destroy(d->client);
    child_free(&d->c);
    dq_buf_deinit(&d->state_dir);
    dq_buf_deinit(&d->url);
}

static dureq_job_id enqueue(daemon_run *d, const char *type, const char *payload)
{
    dureq_job_spec spec = {.task_type = type, .payload = dureq_str_from(payload)};
    dureq_error err = {0};
    dureq_job_id id;

    if (dureq_client_enqueue(d->client, &spec, &id, &err) < 0)
        fail_msg("%s", err.msg);
    return id;
}

static void assert_result(daemon_run *d, const dureq_job_id *id, const char *result)
{
    dureq_job_list *list = NULL;
    dureq_error err = {0};

    if (dureq_client_wait(d->client, id->text, WAIT_MS, &list, &err) < 0)
        fail_msg("%s", err.msg);
    if (!dq_str_eq_text(list->items[0].result, result))
        fail_msg("result " DQ_STR_FMT ", error " DQ_STR_FMT, DQ_STR_ARG(list->items[0].result),
                 DQ_STR_ARG(list->items[0].last_error));
    dureq_job_list_destroy(list);
}

static void it_runs_jobs_and_stops_cleanly(void **state)
{
    daemon_run d;
    dureq_job_id exec_id, echo_id;

    (void)state;
    daemon_start(&d, "clean", "sum.*=exec:sh -c 'wc -c'");
    daemon_connect(&d);
    exec_id = enqueue(&d, "sum.bytes", "{\"a\":1}");
    echo_id = enqueue(&d, "echo", "{\"message\":\"hi\"}");
    assert_result(&d, &exec_id, "7");
    assert_result(&d, &echo_id, "{\"message\":\"hi\"}");
    assert_int_equal(kill(d.c.pid, SIGHUP), 0);
    child_wait_for(&d.c, "\"event\":\"daemon.hup\"");
    assert_int_equal(kill(d.c.pid, SIGTERM), 0);
    assert_int_equal(child_end(&d.c), 0);
    assert_true(child_said(&d.c, "\"event\":\"embedded.stopped\""));
    assert_true(child_said(&d.c, "\"event\":\"daemon.stopped\""));
    daemon_free(&d);
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
    daemon_run d;

    (void)state;
    daemon_start(&d, "builtins", "x=exec:true");
    daemon_connect(&d);
    for (size_t i = 0; i < DQ_ARRAY_LEN(cases); i++) {
        dureq_job_id id = enqueue(&d, cases[i].type, cases[i].payload);
        dureq_job_list *list = NULL;

        assert_int_equal(dureq_client_wait(d.client, id.text, WAIT_MS, &list, NULL), 0);
        assert_int_equal(list->items[0].state, cases[i].state);
        assert_true(dq_str_eq_text(list->items[0].last_error, cases[i].error));
        dureq_job_list_destroy(list);
    }
    assert_int_equal(kill(d.c.pid, SIGINT), 0);
    assert_int_equal(child_end(&d.c), 0);
    daemon_free(&d);
}

typedef struct job_wait {
    daemon_run *d;
    const dureq_job_id *id;
} job_wait;

static bool job_runs(void *userdata)
{
    const job_wait *w = userdata;
    dureq_job_list *list = NULL;
    bool running;

    assert_int_equal(dureq_client_get_job(w->d->client, w->id->text, &list, NULL), 0);
    running = list->items[0].state == DUREQ_JOB_RUNNING;
    dureq_job_list_destroy(list);
    return running;
}

static void wait_running(daemon_run *d, const dureq_job_id *id)
{
    assert_true(fault_wait(WAIT_MS, job_runs, &(job_wait){d, id}));
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
    daemon_run d;

    (void)state;
    path_in_dir("flag", &flag);
    dq_buf_append_fmt(&handler, "t=exec:sh -c 'trap \"\" TERM; if test -e %s; then echo again; else touch %s; sleep 1000; fi'",
                      flag.ptr, flag.ptr);
    daemon_start(&d, "second", handler.ptr);
    daemon_connect(&d);
    id = enqueue(&d, "t", "1");
    wait_running(&d, &id);
    assert_true(fault_wait(WAIT_MS, file_is_there, flag.ptr));
    begun_us = dq_mono_us();
    assert_int_equal(kill(d.c.pid, SIGTERM), 0);
    child_wait_for(&d.c, "\"event\":\"daemon.stopping\"");
    assert_int_equal(kill(d.c.pid, SIGTERM), 0);
    assert_int_equal(child_end(&d.c), 0);
    assert_true(dq_mono_us() - begun_us < 20 * 1000000);
    daemon_free(&d);

    daemon_start(&d, "second", handler.ptr);
    daemon_connect(&d);
    assert_result(&d, &id, "again");
    assert_int_equal(kill(d.c.pid, SIGTERM), 0);
    assert_int_equal(child_end(&d.c), 0);
    daemon_free(&d);
}

static void a_killed_daemon_takes_its_programs_along_and_loses_nothing(void **state)
{
    DQ_BUF_AUTO file = {0};
    DQ_BUF_AUTO handler = {0};
    pid_t pid;
    dureq_job_id id;
    daemon_run d;

    (void)state;
    path_in_dir("pid", &file);
    dq_buf_append_fmt(&handler, "t=exec:sh -c 'if test -s %s; then echo again; else echo $$ >%s; sleep 1000; fi'", file.ptr,
                      file.ptr);
    daemon_start(&d, "killed", handler.ptr);
    daemon_connect(&d);
    id = enqueue(&d, "t", "1");
    wait_running(&d, &id);
    (void)test_pids_wait(file.ptr, &pid, 1);
    assert_int_equal(kill(d.c.pid, SIGKILL), 0);
    (void)child_end(&d.c);
    daemon_free(&d);

    daemon_start(&d, "killed", handler.ptr); /* waits for the server that was left */
    daemon_connect(&d);
    assert_result(&d, &id, "again");
    test_pids_wait_gone(&pid, 1);
    assert_int_equal(kill(d.c.pid, SIGTERM), 0);
    assert_int_equal(child_end(&d.c), 0);
    daemon_free(&d);
}

/* The number behind "pid": of an event. */
static int event_pid(const child *c, const char *event)
{
    const char *at = strstr(c->out.ptr, event);
    const char *pid = at ? strstr(at, "\"pid\":") : NULL;

    assert_non_null(pid);
    return atoi(pid + 6);
}

static void it_goes_on_when_its_server_dies(void **state)
{
    dureq_job_id id;
    daemon_run d;
    int server;

    (void)state;
    daemon_start(&d, "server", "t=exec:echo yes");
    daemon_connect(&d);
    id = enqueue(&d, "t", "1");
    assert_result(&d, &id, "yes");
    server = event_pid(&d.c, "\"event\":\"embedded.ready\"");
    d.c.out.len = 0;
    assert_int_equal(kill(server, SIGKILL), 0);
    child_wait_for(&d.c, "\"event\":\"embedded.died\"");
    child_wait_for(&d.c, "\"event\":\"embedded.ready\"");
    id = enqueue(&d, "t", "1");
    assert_result(&d, &id, "yes");
    assert_int_equal(kill(d.c.pid, SIGTERM), 0);
    assert_int_equal(child_end(&d.c), 0);
    daemon_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_use_ends_with_a_word_and_a_code),
        cmocka_unit_test(a_fault_in_the_file_has_its_place),
        cmocka_unit_test(why_it_could_not_start_is_told_by_the_code),
        cmocka_unit_test(it_runs_jobs_and_stops_cleanly),
        cmocka_unit_test(built_ins_behave_as_told),
        cmocka_unit_test(a_second_signal_gives_jobs_back_and_a_new_start_runs_them),
        cmocka_unit_test(a_killed_daemon_takes_its_programs_along_and_loses_nothing),
        cmocka_unit_test(it_goes_on_when_its_server_dies),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
