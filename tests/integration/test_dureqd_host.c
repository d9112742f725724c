/* SPDX-License-Identifier: Apache-2.0 */
#include "fault_wait.h"
#include "leftovers.h"
#include "node/state_dir.h"
#include "test_daemon.h"
#include "test_pids.h"

#include <dureq/dureq.h>

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* The daemon and the machine around it: processes of others, its own that outlive it. */

/* ---- processes of others ---- */

/* Before it becomes the daemon, the shell starts two helpers. One stays; one leaves an orphan once the file `go` is there. Their
   environment is empty, like that of a job's process that cleared it. */
#define HELPERS                                                                                                                 \
    "env -i /bin/sleep 7777 & echo $! >$D/stays; "                                                                              \
    "env -i D=$D /bin/sh -c 'while ! test -e $D/go; do /bin/sleep 0.02; done; "                                                 \
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
    DQ_BUF_AUTO leaving = {0};
    test_daemon d;

    test_daemon_path(name, &dir);
    dq_buf_append_text(&dir, "-files");
    assert_int_equal(setenv("D", dir.ptr, 1), 0);
    dq_buf_append_fmt(&go, "go=exec:sh -c 'touch %s/go; until test -e %s/left; do sleep 0.02; done'", dir.ptr, dir.ptr);
    dq_buf_append_fmt(&look,
                      "look=exec:sh -c 'for i in stays leaves left; do kill -0 $(cat %s/$i) && echo $i; done | tr \"\\n\" \" \"'",
                      dir.ptr);
    dq_buf_append_fmt(&end, "end=exec:sh -c 'kill $(cat %s/stays %s/leaves %s/left)'", dir.ptr, dir.ptr, dir.ptr);
    dq_buf_append_fmt(
        &leaving,
        "leaving=exec:sh -c 'setsid -f sh -c \"touch %s/gone; exec sleep 7777\"; until test -e %s/gone; do sleep 0.02; done'",
        dir.ptr, dir.ptr);
    test_daemon_start_by(&d, name, wrap, "mkdir $D; " HELPERS,
                         (const char *const[]){"--handler", go.ptr, "--handler", look.ptr, "--handler", end.ptr, "--handler",
                                               "short=exec:true", "--handler", leaving.ptr, NULL});
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

/* ---- the state directory ---- */

/* Everything in the directory is private, as `find` sees it. */
static void assert_private(const char *dir)
{
    DQ_BUF_AUTO command = {0};

    dq_buf_append_fmt(&command, "test -z \"$(find '%s' -perm /077)\" && test -S '%s/redis.sock'", dir, dir);
    assert_int_equal(system(command.ptr), 0);
}

static void the_state_is_private_whatever_umask_and_directory_were(void **state)
{
    DQ_BUF_AUTO command = {0};
    DQ_BUF_AUTO dir = {0};
    test_daemon d;

    (void)state;
    test_daemon_path("open %?#x", &dir); /* and whatever its name is */
    dq_buf_append_fmt(&command, "mkdir '%s' && chmod 0777 '%s'", dir.ptr, dir.ptr);
    assert_int_equal(system(command.ptr), 0);
    for (int i = 0; i < 2; i++) {
        test_daemon_start_by(&d, "open %?#x", /*wrap=*/NULL, "umask 0; exec \"$@\"",
                             (const char *const[]){"--handler", "t=exec:echo yes", NULL});
        dq_buf_clear(&d.url);
        dq_state_dir_url(dir.ptr, &d.url);
        test_daemon_connect(&d);
        test_daemon_run(&d, "t", "1", "yes");
        assert_private(dir.ptr);
        test_daemon_stop(&d);
        dq_buf_clear(&command); /* as an earlier version left it */
        dq_buf_append_fmt(&command, "chmod -R go+rwx '%s'", dir.ptr);
        assert_int_equal(system(command.ptr), 0);
    }
}

