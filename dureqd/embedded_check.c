/* SPDX-License-Identifier: Apache-2.0 */
#include "embedded.h"

#include "base/buf.h"
#include "base/clock.h"
#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the program ---- */

static bool take_number(dureq_str *s, char end, int *ret)
{
    int64_t n;

    if (dq_parse_i64(dq_str_cut(s, end), 0, 999, &n) < 0)
        return false;
    *ret = (int)n;
    return true;
}

int dq_embedded_parse_version(dureq_str line, bool *ret_valkey)
{
    int major, minor, patch;
    const char *v;
    dureq_str rest;

    *ret_valkey = dq_str_starts_with(line, DQ_STR_LIT("Valkey"));
    v = line.len > 0 ? memmem(line.ptr, line.len, " v=", 3) : NULL;
    if (!v || (!*ret_valkey && !dq_str_starts_with(line, DQ_STR_LIT("Redis"))))
        return -1;
    rest = dureq_str_of(v + 3, line.len - (size_t)(v + 3 - line.ptr));
    rest = dq_str_trim(dq_str_cut(&rest, ' '));
    if (!take_number(&rest, '.', &major) || !take_number(&rest, '.', &minor))
        return -1;
    if (!take_number(&rest, '-', &patch)) /* "8.0.0-rc1" */
        return -1;
    return major * 10000 + minor * 100 + DQ_MIN(patch, 99);
}

/* Runs `path --version`, its standard output into `out`. At most what fits into a pipe, for 5 s. */
static int run_version(const char *path, dq_buf *out, dureq_error *err)
{
    char word[] = "--version";
    char *const argv[] = {(char *)path, word, NULL}, *const envp[] = {NULL};
    posix_spawn_file_actions_t actions;
    int fds[2], rc;
    ssize_t n = 1;
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return dq_fail_errno(err, DUREQ_EIO, errno, "cannot make a pipe: %s", strerror(errno));
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
    rc = posix_spawn(&pid, path, &actions, NULL, argv, envp);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(fds[1]);
    while (rc == 0 && n > 0 && out->len < 4096 && dq_signals_poll(fds[0], 5000) > 0) {
        char *room = dq_buf_reserve(out, 4096);

        n = room ? read(fds[0], room, 4096) : 0;
        out->len += n > 0 ? (size_t)n : 0;
    }
    (void)close(fds[0]);
    if (rc != 0)
        return dq_fail_errno(err, DUREQ_EIO, rc, "cannot run '%.150s': %s", path, strerror(rc));
    (void)kill(pid, SIGKILL); /* it has said all it had to say */
    (void)waitpid(pid, NULL, 0);
    if (dq_signals_stop_waits())
        return dq_fail(err, DUREQ_ECANCELLED, "stopped while it looked at '%.150s'", path);
    return 0;
}

int dq_embedded_check_program(const char *path, dureq_error *err)
{
    DQ_BUF_AUTO out = {0};
    dureq_str rest, line;
    bool valkey = false;
    int version, rc = run_version(path, &out, err);

    if (rc < 0)
        return rc;
    rest = dq_buf_str(&out);
    line = dq_str_cut(&rest, '\n');
    version = dq_embedded_parse_version(line, &valkey);
    if (version < 0)
        return dq_fail(err, DUREQ_EINVAL, "'%.150s' is no redis-server: '--version' prints no version of Redis or Valkey", path);
    if (version < (valkey ? 70200 : 70000))
        return dq_fail(err, DUREQ_ETOOOLD, "'%.150s' is %s %d.%d, too old: Redis 7.0 or Valkey 7.2 is needed", path,
                       valkey ? "Valkey" : "Redis", version / 10000, version / 100 % 100);
    return 0;
}

/* ---- the directory ---- */

int dq_embedded_make_dir(const char *dir, dureq_error *err)
{
    DQ_BUF_AUTO path = {0};
    struct stat st;

    dq_buf_append_text(&path, dir);
    if (path.failed)
        return dq_fail_nomem(err);
    for (char *p = strchr(path.ptr + 1, '/'); p; p = strchr(p + 1, '/')) {
        *p = '\0';
        (void)mkdir(path.ptr, 0755); /* the last one tells what is wrong */
        *p = '/';
    }
    if (mkdir(path.ptr, 0700) < 0 && errno != EEXIST)
        return dq_fail_errno(err, DUREQ_EIO, errno, "cannot make the state directory '%.120s': %s", dir, strerror(errno));
    if (stat(path.ptr, &st) < 0 || !S_ISDIR(st.st_mode) || access(path.ptr, W_OK | X_OK) < 0)
        return dq_fail_errno(err, DUREQ_EPERM, errno, "the state directory '%.120s' cannot be written to", dir);
    return 0;
}

