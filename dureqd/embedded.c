/* SPDX-License-Identifier: Apache-2.0 */
#include "embedded.h"

#include "base/arena.h"
#include "base/buf.h"
#include "handler_spec.h"
#include "line_cut.h"
#include "node/state_dir.h"
#include "orphans.h"
#include "signals.h"

#include <event2/event.h>
#include <event2/event_struct.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* starting -> ready -> (died -> waiting -> starting) ... -> stopped

   The server holds the lock of the state directory, too (it inherits the descriptor): a daemon that is started after another one
   was killed waits until the server of that one, which gets SIGTERM then, has written what it had.

   What it prints is logged; its last line is the reason when it does not come up.

   A file that was torn within a transaction is cut by the server after the last whole command, and what it appends from then on would belong to the
   begun transaction: the next start would throw all of it away. So a server that says it has cut its file writes it again before it counts as
   ready. */

#define PING_EVERY_US           10000
#define REWRITE_LOOK_US         200000
#define BACKOFF_FIRST_US        100000
#define BACKOFF_MOST_US         5000000
#define STEADY_US               60000000 /* one that lived so long starts over at the first back-off */
#define STOP_TIMEOUT_MS         60000
#define HURRIED_STOP_TIMEOUT_MS 2000
#define LOADING_SAY_EVERY       500                  /* pings */
#define LINE_BYTES_MAX          4096                 /* no line of redis-server is so long */
#define CUT_FILE_SAYS           "Truncating the AOF" /* Redis 7, Valkey */

struct dq_embedded {
    dq_loop *loop;
    const dq_log *log;
    const bool *give_up;
    dq_arena arena;
    const char *program, *dir, *appendfsync;
    char *socket_path, *url;
    int lock_fd;

    pid_t pid; /* 0: there is none */
    int pid_fd, out_fd;
    struct event exit_event, out_event;
    dq_timer timer; /* next ping while starting; next start while waiting */
    bool is_ready, hurries;
    bool has_cut_file, rewrites; /* it is to write its file again, and does */
    int64_t begun_us, backoff_us;
    unsigned n_pings;
    dq_line_cut lines; /* of its output */
    char last_line[160];
};

/* ---- the child ---- */

static void set_args(const dq_embedded *e, const char **argv)
{
    const char *const args[] = {e->program, "--port", "0", "--unixsocket", e->socket_path, "--unixsocketperm", "600", "--dir",
                                e->dir, "--daemonize", "no", "--appendonly", "yes", "--appendfsync", e->appendfsync, "--save", "",
                                "--maxmemory-policy", "noeviction",
                                /* The default of 64 MB forks many times a minute under load. */
                                "--auto-aof-rewrite-min-size", "512mb", "--auto-aof-rewrite-percentage", "100",
                                "--lazyfree-lazy-user-del", "yes", "--lazyfree-lazy-server-del", "yes", "--lazyfree-lazy-expire",
                                "yes", "--lazyfree-lazy-eviction", "yes", "--lazyfree-lazy-user-flush", "yes", NULL};

    _Static_assert(sizeof args <= 64 * sizeof *args, "set_args and its callers agree on 64");
    memcpy(argv, args, sizeof args);
}

/* Between fork and exec of a program with threads: system calls only. Its own session, so that a Ctrl-C at the terminal stops the
   daemon first; it is told to end when the daemon's first thread does. */
static void child_main(const dq_embedded *e, const char **argv, char *const *envp, int out_fd, pid_t parent)
{
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    sigset_t none;
    int null_fd = open("/dev/null", O_RDONLY);

    sigemptyset(&none);
    (void)setsid();
    (void)umask(077); /* its files are its own, whatever ours is */
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent)
        _exit(126);
    if (dup2(null_fd, 0) < 0 || dup2(out_fd, 1) < 0 || dup2(out_fd, 2) < 0 || dup2(e->lock_fd, 3) < 0)
        _exit(126);
    (void)fcntl(3, F_SETFD, 0);
    (void)syscall(SYS_close_range, 4u, ~0u, 0u);
    (void)sigaction(SIGPIPE, &dfl, NULL);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)execve(e->program, (char *const *)argv, envp);
    _exit(127);
}