static void refused(const char *name, const char *change, const char *why)
{
    DQ_BUF_AUTO command = {0};
    DQ_BUF_AUTO dir = {0};
    test_child c;
    test_daemon d;

    test_daemon_path(name, &dir);
    dq_buf_append_fmt(&command, "mkdir -p '%s' && cd '%s' && %s", dir.ptr, dir.ptr, change);
    assert_int_equal(system(command.ptr), 0);
    test_child_start(&c, (const char *const[]){"--state-dir", dir.ptr, NULL});
    assert_int_equal(test_child_end(&c), 7);
    if (!test_child_said(&c, why))
        fail_msg("no '%s' in: %s", why, c.out.ptr);
    test_child_free(&c);
    test_daemon_start_with(&d, name, (const char *const[]){"--insecure-state-dir", NULL});
    test_daemon_stop(&d);
}

static void the_state_of_others_is_refused(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip(); /* who is not root has nothing of others */
    refused("theirs", "chown 12345 .", "belongs to user 12345, not to user 0");
    refused("in-theirs", "mkdir -p appendonlydir && touch appendonlydir/a && chown 12345 appendonlydir/a",
            "'a' belongs to user 12345");
    /* What others use as well keeps its mode. */
    refused("shared", "touch somebody && chmod 1777 .", "name a directory of its own");
    refused("open", "touch somebody && chmod 0777 .", "name a directory of its own");
}

static void dureqctl_uses_no_socket_of_others_that_nobody_named(void **state)
{
    DQ_BUF_AUTO command = {0};
    DQ_BUF_AUTO program = {0};
    DQ_BUF_AUTO dir = {0};
    test_child c;

    (void)state;
    if (geteuid() != 0)
        skip(); /* who is not root has nothing of others */
    test_daemon_path("socket", &dir);
    dq_buf_append_fmt(&command, "mkdir '%s' && touch '%s/redis.sock' && chown 12345 '%s/redis.sock'", dir.ptr, dir.ptr, dir.ptr);
    assert_int_equal(system(command.ptr), 0);
    dq_buf_append_fmt(&program, "%.*s/dureqctl/dureqctl", (int)(strlen(test_dureqd_path()) - strlen("/dureqd/dureqd")),
                      test_dureqd_path());
    assert_int_equal(setenv("DUREQ_STATE_DIR", dir.ptr, 1), 0);
    test_child_exec(&c, (const char *const[]){program.ptr, "queue", "list", NULL});
    assert_int_not_equal(test_child_end(&c), 0);
    assert_int_equal(unsetenv("DUREQ_STATE_DIR"), 0);
    if (!test_child_said(&c, "belongs to user 12345, whom nobody named"))
        fail_msg("%s", c.out.ptr);
    test_child_free(&c);
}

static void a_configuration_that_others_write_is_warned_of(void **state)
{
    static const struct mode_case {
        const char *change;
        bool warned;
    } cases[] = {{"chmod 0644", false}, {"chmod 0664", true}, {"chmod 0646", true}, {"chmod 0600", false}, {"chown 12345", true}};
    DQ_BUF_AUTO file = {0};

    (void)state;
    if (geteuid() != 0)
        skip(); /* it starts nothing as root */
    test_daemon_path("loose.yaml", &file);
    for (size_t i = 0; i < DQ_ARRAY_LEN(cases); i++) {
        DQ_BUF_AUTO command = {0};
        test_child c;

        dq_buf_append_fmt(&command, "echo 'handlers: [{type: a, exec: \"true\"}]' >%s && %s %s", file.ptr, cases[i].change,
                          file.ptr);
        assert_int_equal(system(command.ptr), 0);
        test_child_start(&c, (const char *const[]){"--config", file.ptr, "--check", NULL});
        assert_int_equal(test_child_end(&c), 0);
        assert_int_equal(test_child_said(&c, "others than root can write it"), cases[i].warned);
        test_child_free(&c);
    }
}

