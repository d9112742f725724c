/* SPDX-License-Identifier: Apache-2.0 */
#include "exec.h"

#include "base/clock.h"
#include "handler_spec.h"
#include "leftovers.h"
#include "orphans.h"
#include "redis_server.h"
#include "test_pids.h"

#include <dureq/dureq.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_MS 30000

/* One server for all; a node with its handlers for each test, under a prefix of its own. */
static test_redis *redis;
static int n_nodes;
static const dq_log *exec_log; /* NULL: none */

typedef struct rig {
    dq_arena arena;
    dureq_node *node;
    dq_exec_host *host;
    dureq_client *client;
    dq_handler_spec specs[8];
    size_t n_specs;
    dureq_retry_policy once;
    char prefix[32];
} rig;

static pid_t redis_pid(void *arg)
{
    (void)arg;
    return test_redis_pid(redis);
}

static int start_redis(void **state)
{
    (void)state;
    redis = test_redis_start(NULL);
    (void)dq_orphans_make_kept(redis_pid, NULL); /* a child of this process, too, and nobody's orphan */
    return 0;
}

static int stop_redis(void **state)
{
    (void)state;
    test_redis_stop(redis);
    return 0;
}

/* Not yet started: add handlers first. */
static void rig_init(rig *r, int64_t shutdown_ms)
{
    dureq_node_options o = dureq_node_options_init();
    dureq_error err = {0};

    *r = (rig){.once = dureq_retry_policy_init()};
    r->once.max_attempts = 1;
    (void)snprintf(r->prefix, sizeof r->prefix, "exec%d", ++n_nodes);
    o.redis_url = test_redis_url(redis);
    o.prefix = r->prefix;
    o.lease_ms = 1000;
    o.shutdown_timeout_ms = shutdown_ms;
    assert_int_equal(dureq_node_create(&o, &r->node, &err), 0);
    assert_int_equal(
        dq_exec_host_create(dq_node_loop(r->node), &(dq_exec_host_options){.owner = r->prefix, .log = exec_log}, &r->host, &err),
        0);
}

static dq_handler_spec *rig_add(rig *r, const char *text)
{
    dq_handler_spec *spec = &r->specs[r->n_specs++];
    dureq_error err = {0};

    spec->origin = DQ_STR_LIT("test");
    if (dq_handler_spec_parse(&r->arena, dureq_str_from(text), spec, &err) < 0)
        fail_msg("%s", err.msg);
    spec->retry_policy = &r->once;
    spec->concurrency = 64;
    return spec;
}

static void rig_start(rig *r)
{
    dureq_error err = {0};

    for (size_t i = 0; i < r->n_specs; i++)
        if (dq_exec_host_add(r->host, r->node, &r->specs[i], &err) < 0)
            fail_msg("%s", err.msg);
    if (dureq_node_start(r->node, &err) < 0)
        fail_msg("%s", err.msg);
    r->client = dureq_node_client(r->node);
}

static void rig_stop(rig *r)
{
    dureq_error err = {0};

    assert_int_equal(dureq_node_stop(r->node, &err), 0);
    dq_exec_host_destroy(r->host);
    dureq_node_destroy(r->node);
    dq_arena_deinit(&r->arena);
}

static dureq_job_id enqueue(rig *r, const char *type, dureq_str payload, const char *content_type)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_job_spec spec = {.task_type = type, .payload = payload, .options = &o};
    dureq_error err = {0};
    dureq_job_id id;

    o.content_type = content_type;
    if (dureq_client_enqueue(r->client, &spec, &id, &err) < 0)
        fail_msg("%s", err.msg);
    return id;
}

static dureq_job_list *wait_for(rig *r, const dureq_job_id *id)
{
    dureq_job_list *list = NULL;
    dureq_error err = {0};

    if (dureq_client_wait(r->client, id->text, WAIT_MS, &list, &err) < 0)
        fail_msg("%s", err.msg);
    return list;
}

static dureq_job_list *run_job(rig *r, const char *type, const char *payload, const char *content_type)
{
    dureq_job_id id = enqueue(r, type, dureq_str_from(payload), content_type);

    return wait_for(r, &id);
}

