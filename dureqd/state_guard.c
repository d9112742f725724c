/* SPDX-License-Identifier: Apache-2.0 */
#include "embedded.h"

#include "base/buf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The state directory is private to the daemon's user: all jobs are in it, and whoever opens the socket in it is master of the server. What
   is ours is made so, whatever umask and directory were. What is somebody else's is refused: he could read it, or give us his. */

/* What the server and we make there; everything else is not ours to judge. */
static const char *const our_files[] = {"redis.sock", "dureqd.lock", "dump.rdb", "appendonly.aof", "appendonlydir"};

static int fail_owner(const char *what, const char *dir, uid_t owner, dureq_error *err)
{
    return dq_fail(err, DUREQ_EPERM,
                   "%.60s '%.100s' belongs to user %u, not to user %u, who runs dureqd: give it to that user, or insist with "
                   "--insecure-state-dir",
                   what, dir, (unsigned)owner, (unsigned)geteuid());
}

/* A name in the directory `fd`. Links stay as they are, theirs is only the owner. */
static int guard_entry(int fd, const char *name, dureq_error *err)
{
    struct stat st;

    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0; /* not there, or not any more */
    if (st.st_uid != geteuid())
        return fail_owner("in the state directory,", name, st.st_uid, err);
    if (S_ISLNK(st.st_mode) || (st.st_mode & 077) == 0)
        return 0;
    if (fchmodat(fd, name, st.st_mode & 0700, 0) < 0 && errno != ENOENT)
        return dq_fail_errno(err, DUREQ_EPERM, errno,
                             "in the state directory, '%.100s' is open to others and cannot be made private: %s; insist with "
                             "--insecure-state-dir",
                             name, strerror(errno));
    return 0;
}

static int guard_entries_of(int fd, const char *name, dureq_error *err)
{
    int sub = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
    DIR *list = sub >= 0 ? fdopendir(sub) : NULL;

    if (!list) {
        if (sub >= 0)
            (void)close(sub);
        return 0; /* there is none */
    }
    for (struct dirent *e = readdir(list); e && rc == 0; e = readdir(list))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            rc = guard_entry(sub, e->d_name, err);
    (void)closedir(list);
    return rc;
}

/* Whether the directory is there for us: it holds our lock, or nothing but what a file system has by itself. One that others use as well,
   such as /tmp or somebody's home, must keep its mode. */
static bool is_for_us(int fd)
{
    int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = again >= 0 ? fdopendir(again) : NULL;
    bool is_empty = true, is_ours = false;

    if (!list) {
        if (again >= 0)
            (void)close(again);
        return false;
    }
    for (struct dirent *e = readdir(list); e && !is_ours; e = readdir(list)) {
        is_ours = strcmp(e->d_name, "dureqd.lock") == 0;
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && strcmp(e->d_name, "lost+found") != 0)
            is_empty = false;
    }
    (void)closedir(list);
    return is_ours || is_empty;
}

static int guard_dir(int fd, const char *dir, dureq_error *err)
{
    struct stat st;
    int rc = 0;

    if (fstat(fd, &st) < 0)
        return dq_fail_errno(err, DUREQ_EIO, errno, "cannot look at the state directory '%.120s': %s", dir, strerror(errno));
    if (st.st_uid != geteuid())
        return fail_owner("the state directory", dir, st.st_uid, err);
    if ((st.st_mode & 077) && !(st.st_mode & S_ISVTX) && is_for_us(fd))
        (void)fchmod(fd, 0700); /* looked at again: a file system may have no modes */
    if (fstat(fd, &st) < 0 || (st.st_mode & 022))
        return dq_fail(
            err, DUREQ_EPERM,
            "others can write to the state directory '%.120s', and it is not dureqd's own to make private: name a directory of "
            "its own, or insist with --insecure-state-dir",
            dir);
    for (size_t i = 0; i < DQ_ARRAY_LEN(our_files) && rc == 0; i++)
        rc = guard_entry(fd, our_files[i], err);
    return rc < 0 ? rc : guard_entries_of(fd, "appendonlydir", err);
}

int dq_embedded_guard_dir(const char *dir, dureq_error *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

    if (fd < 0)
        return dq_fail_errno(err, DUREQ_EPERM, errno, "cannot open the state directory '%.120s': %s", dir, strerror(errno));
    rc = guard_dir(fd, dir, err);
    (void)close(fd);
    return rc;
}
