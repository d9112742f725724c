/* SPDX-License-Identifier: Apache-2.0 */
#include "groups.h"

#include "expect.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define HYBRID                                                            \
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n" \
    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"   \
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
#define PURE "25 20 0:23 / /sys/fs/cgroup rw,nosuid shared:9 master:3 - cgroup2 cgroup2 rw,nsdelegate\n"

static const char *dir_of(const char *cgroup, const char *mountinfo)
{
    static dq_buf out;

    dq_buf_clear(&out);
    dq_buf_append_text(&out, "");
    if (!dq_groups_own_dir(dureq_str_from(cgroup), dureq_str_from(mountinfo), &out))
        return "none";
    return out.ptr;
}

TEST(the_own_group_is_found_whatever_is_mounted_where)
{
    EXPECT_TEXT("/sys/fs/cgroup/unified", dir_of("9:name=systemd:/\n8:pids:/x\n0::/\n", HYBRID));
    EXPECT_TEXT("/sys/fs/cgroup/unified/a/b", dir_of("8:pids:/x\n0::/a/b\n", HYBRID));
    EXPECT_TEXT("/sys/fs/cgroup/system.slice/dureqd.service", dir_of("0::/system.slice/dureqd.service\n", PURE));
    EXPECT_TEXT("/cg/b", dir_of("0::/docker/1/b\n", "1 2 0:1 /docker/1 /cg rw - cgroup2 cgroup2 rw\n"));
    EXPECT_TEXT("/cg", dir_of("0::/docker/1\n", "1 2 0:1 /docker/1 /cg rw - cgroup2 cgroup2 rw\n"));
    EXPECT_TEXT("/c g", dir_of("0::/\n", "1 2 0:1 / /c\\040g rw - cgroup2 cgroup2 rw\n"));
    EXPECT_TEXT("/c\\04", dir_of("0::/\n", "1 2 0:1 / /c\\04 rw - cgroup2 cgroup2 rw\n"));
}

TEST(where_it_cannot_be_reached_there_is_none)
{
    EXPECT_TEXT("none", dir_of("8:pids:/\n", PURE));                                            /* version 1 alone */
    EXPECT_TEXT("none", dir_of("0::/\n", "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n")); /* not mounted */
    EXPECT_TEXT("none", dir_of("0::/../other\n", PURE));                                        /* of another namespace */
    EXPECT_TEXT("none", dir_of("0::/gone (deleted)\n", PURE));
    EXPECT_TEXT("none", dir_of("0::/docker/12\n", "1 2 0:1 /docker/1 /cg rw - cgroup2 cgroup2 rw\n"));
    EXPECT_TEXT("none", dir_of("", ""));
    EXPECT_TEXT("none", dir_of("0::/\n", "1 2\n\n- cgroup2\n"));
}

static void put_file(const char *dir, const char *name, const char *text)
{
    DQ_BUF_AUTO path = {0};
    FILE *f;

    dq_buf_append_fmt(&path, "%s/%s", dir, name);
    f = fopen(path.ptr, "we");
    EXPECT_TRUE(f != NULL && fputs(text, f) >= 0);
    (void)fclose(f);
}

/* A directory that is no control group, one that cannot be written, files that are not there. */
TEST(what_is_no_group_is_not_taken_for_one)
{
    char dir[] = "/tmp/dureq-groups-XXXXXX";
    DQ_BUF_AUTO mounts = {0};
    DQ_BUF_AUTO made = {0};
    DQ_BUF_AUTO command = {0};
    dq_groups g;

    EXPECT_TRUE(mkdtemp(dir) != NULL);
    EXPECT_RC(0, dq_groups_open(&g, dir, "dureqd-x", NULL));
    EXPECT_TRUE(g.dir == NULL);
    dq_buf_append_fmt(&mounts, "1 2 0:1 / %s/tree rw - cgroup2 cgroup2 rw\n", dir);
    put_file(dir, "cgroup", "0::/\n");
    put_file(dir, "mountinfo", mounts.ptr);
    EXPECT_RC(0, dq_groups_open(&g, dir, "dureqd-x", NULL));
    EXPECT_TRUE(g.dir == NULL);
    dq_buf_append_fmt(&made, "%s/tree", dir);
    EXPECT_I64(0, mkdir(made.ptr, 0755));
    EXPECT_RC(0, dq_groups_open(&g, dir, "dureqd-x", NULL));
    EXPECT_TRUE(g.dir == NULL);
    dq_buf_append_text(&made, "/dureqd-x");
    EXPECT_I64(-1, access(made.ptr, F_OK)); /* nothing is left of the try */
    dq_groups_close(&g);
    dq_buf_append_fmt(&command, "rm -r %s", dir);
    EXPECT_I64(0, system(command.ptr));
}

