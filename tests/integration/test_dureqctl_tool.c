/* SPDX-License-Identifier: Apache-2.0 */
/* The commands stats, redis, doctor and bench. */
#include "test_ctl.h"

#include "json/json.h"

#include <signal.h>

SCENARIO(stats_count_by_state_and_by_day)
{
    CTL(0, "stats");
    EXPECT_HAS("history_bytes", ctl_out());
    (void)rig_enqueue("t", "1", NULL);
    CTL(0, "job", "cancel", rig_enqueue("t", "1", NULL).text);
    CTL(0, "stats", "-o", "json");
    EXPECT_HAS("{\"job_counts\":{\"pending\":1,\"cancelled\":1},", ctl_out());
    CTL(0, "stats", "--days", "3");
    EXPECT_U64(4, ctl_out_lines());
    EXPECT_HAS("ENQUEUED", ctl_out());
    CTL(0, "stats", "--days", "1", "-o", "ndjson");
    EXPECT_HAS("\"enqueued\":2,", ctl_out());
    EXPECT_HAS("\"cancelled\":1", ctl_out());
}

static int end_by_type(dureq_run *run, void *userdata)
{
    (void)userdata;
    return strcmp(dureq_run_task_type(run), "bad") == 0 ? dureq_run_fail(run, 0, "no such file") : DUREQ_OUTCOME_DONE;
}

/* The sum of a member over the rows, which are one or two minutes: the test may begin at the end of one. */
static int64_t sum_of(const char *name)
{
    dq_json doc = {0};
    int64_t sum = 0;

    EXPECT_RC(0, dq_json_parse(ctl_out_str(), &doc, NULL));
    for (dq_json_ref v = dq_json_first(&doc, 0); v != DQ_JSON_NONE; v = dq_json_next(&doc, 0, v)) {
        int64_t n = -1;

        EXPECT_RC(0, dq_json_i64(&doc, dq_json_member(&doc, v, name), &n));
        sum += n;
    }
    dq_json_deinit(&doc);
    return sum;
}

SCENARIO(stats_by_minute_hour_and_day_count_what_happened)
{
    static const char *const units[] = {"minute", "hour", "day"};
    dureq_job_options low = {.struct_size = sizeof low, .queue = "low"};

    (void)rig_node("n", "*", end_by_type, NULL);
    (void)rig_wait(rig_enqueue("good", "1", NULL).text);
    (void)rig_wait(rig_enqueue("good", "2", &low).text);
    (void)rig_wait(rig_enqueue("bad", "3", NULL).text);
    for (size_t i = 0; i < DQ_ARRAY_LEN(units); i++) {
        CTL(0, "stats", "--by", units[i], "--last", "2", "-o", "json");
        EXPECT_I64(3, sum_of("enqueued"));
        EXPECT_I64(2, sum_of("processed"));
        EXPECT_I64(1, sum_of("failed"));
        EXPECT_I64(1, sum_of("dead"));
        EXPECT_HAS("\"wait_ms\":{\"p50\":", ctl_out());
        EXPECT_HAS("\"run_ms\":{\"p50\":", ctl_out());
    }
    CTL(0, "stats", "--by", "hour", "--last", "2", "--type", "ba*", "-o", "json");
    EXPECT_I64(0, sum_of("processed"));
    EXPECT_I64(1, sum_of("failed"));
    CTL(0, "stats", "--by", "hour", "--last", "2", "--queue", "low", "-o", "json");
    EXPECT_I64(1, sum_of("enqueued"));
    CTL(0, "stats", "--by", "day", "--last", "3");
    EXPECT_U64(4, ctl_out_lines());
    EXPECT_HAS("WAIT P50", ctl_out());
    EXPECT_HAS(" ago ", ctl_out());
    ctl_terminal(80);
    CTL(0, "stats", "--by", "day", "--last", "3");
    EXPECT_HAS("FAILED", ctl_out());
    EXPECT_HAS("RUN P50", ctl_out());
    EXPECT_HAS("P95", strstr(ctl_out(), "RUN P50"));
    ctl_reset();
    CTL_FAILS(3, "no queue 'nowhere'", "stats", "--queue", "nowhere");
    CTL_FAILS(2, "--by takes minute, hour or day, not 'year'", "stats", "--by", "year");
    CTL_FAILS(2, "--watch takes a duration of 100ms or more", "stats", "--watch", "1ms");
    CTL_FAILS(2, "--last takes a whole number from 1 to 1440", "stats", "--by", "day", "--last", "0");
}

SCENARIO(stats_are_watched_until_a_signal_comes)
{
    ctl_begin((const char *const[]){"stats", "--by", "minute", "--last", "1", "--watch", "100ms", NULL});
    while (ctl_out_lines() < 6)
        ctl_read_some();
    ctl_signal(SIGTERM);
    EXPECT_I64(128 + SIGTERM, ctl_end());
}

