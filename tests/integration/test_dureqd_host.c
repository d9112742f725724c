/* SPDX-License-Identifier: Apache-2.0 */
#include "fault_wait.h"
#include "test_daemon.h"
#include "test_pids.h"

#include <dureq/dureq.h>

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* The daemon and the machine around it: processes of others, its own that outlive it. */

/* ---- processes of others ---- */

/* Before it becomes the daemon, the shell starts two helpers. One stays; one leaves an orphan once the file `go` is there. Their
   environment is empty, like that of a job's process that cleared it. */
#define HELPERS                                                                        \
    "env -i /bin/sleep 7777 & echo $! >$D/stays; "                                     \
    "env -i D=$D /bin/sh -c 'while ! test -e $D/go; do /bin/sleep 0.02; done; "        \
    "setsid -f /bin/sh -c \"echo \\$\\$ >$D/left.new; mv $D/left.new $D/left; exec /bin/sleep 7777\"; exec /bin/sleep 7777' & " \
    "echo $! >$D/leaves; exec \"$@\""

/* The only child of a process. */
static pid_t child_of(pid_t pid)
{
    char path[64];
    pid_t child = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    assert_int_equal(test_pids_read(path, &child, 1), 1);
    return child;
}

static void processes_of_others_live_on(const char *name, const char *const *wrap)
{
    DQ_BUF_AUTO dir = {0};
    DQ_BUF_AUTO go = {0};
    DQ_BUF_AUTO look = {0};
    DQ_BUF_AUTO end = {0};
    test_daemon d;

    test_daemon_path(name, &dir);
    dq_buf_append_text(&dir, "-files");
    assert_int_equal(setenv("D", dir.ptr, 1), 0);
    dq_buf_append_fmt(&go, "go=exec:sh -c 'touch %s/go; until test -e %s/left; do sleep 0.02; done'", dir.ptr, dir.ptr);
    dq_buf_append_fmt(&look, "look=exec:sh -c 'for i in stays leaves left; do kill -0 $(cat %s/$i) && echo $i; done | tr \"\\n\" \" \"'",
                      dir.ptr);
    dq_buf_append_fmt(&end, "end=exec:sh -c 'kill $(cat %s/stays %s/leaves %s/left)'", dir.ptr, dir.ptr, dir.ptr);
    test_daemon_start_by(&d, name, wrap, "mkdir $D; " HELPERS,
                         (const char *const[]){"--handler", go.ptr, "--handler", look.ptr, "--handler", end.ptr, "--handler",
                                               "short=exec:true", "--handler",
                                               "leaving=exec:sh -c 'setsid -f sleep 7777'", NULL});
    test_daemon_connect(&d);
    test_daemon_run(&d, "go", "1", "");
    for (int i = 0; i < 5; i++) /* each end of these sweeps */
        test_daemon_run(&d, "short", "1", "");
    test_daemon_run(&d, "leaving", "1", "");
    test_child_wait_for(&d.c, "\"event\":\"exec.left_behind\"");
    test_daemon_run(&d, "look", "1", "stays leaves left ");
    test_daemon_run(&d, "end", "1", "");
    assert_int_equal(kill(wrap ? child_of(d.c.pid) : d.c.pid, SIGTERM), 0);
    assert_int_equal(test_child_end(&d.c), 0);
    test_daemon_free(&d);
}

static void helpers_of_the_start_script_live_on(void **state)
{
    (void)state;
    processes_of_others_live_on("script", NULL);
}

static void as_process_1_it_leaves_others_alone(void **state)
{
    static const char *const wrap[] = {"unshare", "--fork", "--pid", "--kill-child=KILL", "--mount-proc", NULL};

    (void)state;
    if (system("unshare --fork --pid --mount-proc true >/dev/null 2>&1") != 0)
        skip(); /* not allowed to make a space of process numbers */
    processes_of_others_live_on("one", wrap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(helpers_of_the_start_script_live_on),
        cmocka_unit_test(as_process_1_it_leaves_others_alone),
    };

    return cmocka_run_group_tests(tests, test_daemon_make_dir, test_daemon_remove_dir);
}