/* For real, where this machine has it: a process that has left its session and its parent is killed with the group. */
TEST(all_that_is_in_a_group_dies_with_it)
{
    char name[40];
    dq_groups g;
    int fd, status = 0;
    pid_t pid;

    (void)snprintf(name, sizeof name, "dureqd-test-%d", (int)getpid());
    EXPECT_RC(0, dq_groups_open(&g, "/proc/self", name, NULL));
    if (!g.dir)
        skip();
    fd = dq_group_make(&g, 7, /*memory_bytes=*/64 << 20, /*processes=*/5);
    EXPECT_TRUE(fd >= 0);
    EXPECT_I64(-1, dq_group_make(&g, 7, 0, 0)); /* it is there */
    pid = fork();
    if (pid == 0) {
        (void)setsid();
        _exit(write(fd, "0", 1) == 1 ? pause() : 1);
    }
    (void)close(fd);
    while (!dq_group_ran_out(&g, 7) && status == 0) { /* until it is in: the group can be removed before */
        DQ_BUF_AUTO path = {0};
        char line[16];
        FILE *f;

        dq_buf_append_fmt(&path, "%s/7/cgroup.procs", g.dir);
        f = fopen(path.ptr, "re");
        status = f && fgets(line, sizeof line, f);
        if (f)
            (void)fclose(f);
    }
    EXPECT_TRUE(dq_group_end(&g, 7));
    EXPECT_I64(pid, waitpid(pid, &status, 0));
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    EXPECT_FALSE(dq_group_end(&g, 8)); /* was never made */
    EXPECT_TRUE(g.left.len == 0);
    fd = dq_group_make(&g, 9, 0, 0);
    EXPECT_TRUE(fd >= 0);
    (void)close(fd);
    dq_groups_close(&g);
    EXPECT_TRUE(g.dir == NULL);
}

/* Programs may make groups in theirs, and in these; they go with the run. */
TEST(groups_in_groups_are_removed)
{
    char name[40];
    DQ_BUF_AUTO path = {0};
    dq_groups g;
    int fd;

    (void)snprintf(name, sizeof name, "dureqd-deep-%d", (int)getpid());
    EXPECT_RC(0, dq_groups_open(&g, "/proc/self", name, NULL));
    if (!g.dir)
        skip();
    for (int run = 1; run <= 2; run++) {
        fd = dq_group_make(&g, (uint64_t)run, 0, 0);
        EXPECT_TRUE(fd >= 0);
        (void)close(fd);
        dq_buf_clear(&path);
        dq_buf_append_fmt(&path, "%s/%d", g.dir, run);
        for (int i = 0; i < 4; i++) {
            dq_buf_append_text(&path, "/in");
            EXPECT_I64(0, mkdir(path.ptr, 0755));
        }
    }
    EXPECT_TRUE(dq_group_end(&g, 1));
    EXPECT_TRUE(g.left.len == 0);
    dq_buf_clear(&path);
    dq_buf_append_text(&path, g.dir);
    dq_groups_close(&g); /* the other one is left to the end */
    EXPECT_I64(-1, access(path.ptr, F_OK));
}

/* Beside a group of threads one for processes can be made, but nothing can be in it. */
TEST(a_group_that_cannot_be_entered_is_none)
{
    char name[40], dir[] = "/tmp/dureq-groups-XXXXXX";
    DQ_BUF_AUTO mounts = {0};
    DQ_BUF_AUTO command = {0};
    dq_groups g, none;
    int rc;

    (void)snprintf(name, sizeof name, "dureqd-threads-%d", (int)getpid());
    EXPECT_RC(0, dq_groups_open(&g, "/proc/self", name, NULL));
    if (!g.dir)
        skip();
    dq_buf_append_fmt(&command, "cd %s && mkdir t t/in && echo threaded 2>/dev/null >t/in/cgroup.type", g.dir);
    rc = system(command.ptr);
    EXPECT_TRUE(mkdtemp(dir) != NULL);
    dq_buf_append_fmt(&mounts, "1 2 0:1 / %s/t rw - cgroup2 cgroup2 rw\n", g.dir);
    put_file(dir, "cgroup", "0::/\n");
    put_file(dir, "mountinfo", mounts.ptr);
    EXPECT_RC(0, dq_groups_open(&none, dir, "dureqd-x", NULL));
    EXPECT_TRUE(rc != 0 || none.dir == NULL);
    dq_groups_close(&none);
    dq_groups_close(&g);
    dq_buf_clear(&command);
    dq_buf_append_fmt(&command, "rm -r %s", dir);
    EXPECT_I64(0, system(command.ptr));
}

TEST_MAIN()
