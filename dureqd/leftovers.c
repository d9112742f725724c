/* SPDX-License-Identifier: Apache-2.0 */
#include "leftovers.h"

#include "base/clock.h"
#include "groups.h"
#include "orphans.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Each daemon has a directory for the context files of its runs, whose path is in the environment of every process of these runs. A lock on
   the file `daemon` in it says that the daemon lives; the file's text says whose it is. So who can take the lock knows that the daemon is
   dead, that nobody else looks after its processes, and by the path which processes these are. */

#define LOCK_FILE    "daemon" /* these two are known to exec_host.c */
#define GROUP_FILE   "group"
#define NAME_PREFIX  "dureqd-"
#define OWNER_MAX    8192
#define END_WAIT_MS  500
#define LOCK_LOOK_MS 5

int dq_leftovers_claim(const char *path, const char *owner, int *ret_fd, dureq_error *err)
{
    DQ_BUF_AUTO name = {0};
    size_t n = strlen(owner);
    int fd;

    dq_buf_append_fmt(&name, "%s/" LOCK_FILE, path);
    if (name.failed)
        return dq_fail_nomem(err);
    fd = open(name.ptr, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    /* Locked before it says whose it is: one that says nothing is touched by nobody. Who looks for leftovers holds it for a moment. */
    if (fd < 0 || flock(fd, LOCK_EX) < 0 || write(fd, owner, n) != (ssize_t)n) {
        int sys_errno = errno;

        if (fd >= 0)
            (void)close(fd);
        return dq_fail_errno(err, DUREQ_EIO, sys_errno, "cannot write '%.150s': %s", name.ptr, strerror(sys_errno));
    }
    *ret_fd = fd;
    return 0;
}

int dq_leftovers_note_group(const char *path, const char *group, dureq_error *err)
{
    DQ_BUF_AUTO name = {0};
    size_t n = strlen(group);
    int fd;
    bool ok;

    dq_buf_append_fmt(&name, "%s/" GROUP_FILE, path);
    if (name.failed)
        return dq_fail_nomem(err);
    fd = open(name.ptr, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    ok = fd >= 0 && write(fd, group, n) == (ssize_t)n;
    if (!ok)
        (void)dq_fail_errno(err, DUREQ_EIO, errno, "cannot write '%.150s': %s", name.ptr, strerror(errno));
    if (fd >= 0)
        (void)close(fd);
    return ok ? 0 : DUREQ_EIO;
}

/* ---- processes ---- */

/* Opened before it is looked at, so that its number cannot become another's meanwhile. -1: gone, or not one of these. */
static int open_if_left(pid_t pid, const char *dir, dq_buf *text)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);

    if (fd < 0)
        return -1;
    dq_buf_clear(text);
    if (dq_orphans_read_environ(pid, text) && dq_orphans_is_context_in(dq_buf_str(text), dir))
        return fd;
    (void)close(fd);
    return -1;
}

static void end_process(int fd, int64_t until_us)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    (void)syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
    (void)poll(&p, 1, (int)DQ_MAX((until_us - dq_mono_us()) / 1000, 0));
    (void)close(fd);
}

/* One look at all processes; how many were ended. */
static int end_processes(const char *dir, int64_t until_us)
{
    DIR *list = opendir("/proc");
    DQ_BUF_AUTO text = {0};
    int n = 0;

    for (struct dirent *e = list ? readdir(list) : NULL; e; e = readdir(list)) {
        int64_t pid;
        int fd = -1;

        if (dq_parse_i64(dureq_str_from(e->d_name), 2, INT32_MAX, &pid) == 0 && pid != getpid())
            fd = open_if_left((pid_t)pid, dir, &text);
        if (fd < 0)
            continue;
        end_process(fd, until_us);
        n++;
    }
    if (list)
        (void)closedir(list);
    return n;
}

/* ---- directories ---- */

