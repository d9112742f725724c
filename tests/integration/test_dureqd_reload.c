/* SPDX-License-Identifier: Apache-2.0 */
#include "fault_wait.h"
#include "test_daemon.h"

#include <dureq/dureq.h>

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* SIGHUP: settings are read again while jobs run. */

static dq_buf config; /* its path */

/* Each "DIR" in the text is the directory of the tests. Whole or not at all, as a daemon may read it any time. */
static void write_config(const char *text)
{
    DQ_BUF_AUTO dir = {0};
    DQ_BUF_AUTO whole = {0};
    DQ_BUF_AUTO next = {0};
    FILE *f;

    test_daemon_path("", &dir);
    for (const char *at = strstr(text, "DIR/"); at; at = strstr(text, "DIR/")) {
        dq_buf_append(&whole, text, (size_t)(at - text));
        dq_buf_append_text(&whole, dir.ptr);
        text = at + strlen("DIR/");
    }
    dq_buf_append_text(&whole, text);
    dq_buf_append_fmt(&next, "%s.next", config.ptr);
    f = fopen(next.ptr, "we");
    assert_non_null(f);
    assert_true(fputs(whole.ptr, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(rename(next.ptr, config.ptr), 0);
}

static void touch(const char *name)
{
    DQ_BUF_AUTO path = {0};
    FILE *f;

    test_daemon_path(name, &path);
    f = fopen(path.ptr, "we");
    assert_non_null(f);
    (void)fclose(f);
}

static void start(test_daemon *d, const char *name, const char *text)
{
    dq_buf_deinit(&config);
    test_daemon_path(name, &config);
    dq_buf_append_text(&config, ".yaml");
    write_config(text);
    test_daemon_start_with(d, name, (const char *const[]){"--config", config.ptr, NULL});
    test_daemon_connect(d);
}

/* How often it said this. */
static int said(const test_daemon *d, const char *text)
{
    int n = 0;

    for (const char *at = strstr(d->c.out.ptr, text); at; at = strstr(at + 1, text))
        n++;
    return n;
}

/* Until it has said so once more than before. */
static void hup(test_daemon *d, const char *answer)
{
    int before = said(d, answer);

    assert_int_equal(kill(d->c.pid, SIGHUP), 0);
    while (said(d, answer) == before)
        if (!test_child_read(&d->c, TEST_DAEMON_WAIT_MS))
            fail_msg("no '%s' in: %s", answer, d->c.out.ptr);
}

static void reload(test_daemon *d, const char *text)
{
    write_config(text);
    hup(d, "daemon.reloaded");
}

static dureq_job_state state_of(test_daemon *d, const dureq_job_id *id)
{
    dureq_job_list *list = NULL;
    dureq_error err = {0};
    dureq_job_state s;

    if (dureq_client_get_job(d->client, id->text, &list, &err) < 0)
        fail_msg("%s", err.msg);
    s = list->items[0].state;
    dureq_job_list_destroy(list);
    return s;
}

/* Comma list of what its only node handles. */
static void types_of(test_daemon *d, char out[256])
{
    dureq_node_list *list = NULL;
    dureq_error err = {0};

    if (dureq_client_list_nodes(d->client, &list, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(list->n, 1);
    (void)snprintf(out, 256, "%.*s", (int)list->items[0].task_types.len, list->items[0].task_types.ptr);
    dureq_node_list_destroy(list);
}

typedef struct types_wait {
    test_daemon *d;
    const char *want;
    char types[256];
} types_wait;

static bool has_types(void *userdata)
{
    types_wait *w = userdata;

    types_of(w->d, w->types);
    return strcmp(w->types, w->want) == 0;
}

static void wait_types(test_daemon *d, const char *want)
{
    types_wait w = {.d = d, .want = want};

    if (!fault_wait(TEST_DAEMON_WAIT_MS, has_types, &w))
        fail_msg("'%s', not '%s'", w.types, want);
}

#define KEEP "  - {type: keep, exec: [echo, kept]}\n"
#define HOLD                                                                                            \
    "  - {type: hold, exec: [sh, -c, 'touch DIR/held; until test -e DIR/go; do sleep 0.02; done; echo " \
    "held'], concurrency: 2}\n"

static void handlers_come_change_and_go(void **state)
{
    dureq_job_id runs, waits;
    test_daemon d;

    (void)state;
    start(&d, "change", "dureqd: {builtins: [echo]}\nhandlers:\n" KEEP HOLD "  - {type: change, exec: [echo, old]}\n");
    test_daemon_run(&d, "change", "1", "old");
    wait_types(&d, "keep,hold,change,echo");
    runs = test_daemon_enqueue(&d, "hold", "1");
    test_daemon_wait_running(&d, &runs);

    reload(&d, "dureqd: {builtins: [noop]}\nhandlers:\n" KEEP "  - {type: change, exec: [echo, new], concurrency: 7}\n"
               "  - {type: 'add.*', exec: [echo, added]}\n");
    assert_true(test_child_said(&d.c, "\"daemon.reloaded\",\"handlers\":4,\"added\":2,\"changed\":1,\"removed\":2,"));
    assert_true(test_child_said(
        &d.c, "\"type\":\"change\",\"kind\":\"exec\",\"concurrency\":7,\"what\":\"echo\",\"change\":\"changed\""));
    assert_true(
        test_child_said(&d.c, "\"type\":\"hold\",\"kind\":\"exec\",\"concurrency\":2,\"what\":\"sh\",\"change\":\"removed\""));
    wait_types(&d, "keep,change,add.*,noop");
    test_daemon_run(&d, "change", "1", "new");
    test_daemon_run(&d, "add.me", "1", "added");
    test_daemon_run(&d, "keep", "1", "kept");

    /* What runs goes on, and is not begun again. */
    waits = test_daemon_enqueue(&d, "hold", "1");
    test_daemon_run(&d, "keep", "1", "kept");
    assert_int_equal(state_of(&d, &runs), DUREQ_JOB_RUNNING);
    assert_int_equal(state_of(&d, &waits), DUREQ_JOB_PENDING);
    touch("go");
    test_daemon_expect(&d, &runs, "held");
    assert_int_equal(state_of(&d, &waits), DUREQ_JOB_PENDING);

    reload(&d, "handlers:\n" KEEP "  - {type: hold, exec: [echo, again]}\n");
    test_daemon_expect(&d, &waits, "again");
    test_daemon_stop(&d);
}

typedef struct two_jobs {
    test_daemon *d;
    const dureq_job_id *ids;
} two_jobs;

static bool one_runs(void *userdata)
{
    const two_jobs *j = userdata;

    return (state_of(j->d, &j->ids[0]) == DUREQ_JOB_RUNNING) != (state_of(j->d, &j->ids[1]) == DUREQ_JOB_RUNNING);
}

/* What an older handler of a type still runs takes slots of the new one. */
static void no_more_run_than_the_new_handler_allows(void **state)
{
    dureq_job_id old[2], new[2];
    test_daemon d;

    (void)state;
    start(&d, "slots",
          "handlers:\n" KEEP
          "  - {type: t, exec: [sh, -c, 'until test -e DIR/slots.go; do sleep 0.02; done; echo old'], concurrency: 2}\n");
    for (int i = 0; i < 2; i++)
        old[i] = test_daemon_enqueue(&d, "t", "1");
    for (int i = 0; i < 2; i++)
        test_daemon_wait_running(&d, &old[i]);
    reload(&d, "handlers:\n" KEEP
               "  - {type: t, exec: [sh, -c, 'until test -e DIR/slots.go; do sleep 0.02; done; echo new'], concurrency: 2}\n");
    for (int i = 0; i < 2; i++)
        new[i] = test_daemon_enqueue(&d, "t", "1");
    test_daemon_run(&d, "keep", "1", "kept");
    for (int i = 0; i < 2; i++)
        assert_int_equal(state_of(&d, &new[i]), DUREQ_JOB_PENDING);
    reload(&d, "handlers:\n" KEEP
               "  - {type: t, exec: [sh, -c, 'until test -e DIR/slots.go; do sleep 0.02; done; echo new'], concurrency: 3}\n");
    assert_true(fault_wait(TEST_DAEMON_WAIT_MS, one_runs, &(two_jobs){&d, new}));
    test_daemon_run(&d, "keep", "1", "kept");
    assert_true(one_runs(&(two_jobs){&d, new}));
    touch("slots.go");
    for (int i = 0; i < 2; i++) {
        test_daemon_expect(&d, &old[i], "old");
        test_daemon_expect(&d, &new[i], "new");
    }
    test_daemon_stop(&d);
}

static void a_broken_file_changes_nothing(void **state)
{
    static const struct broken_case {
        const char *text, *said;
    } cases[] = {
        {"handlers: [\n", "broken.yaml:2:1: "},
        {"handlers:\n  - {type: t, exec: /no/such/program}\n", "'/no/such/program' does not exist"},
        {"handlers:\n  - {type: t, exec: \"true\", limits: {user: no-such-user}}\n", "there is no user 'no-such-user'"},
        {"dureqd: {maxCrashes: many}\n", "broken.yaml:1:22: dureqd.maxCrashes takes"},
        {"dureqd: {builtins: []}\n", "no handler is left"},
        {"log: {level: debug}\nhandlers: [{type: t}]\n", "a handler needs one of exec and builtin"},
    };
    test_daemon d;

    (void)state;
    start(&d, "broken", "handlers:\n  - {type: t, exec: [echo, fine]}\n");
    for (size_t i = 0; i < DQ_ARRAY_LEN(cases); i++) {
        write_config(cases[i].text);
        hup(&d, "daemon.reload_failed");
        if (!test_child_said(&d.c, cases[i].said))
            fail_msg("no '%s' in: %s", cases[i].said, d.c.out.ptr);
        test_daemon_run(&d, "t", "1", "fine");
        assert_false(test_child_said(&d.c, "run.ended")); /* which debug would show */
    }
    assert_int_equal(unlink(config.ptr), 0);
    hup(&d, "daemon.reload_failed");
    assert_int_equal(mkfifo(config.ptr, 0600), 0); /* nobody writes to it */
    hup(&d, "daemon.reload_failed");
    assert_true(test_child_said(&d.c, "is no regular file, it cannot be read again"));
    test_daemon_run(&d, "t", "1", "fine");
    assert_int_equal(unlink(config.ptr), 0);
    reload(&d, "handlers:\n  - {type: t, exec: [echo, better]}\n");
    test_daemon_run(&d, "t", "1", "better");
    test_daemon_stop(&d);
}

#define SCHEDULE(key, hour) "  - {key: " key ", schedule: {type: CRON, cron_expr: '0 " hour " * * *'}, task_type: keep}\n"

static void the_log_level_is_taken_and_the_rest_is_named(void **state)
{
    test_daemon d;

    (void)state;
    start(&d, "level",
          "schedules:\n" SCHEDULE("same", "1") SCHEDULE("changed", "1") SCHEDULE(
              "gone", "1") "queues:\n  bulk: {weight: 2}\n  same: {weight: 1, retryPolicy: {maxAttempts: 3}}\nhandlers:\n" KEEP);
    test_daemon_run(&d, "keep", "1", "kept");
    assert_false(test_child_said(&d.c, "run.ended"));
    reload(&d,
           "log: {level: debug}\n"
           "schedules:\n" SCHEDULE("changed", "2") SCHEDULE("new", "1") SCHEDULE(
               "same",
               "1") "dureqd: {concurrency: 7, maxPayloadBytes: 2MiB, maxCrashes: 3}\n"
                    "queues:\n  bulk: {weight: 3}\n  new:\n  same: {weight: 1, retryPolicy: {maxAttempts: 3}}\nhandlers:\n" KEEP);
    assert_true(test_child_said(&d.c, "\"settings\":\"dureqd.concurrency, dureqd.maxPayloadBytes, queues.bulk, queues.new\""));
    assert_true(test_child_said(&d.c, "\"added\":0,\"changed\":0,\"removed\":0,\"log_level\":\"debug\""));
    test_daemon_run(&d, "keep", "1", "kept");
    test_child_wait_for(&d.c, "run.ended");
    reload(
        &d,
        "log: {level: warn}\nqueues:\n  bulk: {weight: 2}\n  same: {weight: 1, retryPolicy: {maxAttempts: 3}}\nhandlers:\n" KEEP
        "  - {type: t, exec: [echo, yes]}\n");
    test_daemon_run(&d, "t", "1", "yes");
    test_daemon_stop(&d);
}

static void make_queue(test_daemon *d, const char *name)
{
    dureq_queue_options o = dureq_queue_options_init();
    dureq_error err = {0};

    if (dureq_client_set_queue(d->client, name, &o, /*only_if_missing=*/true, NULL, &err) < 0)
        fail_msg("%s", err.msg);
}

static dureq_schedule_list *schedule_of(test_daemon *d, const char *key)
{
    dureq_schedule_list *list = NULL;
    dureq_error err = {0};

    if (dureq_client_get_schedule_by_key(d->client, dureq_str_from(key), &list, &err) < 0 && err.code != DUREQ_ENOTFOUND)
        fail_msg("%s", err.msg);
    return list;
}

/* NULL: there is none of that key. */
static void expect_cron(test_daemon *d, const char *key, const char *cron)
{
    dureq_schedule_list *list = schedule_of(d, key);

    if (cron) {
        assert_non_null(list);
        assert_string_equal(list->items[0].schedule.cron_expr, cron);
    } else {
        assert_null(list);
    }
    dureq_schedule_list_destroy(list);
}

/* An occurrence's program finds which one it is. */
static void expect_context(test_daemon *d, const char *key)
{
    dureq_schedule_list *list = schedule_of(d, key);
    dureq_error err = {0};
    dureq_job_id job;

    assert_non_null(list);
    if (dureq_client_trigger_schedule(d->client, list->items[0].id.text, NULL, &job, &err) < 0)
        fail_msg("%s", err.msg);
    test_daemon_expect(d, &job, list->items[0].id.text);
    dureq_schedule_list_destroy(list);
}

static void schedules_are_taken_too(void **state)
{
    test_daemon d;

    (void)state;
    start(&d, "schedules",
          "schedules:\n" SCHEDULE("same", "1") SCHEDULE("changed", "1") SCHEDULE("gone", "1") "handlers:\n" KEEP);
    expect_cron(&d, "changed", "0 1 * * *");
    reload(&d, "schedules:\n" SCHEDULE("changed", "2") SCHEDULE("new", "3") SCHEDULE("same", "1") "handlers:\n" KEEP);
    assert_true(test_child_said(&d.c, "\"log_level\":\"info\",\"schedules\":2"));
    assert_true(test_child_said(&d.c, "\"schedule.kept\",\"key\":\"gone\""));
    assert_false(test_child_said(&d.c, "daemon.not_taken"));
    expect_cron(&d, "changed", "0 2 * * *");
    expect_cron(&d, "new", "0 3 * * *");
    expect_cron(&d, "same", "0 1 * * *");
    expect_cron(&d, "gone", "0 1 * * *");

    /* One that is refused by the server holds up neither others nor handlers, and is tried again. */
    reload(&d, "schedules:\n" SCHEDULE(
                   "changed",
                   "4") "  - {key: stuck, schedule: {type: CRON, cron_expr: '0 5 * * *'}, task_type: keep, queue: later}\n"
                        "handlers:\n"
                        "  - {type: t, exec: [echo, yes]}\n"
                        "  - {type: keep, exec: [sh, -c, 'test -n \"$DUREQ_SCHEDULED_AT\" && echo $DUREQ_SCHEDULE_ID']}\n");
    assert_true(test_child_said(&d.c, "\"schedule.refused\",\"key\":\"stuck\""));
    expect_cron(&d, "changed", "0 4 * * *");
    expect_cron(&d, "stuck", NULL);
    test_daemon_run(&d, "t", "1", "yes");
    make_queue(&d, "later");
    hup(&d, "daemon.reloaded");
    expect_cron(&d, "stuck", "0 5 * * *");

    expect_context(&d, "same");

    /* A fault in the file changes nothing. */
    write_config("schedules:\n" SCHEDULE("changed", "25") "handlers:\n" KEEP);
    hup(&d, "daemon.reload_failed");
    expect_cron(&d, "changed", "0 4 * * *");
    test_daemon_stop(&d);
}

/* Both signals are there when it looks: it stops, however long the settings take to read. */
static void a_stop_does_not_wait_for_what_is_being_read(void **state)
{
    test_daemon d;

    (void)state;
    start(&d, "stops", "schedules:\n" SCHEDULE("same", "1") "handlers:\n" KEEP);
    write_config("schedules:\n" SCHEDULE("same", "2") SCHEDULE("new", "3") "handlers:\n" KEEP);
    assert_int_equal(kill(d.c.pid, SIGSTOP), 0);
    assert_int_equal(kill(d.c.pid, SIGHUP), 0);
    assert_int_equal(kill(d.c.pid, SIGTERM), 0);
    assert_int_equal(kill(d.c.pid, SIGCONT), 0);
    assert_int_equal(test_child_end(&d.c), 0);
    assert_true(test_child_said(&d.c, "daemon.stopping"));
    assert_false(test_child_said(&d.c, "daemon.reloaded"));
    test_daemon_free(&d);
}

/* The flags are those of the start, the password among them, which was overwritten where the system shows it. */
static void flags_beat_the_file_again(void **state)
{
    test_daemon d;

    (void)state;
    dq_buf_deinit(&config);
    test_daemon_path("flags.yaml", &config);
    write_config("handlers:\n" KEEP);
    test_daemon_start_with(&d, "flags",
                           (const char *const[]){"--config", config.ptr, "--handler", "cli=exec:echo flag", "--log-level", "info",
                                                 "--redis-password", "hunter2", NULL});
    test_daemon_connect(&d);
    write_config("log: {level: debug}\nhandlers:\n  - {type: more, exec: [echo, more]}\n");
    hup(&d, "daemon.reloaded");
    assert_false(test_child_said(&d.c, "daemon.not_taken"));
    assert_true(test_child_said(&d.c, "\"added\":1,\"changed\":0,\"removed\":1,\"log_level\":\"info\""));
    test_daemon_run(&d, "cli", "1", "flag");
    test_daemon_run(&d, "more", "1", "more");
    write_config("handlers:\n  - {type: cli, exec: [echo, file]}\n");
    hup(&d, "daemon.reload_failed"); /* said twice */
    test_daemon_run(&d, "cli", "1", "flag");
    test_daemon_stop(&d);
}

/* Many times, under load: every job is done, once. */
static void jobs_flow_while_handlers_are_replaced(void **state)
{
    enum { JOBS = 300, TIMES = 40 };
    static const char *const texts[] = {
        "handlers:\n  - {type: a, exec: [sh, -c, 'echo $DUREQ_RUN_ID'], concurrency: 4}\n"
        "  - {type: b, exec: [sh, -c, 'echo $DUREQ_RUN_ID'], concurrency: 4}\n",
        "handlers:\n  - {type: 'a*', exec: [sh, -c, 'echo $DUREQ_RUN_ID'], concurrency: 2}\n",
        "handlers:\n  - {type: b, exec: [sh, -c, 'echo $DUREQ_RUN_ID'], concurrency: 8}\n"
        "  - {type: a, exec: [sh, -c, ': ; echo $DUREQ_RUN_ID'], concurrency: 1}\n",
    };
    dureq_job_id ids[JOBS];
    test_daemon d;

    (void)state;
    start(&d, "flow", texts[0]);
    for (int i = 0; i < JOBS; i++) {
        ids[i] = test_daemon_enqueue(&d, i % 2 ? "a" : "b", "1");
        if (i % (JOBS / TIMES) == 0)
            reload(&d, texts[i / (JOBS / TIMES) % (int)DQ_ARRAY_LEN(texts)]);
    }
    reload(&d, texts[0]);
    for (int i = 0; i < JOBS; i++) {
        char first_run[DUREQ_JOB_ID_LEN + 8];

        (void)snprintf(first_run, sizeof first_run, "%.*s.1", DUREQ_JOB_ID_LEN, ids[i].text);
        test_daemon_expect(&d, &ids[i], first_run);
    }
    test_daemon_stop(&d);
}

/* A node that serves a type no more does not keep its jobs from those that do. */
static void another_daemon_takes_what_was_removed(void **state)
{
    test_daemon d;
    test_child other = {0};
    dureq_job_id id;

    (void)state;
    start(&d, "two", "handlers:\n" KEEP "  - {type: t, exec: [echo, first]}\n");
    test_child_start(&other, (const char *const[]){"--redis", d.url.ptr, "--handler", "t=exec:echo second", "--log-format",
                                                   "json", "--lease-ms", "60000", "--builtins", "", NULL});
    test_child_wait_for(&other, "daemon.ready");
    for (int i = 0; i < 10; i++) { /* both wait for jobs of t */
        dureq_job_list *list = NULL;

        id = test_daemon_enqueue(&d, "t", "1");
        assert_int_equal(dureq_client_wait(d.client, id.text, TEST_DAEMON_WAIT_MS, &list, NULL), 0);
        dureq_job_list_destroy(list);
    }
    reload(&d, "handlers:\n" KEEP);
    for (int i = 0; i < 10; i++) {
        id = test_daemon_enqueue(&d, "t", "1");
        test_daemon_expect(&d, &id, "second"); /* much sooner than its next heartbeat */
    }
    assert_int_equal(kill(other.pid, SIGTERM), 0);
    assert_int_equal(test_child_end(&other), 0);
    test_child_free(&other);
    test_daemon_stop(&d);
}

static int end(void **state)
{
    dq_buf_deinit(&config);
    return test_daemon_remove_dir(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handlers_come_change_and_go),
        cmocka_unit_test(no_more_run_than_the_new_handler_allows),
        cmocka_unit_test(a_broken_file_changes_nothing),
        cmocka_unit_test(the_log_level_is_taken_and_the_rest_is_named),
        cmocka_unit_test(schedules_are_taken_too),
        cmocka_unit_test(a_stop_does_not_wait_for_what_is_being_read),
        cmocka_unit_test(flags_beat_the_file_again),
        cmocka_unit_test(jobs_flow_while_handlers_are_replaced),
        cmocka_unit_test(another_daemon_takes_what_was_removed),
    };

    return cmocka_run_group_tests(tests, test_daemon_make_dir, end);
}