/* ---- too few descriptors ---- */

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void few_descriptors_are_told_and_cost_no_runs(void **state)
{
    DQ_BUF_AUTO file = {0};
    dureq_job_id ids[60];
    test_daemon d;

    (void)state;
    test_daemon_path("few.yaml", &file);
    write_text(file.ptr, "handlers:\n"
                         "  - {type: t, exec: [sh, -c, 'sleep 0.2; echo ${DUREQ_RUN_ID##*.}'], concurrency: 40}\n"
                         "  - {type: u, exec: [sh, -c, 'true'], concurrency: 40}\n");
    test_daemon_start_by(&d, "few", /*wrap=*/NULL, "ulimit -n 128; exec \"$@\"",
                         (const char *const[]){"--concurrency", "50", "--config", file.ptr, NULL});
    assert_true(test_child_said(&d.c, "\"event\":\"daemon.few_descriptors\",\"has\":128,\"needs\":264,\"concurrency\":16"));
    test_daemon_connect(&d);
    for (size_t i = 0; i < DQ_ARRAY_LEN(ids); i++)
        ids[i] = test_daemon_enqueue(&d, "t", "1");
    for (size_t i = 0; i < DQ_ARRAY_LEN(ids); i++)
        test_daemon_expect(&d, &ids[i], "1");
    assert_false(test_child_said(&d.c, "exec.no_room"));
    test_daemon_stop(&d);
}

/* ---- a user who may have few processes ---- */

static void a_user_with_all_its_processes_holds_no_other_handler(void **state)
{
    static const char *const wrap[] = {"unshare", "--mount", NULL};
    DQ_BUF_AUTO file = {0};
    dureq_job_id ids[4];
    test_daemon d;

    (void)state;
    if (geteuid() != 0 ||
        system("id -u uucp >/dev/null 2>&1 && unshare --mount mount -t tmpfs none /sys/fs/cgroup >/dev/null 2>&1") != 0)
        skip(); /* needs another user, and to have no control group */
    test_daemon_path("processes.yaml", &file);
    write_text(file.ptr, "handlers:\n"
                         "  - {type: few, exec: [sleep, '0.5'], concurrency: 4, maxProcesses: 1, limits: {user: uucp}}\n"
                         "  - {type: many, exec: [echo, 'yes'], concurrency: 4}\n");
    test_daemon_start_by(&d, "processes", wrap, "mount -t tmpfs none /sys/fs/cgroup && exec \"$@\"",
                         (const char *const[]){"--config", file.ptr, NULL});
    test_daemon_connect(&d);
    for (size_t i = 0; i < DQ_ARRAY_LEN(ids); i++)
        ids[i] = test_daemon_enqueue(&d, "few", "1");
    for (int i = 0; i < 5; i++)
        test_daemon_run(&d, "many", "1", "yes");
    for (size_t i = 0; i < DQ_ARRAY_LEN(ids); i++)
        test_daemon_expect(&d, &ids[i], "");
    assert_int_equal(kill(d.c.pid, SIGTERM), 0);
    assert_int_equal(test_child_end(&d.c), 0);
    assert_false(test_child_said(&d.c, "exec.no_room"));
    test_daemon_free(&d);
}

/* ---- another one of its name ---- */

static size_t nodes_of(test_daemon *d, const char *name)
{
    dureq_node_list *list = NULL;
    size_t n = 0;

    assert_int_equal(dureq_client_list_nodes(d->client, &list, NULL), 0);
    for (size_t i = 0; i < list->n; i++)
        n += dq_str_eq_text(list->items[i].node_id, name);
    dureq_node_list_destroy(list);
    return n;
}