static bool is_alive(int64_t pid)
{
    return pid > 1 && (kill((pid_t)pid, 0) == 0 || errno == EPERM);
}

/* The number of the daemon that wrote it, 0 when there is none. */
static int64_t read_owner(int fd)
{
    char text[24];
    int64_t pid;
    ssize_t n = pread(fd, text, sizeof text, 0);

    return n > 0 && dq_parse_i64(dq_str_trim(dureq_str_of(text, (size_t)n)), 1, INT32_MAX, &pid) == 0 ? pid : 0;
}

static void write_owner(int fd)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%d\n", (int)getpid());

    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) < 0)
        (void)n; /* only for the message of the next one: the lock is what counts */
}

/* Another process's end cannot be waited for, so this looks every 20 ms. */
static bool lock_within(int fd, int64_t timeout_ms)
{
    int64_t until_us = dq_mono_us() + timeout_ms * 1000;

    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK || is_alive(read_owner(fd)) || dq_mono_us() >= until_us || dq_signals_stop_waits())
            return false;
        (void)poll(NULL, 0, 20);
    }
    return true;
}

int dq_embedded_lock_dir(const char *dir, int *ret_fd, dureq_error *err)
{
    DQ_BUF_AUTO path = {0};
    int64_t owner;
    int fd;

    dq_buf_append_fmt(&path, "%s/dureqd.lock", dir);
    if (path.failed)
        return dq_fail_nomem(err);
    fd = open(path.ptr, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return dq_fail_errno(err, DUREQ_EIO, errno, "cannot open '%.150s': %s", path.ptr, strerror(errno));
    if (!lock_within(fd, 10000)) {
        owner = read_owner(fd);
        (void)close(fd);
        if (dq_signals_stop_waits())
            return dq_fail(err, DUREQ_ECANCELLED, "stopped while it waited for the server of another dureqd to end");
        return dq_fail(err, DUREQ_ECONFLICT, "the state directory '%.120s' is in use by another dureqd (process %lld)", dir,
                       (long long)owner);
    }
    write_owner(fd);
    *ret_fd = fd;
    return 0;
}

/* ---- asking it ---- */

bool dq_embedded_ask(const char *socket_path, const char *command, char *reply, size_t size)
{
    const struct timeval second = {.tv_sec = 1};
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    ssize_t len = (ssize_t)strlen(command), n = -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    reply[0] = '\0';
    if (fd < 0 || strlen(socket_path) >= sizeof addr.sun_path) {
        if (fd >= 0)
            (void)close(fd);
        return false;
    }
    memcpy(addr.sun_path, socket_path, strlen(socket_path) + 1);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second);
    if (connect(fd, (struct sockaddr *)&addr, sizeof addr) == 0 && send(fd, command, (size_t)len, MSG_NOSIGNAL) == len)
        n = recv(fd, reply, size - 1, 0);
    (void)close(fd);
    if (n > 0)
        reply[n] = '\0';
    return n > 0;
}

int dq_embedded_ping(const char *socket_path)
{
    char reply[64];

    if (!dq_embedded_ask(socket_path, "PING\r\n", reply, sizeof reply))
        return -1;
    return strncmp(reply, "+PONG", 5) == 0 ? 1 : strncmp(reply, "-LOADING", 8) == 0 ? 0 : -1;
}

int dq_embedded_rewrite_state(const char *socket_path)
{
    char reply[4096];

    if (!dq_embedded_ask(socket_path, "INFO persistence\r\n", reply, sizeof reply))
        return 0;
    if (!strstr(reply, "aof_rewrite_in_progress:0") || !strstr(reply, "aof_rewrite_scheduled:0"))
        return 0;
    return strstr(reply, "aof_last_bgrewrite_status:ok") ? 1 : -1;
}
