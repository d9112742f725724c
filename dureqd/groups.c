/* SPDX-License-Identifier: Apache-2.0 */
#include "groups.h"

#include "base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define CLOSE_WAIT_US 500000
#define FILE_MAX      65536
#define LOOK_MS       5
#define DEPTH_MAX     32   /* of groups that programs make in theirs */
#define LEFT_MAX      1024 /* numbers: what is beyond waits for the end of the daemon */

/* ---- files ---- */

static bool write_at(const char *dir, const char *name, const char *text)
{
    DQ_BUF_AUTO path = {0};
    size_t n = strlen(text);
    int fd;
    bool ok;

    dq_buf_append_fmt(&path, "%s/%s", dir, name);
    fd = path.failed ? -1 : open(path.ptr, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ok = write(fd, text, n) == (ssize_t)n;
    (void)close(fd);
    return ok;
}

static bool read_at(const char *dir, const char *name, dq_buf *out)
{
    DQ_BUF_AUTO path = {0};
    ssize_t n = 1;
    int fd;

    dq_buf_append_fmt(&path, "%s/%s", dir, name);
    fd = path.failed ? -1 : open(path.ptr, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    while (fd >= 0 && n > 0 && out->len < FILE_MAX) {
        char *room = dq_buf_reserve(out, 4096);

        n = room ? read(fd, room, 4096) : -1;
        out->len += n > 0 ? (size_t)n : 0;
    }
    if (fd >= 0)
        (void)close(fd);
    return fd >= 0 && n == 0;
}

/* ---- where this process is ---- */

/* What a mount's fields have instead of blanks and the like: \040. */
static void append_unescaped(dureq_str s, dq_buf *out)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned c = 0, digits = 0;

        while (s.ptr[i] == '\\' && digits < 3 && i + 1 + digits < s.len && s.ptr[i + 1 + digits] >= '0' &&
               s.ptr[i + 1 + digits] <= '7')
            c = c * 8 + (unsigned)(s.ptr[i + 1 + digits++] - '0');
        dq_buf_append_char(out, digits == 3 ? (char)c : s.ptr[i]);
        i += digits == 3 ? 3 : 0;
    }
}

/* The path in "0::/user.slice/x"; others are of version 1. */
static bool own_path(dureq_str cgroup, dureq_str *ret)
{
    while (cgroup.len > 0) {
        dureq_str line = dq_str_cut(&cgroup, '\n');

        if (!dq_str_starts_with(line, DQ_STR_LIT("0::/")))
            continue;
        *ret = dureq_str_of(line.ptr + 3, line.len - 3);
        /* That of a group which was removed, or is outside of what this namespace shows. */
        return !dq_str_ends_with(line, DQ_STR_LIT(" (deleted)")) && !dq_str_starts_with(*ret, DQ_STR_LIT("/.."));
    }
    return false;
}

typedef struct mount_entry {
    dureq_str root, point;
    bool is_cgroup2;
} mount_entry;

/* "31 23 0:28 ROOT POINT rw,relatime shared:1 - TYPE SOURCE rw" */
static mount_entry parse_mount(dureq_str line)
{
    mount_entry m = {0};

    for (int i = 0; i < 3; i++)
        (void)dq_str_cut(&line, ' ');
    m.root = dq_str_cut(&line, ' ');
    m.point = dq_str_cut(&line, ' ');
    while (line.len > 0 && !dq_str_eq_text(dq_str_cut(&line, ' '), "-"))
        ;
    m.is_cgroup2 = dq_str_eq_text(dq_str_cut(&line, ' '), "cgroup2");
    return m;
}

/* What of the path is below the root that the mount shows. */
static bool below_root(dureq_str path, dureq_str root, dureq_str *ret)
{
    size_t n = root.len == 1 ? 0 : root.len;

    if (n > 0 && (!dq_str_starts_with(path, root) || (path.len > n && path.ptr[n] != '/')))
        return false;
    *ret = dureq_str_of(path.ptr + n, path.len - n);
    if (ret->len == 1) /* "/" */
        ret->len = 0;
    return true;
}

bool dq_groups_own_dir(dureq_str cgroup, dureq_str mountinfo, dq_buf *out)
{
    dureq_str path, rest;

    if (!own_path(cgroup, &path))
        return false;
    while (mountinfo.len > 0) {
        DQ_BUF_AUTO root = {0};
        mount_entry m = parse_mount(dq_str_cut(&mountinfo, '\n'));

        append_unescaped(m.root, &root);
        if (!m.is_cgroup2 || m.root.len == 0 || root.failed || !below_root(path, dq_buf_str(&root), &rest))
            continue;
        append_unescaped(m.point, out);
        dq_buf_append_str(out, rest);
        return !out->failed;
    }
    return false;
}

