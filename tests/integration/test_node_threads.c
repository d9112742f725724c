/* SPDX-License-Identifier: Apache-2.0 */
/* Handler threads as a program meets them: their signal mask, their stack, and the signals that end a service. Each scenario runs in a child
   that makes a node of its own; the parent uses nothing of the library but the wrapper of its server. */
#include "expect.h"
#include "redis_server.h"
#include "test_build.h"

#include <dureq/dureq.h>

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_MS 20000

/* ---- children ---- */

typedef struct child {
    pid_t pid;
    int out;
    char text[8192];
    size_t len;
} child;

/* Reads until `part` was said (true) or the child is done or the limit over (false). */
static bool child_says(child *c, const char *part)
{
    struct pollfd p = {.fd = c->out, .events = POLLIN};

    for (;;) {
        ssize_t n;

        if (part && strstr(c->text, part))
            return true;
        if (poll(&p, 1, LIMIT_MS) <= 0)
            return false;
        n = read(c->out, c->text + c->len, sizeof c->text - 1 - c->len);
        if (n <= 0)
            return false;
        c->len += (size_t)n;
        c->text[c->len] = '\0';
    }
}

/* What it said is in `text`; the result as of waitpid. */
static int child_end(child *c)
{
    int status = -1;

    (void)child_says(c, NULL);
    (void)close(c->out);
    EXPECT_I64(c->pid, waitpid(c->pid, &status, 0));
    return status;
}