SCENARIO(dead_jobs_are_grouped_and_found_by_error)
{
    (void)rig_node("n", "*", end_by_type, NULL);
    for (int i = 0; i < 3; i++)
        (void)rig_wait(rig_enqueue("bad", "1", NULL).text);
    CTL(0, "dlq", "list", "--group", "error");
    EXPECT_HAS("   3  no such file", ctl_out());
    EXPECT_U64(2, ctl_out_lines());
    CTL(0, "dlq", "list", "--group", "type", "-o", "json");
    EXPECT_HAS("[{\"count\":3,\"task_type\":\"bad\",", ctl_out());
    CTL(0, "job", "list", "--text", "NO SUCH file", "-o", "ndjson");
    EXPECT_U64(3, ctl_out_lines());
    CTL(0, "job", "list", "--text", "no such word", "-o", "ndjson");
    EXPECT_U64(0, ctl_out_lines());
    CTL_FAILS(2, "--group takes error or type, not 'day'", "dlq", "list", "--group", "day");
    CTL_FAILS(2, "it goes with filters only", "dlq", "list", "--group", "type", "--limit", "3");
    CTL_FAILS(2, "unknown option '--group'", "job", "list", "--group", "type");
}

SCENARIO(redis_shows_sections_of_the_server)
{
    CTL(0, "redis");
    EXPECT_HAS("\n# memory\n", ctl_out());
    EXPECT_HAS("redis_version", ctl_out());
    CTL(0, "redis", "--section", "memory");
    EXPECT_HAS("used_memory", ctl_out());
    EXPECT_TRUE(!strstr(ctl_out(), "redis_version"));
    CTL(0, "redis", "--section", "memory", "-o", "json");
    EXPECT_TRUE(dq_json_valid(ctl_out_str()));
    CTL_FAILS(2, "not 'nonsense'", "redis", "--section", "nonsense");
    CTL_FAILS(2, "'redis' takes no 'memory'", "redis", "memory");
}

SCENARIO(doctor_counts_what_is_there_and_finds_nothing)
{
    (void)rig_enqueue("t", "1", NULL);
    CTL(0, "doctor");
    EXPECT_HAS("No fault.\n", ctl_out());
    CTL(0, "doctor", "-q");
    EXPECT_TEXT("No fault.\n", ctl_out());
    CTL(0, "doctor", "-o", "json");
    EXPECT_TRUE(dq_json_valid(ctl_out_str()));
    EXPECT_HAS("\"found\":0,", ctl_out());
    CTL(0, "doctor", "-o", "ndjson");
    EXPECT_U64(1, ctl_out_lines());
    EXPECT_TRUE(dq_json_valid(ctl_out_str()));
    EXPECT_HAS("{\"counts\":{", ctl_out());
    EXPECT_HAS("\"pending\":1,", ctl_out());
    EXPECT_HAS("\"found\":0,", ctl_out());
    CTL(0, "doctor", "-o", "csv");
    EXPECT_HAS("count,,pending,1,\r\n", ctl_out());
    CTL_FAILS(2, "'doctor' takes no 'now'", "doctor", "now");
}

/* A key of the prefix that has no business there. */
static void plant(const char *name)
{
    char key[128];

    (void)snprintf(key, sizeof key, "{%s:0}:%s", rig.prefix, name);
    free(test_redis_command(rig.server, "SET", key, "x", NULL));
    rig.is_damaged = true;
}

SCENARIO(doctor_ends_with_1_when_it_finds_a_fault)
{
    (void)rig_enqueue("t", "1", NULL);
    plant("h:not-a-bucket:0");
    CTL(1, "doctor");
    EXPECT_HAS("FAULT", ctl_out());
    EXPECT_HAS("not-a-bucket", ctl_out());
    CTL(1, "doctor", "-o", "csv");
    EXPECT_HAS("fault,job,key,text,repair\r\n", ctl_out());
    EXPECT_HAS("wrong_type,,", ctl_out());
    EXPECT_HAS("count,,pending,1,\r\n", ctl_out());
    CTL(1, "doctor", "-o", "ndjson");
    EXPECT_U64(2, ctl_out_lines());
    CTL(1, "doctor", "-o", "json");
    EXPECT_TRUE(dq_json_valid(ctl_out_str()));
    EXPECT_TRUE(!strstr(ctl_out(), "\"found\":0,"));
}

SCENARIO(bench_measures_beside_the_prefix_and_leaves_it_alone)
{
    (void)rig_enqueue("bench.noop", "1", NULL);
    CTL(0, "bench", "--jobs", "500", "--payload", "64", "--concurrency", "8", "--batch", "100");
    EXPECT_HAS("jobs_per_second", ctl_out());
    CTL(0, "bench", "--jobs", "100", "-o", "json");
    EXPECT_HAS("{\"jobs\":100,\"payload_bytes\":200,\"seconds\":", ctl_out());
    EXPECT_I64(1, rig_counts().pending);
    EXPECT_I64(0, rig_counts().completed);
}

SCENARIO(bad_values_of_a_bench_are_named)
{
    CTL_FAILS(2, "--jobs takes a whole number from 1 to 100000000, not '0'", "bench", "--jobs", "0");
    CTL_FAILS(2, "--payload takes a whole number from 16 to 1048576", "bench", "--payload", "1");
    CTL_FAILS(2, "--concurrency takes a whole number from 1", "bench", "--concurrency", "-1");
    CTL_FAILS(2, "--batch takes a whole number from 1", "bench", "--batch", "x");
    CTL_FAILS(2, "'bench' takes no 'fast'", "bench", "fast");
    CTL_FAILS(6, "cannot connect", "bench", "-s", "redis://127.0.0.1:1");
}

RIG_MAIN()