/* A service manager that puts the daemon into a group below the one it hands over (DelegateSubgroup=) marks that one. */
static void step_up_to_delegated(dq_buf *dir)
{
    char *slash = strrchr(dir->ptr, '/'), value[4];
    bool is_handed_over;

    if (!slash || slash == dir->ptr)
        return;
    *slash = '\0';
    is_handed_over = (getxattr(dir->ptr, "user.delegate", value, sizeof value) == 1 && value[0] == '1') ||
                     (getxattr(dir->ptr, "trusted.delegate", value, sizeof value) == 1 && value[0] == '1');
    if (is_handed_over)
        dir->len = (size_t)(slash - dir->ptr);
    else
        *slash = '/';
}

/* ---- removing ---- */

/* All groups in the one that `fd` is of, which is closed. */
static void remove_below(int fd, int depth)
{
    DIR *list = fd >= 0 ? fdopendir(fd) : NULL;

    if (!list) {
        if (fd >= 0)
            (void)close(fd);
        return;
    }
    for (struct dirent *e = readdir(list); e; e = readdir(list)) {
        if (e->d_type != DT_DIR || strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (unlinkat(fd, e->d_name, AT_REMOVEDIR) == 0 || errno != EBUSY || depth == 0)
            continue;
        remove_below(openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW), depth - 1);
        (void)unlinkat(fd, e->d_name, AT_REMOVEDIR);
    }
    (void)closedir(list);
}

/* Those in it first. False: something is in it yet. */
static bool remove_all(const char *dir)
{
    if (rmdir(dir) == 0 || errno == ENOENT)
        return true;
    remove_below(open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW), DEPTH_MAX);
    return rmdir(dir) == 0;
}

/* ---- the daemon's own ---- */

static bool has_word(dureq_str text, const char *word)
{
    while (text.ptr)
        if (dq_str_eq_text(dq_str_trim(dq_str_cut(&text, ' ')), word))
            return true;
    return false;
}

/* The group above must pass a controller on, which it may only while no process is in it; that is tried. */
static bool enable(const char *above, const char *dir, const char *name)
{
    DQ_BUF_AUTO has = {0};
    char word[16];

    (void)snprintf(word, sizeof word, "+%s", name);
    (void)write_at(above, "cgroup.subtree_control", word);
    return read_at(dir, "cgroup.controllers", &has) && has_word(dq_buf_str(&has), name) &&
           write_at(dir, "cgroup.subtree_control", word);
}

static bool can_kill(const char *dir)
{
    DQ_BUF_AUTO path = {0};

    dq_buf_append_fmt(&path, "%s/cgroup.kill", dir);
    return !path.failed && access(path.ptr, W_OK) == 0;
}