/* Each is process 1 of its own space, and the host's name is the same. */
static void two_of_one_name_in_containers_are_told_apart(void **state)
{
    const char *argv[] = {"/usr/bin/unshare",
                          "--fork",
                          "--pid",
                          "--kill-child=KILL",
                          "--mount-proc",
                          test_dureqd_path(),
                          "--redis",
                          NULL,
                          "--node-id",
                          "box-2",
                          "--log-format",
                          "json",
                          "--lease-ms",
                          "2000",
                          NULL};
    test_daemon d;
    test_child in[2] = {{0}, {0}};

    (void)state;
    if (system("/usr/bin/unshare --fork --pid --mount-proc true >/dev/null 2>&1") != 0)
        skip(); /* not allowed to make a space of process numbers */
    test_daemon_start(&d, "twin-spaces", "t=exec:true");
    test_daemon_connect(&d);
    argv[7] = d.url.ptr;
    for (size_t i = 0; i < 2; i++) {
        test_child_exec(&in[i], argv);
        test_child_wait_for(&in[i], "daemon.ready");
        assert_int_equal(test_child_said(&in[i], "\"event\":\"node.same_name\",\"node\":\"box-2\""), i == 1);
    }
    assert_int_equal(nodes_of(&d, "box-2"), 2);
    assert_int_equal(kill(child_of(in[1].pid), SIGTERM), 0);
    assert_int_equal(test_child_end(&in[1]), 0);
    test_child_free(&in[1]);

    assert_int_equal(kill(in[0].pid, SIGKILL), 0); /* and its process 1 with it: listed for a moment yet, it is no other node */
    assert_int_equal(waitpid(in[0].pid, NULL, 0), in[0].pid);
    (void)close(in[0].out_fd);
    test_child_free(&in[0]);
    test_child_exec(&in[1], argv);
    test_child_wait_for(&in[1], "daemon.ready");
    assert_false(test_child_said(&in[1], "node.same_name"));
    assert_int_equal(kill(child_of(in[1].pid), SIGTERM), 0);
    assert_int_equal(test_child_end(&in[1]), 0);
    test_child_free(&in[1]);
    test_daemon_stop(&d);
}

static void two_of_one_name_are_both_shown_and_the_second_is_warned(void **state)
{
    test_daemon d;
    test_child other = {0};

    (void)state;
    test_daemon_start_with(&d, "twin", (const char *const[]){"--node-id", "box-1", NULL});
    test_daemon_connect(&d);
    assert_false(test_child_said(&d.c, "node.same_name"));
    test_child_start(&other, (const char *const[]){"--redis", d.url.ptr, "--node-id", "box-1", "--log-format", "json", NULL});
    test_child_wait_for(&other, "daemon.ready");
    assert_true(test_child_said(&other, "\"event\":\"node.same_name\",\"node\":\"box-1\""));
    assert_int_equal(nodes_of(&d, "box-1"), 2);
    assert_int_equal(kill(other.pid, SIGTERM), 0);
    assert_int_equal(test_child_end(&other), 0);
    test_child_free(&other);

    test_child_start(&other, (const char *const[]){"--redis", d.url.ptr, "--node-id", "box-1", "--unique-node-id", NULL});
    assert_int_equal(test_child_end(&other), 1);
    assert_true(test_child_said(&other, "a node of the name 'box-1' lives already"));
    assert_false(test_child_said(&other, "daemon.ready"));
    test_child_free(&other);
    test_daemon_run(&d, "echo", "1", "1"); /* the first is as it was */
    test_daemon_stop(&d);
}

/* ---- its own that outlive it ---- */

/* Of its children, the one that ends what it leaves. */
static pid_t guardian_of(pid_t daemon)
{
    char path[64], line[256];
    pid_t pids[8] = {0};
    int n;

    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)daemon, (int)daemon);
    n = test_pids_read(path, pids, DQ_ARRAY_LEN(pids));
    for (int i = 0; i < n; i++) {
        FILE *f;
        size_t len = 0;

        (void)snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pids[i]);
        f = fopen(path, "re");
        len = f ? fread(line, 1, sizeof line, f) : 0;
        if (f)
            (void)fclose(f);
        if (memmem(line, len, "--guardian", 10))
            return pids[i];
    }
    fail_msg("no guardian");
    return 0;
}