static void assert_str(dureq_str got, const char *want)
{
    if (!dq_str_eq_text(got, want))
        fail_msg("got '" DQ_STR_FMT "', want '%s'", DQ_STR_ARG(got), want);
}

/* ---- outcomes ---- */

static const struct outcome_case {
    const char *command, *payload, *content_type;
    dureq_job_state state;
    const char *result, *result_type; /* NULL: not looked at */
    const char *error;
} outcome_cases[] = {
    {"echo {payload}", "\"a b\"", NULL, DUREQ_JOB_COMPLETED, "a b", "text/plain", NULL},
    {"echo {payload}", "{\"a\": 1}", NULL, DUREQ_JOB_COMPLETED, "{\"a\": 1}", "application/json", NULL},
    {"cat", "some bytes", "text/plain", DUREQ_JOB_COMPLETED, "some bytes", "text/plain", NULL},
    {"true", "1", NULL, DUREQ_JOB_COMPLETED, "", NULL, NULL},
    {"sh -c 'echo why >&2; exit 1'", "1", NULL, DUREQ_JOB_DEAD, NULL, NULL, "exit code 1: why"},
    {"sh -c 'exit 64'", "1", NULL, DUREQ_JOB_DEAD, NULL, NULL, "exit code 64"},
    {"sh -c 'exit 79'", "1", NULL, DUREQ_JOB_COMPLETED, NULL, NULL, NULL},
    {"sh -c 'kill -SEGV $$'", "1", NULL, DUREQ_JOB_DEAD, NULL, NULL, "died by signal 11 (SIGSEGV)"},
    {"sh -c 'echo \"{\\\"outcome\\\":\\\"fail\\\",\\\"error\\\":\\\"bad customer\\\"}\" >&3'", "1", NULL, DUREQ_JOB_DEAD, NULL,
     NULL, "bad customer"},
    {"sh -c 'echo \"{\\\"outcome\\\":\\\"done\\\"}\" >&3; echo yes; exit 9'", "1", NULL, DUREQ_JOB_COMPLETED, "yes", NULL, NULL},
    {"echo {payload}", "\"a\\u0000b\"", NULL, DUREQ_JOB_DEAD, NULL, NULL,
     "the payload holds a NUL byte, which no argument can: read it from standard input"},
};

static void run_outcome_case(const struct outcome_case *c)
{
    dureq_job_list *list;
    char text[256];
    rig r;

    rig_init(&r, 0);
    (void)snprintf(text, sizeof text, "t=exec:%s", c->command);
    (void)rig_add(&r, text);
    rig_start(&r);
    list = run_job(&r, "t", c->payload, c->content_type);
    if (list->items[0].state != c->state)
        print_error("%s: " DQ_STR_FMT "\n", c->command, DQ_STR_ARG(list->items[0].last_error));
    assert_int_equal(list->items[0].state, c->state);
    if (c->result)
        assert_str(list->items[0].result, c->result);
    if (c->result_type)
        assert_str(list->items[0].result_content_type, c->result_type);
    if (c->error)
        assert_str(list->items[0].last_error, c->error);
    dureq_job_list_destroy(list);
    rig_stop(&r);
}

static void programs_end_as_their_exit_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(outcome_cases); i++)
        run_outcome_case(&outcome_cases[i]);
}

static void a_failure_is_retried(void **state)
{
    dureq_retry_policy p = dureq_retry_policy_init();
    dureq_job_list *list;
    rig r;

    (void)state;
    rig_init(&r, 0);
    p.max_attempts = 3;
    p.initial_delay_ms = 1;
    rig_add(&r, "t=exec:sh -c 'test $DUREQ_ATTEMPT = 3 && echo third'")->retry_policy = &p;
    rig_start(&r);
    list = run_job(&r, "t", "1", NULL);
    assert_int_equal(list->items[0].state, DUREQ_JOB_COMPLETED);
    assert_str(list->items[0].result, "third");
    dureq_job_list_destroy(list);
    rig_stop(&r);
}

/* ---- what programs get ---- */

