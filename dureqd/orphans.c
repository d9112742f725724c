/* SPDX-License-Identifier: Apache-2.0 */
#include "orphans.h"

#include "base/buf.h"
#include "base/mutex.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Only what descends from a job is ended. Whose an orphan is, its environment says: the run, and the file of this host's own
   directory that the run was given. A process without a run in its environment can still be a job's, which cleared it. That is so
   where only jobs can leave orphans to this process; then the time tells: it belongs to a job that began before it did, so once
   none of those runs it is nobody's. Others can leave orphans here when this process had children before it became the daemon (a
   start script's helpers), or is process 1: there, what does not name a run of ours is left alone.

   Orphans become children of this process's first thread, and the jobs' programs are children of the spawner's thread, so the
   list of the former holds orphans and what the first thread made itself, which says so (dq_orphans_make_kept). A kept child
   leads a session, by which what it leaves is told from what jobs leave.

   One that was killed hands its own children over: the sweep repeats until none is left. */

#define SWEEP_SOON_US  10000
#define CHILDREN_BYTES 65536     /* of the list read at a time */
#define ENVIRON_MAX    (2 << 20) /* twice what dureqd gives: a shell hands it on in another order, and with more */
#define READ_BYTES     32768
#define SWEEP_LATER_US 1000000 /* while orphans of running jobs exist */

/* ---- children of our own ---- */

static dq_mutex kept_mu = {PTHREAD_MUTEX_INITIALIZER}; /* guards the next one, and the making of kept children */
static pid_t kept[8];
static pid_t kept_sessions[8]; /* of kept children, the latest of them, whether they live or not */
static size_t n_kept_sessions;

static void replace_kept(pid_t from, pid_t to)
{
    for (size_t i = 0; i < DQ_ARRAY_LEN(kept); i++) {
        if (kept[i] == from) {
            kept[i] = to;
            return;
        }
    }
}

pid_t dq_orphans_make_kept(pid_t (*make)(void *arg), void *arg)
{
    pid_t pid;

    dq_mutex_lock(&kept_mu);
    pid = make(arg);
    if (pid > 0) {
        replace_kept(0, pid);
        kept_sessions[n_kept_sessions++ % DQ_ARRAY_LEN(kept_sessions)] = pid;
    }
    dq_mutex_unlock(&kept_mu);
    return pid;
}

void dq_orphans_forget(pid_t pid)
{
    dq_mutex_lock(&kept_mu);
    replace_kept(pid, 0);
    dq_mutex_unlock(&kept_mu);
}

static bool is_kept(pid_t pid)
{
    for (size_t i = 0; i < DQ_ARRAY_LEN(kept); i++)
        if (kept[i] == pid)
            return true;
    return false;
}

static bool is_of_kept_session(pid_t pid)
{
    pid_t session = getsid(pid);

    for (size_t i = 0; i < DQ_ARRAY_LEN(kept_sessions); i++)
        if (session > 0 && kept_sessions[i] == session)
            return true;
    return false;
}

/* ---- /proc ---- */