static bool has_group(test_daemon *d)
{
    test_child_wait_for(&d->c, "\"event\":\"exec.limits\"");
    return !test_child_said(&d->c, "\"group\":\"none\"");
}

static bool is_gone(void *path)
{
    return access(path, F_OK) != 0;
}

/* At once, and with nobody to start another daemon: what left the process group, and where there is a control group what cleared its environment, too. */
static void a_killed_daemon_leaves_no_program(void **state)
{
    DQ_BUF_AUTO file = {0};
    DQ_BUF_AUTO handler = {0};
    pid_t pids[3];
    test_daemon d;

    (void)state;
    test_daemon_path("leaves-none", &file);
    dq_buf_append_fmt(&handler,
                      "t=exec:sh -c 'echo $$ >>%s; setsid -f sh -c \"echo \\$\\$ >>%s; exec sleep 7777\"; "
                      "setsid -f env -i /bin/sh -c \"echo \\$\\$ >>%s; exec /bin/sleep 7777\"; sleep 7777'",
                      file.ptr, file.ptr, file.ptr);
    test_daemon_start(&d, "leaves", handler.ptr);
    test_daemon_connect(&d);
    (void)test_daemon_enqueue(&d, "t", "1");
    assert_int_equal(test_pids_wait(file.ptr, pids, 3), 3);
    if (!has_group(&d)) { /* the one that cleared its environment escapes: it is told from the others by that */
        print_message("no control group can be had here\n");
        test_daemon_stop(&d);
        skip();
    }
    assert_int_equal(kill(d.c.pid, SIGKILL), 0);
    test_pids_wait_gone(pids, 3);
    assert_int_equal(waitpid(d.c.pid, NULL, 0), d.c.pid);
    (void)close(d.c.out_fd);
    test_daemon_free(&d);
}

/* One that dies in steps: the end of the pipe comes before that of the lock. */
static void a_guardian_waits_for_a_daemon_that_is_dying(void **state)
{
    DQ_BUF_AUTO dir = {0};
    int fds[2], lock_fd;
    struct pollfd end = {.events = POLLIN};
    pid_t pid;

    (void)state;
    test_daemon_path("dureqd-dying", &dir);
    assert_int_equal(mkdir(dir.ptr, 0700), 0);
    assert_int_equal(dq_leftovers_claim(dir.ptr, "nobody", &lock_fd, NULL), 0);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        (void)dup2(fds[0], STDIN_FILENO);
        (void)close(lock_fd);
        (void)execl(test_dureqd_path(), "dureqd", "--guardian", dir.ptr, (char *)NULL);
        _exit(127);
    }
    (void)close(fds[0]);
    (void)close(fds[1]);
    end.fd = (int)syscall(SYS_pidfd_open, pid, 0);
    assert_int_equal(poll(&end, 1, 500), 0); /* it has not given up */
    (void)close(lock_fd);
    assert_int_equal(poll(&end, 1, TEST_DAEMON_WAIT_MS), 1);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_not_equal(access(dir.ptr, F_OK), 0);
    (void)close(end.fd);
}

static void kill_one_with(const char *name, const char *const *wrap, const char *config)
{
    DQ_BUF_AUTO file = {0};
    DQ_BUF_AUTO context = {0};
    char path[256] = "";
    pid_t pid;
    test_daemon d;
    FILE *f;

    test_daemon_path(name, &file);
    dq_buf_append_text(&file, "-pid");
    assert_int_equal(setenv("F", file.ptr, 1), 0);
    test_daemon_start_by(&d, name, wrap, wrap ? "mount -t tmpfs none /sys/fs/cgroup && exec \"$@\"" : NULL,
                         (const char *const[]){"--config", config, NULL});
    assert_true(!wrap || !has_group(&d));
    test_daemon_connect(&d);
    (void)test_daemon_enqueue(&d, "t", "1");
    assert_int_equal(test_pids_wait(file.ptr, &pid, 1), 1);
    dq_buf_append_fmt(&context, "%s-context", file.ptr);
    f = fopen(context.ptr, "re");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%255s", path), 1);
    (void)fclose(f);
    assert_int_equal(kill(d.c.pid, SIGKILL), 0);
    test_pids_wait_gone(&pid, 1);
    *strrchr(path, '/') = '\0';
    assert_true(fault_wait(TEST_DAEMON_WAIT_MS, is_gone, path));
    assert_int_equal(waitpid(d.c.pid, NULL, 0), d.c.pid);
    (void)close(d.c.out_fd);
    test_daemon_free(&d);
}