static void the_environment_is_clean_and_holds_the_context(void **state)
{
    dureq_job_list *list;
    dureq_str out;
    rig r;

    (void)state;
    assert_int_equal(setenv("SECRET_OF_DAEMON", "hunter2", 1), 0);
    rig_init(&r, 0);
    (void)rig_add(&r, "t=exec:sh -c 'env; cat $DUREQ_CONTEXT; echo; ls /proc/self/fd | tr \"\\n\" \" \"; test ! -t 0'");
    rig_start(&r);
    list = run_job(&r, "t", "{}", NULL);
    assert_int_equal(list->items[0].state, DUREQ_JOB_COMPLETED);
    out = list->items[0].result;
    assert_null(memmem(out.ptr, out.len, "hunter2", 7));
    assert_non_null(memmem(out.ptr, out.len, "DUREQ_TASK_TYPE=t\n", 18));
    assert_non_null(memmem(out.ptr, out.len, "DUREQ_ATTEMPT=1\n", 16));
    assert_non_null(memmem(out.ptr, out.len, "\"task_type\":\"t\"", 15));
    assert_true(dq_str_ends_with(dq_str_trim(out), DQ_STR_LIT("\n0 1 2 3 4"))); /* 4 is of ls */
    dureq_job_list_destroy(list);
    rig_stop(&r);
    (void)unsetenv("SECRET_OF_DAEMON");
}

static void a_large_payload_and_result_pass_whole(void **state)
{
    DQ_BUF_AUTO payload = {0};
    dureq_job_list *list;
    dureq_job_id id;
    rig r;

    (void)state;
    while (payload.len < DUREQ_RESULT_MAX)
        dq_buf_append_fmt(&payload, "%zu,", payload.len);
    payload.len = DUREQ_RESULT_MAX;
    payload.ptr[payload.len - 1] = '.';
    rig_init(&r, 0);
    (void)rig_add(&r, "t=exec:cat");
    rig_start(&r);
    id = enqueue(&r, "t", dq_buf_str(&payload), "text/plain");
    list = wait_for(&r, &id);
    assert_int_equal(list->items[0].state, DUREQ_JOB_COMPLETED);
    assert_int_equal(list->items[0].result.len, payload.len);
    assert_memory_equal(list->items[0].result.ptr, payload.ptr, payload.len);
    dureq_job_list_destroy(list);
    rig_stop(&r);
}

static void too_much_output_is_cut_and_hangs_nobody(void **state)
{
    dureq_job_list *list;
    dureq_str out;
    rig r;

    (void)state;
    rig_init(&r, 0);
    (void)rig_add(&r, "t=exec:sh -c 'head -c 20000000 /dev/zero | tr \"\\0\" x; head -c 20000000 /dev/zero | tr \"\\0\" y >&2'");
    rig_start(&r);
    list = run_job(&r, "t", "1", NULL);
    assert_int_equal(list->items[0].state, DUREQ_JOB_COMPLETED);
    out = list->items[0].result;
    assert_int_equal(out.len, DUREQ_RESULT_MAX);
    assert_true(dq_str_ends_with(out, DQ_STR_LIT("x\n[cut at 1 MiB]")));
    dureq_job_list_destroy(list);
    rig_stop(&r);
}

/* ---- the output of what failed ---- */

static void a_failed_run_keeps_the_end_of_its_output(void **state)
{
    dureq_job_list *list;
    const dureq_job *j;
    rig r;

    (void)state;
    rig_init(&r, 0);
    (void)rig_add(&r, "few=exec:sh -c 'echo on its way; echo why >&2; exit 3'");
    (void)rig_add(&r, "final=exec:sh -c 'echo stopped; exit 65'");
    (void)rig_add(&r, "fine=exec:sh -c 'echo done'");
    rig_start(&r);
    list = run_job(&r, "few", "1", NULL);
    j = &list->items[0];
    assert_int_equal(j->n_attempts, 1);
    assert_str(j->attempts[0].output, "on its way\n");
    assert_str(j->attempts[0].detail, "why\n");
    assert_int_equal(j->result.len, 0);
    dureq_job_list_destroy(list);
    list = run_job(&r, "final", "1", NULL);
    assert_str(list->items[0].attempts[0].output, "stopped\n");
    dureq_job_list_destroy(list);
    list = run_job(&r, "fine", "1", NULL);
    assert_int_equal(list->items[0].attempts[0].output.len, 0);
    dureq_job_list_destroy(list);
    rig_stop(&r);
}

