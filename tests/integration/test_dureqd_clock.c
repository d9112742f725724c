/* SPDX-License-Identifier: Apache-2.0 */
/* The wall clock of a node decides nothing: it is set while schedules come round. */
#include "fault_wait.h"
#include "redis_server.h"
#include "test_build.h"
#include "test_daemon.h"

#include <dureq/dureq.h>

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static dq_buf clock_path;

static void set_clock(int64_t seconds)
{
    int fd = open(clock_path.ptr, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, &seconds, sizeof seconds, 0), sizeof seconds);
    assert_int_equal(close(fd), 0);
}

/* Only the daemon has that clock. */
static void start_with_clock(test_daemon *d, const char *url)
{
    DQ_BUF_AUTO preload = {0};

    *d = (test_daemon){0};
    dq_buf_append_fmt(&preload, "%s/tests/test_clock.so", getenv("DUREQ_TEST_BUILD"));
    test_daemon_path("clock", &clock_path);
    set_clock(0);
    assert_int_equal(setenv("DUREQ_TEST_CLOCK", clock_path.ptr, 1), 0);
    assert_int_equal(setenv("LD_PRELOAD", preload.ptr, 1), 0);
    test_child_start(&d->c, (const char *const[]){"--redis-url", url, "--lease-ms", "500", "--log-format", "json", "--handler",
                                                  "t=exec:true", NULL});
    (void)unsetenv("LD_PRELOAD");
    (void)unsetenv("DUREQ_TEST_CLOCK");
    test_child_wait_for(&d->c, "\"event\":\"daemon.ready\"");
    dq_buf_append_text(&d->url, url);
    test_daemon_connect(d);
}

typedef struct watched {
    test_daemon *d;
    dureq_job_id id;
    int64_t wanted;
} watched;

static dureq_schedule_list *read_schedule(const watched *w)
{
    dureq_schedule_list *list = NULL;
    dureq_error err = {0};

    if (dureq_client_get_schedule(w->d->client, w->id.text, &list, &err) < 0)
        fail_msg("%s", err.msg);
    return list;
}

static bool has_dispatched(void *userdata)
{
    const watched *w = userdata;
    dureq_schedule_list *list = read_schedule(w);
    bool has = list->items[0].n_dispatched >= w->wanted;

    dureq_schedule_list_destroy(list);
    return has;
}

/* Two more come round, and each since the beginning was dispatched, none twice. */
static void expect_goes_on(watched *w)
{
    dureq_schedule_list *list = read_schedule(w);
    const dureq_schedule_info *info;

    w->wanted = list->items[0].n_dispatched + 2;
    dureq_schedule_list_destroy(list);
    if (!fault_wait(TEST_DAEMON_WAIT_MS, has_dispatched, w))
        fail_msg("nothing comes round any more: %s", w->d->c.out.ptr);
    list = read_schedule(w);
    info = &list->items[0];
    assert_int_equal(info->n_skipped, 0);
    assert_int_equal(info->n_dispatched, info->next_at_ms / 1000 - info->created_at_ms / 1000 - 1);
    for (size_t i = 1; i < info->n_records; i++)
        assert_int_equal(info->records[i].first_ms, info->records[i - 1].first_ms - 1000);
    dureq_schedule_list_destroy(list);
}

/* It did have that clock: by it the log says when it stopped. */
static void expect_told_by_its_clock(test_daemon *d, int64_t ahead_s)
{
    time_t at = time(NULL) + ahead_s;
    struct tm tm;
    char day[32];

    assert_non_null(gmtime_r(&at, &tm));
    assert_true(strftime(day, sizeof day, "\"%Y-%m-%dT%H:", &tm) > 0);
    assert_int_equal(kill(d->c.pid, SIGTERM), 0);
    assert_int_equal(test_child_end(&d->c), 0);
    assert_true(test_child_said(&d->c, day));
    test_daemon_free(d);
}

static void when_a_nodes_clock_is_set_schedules_do_not_notice(void **state)
{
    static const int64_t at_s[] = {7200, -7200, 86400, 0, -86400};
    test_redis *server = test_redis_start(NULL);
    dureq_schedule s = dureq_schedule_init();
    dureq_job_spec spec = {.task_type = "t", .payload = DQ_STR_LIT("1")};
    dureq_error err = {0};
    test_daemon d;
    watched w = {.d = &d};

    (void)state;
    if (TEST_SANITIZED) { /* whose runtime must be loaded first */
        test_redis_stop(server);
        skip();
    }
    start_with_clock(&d, test_redis_url(server));
    s.type = DUREQ_SCHEDULE_DURATION;
    s.interval_ms = 1000;
    if (dureq_client_create_schedule(d.client, &s, &spec, &w.id, &err) < 0)
        fail_msg("%s", err.msg);
    expect_goes_on(&w);
    for (size_t i = 0; i < sizeof at_s / sizeof *at_s; i++) {
        set_clock(at_s[i]);
        expect_goes_on(&w);
    }
    expect_told_by_its_clock(&d, at_s[sizeof at_s / sizeof *at_s - 1]);
    test_redis_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(when_a_nodes_clock_is_set_schedules_do_not_notice),
    };
    int failed = cmocka_run_group_tests(tests, test_daemon_make_dir, test_daemon_remove_dir);

    dq_buf_deinit(&clock_path);
    return failed;
}