typedef struct fork_call {
    const dq_embedded *e;
    int out_fd;
} fork_call;

static pid_t make_child(void *arg)
{
    fork_call *call = arg;
    char path[] = "PATH=/usr/bin:/bin";
    char *const envp[] = {path, NULL};
    const char *argv[64];
    pid_t parent = getpid(), pid;

    set_args(call->e, argv);
    pid = fork();
    if (pid == 0)
        child_main(call->e, argv, envp, call->out_fd, parent);
    return pid;
}

/* ---- its output ---- */

static void say_line(dq_embedded *e, dureq_str line)
{
    line = dq_str_trim(line);
    if (line.len == 0)
        return;
    DQ_LOG(e->log, DUREQ_LOG_DEBUG, "embedded.says", DQ_STR_FMT, DQ_STR_ARG(line));
    line.len = DQ_MIN(line.len, sizeof e->last_line - 1);
    memcpy(e->last_line, line.ptr, line.len);
    e->last_line[line.len] = '\0';
    e->has_cut_file = e->has_cut_file || strstr(e->last_line, CUT_FILE_SAYS);
}

static void read_output(dq_embedded *e)
{
    char text[4096];
    ssize_t n = read(e->out_fd, text, sizeof text);
    dureq_str rest = dureq_str_of(text, n > 0 ? (size_t)n : 0), line;

    if (n == 0)
        (void)event_del(&e->out_event); /* its end is told by the other event */
    while (rest.len > 0)
        if (dq_line_cut_take(&e->lines, &rest, &line) == DQ_LINE_WHOLE)
            say_line(e, line);
}

static void on_output(evutil_socket_t fd, short what, void *arg)
{
    dq_embedded *e = arg;

    (void)fd;
    (void)what;
    read_output(e);
}

/* ---- its life ---- */

static void forget_child(dq_embedded *e)
{
    siginfo_t info;
    dureq_str line;

    (void)event_del(&e->exit_event);
    (void)event_del(&e->out_event);
    read_output(e);
    if (dq_line_cut_last(&e->lines, &line) == DQ_LINE_WHOLE)
        say_line(e, line);
    (void)waitid(P_PID, (id_t)e->pid, &info, WEXITED);
    dq_orphans_forget(e->pid);
    (void)close(e->pid_fd);
    (void)close(e->out_fd);
    e->pid = 0;
    e->is_ready = false;
}

static void on_exit_readable(evutil_socket_t fd, short what, void *arg)
{
    dq_embedded *e = arg;
    bool was_ready = e->is_ready;

    (void)fd;
    (void)what;
    forget_child(e);
    if (dq_loop_now_us(e->loop) - e->begun_us > STEADY_US)
        e->backoff_us = BACKOFF_FIRST_US;
    DQ_LOG(e->log, DUREQ_LOG_ERROR, "embedded.died", "%s last_line=\"%s\" restart_in_ms=%lld",
           was_ready ? "it was up" : "it did not come up", e->last_line, (long long)e->backoff_us / 1000);
    dq_timer_set(&e->timer, e->backoff_us);
    e->backoff_us = DQ_MIN(e->backoff_us * 2, BACKOFF_MOST_US);
}

static int watch_child(dq_embedded *e, dureq_error *err)
{
    struct event_base *base = dq_loop_base(e->loop);

    int sys_errno;

    e->pid_fd = (int)syscall(SYS_pidfd_open, e->pid, 0u);
    sys_errno = errno;
    (void)fcntl(e->out_fd, F_SETFL, O_NONBLOCK);
    (void)event_assign(&e->exit_event, base, e->pid_fd, EV_READ, on_exit_readable, e);
    (void)event_assign(&e->out_event, base, e->out_fd, EV_READ | EV_PERSIST, on_output, e);
    if (e->pid_fd < 0)
        return dq_fail_errno(err, DUREQ_EIO, sys_errno, "cannot watch the embedded server: %s", strerror(sys_errno));
    if (event_add(&e->exit_event, NULL) < 0 || event_add(&e->out_event, NULL) < 0)
        return dq_fail_nomem(err);
    return 0;
}

