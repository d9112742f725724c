/* SPDX-License-Identifier: Apache-2.0 */
#include "test_daemon.h"

#include "fault_wait.h"

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

static char dir[] = "/tmp/dureqd-test-XXXXXX";

/* ---- a child ---- */

const char *test_dureqd_path(void)
{
    static char path[4096];
    const char *build = getenv("DUREQ_TEST_BUILD");

    (void)snprintf(path, sizeof path, "%s/dureqd/dureqd", build ? build : ".");
    return path;
}

void test_child_exec(test_child *c, const char *const *argv)
{
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    *c = (test_child){.out_fd = fds[0], .pid = fork()};
    if (c->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)dup2(fds[1], 1);
        (void)dup2(fds[1], 2);
        (void)setenv("DUREQ_API_ADDRESS", "off", /*overwrite=*/0); /* several daemons run beside each other */
        (void)execvp(argv[0], (char *const *)argv);
        _exit(127);
    }
    assert_true(c->pid > 0);
    (void)close(fds[1]);
}

/* More words into argv, which holds n. */
static size_t add_words(const char **argv, size_t n, size_t cap, const char *const *words)
{
    for (size_t i = 0; words && words[i]; i++) {
        assert_true(n + 1 < cap);
        argv[n++] = words[i];
    }
    argv[n] = NULL;
    return n;
}

void test_child_start(test_child *c, const char *const *args)
{
    const char *argv[64] = {test_dureqd_path()};

    (void)add_words(argv, 1, DQ_ARRAY_LEN(argv), args);
    test_child_exec(c, argv);
}

bool test_child_read(test_child *c, int timeout_ms)
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

bool test_child_said(const test_child *c, const char *text)
{
    return c->out.ptr && memmem(c->out.ptr, c->out.len, text, strlen(text));
}

void test_child_wait_for(test_child *c, const char *text)
{
    while (!test_child_said(c, text))
        if (!test_child_read(c, TEST_DAEMON_WAIT_MS))
            fail_msg("no '%s' in: %.*s", text, (int)c->out.len, c->out.ptr ? c->out.ptr : "");
}

int test_child_end(test_child *c)
{
    int status = 0;

    while (test_child_read(c, TEST_DAEMON_WAIT_MS))
        ;
    assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
    (void)close(c->out_fd);
    c->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void test_child_free(test_child *c)
{
    dq_buf_deinit(&c->out);
}

/* ---- the directory ---- */

int test_daemon_make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

int test_daemon_remove_dir(void **state)
{
    char command[64];

    (void)state;
    (void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

void test_daemon_path(const char *name, dq_buf *out)
{
    dq_buf_append_fmt(out, "%s/%s", dir, name);
}

/* ---- a daemon ---- */

void test_daemon_start_by(test_daemon *d, const char *name, const char *const *wrap, const char *script, const char *const *more)
{
    const char *argv[64];
    const char *shell[] = {"/bin/sh", "-c", script, "sh", NULL};
    const char *args[] = {test_dureqd_path(), "--state-dir", NULL, "--lease-ms", "500", "--log-format", "json", NULL};
    size_t n;

    *d = (test_daemon){0};
    test_daemon_path(name, &d->state_dir);
    dq_buf_append_fmt(&d->url, "unix://%s/redis.sock", d->state_dir.ptr);
    args[2] = d->state_dir.ptr;
    n = add_words(argv, 0, DQ_ARRAY_LEN(argv), wrap);
    n = add_words(argv, n, DQ_ARRAY_LEN(argv), script ? shell : NULL);
    n = add_words(argv, n, DQ_ARRAY_LEN(argv), args);
    (void)add_words(argv, n, DQ_ARRAY_LEN(argv), more);
    test_child_exec(&d->c, argv);
    test_child_wait_for(&d->c, "\"event\":\"daemon.ready\"");
}

void test_daemon_start_with(test_daemon *d, const char *name, const char *const *more)
{
    test_daemon_start_by(d, name, /*wrap=*/NULL, /*script=*/NULL, more);
}

void test_daemon_start(test_daemon *d, const char *name, const char *handler)
{
    test_daemon_start_with(d, name, (const char *const[]){"--handler", handler, NULL});
}

void test_daemon_connect(test_daemon *d)
{
    dureq_client_options o = dureq_client_options_init();
    dureq_error err = {0};

    o.redis_url = d->url.ptr;
    if (dureq_client_create(&o, &d->client, &err) < 0)
        fail_msg("%s", err.msg);
}

void test_daemon_stop(test_daemon *d)
{
    assert_int_equal(kill(d->c.pid, SIGTERM), 0);
    assert_int_equal(test_child_end(&d->c), 0);
    test_daemon_free(d);
}

void test_daemon_free(test_daemon *d)
{
    dureq_client_destroy(d->client);
    d->client = NULL;
    test_child_free(&d->c);
    dq_buf_deinit(&d->state_dir);
    dq_buf_deinit(&d->url);
}

/* ---- jobs ---- */

dureq_job_id test_daemon_enqueue(test_daemon *d, const char *type, const char *payload)
{
    dureq_job_spec spec = {.task_type = type, .payload = dureq_str_from(payload)};
    dureq_error err = {0};
    dureq_job_id id;

    if (dureq_client_enqueue(d->client, &spec, &id, &err) < 0)
        fail_msg("%s", err.msg);
    return id;
}

static dureq_job_list *wait_for(test_daemon *d, const dureq_job_id *id)
{
    dureq_job_list *list = NULL;
    dureq_error err = {0};

    if (dureq_client_wait(d->client, id->text, TEST_DAEMON_WAIT_MS, &list, &err) < 0)
        fail_msg("%s", err.msg);
    return list;
}

void test_daemon_expect(test_daemon *d, const dureq_job_id *id, const char *result)
{
    dureq_job_list *list = wait_for(d, id);

    if (!dq_str_eq_text(list->items[0].result, result))
        fail_msg("result " DQ_STR_FMT ", error " DQ_STR_FMT, DQ_STR_ARG(list->items[0].result),
                 DQ_STR_ARG(list->items[0].last_error));
    dureq_job_list_destroy(list);
}

void test_daemon_expect_dead(test_daemon *d, const dureq_job_id *id, const char *in_error)
{
    dureq_job_list *list = wait_for(d, id);
    dureq_str error = list->items[0].last_error;

    assert_int_equal(list->items[0].state, DUREQ_JOB_DEAD);
    if (!error.ptr || !memmem(error.ptr, error.len, in_error, strlen(in_error)))
        fail_msg("error " DQ_STR_FMT ", not %s", DQ_STR_ARG(error), in_error);
    dureq_job_list_destroy(list);
}

void test_daemon_run(test_daemon *d, const char *type, const char *payload, const char *result)
{
    dureq_job_id id = test_daemon_enqueue(d, type, payload);

    test_daemon_expect(d, &id, result);
}

typedef struct job_wait {
    test_daemon *d;
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

void test_daemon_wait_running(test_daemon *d, const dureq_job_id *id)
{
    assert_true(fault_wait(TEST_DAEMON_WAIT_MS, job_runs, &(job_wait){d, id}));
}