/* Around the mebibyte that a result may have, the end comes from what is kept, from what came after it, or from both. */
static void the_end_of_a_long_output_is_its_end(void **state)
{
    static const int sizes[] = {1048576, 1048578, 1048579, 1060000, 1064962, 1064963, 4000000};
    rig r;

    (void)state;
    rig_init(&r, 0);
    (void)rig_add(&r, "t=exec:sh -c 'head -c $(($1 - 7)) /dev/zero | tr \"\\0\" x; echo the end; exit 1' sh {payload}");
    rig_start(&r);
    for (size_t i = 0; i < DQ_ARRAY_LEN(sizes); i++) {
        char size[16];
        dureq_job_list *list;
        dureq_str out;

        (void)snprintf(size, sizeof size, "%d", sizes[i]);
        list = run_job(&r, "t", size, NULL);
        out = list->items[0].attempts[0].output;
        assert_int_equal(out.len, 16 * 1024);
        assert_int_equal(out.ptr[0], 'x');
        assert_true(dq_str_ends_with(out, DQ_STR_LIT("xthe end\n")));
        dureq_job_list_destroy(list);
    }
    rig_stop(&r);
}

static void the_log_and_descriptor_3_are_kept(void **state)
{
    dureq_job_list *list;
    char id[DUREQ_JOB_ID_LEN + 4], *text = NULL;
    size_t len = 0;
    dureq_error err = {0};
    rig r;

    (void)state;
    rig_init(&r, 0);
    (void)rig_add(
        &r,
        "t=exec:sh -c 'echo from stderr >&2; echo \"{\\\"log\\\":\\\"from 3\\\",\\\"heartbeat\\\":true}\" >&3; echo junk >&3'");
    rig_start(&r);
    list = run_job(&r, "t", "1", NULL);
    (void)snprintf(id, sizeof id, "%s", list->items[0].id.text);
    dureq_job_list_destroy(list);
    if (dureq_client_get_logs(r.client, id, &text, &len, &err) < 0)
        fail_msg("%s", err.msg);
    assert_non_null(strstr(text, "from stderr\n"));
    assert_non_null(strstr(text, "from 3\n"));
    assert_non_null(strstr(text, "descriptor 3: ignored a line"));
    dureq_free(text);
    rig_stop(&r);
}

/* Also one that comes in pieces, and one that its run does not end. */
static void each_line_of_the_log_has_its_time_and_run(void **state)
{
    dureq_retry_policy p = dureq_retry_policy_init();
    dureq_job_list *list;
    dureq_error err = {0};
    char *text = NULL;
    dureq_str rest;
    size_t len = 0;
    rig r;

    (void)state;
    rig_init(&r, 0);
    p.max_attempts = 2;
    p.initial_delay_ms = 1;
    rig_add(&r, "t=exec:sh -c 'printf in >&2; sleep 0.01; printf \" pieces\\n\\nno end\" >&2; exit 1'")->retry_policy = &p;
    rig_start(&r);
    list = run_job(&r, "t", "1", NULL);
    if (dureq_client_get_logs(r.client, list->items[0].id.text, &text, &len, &err) < 0)
        fail_msg("%s", err.msg);
    dureq_job_list_destroy(list);
    rest = dureq_str_from(text);
    for (int i = 0; i < 6; i++) {
        static const char *const lines[] = {"in pieces", "", "no end"};
        dureq_str line = dq_str_cut(&rest, '\n'), at = dq_str_cut(&line, ' ');
        int64_t at_ms;

        assert_int_equal(dq_parse_rfc3339_ms(at, &at_ms), 0);
        assert_str(dq_str_cut(&line, ' '), i < 3 ? "1" : "2");
        assert_str(line, lines[i % 3]);
    }
    assert_int_equal(rest.len, 0);
    dureq_free(text);
    rig_stop(&r);
}

/* ---- ending ---- */

/* A file into which a program writes process numbers. */
typedef struct pid_file {
    char path[40];
} pid_file;