static int start_child(dq_embedded *e, dureq_error *err)
{
    fork_call call = {.e = e};
    int fds[2], rc;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return dq_fail_errno(err, DUREQ_EIO, errno, "cannot make a pipe: %s", strerror(errno));
    (void)unlink(e->socket_path); /* of one that was killed; the lock says that none lives */
    call.out_fd = fds[1];
    e->pid = dq_orphans_make_kept(make_child, &call);
    (void)close(fds[1]);
    if (e->pid < 0) {
        rc = dq_fail_errno(err, DUREQ_EIO, errno, "cannot make a process for the embedded server: %s", strerror(errno));
        (void)close(fds[0]);
        e->pid = 0;
        return rc;
    }
    e->out_fd = fds[0];
    e->n_pings = 0;
    e->has_cut_file = e->rewrites = false;
    e->last_line[0] = '\0';
    e->begun_us = dq_loop_now_us(e->loop);
    dq_timer_set(&e->timer, PING_EVERY_US);
    rc = watch_child(e, err);
    if (rc < 0) {
        (void)kill(e->pid, SIGKILL);
        forget_child(e);
    }
    return rc;
}

/* True when its file is as it should be. */
static bool mend_file(dq_embedded *e)
{
    char reply[128];
    int state;

    read_output(e); /* it may have said so a moment ago */
    if (!e->has_cut_file)
        return true;
    if (!e->rewrites) {
        e->rewrites = dq_embedded_ask(e->socket_path, "BGREWRITEAOF\r\n", reply, sizeof reply) && reply[0] == '+';
        return false;
    }
    state = dq_embedded_rewrite_state(e->socket_path);
    if (state < 0) {
        DQ_LOG(e->log, DUREQ_LOG_ERROR, "embedded.rewrite", "error=\"the append-only file was torn and cannot be rewritten: %s\"",
               e->last_line);
        e->rewrites = false;
    }
    if (state > 0)
        DQ_LOG(e->log, DUREQ_LOG_WARN, "embedded.rewritten", "the append-only file was torn; it was rewritten");
    return state > 0;
}

static void ping(dq_embedded *e)
{
    int answer = dq_embedded_ping(e->socket_path);
    bool answers = answer > 0;

    if (answers && mend_file(e)) {
        e->is_ready = true;
        DQ_LOG(e->log, DUREQ_LOG_INFO, "embedded.ready", "pid=%d dir=%s", (int)e->pid, e->dir);
        return;
    }
    if (++e->n_pings % LOADING_SAY_EVERY == 0)
        DQ_LOG(e->log, DUREQ_LOG_INFO, "embedded.loading", "%s",
               answers       ? "it rewrites its file"
               : answer == 0 ? "it loads its data"
                             : "it does not answer yet");
    dq_timer_set(&e->timer, answers ? REWRITE_LOOK_US : PING_EVERY_US);
}

static void on_timer(dq_timer *t)
{
    dq_embedded *e = dq_container_of(t, dq_embedded, timer);
    dureq_error err = {0};

    if (e->pid) {
        ping(e);
    } else if (start_child(e, &err) < 0) {
        DQ_LOG(e->log, DUREQ_LOG_ERROR, "embedded.no_start", "%s", err.msg);
        dq_timer_set(&e->timer, BACKOFF_MOST_US);
    }
}

/* ---- start and stop ---- */

static int find_program(dq_embedded *e, const char *word, dureq_error *err)
{
    dureq_error inner = {0};
    int rc = dq_program_find(&e->arena, word, getenv("PATH"), &e->program, &inner);

    if (rc < 0)
        return dq_fail(err, rc, "no redis.url is given and no server can be started: %.120s; install redis-server 7.0 or newer",
                       inner.msg);
    return dq_embedded_check_program(e->program, err);
}

