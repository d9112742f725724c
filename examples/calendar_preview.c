/* SPDX-License-Identifier: Apache-2.0 */

/* What a schedule means, before it is created: a sentence, and its next times. No server is needed.

   The three definitions show what becomes of them when clocks are set forward: the daily one keeps its time of day and makes up for
   the one that does not exist, the hourly one follows elapsed time, and the one that may not be late is left out.

       calendar_preview [zone]                 America/New_York unless given */

#include <dureq/schedule.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#define N_TIMES 4
#define FROM_MS INT64_C(1772942400000) /* 2026-03-08T04:00:00Z: three hours before clocks go forward in New York */

static void print_utc(int64_t at_ms)
{
    time_t at = (time_t)(at_ms / 1000);
    char text[32] = "";
    struct tm *tm = gmtime(&at);

    if (tm)
        (void)strftime(text, sizeof text, "%a %Y-%m-%dT%H:%M:%SZ", tm);
    printf("  %s\n", text);
}

static int show(const dureq_schedule *schedule, dureq_error *err)
{
    int64_t at_ms[N_TIMES];
    char sentence[512];
    size_t n = 0;
    int rc;

    rc = dureq_schedule_explain(schedule, FROM_MS, sentence, sizeof sentence, err);
    if (rc < 0)
        return rc;
    rc = dureq_schedule_preview(schedule, FROM_MS, N_TIMES, at_ms, &n, err);
    if (rc < 0)
        return rc;
    printf("%s\n", sentence);
    for (size_t i = 0; i < n; i++)
        print_utc(at_ms[i]);
    return 0;
}

int main(int argc, char **argv)
{
    static const dureq_at_time half_past_two = {2, 30, 0};
    dureq_schedule daily = dureq_schedule_init(), hourly = dureq_schedule_init(), strict;
    const char *zone = argc > 1 ? argv[1] : "America/New_York";
    dureq_error err = {0};
    int rc;

    daily.type = DUREQ_SCHEDULE_DAILY;
    daily.at_times = &half_past_two;
    daily.n_at_times = 1;
    daily.timezone = zone;

    hourly.type = DUREQ_SCHEDULE_CRON;
    hourly.cron_expr = "30 * * * *";
    hourly.timezone = zone;

    strict = daily;
    strict.gap = DUREQ_GAP_SKIP;

    rc = show(&daily, &err);
    if (rc == 0)
        rc = show(&hourly, &err);
    if (rc == 0)
        rc = show(&strict, &err);
    if (rc < 0) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }

    /* What is wrong is told with its place. */
    hourly.cron_expr = "0 22-2 * * *";
    rc = show(&hourly, &err);
    printf("%s: %s\n", dureq_errcode_name(rc), err.msg);
    return rc < 0 ? 0 : 1;
}