/* Up to `max` bytes of /proc/PID/NAME; false when the process is gone or the file is not ours to read. */
static bool read_proc(pid_t pid, const char *name, size_t max, dq_buf *out)
{
    char path[64];
    int fd;

    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    while (max > 0) {
        size_t part = DQ_MIN(max, READ_BYTES);
        char *room = dq_buf_reserve(out, part);
        ssize_t n = room ? read(fd, room, part) : -1;

        if (room && n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        out->len += (size_t)n;
        max -= (size_t)n;
    }
    (void)close(fd);
    return !out->failed;
}

bool dq_orphans_read_environ(pid_t pid, dq_buf *out)
{
    return read_proc(pid, "environ", ENVIRON_MAX, out);
}

/* The value of a variable; ptr is NULL when there is none. */
static dureq_str var_in(dureq_str environ_text, dureq_str name_and_equals)
{
    dureq_str rest = environ_text;

    while (rest.ptr) {
        dureq_str var = dq_str_cut(&rest, '\0');

        if (dq_str_starts_with(var, name_and_equals))
            return dureq_str_of(var.ptr + name_and_equals.len, var.len - name_and_equals.len);
    }
    return (dureq_str){0};
}

dureq_str dq_orphans_run_in(dureq_str environ_text)
{
    return var_in(environ_text, DQ_STR_LIT("DUREQ_RUN_ID="));
}

bool dq_orphans_is_context_in(dureq_str environ_text, const char *dir)
{
    dureq_str path = var_in(environ_text, DQ_STR_LIT("DUREQ_CONTEXT="));
    size_t n = strlen(dir);

    return path.len > n && dq_str_starts_with(path, dureq_str_from(dir)) && path.ptr[n] == '/';
}

/* A number, by the field's place, from 3 on: counted after the last ')', since the name before it may hold anything. -1: there is none. */
static int64_t field_in(dureq_str stat, int place)
{
    const char *close_paren = stat.len ? memrchr(stat.ptr, ')', stat.len) : NULL;
    dureq_str rest;
    int64_t v;

    if (!close_paren)
        return -1;
    rest = dureq_str_of(close_paren, stat.len - (size_t)(close_paren - stat.ptr));
    for (int field = 2; field < place; field++)
        (void)dq_str_cut(&rest, ' ');
    return dq_parse_i64(dq_str_cut(&rest, ' '), 0, INT64_MAX, &v) == 0 ? v : -1;
}

int64_t dq_orphans_start_in(dureq_str stat)
{
    return field_in(stat, 22);
}

bool dq_orphans_is_exiting_in(dureq_str stat)
{
    return field_in(stat, 23) == 0;
}

static int64_t start_ticks_of(pid_t pid, dq_buf *buf)
{
    dq_buf_clear(buf);
    return read_proc(pid, "stat", 2048, buf) ? dq_orphans_start_in(dq_buf_str(buf)) : -1;
}

static bool is_exiting(pid_t pid, dq_buf *buf)
{
    dq_buf_clear(buf);
    return read_proc(pid, "stat", 2048, buf) && dq_orphans_is_exiting_in(dq_buf_str(buf));
}

int64_t dq_orphans_now_ticks(void)
{
    struct timespec t;
    int64_t per_second = sysconf(_SC_CLK_TCK);

    (void)clock_gettime(CLOCK_BOOTTIME, &t);
    return t.tv_sec * per_second + t.tv_nsec / (1000000000 / per_second);
}

/* ---- the sweep ---- */

typedef enum orphan_kind {
    ORPHAN_NOT_OURS,
    ORPHAN_OWNED,   /* of a job that runs */
    ORPHAN_LEFT,    /* of a job that has ended */
    ORPHAN_EXITING, /* whosever it was: it gave back its memory, its environment with it, and can be reaped in a moment */
} orphan_kind;

static orphan_kind kind_of(dq_orphans *o, pid_t pid, dq_buf *buf)
{
    dureq_str text, run;

    dq_buf_clear(buf);
    text = dq_orphans_read_environ(pid, buf) ? dq_buf_str(buf) : (dureq_str){0};
    run = dq_orphans_run_in(text);
    if (text.len == 0 && is_exiting(pid, buf))
        return ORPHAN_EXITING;
    if (run.len > 0 && !dq_orphans_is_context_in(text, o->context_dir))
        return ORPHAN_NOT_OURS; /* another daemon's */
    if (run.len > 0)
        return o->ops->is_live_run(o, run) ? ORPHAN_OWNED : ORPHAN_LEFT;
    if (o->has_others || is_of_kept_session(pid))
        return ORPHAN_NOT_OURS;
    return o->ops->has_run_since(o, start_ticks_of(pid, buf)) ? ORPHAN_OWNED : ORPHAN_LEFT;
}

/* With its process group, so that what it forks meanwhile goes, too; but in our own session a group may have others in it. */
static void kill_orphan(dq_orphans *o, pid_t pid)
{
    pid_t group = getpgid(pid);

    DQ_LOG(o->log, DUREQ_LOG_INFO, "exec.left_behind", "pid=%d group=%d killed, its job has ended", (int)pid, (int)group);
    if (group > 1 && getsid(pid) != getsid(0) && !o->ops->is_live_group(o, group))
        (void)kill(-group, SIGKILL);
    (void)kill(pid, SIGKILL);
}

/* True when it is a job's and still there afterwards. As our child it keeps its number until it is reaped here. */
static bool sweep_child(dq_orphans *o, pid_t pid, dq_buf *buf, bool *ends)
{
    siginfo_t info = {0};
    orphan_kind kind;
    int rc;

    rc = waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG);
    if (rc < 0 || info.si_pid == pid)
        return false;
    kind = kind_of(o, pid, buf);
    if (kind == ORPHAN_LEFT)
        kill_orphan(o, pid);
    if (kind == ORPHAN_LEFT || kind == ORPHAN_EXITING) {
        *ends = true;
        if (o->is_closing)
            (void)waitid(P_PID, (id_t)pid, &info, WEXITED);
    }
    return kind != ORPHAN_NOT_OURS;
}