static void remove_dir(const char *path)
{
    DIR *list = opendir(path);

    for (struct dirent *e = list ? readdir(list) : NULL; e; e = readdir(list))
        (void)unlinkat(dirfd(list), e->d_name, 0); /* fails for . and .. */
    if (list)
        (void)closedir(list);
    (void)rmdir(path);
}

static bool is_of_owner(int fd, const char *owner)
{
    DQ_BUF_AUTO text = {0};
    char *room = dq_buf_reserve(&text, OWNER_MAX);
    ssize_t n = room ? pread(fd, room, OWNER_MAX, 0) : -1;

    return n > 0 && (!owner || dq_str_eq_text(dureq_str_of(room, (size_t)n), owner));
}

/* All that was in the daemon's control group, whatever its environment says by now. */
static void end_group(const char *path)
{
    DQ_BUF_AUTO name = {0};
    DQ_BUF_AUTO group = {0};
    char *room = dq_buf_reserve(&group, OWNER_MAX);
    ssize_t n = -1;
    int fd;

    dq_buf_append_fmt(&name, "%s/" GROUP_FILE, path);
    fd = name.failed || !room ? -1 : open(name.ptr, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0) {
        n = read(fd, room, OWNER_MAX - 1);
        (void)close(fd);
    }
    if (n <= 0)
        return;
    room[n] = '\0';
    dq_groups_kill(room);
}

/* A daemon that was killed closes its descriptors one by one: who knows by another of them that it is dead gives this one time. */
static bool take_lock(int fd, int64_t wait_ms)
{
    int64_t until_us = dq_mono_us() + wait_ms * 1000;

    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if ((errno != EWOULDBLOCK && errno != EINTR) || dq_mono_us() >= until_us)
            return false;
        (void)poll(NULL, 0, LOCK_LOOK_MS);
    }
    return true;
}

/* The lock of a dead daemon of this owner, held from now on; -1: it is none. */
static int open_dead(const char *path, const char *owner, int64_t wait_ms)
{
    DQ_BUF_AUTO name = {0};
    struct stat st;
    int fd;

    if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid())
        return -1;
    dq_buf_append_fmt(&name, "%s/" LOCK_FILE, path);
    fd = name.failed ? -1 : open(name.ptr, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && take_lock(fd, wait_ms) && is_of_owner(fd, owner))
        return fd;
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

void dq_leftovers_end_dir(const char *path, const char *owner, int64_t wait_ms, const dq_log *log)
{
    int fd = open_dead(path, owner, wait_ms), n = 0, more;
    int64_t until_us = dq_mono_us() + END_WAIT_MS * 1000LL;

    if (fd < 0)
        return;
    end_group(path);
    do { /* again: one may have made another meanwhile */
        more = end_processes(path, until_us);
        n += more;
    } while (more > 0 && dq_mono_us() < until_us);
    DQ_LOG(log, DUREQ_LOG_INFO, "exec.leftovers", "dir=%s processes=%d ended, and its files removed: its daemon was killed", path,
           n);
    if (more == 0)
        remove_dir(path); /* else they are found again by it */
    (void)close(fd);
}

void dq_leftovers_end(const char *path, const char *owner, const dq_log *log)
{
    const char *slash = strrchr(path, '/');
    DQ_BUF_AUTO base = {0};
    DQ_BUF_AUTO other = {0};
    DIR *list;

    dq_buf_append(&base, path, slash ? (size_t)(slash - path) : 0);
    dq_buf_append_char(&base, '\0');
    list = base.failed ? NULL : opendir(base.ptr);
    for (struct dirent *e = list ? readdir(list) : NULL; e; e = readdir(list)) {
        if (strncmp(e->d_name, NAME_PREFIX, strlen(NAME_PREFIX)) != 0 || strcmp(e->d_name, slash + 1) == 0)
            continue;
        dq_buf_clear(&other);
        dq_buf_append_fmt(&other, "%s/%s", base.ptr, e->d_name);
        if (!other.failed)
            dq_leftovers_end_dir(other.ptr, owner, /*wait_ms=*/0, log);
    }
    if (list)
        (void)closedir(list);
}