static void pid_file_init(pid_file *f)
{
    int fd;

    (void)snprintf(f->path, sizeof f->path, "/tmp/dureqd-pids-XXXXXX");
    fd = mkstemp(f->path);
    assert_true(fd >= 0);
    (void)close(fd);
}

/* With every FILE replaced by its path. */
static void add_with_file(rig *r, const char *fmt, const pid_file *f)
{
    DQ_BUF_AUTO text = {0};

    for (const char *at = strstr(fmt, "FILE"); at; at = strstr(fmt, "FILE")) {
        dq_buf_append(&text, fmt, (size_t)(at - fmt));
        dq_buf_append_text(&text, f->path);
        fmt = at + 4;
    }
    dq_buf_append_text(&text, fmt);
    (void)rig_add(r, text.ptr);
}

/* The program ends when both children told their numbers. */
#define UNTIL_TWO "while test $(wc -l <FILE) -lt 2; do sleep 0.01; done'"

static void children_left_behind_are_killed(void **state)
{
    /* In the group; of another session; of another session and without its environment; that ended and whose parent does not reap them. */
    static const char *const commands[] = {
        "t=exec:sh -c 'exec >FILE; sleep 1000 & echo $!; sleep 1000 & echo $!'",
        "t=exec:sh -c 'exec >FILE; for i in 1 2; do setsid -f sh -c \"echo \\$\\$; exec sleep 1000\"; done; " UNTIL_TWO,
        "t=exec:sh -c 'exec >FILE; for i in 1 2; do env -i setsid -f /bin/sh -c \"echo \\$\\$; exec /bin/sleep 1000\"; done; " UNTIL_TWO,
        "t=exec:sh -c 'exec >FILE; for i in 1 2; do setsid -f sh -c \"true & echo \\$!; exec sleep 1000\"; done; " UNTIL_TWO,
    };

    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(commands); i++) {
        dureq_job_list *list;
        pid_t pids[2];
        pid_file f = {0};
        rig r;

        pid_file_init(&f);
        rig_init(&r, 0);
        add_with_file(&r, commands[i], &f);
        rig_start(&r);
        list = run_job(&r, "t", "1", NULL);
        assert_int_equal(list->items[0].state, DUREQ_JOB_COMPLETED);
        dureq_job_list_destroy(list);
        assert_int_equal(test_pids_wait(f.path, pids, 2), 2);
        test_pids_wait_gone(pids, 2);
        test_pids_wait_reaped();
        rig_stop(&r);
        (void)unlink(f.path);
    }
}

static void a_job_s_daemon_lives_as_long_as_its_job(void **state)
{
    dureq_job_list *list;
    dureq_job_id id;
    pid_t pids[1];
    pid_file f = {0};
    rig r;

    (void)state;
    pid_file_init(&f);
    rig_init(&r, 0);
    add_with_file(&r, "long=exec:sh -c 'setsid -f sh -c \"echo \\$\\$ >FILE; exec sleep 1000\"; cat >/dev/null; sleep 1000'", &f);
    (void)rig_add(&r, "short=exec:true");
    rig_start(&r);
    id = enqueue(&r, "long", dureq_str_from("1"), NULL);
    assert_int_equal(test_pids_wait(f.path, pids, 1), 1);
    for (int i = 0; i < 20; i++) /* each end of these sweeps */
        dureq_job_list_destroy(run_job(&r, "short", "1", NULL));
    assert_false(test_pid_is_gone(pids[0]));
    assert_int_equal(dureq_client_cancel(r.client, id.text, "test", NULL), 0);
    list = wait_for(&r, &id);
    assert_int_equal(list->items[0].state, DUREQ_JOB_CANCELLED);
    dureq_job_list_destroy(list);
    test_pids_wait_gone(pids, 1);
    rig_stop(&r);
    (void)unlink(f.path);
}