/* Of the first thread, as text. False: the system lists none. */
static bool read_children(dq_orphans *o, dq_buf *out)
{
    char name[48];

    (void)snprintf(name, sizeof name, "task/%d/children", (int)o->self);
    if (!read_proc(o->self, name, CHILDREN_BYTES, out))
        return false;
    if (out->len == CHILDREN_BYTES) /* not all of a number: the next sweep sees it */
        out->len = (size_t)((char *)memrchr(out->ptr, ' ', out->len) - out->ptr);
    return true;
}

/* 0: no more. Kept ones are skipped. */
static pid_t next_child(dureq_str *rest)
{
    while (rest->ptr) {
        int64_t pid;

        if (dq_parse_i64(dq_str_cut(rest, ' '), 2, INT32_MAX, &pid) == 0 && !is_kept((pid_t)pid))
            return (pid_t)pid;
    }
    return 0;
}

/* *ends: of some it must be looked soon whether they are gone, and what they leave. */
static int sweep(dq_orphans *o, bool *ends)
{
    DQ_BUF_AUTO list = {0};
    DQ_BUF_AUTO buf = {0};
    dureq_str rest;
    int n = 0;

    dq_mutex_lock(&kept_mu);
    o->is_off = !read_children(o, &list);
    rest = dq_buf_str(&list);
    for (pid_t pid = next_child(&rest); pid && !o->is_off; pid = next_child(&rest))
        n += sweep_child(o, pid, &buf, ends);
    dq_mutex_unlock(&kept_mu);
    if (o->is_off)
        DQ_LOG(o->log, DUREQ_LOG_WARN, "exec.no_sweep", "the system lists no children: daemonised ones of jobs are not killed");
    return n;
}

int dq_orphans_sweep(dq_orphans *o)
{
    bool ends = false;
    int n;

    if (o->is_off)
        return 0;
    n = sweep(o, &ends);
    o->is_soon = ends;
    if (n > 0)
        dq_timer_set(&o->timer, ends ? SWEEP_SOON_US : SWEEP_LATER_US);
    return n;
}

void dq_orphans_close(dq_orphans *o)
{
    bool ends = !o->is_off;

    o->is_closing = true;
    while (ends) {
        ends = false;
        (void)sweep(o, &ends);
        ends = ends && !o->is_off;
    }
}

static void on_timer(dq_timer *t)
{
    (void)dq_orphans_sweep(dq_container_of(t, dq_orphans, timer));
}

void dq_orphans_sweep_soon(dq_orphans *o)
{
    /* Once for all jobs that end within the delay; a later sweep is moved here. */
    if (o->is_soon && dq_timer_is_set(&o->timer))
        return;
    o->is_soon = true;
    dq_timer_set(&o->timer, SWEEP_SOON_US);
}

/* Whether somebody other than jobs can leave orphans to this process. */
static bool can_others_leave(dq_orphans *o)
{
    DQ_BUF_AUTO list = {0};
    dureq_str rest;
    bool has_children;

    if (o->self == 1)
        return true;
    dq_mutex_lock(&kept_mu);
    (void)read_children(o, &list); /* not listed: no sweep either */
    rest = dq_buf_str(&list);
    has_children = next_child(&rest) != 0;
    dq_mutex_unlock(&kept_mu);
    return has_children;
}

int dq_orphans_init(dq_orphans *o, dq_loop *loop, const dq_orphans_ops *ops, const char *context_dir, const dq_log *log,
                    dureq_error *err)
{
    *o = (dq_orphans){.ops = ops, .log = log, .context_dir = context_dir, .self = getpid()};
    if (dq_timer_init(&o->timer, loop, on_timer) < 0)
        return dq_fail_nomem(err);
    o->has_others = can_others_leave(o);
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        DQ_LOG(log, DUREQ_LOG_WARN, "exec.no_reaper", "errno=%d daemonised children of jobs are not killed", errno);
    return 0;
}

void dq_orphans_deinit(dq_orphans *o)
{
    dq_timer_deinit(&o->timer);
}