/* It dies in steps, and its guardian hears of it at the first; also what has a large environment is found by it. */
static void each_killed_daemon_leaves_nothing(void **state)
{
    static const char *const wrap[] = {"unshare", "--mount", NULL};
    DQ_BUF_AUTO config = {0};
    DQ_BUF_AUTO text = {0};
    bool can_hide = system("unshare --mount mount -t tmpfs none /sys/fs/cgroup >/dev/null 2>&1") == 0;

    (void)state;
    test_daemon_path("large.yaml", &config);
    dq_buf_append_text(&text, "handlers:\n  - type: t\n    passEnv: [F]\n"
                              "    exec: [sh, -c, 'echo $DUREQ_CONTEXT >$F-context; "
                              "setsid -f sh -c \"echo \\$\\$ >$F; exec sleep 7777\"; sleep 7777']\n    env:\n");
    for (int name = 'A'; name <= 'Z'; name++) { /* many, as a shell hands them on in an order of its own */
        dq_buf_append_fmt(&text, "      %c_LARGE: ", name);
        for (int i = 0; i < 16384; i++)
            dq_buf_append_char(&text, 'x');
        dq_buf_append_char(&text, '\n');
    }
    assert_false(text.failed);
    write_text(config.ptr, text.ptr);
    for (int i = 0; i < 6; i++) {
        char name[16];

        (void)snprintf(name, sizeof name, "each-%d", i);
        kill_one_with(name, i % 2 && can_hide ? wrap : NULL, config.ptr);
    }
}

static void what_a_killed_daemon_left_has_ended_before_its_job_runs_again(void **state)
{
    DQ_BUF_AUTO file = {0};
    DQ_BUF_AUTO context = {0};
    DQ_BUF_AUTO handler = {0};
    char path[256];
    dureq_job_id id;
    test_daemon d;
    pid_t pid;
    FILE *f;

    (void)state;
    test_daemon_path("left-pid", &file);
    test_daemon_path("left-context", &context);
    dq_buf_append_fmt(
        &handler,
        "t=exec:sh -c 'if test -e %s; then readlink /proc/$(cat %s)/exe >/dev/null && echo lives || echo gone; exit; fi; "
        "echo $DUREQ_CONTEXT >%s; setsid -f sh -c \"echo \\$\\$ >%s; exec sleep 7777\"; sleep 7777'",
        file.ptr, file.ptr, context.ptr, file.ptr);
    test_daemon_start(&d, "left", handler.ptr);
    test_daemon_connect(&d);
    id = test_daemon_enqueue(&d, "t", "1");
    assert_int_equal(test_pids_wait(file.ptr, &pid, 1), 1);
    assert_int_equal(kill(guardian_of(d.c.pid), SIGKILL), 0); /* as when all is killed at once */
    assert_int_equal(kill(d.c.pid, SIGKILL), 0);
    assert_int_equal(waitpid(d.c.pid, NULL, 0), d.c.pid);
    (void)close(d.c.out_fd);
    test_daemon_free(&d);
    assert_false(test_pid_is_gone(pid));

    test_daemon_start(&d, "left", handler.ptr);
    test_daemon_connect(&d);
    test_daemon_expect(&d, &id, "gone");
    f = fopen(context.ptr, "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%255s", path), 1);
    (void)fclose(f);
    *strrchr(path, '/') = '\0';
    assert_int_not_equal(access(path, F_OK), 0); /* nor its context files */
    test_daemon_stop(&d);
}

