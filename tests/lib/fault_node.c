/* SPDX-License-Identifier: Apache-2.0 */
#include "fault_node.h"

#include "base/clock.h"
#include "base/random.h"
#include "fault_lines.h"
#include "fault_wait.h"

#include <dureq/node.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROLE           "--fault-node"
#define READY_FD       3
#define LIMIT_MS       20000
#define FAULT_TEXT_MAX 64 /* of a payload */

#define COMPLETING_US 600

static int log_fd = -1, occurrences_fd = -1, tasks_fd = -1;
static char die_at;

const char *fault_type_of(char kind)
{
    switch (kind) {
    case 'w': return "wait";
    case 'f': return "flaky";
    case 'd': return "doomed";
    case 'p': return "poison";
    case 't': return "task";
    default: return "?";
    }
}

/* ---- in the node's process ---- */

static void mark(fault_mark m, const char *node_id, const char *job_id, long run)
{
    char line[128];
    int len = snprintf(line, sizeof line, "%c %lld %s %s %ld\n", (char)m, (long long)dq_mono_us(), node_id, job_id, run);

    if (write(log_fd, line, (size_t)len) != len)
        abort();
}

/* Of a job of a schedule: which occurrence it is. */
static void mark_occurrence(const dureq_run *task)
{
    dureq_job_id schedule;
    int64_t at_ms;
    char line[192];

    if (!dureq_run_schedule(task, &schedule, &at_ms))
        return;
    int len = snprintf(line, sizeof line, "%lld %s %s %lld %s\n", (long long)dq_wall_ms(), dureq_run_node_id(task), schedule.text,
                       (long long)at_ms, dureq_run_job_id(task));
    if (write(occurrences_fd, line, (size_t)len) != len)
        abort();
}

static long run_of(const char *run_id)
{
    const char *dot = strrchr(run_id, '.');

    return dot ? strtol(dot + 1, NULL, 10) : 0;
}

static void mark_task(char m, const dureq_run *task, long seq)
{
    char line[192];
    int len = snprintf(line, sizeof line, "%c %lld %s %ld %s %ld\n", m, (long long)dq_mono_us(), dureq_run_node_id(task), seq,
                       dureq_run_job_id(task), run_of(dureq_run_id(task)));

    if (write(tasks_fd, line, (size_t)len) != len)
        abort();
}

static void die_if_at(fault_step step)
{
    if (die_at == (char)step)
        (void)kill(getpid(), SIGKILL);
}

/* By a timer of the kernel's: a thread that waits would have to be woken first, and would take a core from those it is to hit. */
static void die_soon(void)
{
    struct sigevent how = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
    struct itimerspec in = {0};
    timer_t timer;
    dq_rng rng;

    dq_rng_seed(&rng, (uint64_t)dq_mono_us() ^ (uint64_t)getpid() << 32);
    in.it_value.tv_nsec = 1 + (long)dq_rng_below(&rng, COMPLETING_US * 1000);
    if (timer_create(CLOCK_MONOTONIC, &how, &timer) < 0 || timer_settime(timer, 0, &in, NULL) < 0)
        abort();
}

static int run_kind(dureq_run *task, char kind, long n)
{
    switch (kind) {
    case 'w': return dureq_run_wait_cancelled(task, n) ? dureq_run_retry(task, 2, "told to stop") : 0;
    case 'f': return dureq_run_attempt(task) <= n ? dureq_run_retry(task, 3, "not yet") : 0;
    case 'p': fault_pass(n); abort();
    case 'd': return dureq_run_fail(task, 4, "doomed");
    default: return 0;
    }
}

/* Of a workflow or batch: n is -1 for one that fails for good, -2 for one that does well at its second attempt. */
static int run_task(dureq_run *task, long seq, long n)
{
    int rc = 0;

    mark_task('S', task, seq);
    if (n == -1)
        rc = dureq_run_fail(task, 5, "fails");
    else if (n == -2 && dureq_run_attempt(task) <= 1)
        rc = dureq_run_retry(task, 6, "not yet");
    else if (n > 0 && dureq_run_wait_cancelled(task, n))
        rc = dureq_run_retry(task, 2, "told to stop");
    mark_task(rc == 0 ? 'E' : 'F', task, seq);
    return rc;
}

