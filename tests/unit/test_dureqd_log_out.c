/* SPDX-License-Identifier: Apache-2.0 */
#include "log_out.h"

#include "json/json.h"
#include "notify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define AT_MS 1700000000123

static const struct format_case {
    dureq_log_level level;
    const char *text, *as_text, *as_json;
} format_cases[] = {
    {DUREQ_LOG_INFO, "job=j1 late_ms=12", "info  e.x job=j1 late_ms=12",
     "\"level\":\"info\",\"event\":\"e.x\",\"job\":\"j1\",\"late_ms\":12}"},
    {DUREQ_LOG_WARN, "no pairs here", "warn  e.x no pairs here",
     "\"level\":\"warn\",\"event\":\"e.x\",\"msg\":\"no pairs here\"}"},
    {DUREQ_LOG_ERROR, "it died last=\"a b\" rc=-3 now", "error e.x it died last=\"a b\" rc=-3 now",
     "\"level\":\"error\",\"event\":\"e.x\",\"last\":\"a b\",\"rc\":-3,\"msg\":\"it died now\"}"},
    {DUREQ_LOG_DEBUG, "level=9 k= open=\"x y", "debug e.x level=9 k= open=\"x y",
     "\"level\":\"debug\",\"event\":\"e.x\",\"k\":\"\",\"open\":\"\\\"x\",\"msg\":\"level=9 y\"}"},
    {DUREQ_LOG_INFO, "job=007 n=0 m=-0 k=-07", "info  e.x job=007 n=0 m=-0 k=-07",
     "\"level\":\"info\",\"event\":\"e.x\",\"job\":\"007\",\"n\":0,\"m\":\"-0\",\"k\":\"-07\"}"},
    {DUREQ_LOG_INFO, "", "info  e.x ", "\"level\":\"info\",\"event\":\"e.x\"}"},
    {DUREQ_LOG_INFO, "k=a\x1b[31m", "info  e.x k=a?[31m", "\"level\":\"info\",\"event\":\"e.x\",\"k\":\"a\\u001b[31m\"}"},
    {DUREQ_LOG_INFO, "Url=http://x?a=b 1x=2", "info  e.x Url=http://x?a=b 1x=2",
     "\"level\":\"info\",\"event\":\"e.x\",\"msg\":\"Url=http://x?a=b 1x=2\"}"},
};

static void records_become_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(format_cases); i++) {
        const struct format_case *c = &format_cases[i];
        dureq_log_record r = {.level = c->level, .event = "e.x", .text = c->text, .file = "f.c", .line = 1};
        DQ_BUF_AUTO text = {0};
        DQ_BUF_AUTO json = {0};
        DQ_BUF_AUTO want = {0};

        dq_log_out_format(DQ_LOG_TEXT, &r, AT_MS, &text);
        dq_buf_append_fmt(&want, "2023-11-14T22:13:20.123Z %s\n", c->as_text);
        assert_string_equal(text.ptr, want.ptr);

        dq_log_out_format(DQ_LOG_JSON, &r, AT_MS, &json);
        assert_true(dq_json_valid(dureq_str_of(json.ptr, json.len - 1)));
        dq_buf_clear(&want);
        dq_buf_append_fmt(&want, "{\"time\":\"2023-11-14T22:13:20.123Z\",%s\n", c->as_json);
        assert_string_equal(json.ptr, want.ptr);
    }
}

static void the_service_manager_hears_states(void **state)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char dir[] = "/tmp/dureqd-notify-XXXXXX", got[64] = "";
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(addr.sun_path, sizeof addr.sun_path, "%s/n", dir);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);

    dq_notify("READY=1"); /* no socket is named: nothing happens */
    assert_int_equal(setenv("NOTIFY_SOCKET", addr.sun_path, 1), 0);
    dq_notify("STOPPING=1");
    assert_int_equal(recv(fd, got, sizeof got - 1, MSG_DONTWAIT), 10);
    assert_string_equal(got, "STOPPING=1");
    assert_int_equal(unlink(addr.sun_path), 0);
    dq_notify("WATCHDOG=1"); /* nobody listens: nothing happens */
    (void)close(fd);
    (void)rmdir(dir);
    (void)unsetenv("NOTIFY_SOCKET");
}

static void the_watchdog_is_fed_twice_as_often_as_it_must(void **state)
{
    char pid[24];

    (void)state;
    assert_int_equal(dq_notify_watchdog_every_us(), 0);
    (void)setenv("WATCHDOG_USEC", "3000000", 1);
    assert_int_equal(dq_notify_watchdog_every_us(), 1500000);
    (void)setenv("WATCHDOG_PID", "1", 1);
    assert_int_equal(dq_notify_watchdog_every_us(), 0);
    (void)snprintf(pid, sizeof pid, "%d", (int)getpid());
    (void)setenv("WATCHDOG_PID", pid, 1);
    assert_int_equal(dq_notify_watchdog_every_us(), 1500000);
    (void)setenv("WATCHDOG_USEC", "soon", 1);
    assert_int_equal(dq_notify_watchdog_every_us(), 0);
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_become_lines),
        cmocka_unit_test(the_service_manager_hears_states),
        cmocka_unit_test(the_watchdog_is_fed_twice_as_often_as_it_must),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