static int set_paths(dq_embedded *e, const dq_embedded_options *o, dureq_error *err)
{
    DQ_BUF_AUTO path = {0};
    DQ_BUF_AUTO url = {0};

    e->dir = dq_arena_dup(&e->arena, dureq_str_from(o->dir));
    e->appendfsync = dq_arena_dup(&e->arena, dureq_str_from(o->appendfsync));
    dq_state_dir_socket(o->dir, &path);
    dq_state_dir_url(o->dir, &url);
    e->socket_path = dq_arena_dup(&e->arena, dq_buf_str(&path));
    e->url = dq_arena_dup(&e->arena, dq_buf_str(&url));
    if (!e->dir || !e->appendfsync || path.failed || url.failed || !e->socket_path || !e->url)
        return dq_fail_nomem(err);
    if (e->dir[0] != '/')
        return dq_fail(err, DUREQ_EINVAL, "the state directory '%.120s' is not an absolute path", e->dir);
    if (path.len > DQ_SOCKET_PATH_MAX)
        return dq_fail(err, DUREQ_EINVAL, "the state directory's path is too long for a socket in it (%zu bytes, Linux takes %d)",
                       path.len, DQ_SOCKET_PATH_MAX);
    return 0;
}

static int prepare(dq_embedded *e, const dq_embedded_options *o, dureq_error *err)
{
    int rc = set_paths(e, o, err);

    if (rc == 0)
        rc = find_program(e, o->program, err);
    if (rc == 0)
        rc = dq_embedded_make_dir(e->dir, err);
    if (rc == 0 && !o->insecure_dir)
        rc = dq_embedded_guard_dir(e->dir, err);
    if (rc == 0)
        rc = dq_embedded_lock_dir(e->dir, &e->lock_fd, err);
    return rc;
}

static int wait_ready(dq_embedded *e, dureq_error *err)
{
    while (!e->is_ready && e->pid && !*e->give_up)
        dq_loop_run_once(e->loop, /*block=*/true);
    if (e->is_ready)
        return 0;
    if (e->pid)
        return dq_fail(err, DUREQ_ECANCELLED, "stopped while the embedded server was starting");
    return dq_fail(err, DUREQ_EUNAVAILABLE, "the embedded server did not come up: %s",
                   *e->last_line ? e->last_line : "it said nothing");
}

int dq_embedded_start(dq_loop *loop, const dq_embedded_options *opts, dq_embedded **ret, dureq_error *err)
{
    dq_embedded *e = dq_calloc(1, sizeof *e);
    int rc;

    if (!e)
        return dq_fail_nomem(err);
    e->loop = loop;
    e->log = opts->log;
    e->give_up = opts->give_up;
    e->lock_fd = -1;
    e->lines.max = LINE_BYTES_MAX;
    e->backoff_us = BACKOFF_FIRST_US;
    rc = prepare(e, opts, err);
    if (rc == 0 && dq_timer_init(&e->timer, loop, on_timer) < 0)
        rc = dq_fail_nomem(err);
    if (rc == 0)
        rc = start_child(e, err);
    if (rc == 0)
        rc = wait_ready(e, err);
    if (rc < 0) {
        dq_embedded_stop(e);
        return rc;
    }
    *ret = e;
    return 0;
}

const char *dq_embedded_url(const dq_embedded *e)
{
    return e->url;
}

void dq_embedded_hurry(dq_embedded *e)
{
    if (e)
        e->hurries = true;
}

/* Killed it loses nothing: what it has answered is written, and only the machine's end could take that away. */
static void end_child(dq_embedded *e)
{
    int timeout_ms = e->hurries ? HURRIED_STOP_TIMEOUT_MS : STOP_TIMEOUT_MS, ended;

    (void)kill(e->pid, SIGTERM);
    ended = dq_signals_poll(e->pid_fd, timeout_ms);
    if (ended <= 0) {
        DQ_LOG(e->log, DUREQ_LOG_WARN, "embedded.killed", "pid=%d did not end on SIGTERM %s", (int)e->pid,
               ended < 0    ? "before another signal came"
               : e->hurries ? "within two seconds"
                            : "within a minute");
        (void)kill(e->pid, SIGKILL);
    }
    forget_child(e);
    DQ_LOG(e->log, DUREQ_LOG_INFO, "embedded.stopped", "dir=%s", e->dir);
}

void dq_embedded_stop(dq_embedded *e)
{
    if (!e)
        return;
    dq_timer_deinit(&e->timer);
    if (e->pid)
        end_child(e);
    if (e->lock_fd >= 0)
        (void)close(e->lock_fd);
    dq_line_cut_deinit(&e->lines);
    dq_arena_deinit(&e->arena);
    dq_free(e);
}