/* A group can be made by whom no process may be put into it: one that is not to leave its own, or where the group is of threads. */
static bool can_enter(const char *dir)
{
    DQ_BUF_AUTO path = {0};
    int status = 0, fd;
    pid_t pid = -1;

    dq_buf_append_fmt(&path, "%s/probe", dir);
    if (path.failed || mkdir(path.ptr, 0755) < 0)
        return false;
    dq_buf_append_text(&path, "/cgroup.procs");
    fd = path.failed ? -1 : open(path.ptr, O_WRONLY | O_CLOEXEC);
    if (fd >= 0)
        pid = fork();
    if (pid == 0)
        _exit(write(fd, "0", 1) == 1 ? 0 : 1);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (fd >= 0)
        (void)close(fd);
    path.ptr[strlen(dir) + strlen("/probe")] = '\0';
    (void)rmdir(path.ptr);
    return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int dq_groups_open(dq_groups *g, const char *proc, const char *name, dureq_error *err)
{
    DQ_BUF_AUTO cgroup = {0};
    DQ_BUF_AUTO mounts = {0};
    DQ_BUF_AUTO above = {0};
    DQ_BUF_AUTO dir = {0};

    *g = (dq_groups){0};
    if (!read_at(proc, "cgroup", &cgroup) || !read_at(proc, "mountinfo", &mounts) ||
        !dq_groups_own_dir(dq_buf_str(&cgroup), dq_buf_str(&mounts), &above))
        return 0;
    step_up_to_delegated(&above);
    dq_buf_append_fmt(&dir, "%s/%s", above.ptr, name);
    if (dir.failed)
        return dq_fail_nomem(err);
    if (mkdir(dir.ptr, 0755) < 0)
        return 0;
    if (!can_kill(dir.ptr) || !can_enter(dir.ptr)) {
        (void)rmdir(dir.ptr);
        return 0;
    }
    g->has_memory = enable(above.ptr, dir.ptr, "memory");
    g->has_pids = enable(above.ptr, dir.ptr, "pids");
    g->dir = dq_buf_take(&dir);
    return g->dir ? 0 : dq_fail_nomem(err);
}

void dq_groups_kill(const char *dir)
{
    int64_t until_us = dq_mono_us() + CLOSE_WAIT_US;

    if (!can_kill(dir)) /* gone, or none */
        return;
    (void)write_at(dir, "cgroup.kill", "1");
    while (!remove_all(dir) && dq_mono_us() < until_us)
        (void)poll(NULL, 0, LOOK_MS); /* they die of it, but not at once */
}

void dq_groups_close(dq_groups *g)
{
    if (g->dir)
        dq_groups_kill(g->dir);
    dq_free(g->dir);
    dq_buf_deinit(&g->left);
    *g = (dq_groups){0};
}

/* ---- of a run ---- */

static void path_of(const dq_groups *g, uint64_t no, dq_buf *out)
{
    dq_buf_append_fmt(out, "%s/%llu", g->dir, (unsigned long long)no);
}

static bool write_number(const char *dir, const char *name, int64_t n)
{
    char text[24];

    (void)snprintf(text, sizeof text, "%lld", (long long)n);
    return write_at(dir, name, text);
}

/* A run that has too much is killed as a whole, and does not fill the swap before. */
static bool set_limits(const dq_groups *g, const char *dir, int64_t memory_bytes, int64_t processes)
{
    if (memory_bytes && g->has_memory) {
        if (!write_number(dir, "memory.max", memory_bytes))
            return false;
        (void)write_at(dir, "memory.swap.max", "0"); /* there is no such file where there is no swap */
        (void)write_at(dir, "memory.oom.group", "1");
    }
    return !processes || !g->has_pids || write_number(dir, "pids.max", processes);
}

int dq_group_make(const dq_groups *g, uint64_t no, int64_t memory_bytes, int64_t processes)
{
    DQ_BUF_AUTO path = {0};
    size_t len;
    int fd;

    path_of(g, no, &path);
    len = path.len;
    dq_buf_append_text(&path, "/cgroup.procs");
    if (path.failed) {
        errno = ENOMEM;
        return -1;
    }
    path.ptr[len] = '\0';
    if (mkdir(path.ptr, 0755) < 0)
        return -1;
    fd = -1;
    if (set_limits(g, path.ptr, memory_bytes, processes)) {
        path.ptr[len] = '/';
        fd = open(path.ptr, O_WRONLY | O_CLOEXEC);
        path.ptr[len] = '\0';
    }
    if (fd < 0) {
        int sys_errno = errno;

        (void)rmdir(path.ptr);
        errno = sys_errno;
    }
    return fd;
}

static bool end_one(const dq_groups *g, uint64_t no, bool *had_some)
{
    DQ_BUF_AUTO path = {0};

    path_of(g, no, &path);
    if (path.failed)
        return false;
    if (rmdir(path.ptr) == 0 || errno == ENOENT)
        return true;
    *had_some = true;
    (void)write_at(path.ptr, "cgroup.kill", "1");
    return remove_all(path.ptr);
}

/* What dies now is out of it in a moment: the end of a later run looks again. A number that finds no room waits for the end of the daemon. */
bool dq_group_end(dq_groups *g, uint64_t no)
{
    uint64_t *left = (uint64_t *)(void *)g->left.ptr;
    size_t n = g->left.len / sizeof no, kept = 0;
    bool had_some = false;

    for (size_t i = 0; i < n; i++)
        if (!end_one(g, left[i], &had_some))
            left[kept++] = left[i];
    g->left.len = kept * sizeof no;
    had_some = false;
    if (end_one(g, no, &had_some))
        return had_some;
    if (kept < LEFT_MAX)
        dq_buf_append(&g->left, &no, sizeof no);
    if (g->left.failed)
        dq_buf_deinit(&g->left);
    return true;
}

bool dq_group_ran_out(const dq_groups *g, uint64_t no)
{
    DQ_BUF_AUTO path = {0};
    DQ_BUF_AUTO events = {0};
    dureq_str rest;

    path_of(g, no, &path);
    if (path.failed || !read_at(path.ptr, "memory.events", &events))
        return false;
    rest = dq_buf_str(&events);
    while (rest.ptr) {
        dureq_str line = dq_str_cut(&rest, '\n'), name = dq_str_cut(&line, ' ');

        if (dq_str_eq_text(name, "oom_kill"))
            return !dq_str_eq_text(dq_str_trim(line), "0");
    }
    return false;
}
