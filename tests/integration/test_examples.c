/* SPDX-License-Identifier: Apache-2.0 */

/* Every program under examples/ does what it says, the code in README.md is the code that is built and run here, and the documents
   name every command and every resource there is. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <dureq/dureq.h>

#include "api/api.h"
#include "redis_server.h"

#define LIMIT_MS   60000
#define OUTPUT_MAX (256 * 1024)

static test_redis *server;

/* ---- running a program ---- */

typedef struct program {
    pid_t pid; /* leads a process group of its own */
    int out;
    char output[OUTPUT_MAX];
    size_t len;
} program;

static int64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static const char *env_or_fail(const char *name)
{
    const char *value = getenv(name);

    if (!value)
        fail_msg("%s is not set: run it with meson test", name);
    return value;
}

static void program_start(program *p, char *const argv[])
{
    int fds[2];
    pid_t parent = getpid();

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    p->len = 0;
    p->out = fds[0];
    p->pid = fork();
    assert_true(p->pid >= 0);
    if (p->pid == 0) {
        setpgid(0, 0);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(126);
        dup2(fds[1], STDOUT_FILENO);
        dup2(fds[1], STDERR_FILENO);
        execv(argv[0], argv);
        fprintf(stderr, "cannot run %s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    setpgid(p->pid, p->pid);
    close(fds[1]);
}

/* Read until the program and its children closed their output; false when the limit passed first. */
static bool program_read(program *p, int64_t until_ms)
{
    for (;;) {
        struct pollfd pfd = {.fd = p->out, .events = POLLIN};
        int64_t left = until_ms - now_ms();
        ssize_t n;

        if (left <= 0 || poll(&pfd, 1, (int)left) == 0)
            return false;
        assert_true(p->len < OUTPUT_MAX - 1);
        n = read(p->out, p->output + p->len, OUTPUT_MAX - 1 - p->len);
        if (n < 0 && errno == EINTR)
            continue;
        assert_true(n >= 0);
        p->len += (size_t)n;
        p->output[p->len] = '\0';
        if (n == 0)
            return true;
    }
}

/* Exit code; what is left of the group is killed. */
static int program_finish(program *p)
{
    bool ended = program_read(p, now_ms() + LIMIT_MS);
    int status;

    if (!ended)
        kill(-p->pid, SIGKILL);
    close(p->out);
    while (waitpid(p->pid, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    kill(-p->pid, SIGKILL); /* ESRCH when nothing is left, as it should be */
    if (!ended)
        fail_msg("it did not end within %d ms:\n%s", LIMIT_MS, p->output);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Runs one example to its end; its output has to hold `wanted` in this order, NULL-ended. */
static void check(char *const argv[], const char *const *wanted)
{
    static program p; /* too large for the stack */
    const char *at = p.output;
    int code;

    p.output[0] = '\0';
    program_start(&p, argv);
    code = program_finish(&p);
    if (code != 0)
        fail_msg("%s ended with %d:\n%s", argv[0], code, p.output);
    for (size_t i = 0; wanted[i]; i++) {
        at = strstr(at, wanted[i]);
        if (!at)
            fail_msg("%s did not say \"%s\" (or not in this order):\n%s", argv[0], wanted[i], p.output);
        at += strlen(wanted[i]);
    }
}

/* By name, with a prefix of its own. The server is told as the argument, or by the environment. */
static void check_example(const char *name, bool by_argument, const char *const *wanted)
{
    char path[PATH_MAX], url[512];
    char *argv[] = {path, NULL, NULL};

    (void)snprintf(path, sizeof path, "%s/examples/%s", env_or_fail("DUREQ_TEST_BUILD"), name);
    (void)snprintf(url, sizeof url, "%s", test_redis_url(server));
    setenv("DUREQ_PREFIX", name, 1);
    if (by_argument)
        argv[1] = url;
    setenv("DUREQ_REDIS_URL", by_argument ? "redis://127.0.0.1:1" : url, 1); /* nobody listens on port 1 */
    check(argv, wanted);
}

/* ---- the programs ---- */

#define SAYS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_quickstart(void **state)
{
    (void)state;
    check_example("quickstart", true, SAYS("job ", ": completed, \"hello, world\""));
    check_example("quickstart", false, SAYS("completed, \"hello, world\""));
}

static void test_onetimeat(void **state)
{
    (void)state;
    check_example("onetimeat", true,
                  SAYS("Rome: refused, job ", " holds the key", "Rome: cancelled", "Oslo: completed", "Lima: completed"));
    check_example("onetimeat", false, SAYS("queried: Oslo", "queried: Lima")); /* and its keys were free again */
}

static void test_onetimeat_with_mux(void **state)
{
    (void)state;
    check_example("onetimeat_with_mux", true,
                  SAYS("[log] order.ship begins, attempt 1 of 3", "ship for ada", "[log] order.ship ends with 0",
                       "order.ship: completed after 1 start(s)", "charge for ada", "[log] order.charge ends with EHANDLER",
                       "[log] order.charge begins, attempt 2 of 3", "order.charge: completed after 2 start(s)",
                       "[log] order.refund begins", "order.refund: dead after 1 start(s), last error: no customer", "audit by ",
                       "order.audit: completed"));
}

static void test_heartbeat_progress(void **state)
{
    (void)state;
    check_example("heartbeat_progress", false,
                  SAYS("progress: {\"rows_processed\":", "\"rows_total\":1000",
                       "dataset.import: completed after 1 start(s) {\"rows\":1000}", "attempt 1: timed_out",
                       "dataset.flaky: completed after 2 start(s)"));
}

static void test_retention(void **state)
{
    (void)state;
    check_example("retention", true,
                  SAYS("kept as the queue says: readable after its end", "kept for 2 s: readable after its end", "not kept: gone",
                       "deleted by hand: gone"));
}

static void test_idempotent_handler(void **state)
{
    (void)state;
    check_example("idempotent_handler", true,
                  SAYS("request id: the same job, accepted before", "invoice.charge: completed after 2 starts",
                       "unique key: the key is held by a living job, held by the first job", "unique key: free again",
                       "charges: 1"));
}

static void test_pause_resume(void **state)
{
    (void)state;
    check_example("pause_resume", false,
                  SAYS("pause.fragile: paused", "pause.fragile: completed", "pause.early: paused", "pause.early: completed",
                       "pause.early: pending", "pause.early: paused", "pause.early: completed"));
}

static void test_calendar_preview(void **state)
{
    (void)state;
    check_example("calendar_preview", false,
                  SAYS("At 02:30 every day, time of America/New_York; with daylight saving time", "Sun 2026-03-08T07:00:00Z",
                       "Mon 2026-03-09T06:30:00Z", "it follows elapsed time", "Sun 2026-03-08T06:30:00Z",
                       "Sun 2026-03-08T07:30:00Z", "does not fire", "Mon 2026-03-09T06:30:00Z",
                       "EINVAL: cron_expr, column 3: hour range '22-2' runs backwards: write '22-23,0-2'"));
}

static void test_festival(void **state)
{
    (void)state;
    check_example("festival", true,
                  SAYS("music: schedule ", " created", "food: schedule ", " created", "music: the key is held",
                       "music: completed, 3 announced", "food: completed, 4 announced", "music: the key is free"));
    check_example("festival", false, SAYS(" the music plays", "the key is free")); /* and so the schedule can be had again */
}

static void test_festival_with_mux(void **state)
{
    (void)state;
    check_example("festival_with_mux", true,
                  SAYS("[log] festival.", " came round, dispatched after ", "festival.music: completed",
                       "festival.dance: completed", "festival.poetry: completed"));
    check_example("festival_with_mux", false, SAYS("music on the large stage, by ", "[log] festival.music ends with 0"));
    check_example("festival_with_mux", false, SAYS("[log] festival.poetry ends with EHANDLER"));
}

static void test_overlap_policy(void **state)
{
    (void)state;
    check_example("overlap_policy", true,
                  SAYS("ALLOW_ALL\n  0 s: fired\n  1 s: fired\n  2 s: fired\n  3 s: fired\n  4 s: fired\n",
                       "SKIP\n  0 s: fired\n", "skipped, overlap\n", "BUFFER_ONE\n  0 s: fired\n", "fired, buffer\n",
                       "BUFFER_ALL\n  0 s: fired\n", "  4 s: fired, buffer\n", "REPLACE\n  0 s: fired\n", "  4 s: fired"));
}

static void put_festival(dureq_client *client)
{
    dureq_header header = {"stage", dureq_str_from("large")};
    dureq_job_options o = dureq_job_options_init();
    dureq_schedule s = dureq_schedule_init();
    dureq_job_spec job = {.task_type = "festival.music", .options = &o};
    dureq_job_id id;

    o.headers = &header;
    o.n_headers = 1;
    s.type = DUREQ_SCHEDULE_DURATION;
    s.interval_ms = 1000;
    s.max_occurrences = 1;
    assert_int_equal(dureq_client_create_schedule(client, &s, &job, &id, NULL), 0);
}

static void test_festival_mux_just_server(void **state)
{
    static program p;
    char path[PATH_MAX], url[512];
    char *argv[] = {path, url, NULL};
    dureq_client_options o = dureq_client_options_init();
    dureq_client *client = NULL;
    int64_t until_ms = now_ms() + LIMIT_MS;

    (void)state;
    (void)snprintf(path, sizeof path, "%s/examples/festival_mux_just_server", env_or_fail("DUREQ_TEST_BUILD"));
    (void)snprintf(url, sizeof url, "%s", test_redis_url(server));
    setenv("DUREQ_PREFIX", "just_server", 1);
    program_start(&p, argv);
    while (!strstr(p.output, "takes jobs\n"))
        assert_false(program_read(&p, now_ms() + 20)); /* it has not ended */
    o.redis_url = url;
    o.prefix = "just_server";
    assert_int_equal(dureq_client_create(&o, &client, NULL), 0);
    put_festival(client);
    dureq_client_destroy(client);
    while (!strstr(p.output, "music on the large stage, by ") && now_ms() < until_ms)
        assert_false(program_read(&p, now_ms() + 20));
    assert_int_equal(kill(p.pid, SIGTERM), 0);
    assert_int_equal(program_finish(&p), 0);
    assert_non_null(strstr(p.output, "music on the large stage, by "));
}

static void test_service(void **state)
{
    static program p;
    char path[PATH_MAX], url[512];
    char *argv[] = {path, url, NULL};

    (void)state;
    (void)snprintf(path, sizeof path, "%s/examples/service", env_or_fail("DUREQ_TEST_BUILD"));
    (void)snprintf(url, sizeof url, "%s", test_redis_url(server));
    setenv("DUREQ_PREFIX", "service", 1);
    program_start(&p, argv);
    while (!strstr(p.output, "takes jobs\n"))
        assert_false(program_read(&p, now_ms() + 20)); /* it has not ended */
    assert_int_equal(kill(p.pid, SIGTERM), 0);
    assert_int_equal(program_finish(&p), 0);
}

static void set_program(const char *variable, const char *name)
{
    char path[PATH_MAX];

    (void)snprintf(path, sizeof path, "%s/%s/%s", env_or_fail("DUREQ_TEST_BUILD"), name, name);
    setenv(variable, path, 1);
}

static void test_exec_handler(void **state)
{
    char path[PATH_MAX];
    char *argv[] = {path, NULL};
    const char *const *wanted = SAYS("\"words\":6", "\"total\": 42", "dead", "order 0 has no amount");

    (void)state;
    (void)snprintf(path, sizeof path, "%s/examples/exec_handler/run.sh", env_or_fail("DUREQ_TEST_SOURCE"));
    set_program("DUREQD", "dureqd");
    set_program("DUREQCTL", "dureqctl");
    setenv("DUREQ_PREFIX", "exec_handler", 1);
    setenv("DUREQ_REDIS_URL", test_redis_url(server), 1);
    check(argv, wanted);

    unsetenv("DUREQ_REDIS_URL"); /* the daemon's own server */
    check(argv, wanted);
}

/* ---- workflows and batches ---- */

static void test_workflow(void **state)
{
    (void)state;
    check_example("workflow", true,
                  SAYS("fetch \"pages.txt\"", "read part \"", "report, in run ",
                       "fetch: completed\nhead: completed\ntail: completed\n",
                       "workflow completed, its report is {\"pages\": 3}"));
}

static void test_workflow_with_mux(void **state)
{
    (void)state;
    check_example("workflow_with_mux", false,
                  SAYS("check for ada", "[log] order.charge begins, attempt 1", "[log] order.charge ends with EHANDLER",
                       "[log] order.charge begins, attempt 2", "charge for ada", "ship for ada", "order.ship: completed",
                       "workflow: completed"));
}

static void test_batch(void **state)
{
    (void)state;
    check_example("batch", true,
                  SAYS("batch failed: 4 items, 3 completed, 1 failed", "cat: completed, {\"width\": 200}",
                       "dog: failed, not a picture", "batch completed: 4 items, 4 completed, 0 failed",
                       "dog: completed, {\"width\": 200}"));
}

static void test_batch_with_mux(void **state)
{
    (void)state;
    check_example("batch_with_mux", false,
                  SAYS("[log] price.rate attempt 1: 0", "[log] price.item attempt 1: 0", "batch completed: 3 items, 3 completed",
                       "ink: completed, {\"upstream\":{\"rate\": 2},\"original\":25}"));
}

static void test_allow_failure(void **state)
{
    (void)state;
    check_example("allow_failure", true,
                  SAYS("the weather is optional:", "weather: failed, no such weather station", "dashboard: completed",
                       "workflow: completed", "the weather is required:", "weather: failed, no such weather station",
                       "dashboard: unreached", "clean: completed", "workflow: failed"));
}

static void test_result_piping(void **state)
{
    (void)state;
    check_example("result_piping", true,
                  SAYS("both got {\"upstream\":{\"three\":9,\"four\":16},\"original\":{\"unit\": \"m2\"}}",
                       "last got {\"upstream\":\"seen\",\"original\":null}", "workflow: completed"));
}

/* The counts are those of wc. */
static void test_word_count(void **state)
{
    static program p;
    char path[PATH_MAX], wc[PATH_MAX + 160];
    char *argv[] = {path, NULL}, *wc_argv[] = {(char *)"/bin/sh", (char *)"-c", wc, NULL};
    char counted[4096];

    (void)state;
    (void)snprintf(path, sizeof path, "%s/examples/word_count/run.sh", env_or_fail("DUREQ_TEST_SOURCE"));
    (void)snprintf(
        wc, sizeof wc,
        "cd '%s/examples/word_count' && wc -w texts/sea.txt texts/hills.txt texts/town.txt | awk '{printf \"%%6d %%s\\n\", $1, $2}'",
        env_or_fail("DUREQ_TEST_SOURCE"));
    program_start(&p, wc_argv);
    assert_int_equal(program_finish(&p), 0);
    (void)snprintf(counted, sizeof counted, "%.4000s", p.output);
    assert_non_null(strstr(counted, " total\n"));
    set_program("DUREQD", "dureqd");
    set_program("DUREQCTL", "dureqctl");
    setenv("DUREQ_PREFIX", "word_count", 1);
    setenv("DUREQ_REDIS_URL", test_redis_url(server), 1);
    check(argv, SAYS("report", counted));
}

/* ---- documents ---- */

static char *read_source(const char *name)
{
    char path[PATH_MAX];
    FILE *f;
    char *text;
    size_t len;

    (void)snprintf(path, sizeof path, "%s/%s", env_or_fail("DUREQ_TEST_SOURCE"), name);
    f = fopen(path, "r");
    if (!f)
        fail_msg("cannot open %s", path);
    text = malloc(OUTPUT_MAX);
    assert_non_null(text);
    len = fread(text, 1, OUTPUT_MAX - 1, f);
    text[len] = '\0';
    fclose(f);
    return text;
}

static void test_readme_is_quickstart(void **state)
{
    char *readme = read_source("README.md"), *source = read_source("examples/quickstart.c");
    int n = 0;

    (void)state;
    for (char *block = strstr(readme, "```c\n"); block; n++) {
        char *end;

        block += strlen("```c\n");
        end = strstr(block, "```");
        assert_non_null(end);
        *end = '\0';
        if (!strstr(source, block))
            fail_msg("this code of README.md is not in examples/quickstart.c:\n%s", block);
        block = strstr(end + 1, "```c\n");
    }
    assert_int_equal(n, 2); /* the worker and the producer */
    free(readme);
    free(source);
}

static void test_api_document(void **state)
{
    char *text = read_source("docs/api.md");

    (void)state;
    for (size_t i = 0;; i++) {
        DQ_BUF_AUTO wanted = {0};

        dq_buf_append_char(&wanted, '`');
        if (!dq_api_route_text(i, &wanted))
            break;
        dq_buf_append_char(&wanted, '`');
        if (!strstr(text, wanted.ptr))
            fail_msg("docs/api.md does not tell of %s", wanted.ptr);
    }
    free(text);
}

/* "  job get            Show a job": the words before the gap. False for a line that names no command. */
static bool command_of(const char *line, char name[64])
{
    const char *gap;

    if (strncmp(line, "  ", 2) != 0 || line[2] < 'a' || line[2] > 'z')
        return false;
    gap = strstr(line + 2, "  ");
    (void)snprintf(name, 64, "%.*s", gap ? (int)(gap - line - 2) : 63, line + 2);
    return gap != NULL;
}

static bool tells_command(const char *text, const char *name)
{
    static const char *const forms[] = {"`%s`", "`%s ", "## %s\n"};

    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        char wanted[128];
        const char *mark = strstr(forms[i], "%s");

        (void)snprintf(wanted, sizeof wanted, "%.*s%s%s", (int)(mark - forms[i]), forms[i], name, mark + 2);
        if (strstr(text, wanted))
            return true;
    }
    return false;
}

static void test_cli_document(void **state)
{
    static program p;
    char path[PATH_MAX], *rest, *line, *text = read_source("docs/cli.md");
    char help[] = "help";
    char *argv[] = {path, help, NULL};
    int n = 0;

    (void)state;
    (void)snprintf(path, sizeof path, "%s/dureqctl/dureqctl", env_or_fail("DUREQ_TEST_BUILD"));
    program_start(&p, argv);
    assert_int_equal(program_finish(&p), 0);
    for (line = strtok_r(p.output, "\n", &rest); line && strncmp(line, "Options", 7) != 0; line = strtok_r(NULL, "\n", &rest)) {
        char name[64];

        if (!command_of(line, name))
            continue;
        n++;
        if (!tells_command(text, name))
            fail_msg("docs/cli.md does not tell of '%s'", name);
    }
    assert_true(n > 20);
    free(text);
}

/* ---- */

static int start_server(void **state)
{
    (void)state;
    server = test_redis_start(NULL);
    return 0;
}

static int stop_server(void **state)
{
    (void)state;
    test_redis_stop(server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readme_is_quickstart),
        cmocka_unit_test(test_api_document),
        cmocka_unit_test(test_cli_document),
        cmocka_unit_test(test_quickstart),
        cmocka_unit_test(test_onetimeat),
        cmocka_unit_test(test_onetimeat_with_mux),
        cmocka_unit_test(test_heartbeat_progress),
        cmocka_unit_test(test_retention),
        cmocka_unit_test(test_idempotent_handler),
        cmocka_unit_test(test_pause_resume),
        cmocka_unit_test(test_calendar_preview),
        cmocka_unit_test(test_festival),
        cmocka_unit_test(test_festival_with_mux),
        cmocka_unit_test(test_festival_mux_just_server),
        cmocka_unit_test(test_overlap_policy),
        cmocka_unit_test(test_service),
        cmocka_unit_test(test_exec_handler),
        cmocka_unit_test(test_workflow),
        cmocka_unit_test(test_workflow_with_mux),
        cmocka_unit_test(test_batch),
        cmocka_unit_test(test_batch_with_mux),
        cmocka_unit_test(test_allow_failure),
        cmocka_unit_test(test_result_piping),
        cmocka_unit_test(test_word_count),
    };

    return cmocka_run_group_tests_name("examples", tests, start_server, stop_server);
}