/* ---- jobs that take the daemon down ---- */

typedef struct down_wait {
    test_daemon *d;
    const dureq_job_id *id;
} down_wait;

/* It is dead, or the daemon is. */
static bool is_over(void *userdata)
{
    down_wait *w = userdata;
    dureq_job_list *list = NULL;
    siginfo_t info = {0};
    bool dead = false;

    if (waitid(P_PID, (id_t)w->d->c.pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid)
        return true;
    if (dureq_client_get_job(w->d->client, w->id->text, &list, NULL) == 0)
        dead = list->items[0].state == DUREQ_JOB_DEAD;
    dureq_job_list_destroy(list);
    return dead;
}

static int32_t crashes_of(test_daemon *d, const dureq_job_id *id)
{
    dureq_job_list *list = NULL;
    int32_t crashes;

    assert_int_equal(dureq_client_get_job(d->client, id->text, &list, NULL), 0);
    crashes = list->items[0].crashes;
    dureq_job_list_destroy(list);
    return crashes;
}

#define N_BESIDE 12

static void a_program_that_takes_the_daemon_down_is_set_aside(void **state)
{
    static const char *const more[] = {"--handler", "poison=exec:sh -c 'kill -KILL $PPID'", "--handler",
                                       "beside=exec:sh -c 'sleep 0.5; echo ok'", NULL};
    dureq_job_id poison = {0}, beside[N_BESIDE];
    test_daemon d;
    int downs = 0;

    (void)state;
    test_daemon_start_with(&d, "poison", more);
    test_daemon_connect(&d);
    for (int i = 0; i < N_BESIDE; i++) {
        beside[i] = test_daemon_enqueue(&d, "beside", "1");
        if (i == N_BESIDE / 2)
            poison = test_daemon_enqueue(&d, "poison", "1");
    }
    for (;;) {
        assert_true(fault_wait(TEST_DAEMON_WAIT_MS, is_over, &(down_wait){&d, &poison}));
        if (waitpid(d.c.pid, NULL, WNOHANG) == 0)
            break;
        assert_true(++downs < 20);
        (void)close(d.c.out_fd);
        test_daemon_free(&d);
        test_daemon_start_with(&d, "poison", more);
        test_daemon_connect(&d);
    }
    test_daemon_expect_dead(&d, &poison, "its process crashed");
    assert_int_equal(downs, 4); /* one before its start was known, and max_crashes */
    for (int i = 0; i < N_BESIDE; i++) {
        test_daemon_expect(&d, &beside[i], "ok");
        assert_in_range(crashes_of(&d, &beside[i]), 0, 1);
    }
    test_daemon_stop(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(helpers_of_the_start_script_live_on),
        cmocka_unit_test(as_process_1_it_leaves_others_alone),
        cmocka_unit_test(the_state_is_private_whatever_umask_and_directory_were),
        cmocka_unit_test(the_state_of_others_is_refused),
        cmocka_unit_test(dureqctl_uses_no_socket_of_others_that_nobody_named),
        cmocka_unit_test(a_configuration_that_others_write_is_warned_of),
        cmocka_unit_test(few_descriptors_are_told_and_cost_no_runs),
        cmocka_unit_test(a_user_with_all_its_processes_holds_no_other_handler),
        cmocka_unit_test(two_of_one_name_in_containers_are_told_apart),
        cmocka_unit_test(two_of_one_name_are_both_shown_and_the_second_is_warned),
        cmocka_unit_test(a_killed_daemon_leaves_no_program),
        cmocka_unit_test(a_guardian_waits_for_a_daemon_that_is_dying),
        cmocka_unit_test(each_killed_daemon_leaves_nothing),
        cmocka_unit_test(what_a_killed_daemon_left_has_ended_before_its_job_runs_again),
        cmocka_unit_test(a_program_that_takes_the_daemon_down_is_set_aside),
    };

    return cmocka_run_group_tests(tests, test_daemon_make_dir, test_daemon_remove_dir);
}