static void a_program_that_ignores_the_time_out_is_killed(void **state)
{
    dureq_job_list *list;
    pid_t pids[1];
    pid_file f = {0};
    rig r;

    (void)state;
    pid_file_init(&f);
    rig_init(&r, 0);
    add_with_file(&r, "t=exec:sh -c 'trap \"\" TERM; echo $$ >FILE; while :; do sleep 0.1; done'", &f);
    r.specs[0].timeout_ms = 200;
    r.specs[0].grace_ms = 100;
    rig_start(&r);
    list = run_job(&r, "t", "1", NULL);
    assert_int_equal(list->items[0].state, DUREQ_JOB_DEAD);
    assert_int_equal(list->items[0].n_attempts, 1);
    assert_int_equal(list->items[0].attempts[0].outcome, DUREQ_OUTCOME_TIMED_OUT);
    dureq_job_list_destroy(list);
    assert_int_equal(test_pids_wait(f.path, pids, 1), 1);
    test_pids_wait_gone(pids, 1);
    test_pids_wait_reaped();
    rig_stop(&r);
    (void)unlink(f.path);
}

static void stop_with_a_job(void)
{
    dureq_client_options o = dureq_client_options_init();
    dureq_client *client = NULL;
    dureq_job_list *list = NULL;
    dureq_job_id id;
    pid_t pids[1];
    pid_file f = {0};
    rig r;

    pid_file_init(&f);
    rig_init(&r, 50);
    add_with_file(&r, "t=exec:sh -c 'trap \"\" TERM; echo $$ >FILE; while :; do sleep 0.1; done'", &f);
    r.specs[0].grace_ms = 100;
    rig_start(&r);
    id = enqueue(&r, "t", dureq_str_from("1"), NULL);
    assert_int_equal(test_pids_wait(f.path, pids, 1), 1);
    rig_stop(&r);
    test_pids_wait_gone(pids, 1);
    test_pids_wait_reaped();

    o.redis_url = test_redis_url(redis);
    o.prefix = r.prefix;
    assert_int_equal(dureq_client_create(&o, &client, NULL), 0);
    assert_int_equal(dureq_client_get_job(client, id.text, &list, NULL), 0);
    assert_int_equal(list->items[0].state, DUREQ_JOB_PENDING);
    assert_int_equal(list->items[0].attempt, 0);
    dureq_job_list_destroy(list);
    dureq_client_destroy(client);
    (void)unlink(f.path);
}

/* More than once: what the shell leaves may be on its way out, with no environment left by which to know it. */
static void a_stop_gives_jobs_back_and_leaves_no_process(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        stop_with_a_job();
}

/* ---- limits ---- */