bool fault_payload_is_whole(dureq_str payload)
{
    size_t blanks = 0;

    while (blanks < payload.len && payload.ptr[payload.len - 1 - blanks] == ' ')
        blanks++;
    return blanks == 0 ? payload.len < FAULT_TEXT_MAX : payload.len == FAULT_LARGE_BYTES && payload.len - blanks < FAULT_TEXT_MAX;
}

static int run_job(dureq_run *task, void *userdata)
{
    dureq_str payload = dureq_run_payload(task);
    char text[FAULT_TEXT_MAX] = {0}, kind = 0;
    long seq = 0, n = 0;
    int rc;

    (void)userdata;
    memcpy(text, payload.ptr, payload.len < sizeof text ? payload.len : sizeof text - 1);
    mark(FAULT_MARK_START, dureq_run_node_id(task), dureq_run_job_id(task), run_of(dureq_run_id(task)));
    mark_occurrence(task);
    die_if_at(FAULT_STEP_HANDLER);
    if (sscanf(text[0] == '"' ? text + 1 : text, "%c %ld %ld", &kind, &seq, &n) != 3) /* of a workflow it is JSON */
        return dureq_run_fail(task, 1, "what is this?");
    if (strcmp(dureq_run_task_type(task), fault_type_of(kind)) != 0 || !fault_payload_is_whole(payload))
        mark(FAULT_MARK_MIXED_UP, dureq_run_node_id(task), dureq_run_job_id(task), run_of(dureq_run_id(task)));
    rc = kind == 't' ? run_task(task, seq, n) : run_kind(task, kind, n);
    if (die_at)
        mark(FAULT_MARK_EFFECT, dureq_run_node_id(task), dureq_run_job_id(task), run_of(dureq_run_id(task)));
    die_if_at(FAULT_STEP_EFFECT);
    if (die_at == FAULT_STEP_COMPLETING)
        die_soon();
    return rc;
}

static void on_event(const dureq_node_event *e, void *userdata)
{
    const char *node_id = userdata;

    switch (e->kind) {
    case DUREQ_NODE_JOB_STARTED: die_if_at(FAULT_STEP_STARTING); break;
    case DUREQ_NODE_JOB_COMPLETED:
        mark(FAULT_MARK_COMPLETED, node_id, e->job_id, run_of(e->run_id));
        die_if_at(FAULT_STEP_COMPLETED);
        break;
    case DUREQ_NODE_JOB_FAILED: mark(FAULT_MARK_FAILED, node_id, e->job_id, run_of(e->run_id)); break;
    case DUREQ_NODE_JOB_DEAD: mark(FAULT_MARK_DEAD, node_id, e->job_id, run_of(e->run_id)); break;
    case DUREQ_NODE_JOB_CANCELLED: mark(FAULT_MARK_CANCELLED, node_id, e->job_id, run_of(e->run_id)); break;
    default: break;
    }
}

static void on_log(const dureq_log_record *r, void *userdata)
{
    fprintf(stderr, "%lld %s %s %s\n", (long long)dq_mono_us() / 1000, (const char *)userdata, r->event, r->text);
}

static int end_role(const char *what, const dureq_error *err)
{
    fprintf(stderr, "node: %s: %s: %s\n", what, dureq_errcode_name(err->code), err->msg);
    return 1;
}