static void child_start(child *c, int (*fn)(const char *url), const char *url)
{
    int fds[2];

    *c = (child){0};
    EXPECT_I64(0, pipe(fds));
    (void)fflush(NULL);
    c->pid = fork();
    if (c->pid == 0) {
        (void)alarm(LIMIT_MS / 1000);
        (void)signal(SIGSEGV, SIG_DFL); /* the test library's */
        (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        (void)dup2(fds[1], STDOUT_FILENO);
        (void)dup2(fds[1], STDERR_FILENO);
        _exit(fn(url));
    }
    (void)close(fds[1]);
    c->out = fds[0];
    EXPECT_TRUE(c->pid > 0);
}

static test_redis *server;

static void run_child(child *c, int (*fn)(const char *url))
{
    child_start(c, fn, test_redis_url(server));
}

/* In a child: runs one job of this handler to its end; what its result is, or 100. */
static int run_one(const char *url, dureq_handler_fn fn, int64_t stack_size)
{
    dureq_node_options opts = dureq_node_options_init();
    dureq_job_spec spec = {"deep.recursion", dureq_str_from("1"), NULL};
    dureq_node *node = NULL;
    dureq_job *job = NULL;
    dureq_job_id id;
    dureq_error err;
    int rc, code = 100;

    opts.redis_url = url;
    opts.stack_size = stack_size;
    rc = dureq_node_create(&opts, &node, &err);
    if (rc == 0)
        rc = dureq_node_handle(node, "deep.recursion", fn, NULL, NULL, &err);
    if (rc == 0)
        rc = dureq_node_start(node, &err);
    if (rc == 0)
        rc = dureq_client_enqueue(dureq_node_client(node), &spec, &id, &err);
    if (rc == 0)
        rc = dureq_client_wait_one(dureq_node_client(node), id.text, LIMIT_MS, &job, &err);
    if (rc == 0 && job->state == DUREQ_JOB_COMPLETED)
        code = 0;
    else
        printf("%s: " DUREQ_STR_FMT "\n", rc == 0 ? "not completed" : err.msg,
               DUREQ_STR_ARG(rc == 0 ? job->last_error : (dureq_str){0}));
    (void)fflush(stdout);
    dureq_job_destroy(job);
    dureq_node_destroy(node);
    return code;
}

/* ---- signal mask ---- */

static int mask_is_that_of_the_creator(dureq_run *run, void *userdata)
{
    sigset_t mask;

    (void)userdata;
    (void)pthread_sigmask(SIG_SETMASK, NULL, &mask);
    if (!sigismember(&mask, SIGUSR1))
        return dureq_run_fail(run, 0, "SIGUSR1 is not blocked, but its creator blocked it");
    for (int sig = 1; sig < 32; sig++)
        if (sig != SIGUSR1 && sigismember(&mask, sig) == 1)
            return dureq_run_fail(run, 0, "signal %d is blocked", sig);
    /* A program that is started inherits no more than that. */
    if (system("kill -TERM $$; exit 3") != SIGTERM)
        return dureq_run_fail(run, 0, "a program that a handler started does not get SIGTERM");
    return 0;
}

static int child_of_mask(const char *url)
{
    sigset_t mask;

    (void)sigemptyset(&mask);
    (void)sigaddset(&mask, SIGUSR1);
    (void)pthread_sigmask(SIG_SETMASK, &mask, NULL);
    return run_one(url, mask_is_that_of_the_creator, 0);
}

TEST(handler_threads_have_the_signal_mask_of_the_nodes_creator)
{
    child c;

    run_child(&c, child_of_mask);
    EXPECT_I64(0, child_end(&c));
}

/* ---- stack ---- */

static int use_stack(volatile char *above, size_t bytes)
{
    volatile char frame[16 * 1024];

    memset((char *)frame, 1, sizeof frame);
    if (bytes <= sizeof frame)
        return above ? *above : 0;
    return use_stack(frame, bytes - sizeof frame) + frame[0];
}

static int use_six_megabytes(dureq_run *run, void *userdata)
{
    (void)run;
    (void)userdata;
    return use_stack(NULL, 6 * 1024 * 1024) > 0 ? 0 : -1;
}

static int child_of_large_stack(const char *url)
{
    return run_one(url, use_six_megabytes, 8 * 1024 * 1024);
}

static int child_of_overflow(const char *url)
{
    return run_one(url, use_six_megabytes, 0);
}

TEST(a_stack_may_be_as_large_as_asked)
{
    child c;

    run_child(&c, child_of_large_stack);
    EXPECT_I64(0, child_end(&c));
}

TEST(an_overflow_of_the_stack_is_told_before_the_process_ends)
{
    child c;
    int status;

    run_child(&c, child_of_overflow);
    status = child_end(&c);
    if (TEST_SANITIZED) { /* it has a report of its own */
        EXPECT_TRUE(status != 0);
        return;
    }
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    EXPECT_HAS(
        "dureq: a handler of task type 'deep.recursion' overflowed its stack of 1024 KiB: give its node a larger stack_size\n",
        c.text);
}

static int fault_elsewhere(dureq_run *run, void *userdata)
{
    (void)run;
    (void)userdata;
    (void)raise(SIGSEGV);
    return 0;
}

static int child_of_fault(const char *url)
{
    return run_one(url, fault_elsewhere, 0);
}

TEST(another_fault_is_no_overflow)
{
    child c;
    int status;

    run_child(&c, child_of_fault);
    status = child_end(&c);
    EXPECT_TRUE(status != 0);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    EXPECT_TRUE(!strstr(c.text, "overflowed"));
}

static void own_reporter(int sig)
{
    ssize_t done = write(STDERR_FILENO, "own reporter\n", 13);

    (void)sig;
    (void)done;
    _exit(7);
}

static int child_of_reporter(const char *url)
{
    struct sigaction sa = {.sa_handler = own_reporter, .sa_flags = SA_ONSTACK};

    (void)sigemptyset(&sa.sa_mask);
    (void)sigaction(SIGSEGV, &sa, NULL);
    return run_one(url, use_six_megabytes, 0);
}

TEST(a_crash_reporter_of_the_programs_own_is_called_on_overflow)
{
    child c;
    int status;

    run_child(&c, child_of_reporter);
    status = child_end(&c);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    EXPECT_HAS("own reporter\n", c.text);
    EXPECT_TRUE(!strstr(c.text, "overflowed"));
}

/* ---- until a signal ---- */

static volatile sig_atomic_t n_own_signals;

static void own_signal(int sig)
{
    (void)sig;
    n_own_signals++;
}

static int stubborn(dureq_run *run, void *userdata)
{
    (void)userdata;
    (void)printf("started\n");
    (void)fflush(stdout);
    return dureq_run_wait_cancelled(run, -1) ? DUREQ_ECANCELLED : 0;
}

/* A service whose own handler for SIGTERM counts. With a job in hand that ends only when it is told to. */
static int child_of_service(const char *url)
{
    dureq_node_options opts = dureq_node_options_init();
    dureq_job_spec spec = {"stubborn", dureq_str_from("1"), NULL};
    dureq_node *node = NULL;
    dureq_job_id id;
    dureq_error err;
    int rc;

    (void)signal(SIGTERM, own_signal);
    opts.redis_url = url;
    opts.prefix = "service";
    rc = dureq_node_create(&opts, &node, &err);
    if (rc == 0)
        rc = dureq_node_handle(node, "stubborn", stubborn, NULL, NULL, &err);
    if (rc == 0 && dureq_node_run_until_signal(node, &err) != DUREQ_ECONFLICT)
        rc = -1; /* it is not started */
    if (rc == 0)
        rc = dureq_node_start(node, &err);
    if (rc == 0)
        rc = dureq_client_enqueue(dureq_node_client(node), &spec, &id, &err);
    if (rc == 0)
        rc = dureq_node_run_until_signal(node, &err);
    if (rc == 0 && n_own_signals == 0) {
        (void)raise(SIGTERM); /* its own handler is back */
        rc = n_own_signals == 1 ? 0 : -2;
    }
    (void)printf("ended with %d\n", rc);
    (void)fflush(stdout);
    dureq_node_destroy(node);
    return rc == 0 ? 0 : 1;
}

TEST(a_service_ends_at_the_second_signal_at_once)
{
    child c;
    int status;

    run_child(&c, child_of_service);
    EXPECT_TRUE(child_says(&c, "started"));
    EXPECT_I64(0, kill(c.pid, SIGTERM)); /* drains: the handler would run for ever */
    EXPECT_I64(0, kill(c.pid, SIGINT));  /* told to stop */
    EXPECT_TRUE(child_says(&c, "ended with 0"));
    status = child_end(&c);
    EXPECT_I64(0, status);
}

int main(void)
{
    int failed;

    server = test_redis_start(NULL);
    failed = _cmocka_run_group_tests(__FILE__, expect_tests, expect_n_tests, NULL, NULL);
    test_redis_stop(server);
    return failed;
}