static void limits_hold(void **state)
{
    static const struct limit_case {
        const char *command;
        dq_exec_limits limits;
        const char *error; /* its beginning; NULL: done */
        const char *result;
    } cases[] = {
        {"t=exec:sh -c 'while :; do :; done'", {.cpu_seconds = 1}, "killed: more than 1 s of CPU time", NULL},
        {"t=exec:yes", {.output_bytes = 100000}, "killed: more than 100000 bytes of output", NULL},
        {"t=exec:sh -c 'ulimit -n; ulimit -d; ulimit -v'",
         {.open_files = 17, .memory_bytes = 1 << 30},
         NULL,
         "17\n1048576\nunlimited"},
        {"t=exec:head -c 99999 /dev/zero", {.output_bytes = 100000}, NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(cases); i++) {
        dureq_job_list *list;
        rig r;

        rig_init(&r, 0);
        rig_add(&r, cases[i].command)->limits = cases[i].limits;
        rig_start(&r);
        list = run_job(&r, "t", "1", NULL);
        assert_int_equal(list->items[0].state, cases[i].error ? DUREQ_JOB_DEAD : DUREQ_JOB_COMPLETED);
        if (cases[i].error)
            assert_str(list->items[0].last_error, cases[i].error);
        if (cases[i].result)
            assert_str(list->items[0].result, cases[i].result);
        dureq_job_list_destroy(list);
        rig_stop(&r);
    }
}

static void it_runs_where_and_as_nice_as_it_is_told(void **state)
{
    dureq_job_list *list;
    dq_handler_spec *spec;
    rig r;

    (void)state;
    rig_init(&r, 0);
    spec = rig_add(&r, "t=exec:sh -c 'pwd; nice'");
    spec->cwd = "/usr/bin/..";
    spec->nice = 7;
    rig_start(&r);
    list = run_job(&r, "t", "1", NULL);
    assert_str(list->items[0].result, "/usr\n7");
    dureq_job_list_destroy(list);
    rig_stop(&r);
}

/* Of a user that nobody else uses: its processes are counted together. */
static void more_processes_than_it_may_have_are_refused(void **state)
{
    dureq_job_list *list;
    dq_handler_spec *spec;
    rig r;

    (void)state;
    if (geteuid() != 0)
        skip();
    rig_init(&r, 0);
    spec = rig_add(&r, "t=exec:sh -c 'sleep 100 & echo one; sleep 100 & echo two'");
    spec->limits.user = "games";
    spec->max_processes = 2;
    rig_start(&r);
    list = run_job(&r, "t", "1", NULL);
    assert_int_equal(list->items[0].state, DUREQ_JOB_DEAD);
    assert_non_null(memmem(list->items[0].last_error.ptr, list->items[0].last_error.len, "annot fork", 10));
    assert_str(list->items[0].attempts[0].output, "one\n");
    dureq_job_list_destroy(list);
    rig_stop(&r);
}

static void another_user_runs_it(void **state)
{
    dureq_job_list *list;
    rig r;

    (void)state;
    if (geteuid() != 0)
        skip();
    rig_init(&r, 0);
    rig_add(&r, "t=exec:sh -c 'id -un; cat /dev/stdin; cat $DUREQ_CONTEXT >/dev/null && echo; echo $USER; echo >/dev/stderr'")
        ->limits.user = "nobody";
    rig_start(&r);
    list = run_job(&r, "t", "1", NULL);
    assert_str(list->items[0].result, "nobody\n1\nnobody");
    dureq_job_list_destroy(list);
    rig_stop(&r);
}

static void what_cannot_run_is_refused_at_start(void **state)
{
    static const struct refused_case {
        const char *command, *user;
        int32_t max_processes;
        int code;
    } cases[] = {
        {"t=exec:/no/such/program", NULL, 0, DUREQ_ENOTFOUND},
        {"t=exec:/etc/passwd", NULL, 0, DUREQ_EPERM},
        {"t=exec:true", "no-such-user", 0, DUREQ_ENOTFOUND},
        {"t=exec:true", "root", 9, DUREQ_EPERM},
    };
    rig r;

    (void)state;
    rig_init(&r, 0);
    for (size_t i = 0; i < DQ_ARRAY_LEN(cases); i++) {
        dq_handler_spec *spec = rig_add(&r, cases[i].command);
        dureq_error err = {0};

        spec->limits.user = cases[i].user;
        spec->max_processes = cases[i].max_processes;
        assert_int_equal(dq_exec_host_add(r.host, r.node, spec, &err), cases[i].code);
        assert_non_null(strstr(err.msg, "test: handler 't': "));
    }
    dq_exec_host_destroy(r.host);
    dureq_node_destroy(r.node);
    dq_arena_deinit(&r.arena);
}

/* ---- many ---- */

enum { MANY = 400 };

static void many_programs_run_at_a_time(void **state)
{
    dureq_job_id ids[MANY];
    rig r;

    (void)state;
    rig_init(&r, 0);
    (void)rig_add(&r, "t=exec:sh -c 'echo $DUREQ_JOB_ID'");
    rig_start(&r);
    for (int i = 0; i < MANY; i++)
        ids[i] = enqueue(&r, "t", dureq_str_from("1"), NULL);
    for (int i = 0; i < MANY; i++) {
        dureq_job_list *list = wait_for(&r, &ids[i]);

        assert_int_equal(list->items[0].state, DUREQ_JOB_COMPLETED);
        assert_str(list->items[0].result, ids[i].text);
        dureq_job_list_destroy(list);
    }
    rig_stop(&r);
}

/* So many descriptors more than are open now. */
static void leave_descriptors(rlim_t n)
{
    int next = dup(0);
    struct rlimit limit;

    assert_true(next >= 0);
    (void)close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = (rlim_t)next + n;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void what_finds_no_room_is_given_back_without_a_run(void **state)
{
    struct rlimit before;
    dureq_node_stats stats;
    dureq_job_id ids[40];
    rig r;

    (void)state;
    rig_init(&r, 0);
    (void)rig_add(&r, "t=exec:sh -c 'sleep 0.3; echo ${DUREQ_RUN_ID##*.}'");
    rig_start(&r);
    dureq_job_list_destroy(run_job(&r, "t", "1", NULL)); /* all connections are there */
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    leave_descriptors(24);
    for (size_t i = 0; i < DQ_ARRAY_LEN(ids); i++)
        ids[i] = enqueue(&r, "t", DQ_STR_LIT("1"), NULL);
    for (size_t i = 0; i < DQ_ARRAY_LEN(ids); i++) {
        dureq_job_list *list = wait_for(&r, &ids[i]);

        assert_int_equal(list->items[0].state, DUREQ_JOB_COMPLETED);
        assert_str(list->items[0].result, "1");
        dureq_job_list_destroy(list);
    }
    dureq_node_get_stats(r.node, &stats);
    assert_true(stats.returned > 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    rig_stop(&r);
}

/* ---- what killed daemons left ---- */

/* By which thread they were ended. */
static void note_thread(const dureq_log_record *record, void *userdata)
{
    if (strcmp(record->event, "exec.leftovers") == 0)
        (void)pthread_getname_np(pthread_self(), userdata, 16);
}

static void leftovers_are_not_waited_for_on_the_loop(void **state)
{
    char base[] = "/tmp/dureqd-left-XXXXXX", dead[64], thread[16] = "";
    const dq_log log = {.fn = note_thread, .userdata = thread};
    dureq_job_options o = dureq_job_options_init();
    dureq_job_spec spec = {.task_type = "t", .payload = DQ_STR_LIT("1"), .options = &o};
    dureq_error err = {0};
    dureq_job_id id;
    int lock_fd;
    rig r;

    (void)state;
    assert_non_null(mkdtemp(base));
    (void)snprintf(dead, sizeof dead, "%s/dureqd-dead", base);
    assert_int_equal(setenv("RUNTIME_DIRECTORY", base, 1), 0);
    exec_log = &log;
    rig_init(&r, 0);
    (void)rig_add(&r, "t=exec:true");
    rig_start(&r);
    assert_int_equal(mkdir(dead, 0700), 0);
    assert_int_equal(dq_leftovers_claim(dead, r.prefix, &lock_fd, &err), 0);
    (void)close(lock_fd); /* its daemon is dead */
    o.delay_ms = 1;
    assert_int_equal(dureq_client_enqueue(r.client, &spec, &id, &err), 0);
    dureq_job_list_destroy(wait_for(&r, &id));
    assert_int_not_equal(access(dead, F_OK), 0); /* it was ended before a job that may be of it started */
    rig_stop(&r);
    exec_log = NULL;
    assert_int_equal(unsetenv("RUNTIME_DIRECTORY"), 0);
    assert_int_equal(rmdir(base), 0);
    assert_string_equal(thread, "dq-spawn");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs_end_as_their_exit_says),
        cmocka_unit_test(a_failure_is_retried),
        cmocka_unit_test(the_environment_is_clean_and_holds_the_context),
        cmocka_unit_test(a_large_payload_and_result_pass_whole),
        cmocka_unit_test(too_much_output_is_cut_and_hangs_nobody),
        cmocka_unit_test(a_failed_run_keeps_the_end_of_its_output),
        cmocka_unit_test(the_end_of_a_long_output_is_its_end),
        cmocka_unit_test(the_log_and_descriptor_3_are_kept),
        cmocka_unit_test(each_line_of_the_log_has_its_time_and_run),
        cmocka_unit_test(children_left_behind_are_killed),
        cmocka_unit_test(a_job_s_daemon_lives_as_long_as_its_job),
        cmocka_unit_test(a_program_that_ignores_the_time_out_is_killed),
        cmocka_unit_test(a_stop_gives_jobs_back_and_leaves_no_process),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(it_runs_where_and_as_nice_as_it_is_told),
        cmocka_unit_test(more_processes_than_it_may_have_are_refused),
        cmocka_unit_test(another_user_runs_it),
        cmocka_unit_test(what_cannot_run_is_refused_at_start),
        cmocka_unit_test(what_finds_no_room_is_given_back_without_a_run),
        cmocka_unit_test(many_programs_run_at_a_time),
        cmocka_unit_test(leftovers_are_not_waited_for_on_the_loop),
    };

    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