/* argv: role url prefix node_id log_path shards concurrency never_leads max_crashes die_at */
static int role(char **argv)
{
    dureq_node_options o = dureq_node_options_init();
    dureq_node_stats stats;
    dureq_error err = {0};
    dureq_node *node = NULL;
    char occurrences[512], tasks[512];
    sigset_t set;
    int sig;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    log_fd = open(argv[4], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    (void)snprintf(occurrences, sizeof occurrences, "%s" FAULT_OCCURRENCES, argv[4]);
    occurrences_fd = open(occurrences, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    (void)snprintf(tasks, sizeof tasks, "%s" FAULT_TASKS, argv[4]);
    tasks_fd = open(tasks, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    o.redis_url = argv[1];
    o.prefix = argv[2];
    o.node_id = argv[3];
    o.shards = (int32_t)strtol(argv[5], NULL, 10);
    o.concurrency = (int32_t)strtol(argv[6], NULL, 10);
    o.never_leads = argv[7][0] == '1';
    o.lease_ms = FAULT_LEASE_MS;
    o.max_crashes = (int32_t)strtol(argv[8], NULL, 10);
    o.shutdown_timeout_ms = 5000;
    die_at = argv[9][0] == '-' ? 0 : argv[9][0];
    o.on_event = on_event;
    o.on_event_userdata = argv[3];
    o.log_fn = getenv("DUREQ_FAULT_LOG") ? on_log : NULL;
    o.log_userdata = argv[3];
    o.log_level = DUREQ_LOG_DEBUG;
    if (dureq_node_create(&o, &node, &err) < 0 || dureq_node_handle(node, "*", run_job, NULL, NULL, &err) < 0 ||
        dureq_node_start(node, &err) < 0)
        return end_role("start", &err);
    if (write(READY_FD, "r", 1) != 1 || close(READY_FD) != 0)
        return end_role("ready", &err);
    (void)sigwait(&set, &sig);
    dureq_node_get_stats(node, &stats); /* after the stop there are none */
    if (dureq_node_stop(node, &err) < 0)
        return end_role("stop", &err);
    mark(FAULT_MARK_LOST, argv[3], "-", (long)stats.lost);
    dureq_node_destroy(node);
    return 0;
}

void fault_node_main(int argc, char **argv)
{
    if (argc == 11 && strcmp(argv[1], ROLE) == 0)
        exit(role(argv + 1));
}

/* ---- in the test's process ---- */

static void exec_role(const fault_node_options *o, int ready_fd, pid_t parent)
{
    char shards[16], concurrency[16], max_crashes[16], step[2] = {o->die_at ? o->die_at : '-'};
    const char *argv[] = {
        "fault-node", ROLE, o->url, o->prefix, o->node_id, o->log_path, shards, concurrency, o->never_leads ? "1" : "0",
        max_crashes,  step, NULL};

    (void)snprintf(shards, sizeof shards, "%d", o->shards);
    (void)snprintf(concurrency, sizeof concurrency, "%d", o->concurrency);
    (void)snprintf(max_crashes, sizeof max_crashes, "%d", o->max_crashes ? o->max_crashes : 200);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || dup2(ready_fd, READY_FD) < 0)
        _exit(126);
    execv("/proc/self/exe", (char *const *)argv);
    _exit(127);
}

static void wait_ready(fault_node *n, int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char c;

    if (poll(&p, 1, LIMIT_MS) != 1 || read(fd, &c, 1) != 1)
        fault_die("node %s did not start", n->node_id);
    close(fd);
}

void fault_node_spawn(fault_node *n, const fault_node_options *o)
{
    pid_t parent = getpid();
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0)
        fault_die("pipe2: %s", strerror(errno));
    /* dup2 onto itself would leave close-on-exec set */
    if (fds[1] == READY_FD)
        fault_die("descriptor %d is taken by the pipe itself", READY_FD);
    (void)snprintf(n->node_id, sizeof n->node_id, "%s", o->node_id);
    n->pid = fork();
    if (n->pid == 0)
        exec_role(o, fds[1], parent);
    if (n->pid < 0)
        fault_die("fork: %s", strerror(errno));
    close(fds[1]);
    wait_ready(n, fds[0]);
}

static int reap(fault_node *n)
{
    int status = 0;

    while (waitpid(n->pid, &status, 0) < 0)
        if (errno != EINTR)
            fault_die("waitpid: %s", strerror(errno));
    n->pid = 0;
    return status;
}

void fault_node_kill(fault_node *n)
{
    if (!n->pid)
        return;
    (void)kill(n->pid, SIGKILL);
    (void)reap(n);
}

void fault_node_freeze(fault_node *n)
{
    int status = 0;

    (void)kill(n->pid, SIGSTOP);
    if (waitpid(n->pid, &status, WUNTRACED) != n->pid || !WIFSTOPPED(status))
        fault_die("node %s did not stand still", n->node_id);
}

void fault_node_thaw(fault_node *n)
{
    (void)kill(n->pid, SIGCONT);
}

bool fault_node_is_alive(fault_node *n)
{
    siginfo_t info = {0};

    return n->pid && waitid(P_PID, (id_t)n->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0;
}

static bool has_ended(void *userdata)
{
    return !fault_node_is_alive(userdata);
}

void fault_node_stop(fault_node *n)
{
    int status;

    if (!n->pid)
        return;
    if (!fault_node_is_alive(n))
        fault_die("node %s ended by itself, status %d", n->node_id, reap(n));
    (void)kill(n->pid, SIGTERM);
    if (!fault_wait(LIMIT_MS, has_ended, n))
        fault_die("node %s did not stop", n->node_id);
    status = reap(n);
    if (status != 0)
        fault_die("node %s ended with status %d", n->node_id, status);
}
