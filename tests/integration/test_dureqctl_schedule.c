/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of schedules: those that ask no server, and those that do. */
#include "test_ctl.h"

#include <stdlib.h>
#include <unistd.h>

#define FROM  "--from", "2026-03-06T00:00:00Z"
#define NY    "--timezone", "America/New_York"
#define JSON_ "-o", "json"

SCENARIO(a_preview_needs_no_server_and_shows_local_times)
{
    ctl_reset();
    ctl_env("DUREQ_SERVER", "unix:///nonexistent/dureq.sock");
    CTL(0, "schedule", "preview", "--cron", "30 2 * * *", NY, FROM, "-n", "3", JSON_);
    EXPECT_TEXT("[\"2026-03-06T02:30:00-05:00\",\"2026-03-07T02:30:00-05:00\",\"2026-03-08T03:00:00-04:00\"]\n", ctl_out());
    CTL(0, "schedule", "preview", "--cron", "30 2 * * *", NY, FROM, "-n", "3", "-o", "ndjson", "--gap", "skip");
    EXPECT_TEXT("\"2026-03-06T02:30:00-05:00\"\n\"2026-03-07T02:30:00-05:00\"\n\"2026-03-09T02:30:00-04:00\"\n", ctl_out());
    CTL(0, "schedule", "preview", "--daily", "09:00,18:00:30", NY, FROM, "--n=2", "-o", "csv");
    EXPECT_TEXT(
        "time,utc\r\n2026-03-06T09:00:00-05:00,2026-03-06T14:00:00Z\r\n2026-03-06T18:00:30-05:00,2026-03-06T23:00:30Z\r\n",
        ctl_out());
    CTL(0, "schedule", "preview", "--weekly", "MON,fri@10:00", "--each", "2", FROM, "-n", "3");
    EXPECT_TEXT("TIME                       DAY  UTC\n"
                "2026-03-06T10:00:00Z       Fri  2026-03-06T10:00:00Z\n"
                "2026-03-16T10:00:00Z       Mon  2026-03-16T10:00:00Z\n"
                "2026-03-20T10:00:00Z       Fri  2026-03-20T10:00:00Z\n",
                ctl_out());
    CTL(0, "schedule", "preview", "--monthly", "1,31@00:00", FROM, "-n", "2", JSON_);
    EXPECT_TEXT("[\"2026-03-31T00:00:00Z\",\"2026-04-01T00:00:00Z\"]\n", ctl_out());
    CTL(0, "schedule", "preview", "--every", "90s", FROM, "-n", "2", JSON_);
    EXPECT_TEXT("[\"2026-03-06T00:01:30Z\",\"2026-03-06T00:03:00Z\"]\n", ctl_out());
    CTL(0, "schedule", "preview", "--every", "90s", "--starts-at", "2026-03-07T00:00:00Z", "--ends-at", "2026-03-07T00:02:00Z",
        FROM, JSON_);
    EXPECT_TEXT("[\"2026-03-07T00:00:00Z\",\"2026-03-07T00:01:30Z\"]\n", ctl_out());
    CTL(0, "schedule", "preview", "--cron", "30 1 * * *", NY, "--from", "2026-11-01T00:00:00Z", "-n", "2", "--overlap-hour",
        "both", JSON_);
    EXPECT_TEXT("[\"2026-11-01T01:30:00-04:00\",\"2026-11-01T01:30:00-05:00\"]\n", ctl_out());
    CTL(0, "schedule", "preview", "--definition", "{\"type\":\"DAILY\",\"at_times\":[{\"hour\":9}],\"timezone\":\"Asia/Tokyo\"}",
        FROM, "-n", "1", JSON_);
    EXPECT_TEXT("[\"2026-03-07T09:00:00+09:00\"]\n", ctl_out());
    CTL(0, "schedule", "preview", "--cron", "@hourly");
    EXPECT_I64(11, (int64_t)ctl_out_lines());
    ctl_reset();
}

SCENARIO(explain_is_one_sentence)
{
    ctl_reset();
    CTL(0, "schedule", "explain", "--cron", "30 2 * * *", "--timezone", "Asia/Tokyo");
    EXPECT_TEXT("At 02:30 every day, time of Asia/Tokyo.\n", ctl_out());
    CTL(0, "schedule", "explain", "--cron", "30 2 * * *", NY, FROM);
    EXPECT_HAS("America/New_York; with daylight saving time, a time that is skipped fires at the first instant after the gap",
               ctl_out());
    CTL(0, "schedule", "explain", "--every", "30s", JSON_);
    EXPECT_TEXT("{\"text\":\"Every 30s of elapsed time, counted from when it is created.\"}\n", ctl_out());
    CTL(0, "schedule", "explain", "--weekly", "sun@00:00", "-o", "csv");
    EXPECT_TEXT("text\r\n\"At 00:00 on Sundays, UTC.\"\r\n", ctl_out());
    ctl_reset();
}

SCENARIO(what_is_wrong_is_refused_with_field_and_place)
{
    static const struct {
        const char *args[8], *says;
    } rows[] = {
        {{NULL}, "needs one of --cron, --daily, --weekly, --monthly, --every and --definition"},
        {{"--cron", "@daily", "--every", "5s"}, "not several"},
        {{"--cron", "30 2"}, "--cron, column 5: 2 fields"},
        {{"30", "2"}, "takes no '30': put a cron expression in quotes"},
        {{"--cron", "0 25 * * *"}, "--cron, column 3: hour takes 0 to 23, not '25'"},
        {{"--cron", "0 22-2 * * *"}, "--cron, column 3: hour range '22-2' runs backwards: write '22-23,0-2'"},
        {{"--cron", "61 0 0 * * *"}, "--cron, column 1: second takes 0 to 59, not '61'"},
        {{"--cron", "@reboot"}, "--cron, column 1: @reboot is not taken"},
        {{"--cron", "0 0 1 1 * 2027"}, "--cron, column 11: a year field"},
        {{"--cron", "0 0 31 2 *"}, "--cron, column 5: it never fires"},
        {{"--cron", "TZ=Europe/Paris @daily", "--timezone", "Europe/Berlin"},
         "--cron, column 4: its time zone 'Europe/Paris' is not"},
        {{"--cron", "@daily", "--timezone", "Europe/Berln"},
         "timezone: unknown time zone 'Europe/Berln': the nearest is 'Europe/Berlin'"},
        {{"--cron", "@daily", "--timezone", "Mars"}, "timezone: unknown time zone 'Mars'"},
        {{"--cron", "30 2 * 3 0#2", NY, "--gap", "skip"}, "gap: 'skip' leaves out every occurrence: in America/New_York"},
        {{"--cron", "@daily", "--each", "2"}, "regular_interval is no field of a schedule of type CRON"},
        {{"--cron", "@daily", "--gap", "before"}, "--gap takes after or skip, not 'before'"},
        {{"--cron", "@daily", "--overlap-hour", "last"}, "--overlap-hour takes first or both, not 'last'"},
        {{"--cron", "@daily", "-n", "0"}, "--n takes a whole number from 1 to 10000, not '0'"},
        {{"--cron", "@daily", "-n", "10001"}, "--n takes a whole number from 1 to 10000"},
        {{"--cron", "@daily", "--from", "whenever"}, "--from takes a time, not 'whenever'"},
        {{"--cron", "@daily", "--ends-at", "2020-01-01T00:00:00Z"}, "--ends-at is before the next occurrence"},
        {{"--cron", "@daily", "--starts-at", "2026-03-07T00:00:00Z", "--ends-at", "2026-03-06T00:00:00Z"},
         "--ends-at is before --starts-at"},
        {{"--cron", "@daily", "--starts-at", "2026-13-07T00:00:00Z"}, "--starts-at takes a time, not '2026-13-07T00:00:00Z'"},
        {{"--daily", "9"}, "--daily takes times such as 09:00,18:30:15, not '9'"},
        {{"--daily", "24:00"}, "--daily takes times"},
        {{"--daily", "09:60"}, "--daily takes times"},
        {{"--daily", "09:00:60"}, "--daily takes times"},
        {{"--daily", "09:00,"}, "--daily takes times such as 09:00,18:30:15, not ''"},
        {{"--daily", "09:00", "--each", "0"}, "--each takes a whole number from 1 to 10000"},
        {{"--weekly", "mon"}, "'@09:00' is missing"},
        {{"--weekly", "@09:00"}, "--weekly takes days from sun to sat"},
        {{"--weekly", "mon,day@09:00"}, "--weekly takes days from sun to sat, an @ and times of day, not 'day'"},
        {{"--monthly", "0@09:00"}, "--monthly takes days from 1 to 31, an @ and times of day, not '0'"},
        {{"--monthly", "32@09:00"}, "--monthly takes days from 1 to 31"},
        {{"--monthly", "1@9am"}, "--monthly takes times such as 09:00,18:30:15, not '9am'"},
        {{"--monthly", "30@09:00", "--each", "12", "--starts-at", "2026-02-01T00:00:00Z"}, "included_days never comes"},
        {{"--every", "0s"}, "--every takes a duration of whole seconds, at least 1s"},
        {{"--every", "500ms"}, "--every takes a duration of whole seconds"},
        {{"--every", "30"}, "--every takes a duration of whole seconds, at least 1s, such as 30s or 1h30m, not '30'"},
        {{"--every", "1500ms"}, "--every takes whole seconds, from 1s to 400 years"},
        {{"--every", "5s", "--gap", "skip"}, "--gap is no field of a schedule of type DURATION"},
        {{"--definition", "{"}, "--definition: line 1, column 2"},
        {{"--definition", "{\"type\":\"CRON\",\"cron\":\"@daily\"}"}, "--definition: unknown field 'cron'"},
        {{"--definition", "{\"type\":\"DURATION\",\"interval\":\"5s\"}", NY}, "--definition stands alone"},
        {{"--definition", "{\"type\":\"ONE_TIME\",\"run_at\":\"2020-01-01T00:00:00Z\"}"}, "run_at is in the past"},
        {{"--crom", "@daily"}, "unknown option '--crom'"},
    };

    ctl_reset();
    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++)
        for (int turn = 0; turn < 2; turn++) {
            const char *args[12] = {"schedule", turn ? "explain" : "preview"};

            for (size_t k = 0; k < DQ_ARRAY_LEN(rows[i].args); k++)
                args[k + 2] = rows[i].args[k];
            EXPECT_NOTE("row %zu: %s", i, rows[i].says);
            ctl_expect(2, args, __FILE__, __LINE__);
            EXPECT_TEXT("", ctl_out());
            EXPECT_HAS(rows[i].says, ctl_err());
        }
    ctl_reset();
}

SCENARIO(help_tells_the_options)
{
    ctl_reset();
    CTL(0, "help", "schedule", "preview");
    EXPECT_HAS("--overlap-hour first|both", ctl_out());
    EXPECT_HAS("-n N", ctl_out());
    CTL(0, "help", "schedule");
    EXPECT_HAS("schedule explain", ctl_out());
    ctl_reset();
}

/* What was printed, up to the end of the line; valid until the next but 3. */
static const char *printed(void)
{
    static char kept[4][64];
    static int at;

    at = (at + 1) % 4;
    (void)snprintf(kept[at], sizeof kept[at], "%.*s", (int)strcspn(ctl_out(), "\n"), ctl_out());
    return kept[at];
}

SCENARIO(a_schedule_is_made_shown_and_deleted)
{
    const char *id;

    ctl_reset();
    CTL(0, "schedule", "create", "t", "{\"a\":1}", "--cron", "0 3 * * *", "--overlap", "SKIP", "--queue", "low", "--tag",
        "night");
    id = printed();
    EXPECT_I64(20, (int64_t)strlen(id));
    CTL(0, "schedule", "get", id);
    EXPECT_HAS("active", ctl_out());
    EXPECT_HAS("\"overlap_policy\":\"SKIP\"", ctl_out());
    EXPECT_HAS("low", ctl_out());
    CTL(0, "schedule", "list");
    EXPECT_HAS(id, ctl_out());
    CTL(0, "schedule", "pause", id);
    CTL(0, "schedule", "list", JSON_);
    EXPECT_HAS("\"status\":\"paused\"", ctl_out());
    CTL(0, "schedule", "resume", id);
    CTL(0, "schedule", "trigger", id);
    EXPECT_I64(20, (int64_t)strlen(printed()));
    CTL(0, "schedule", "trigger", id);
    EXPECT_HAS("another one is active", ctl_out());
    CTL(0, "schedule", "get", id);
    EXPECT_HAS("overlap", ctl_out());
    CTL(0, "schedule", "backfill", id, "--from", "2026-01-01", "--to", "2026-01-03", "--policy", "ALLOW_ALL");
    EXPECT_HAS(" jobs\n", ctl_out());
    CTL(0, "schedule", "edit", id, "--cron", "0 4 * * *");
    CTL(0, "schedule", "get", id);
    EXPECT_HAS("\"cron_expr\":\"0 4 * * *\",\"overlap_policy\":\"SKIP\"", ctl_out());
    CTL(0, "schedule", "edit", id, "u", "[2]");
    CTL(0, "schedule", "get", id, JSON_);
    EXPECT_HAS("\"task_type\":\"u\"", ctl_out());
    EXPECT_HAS("\"cron_expr\":\"0 4 * * *\"", ctl_out());
    CTL(0, "schedule", "delete", id);
    CTL_FAILS(3, "no schedule", "schedule", "get", id);
    ctl_reset();
}

SCENARIO(a_list_shows_schedules_as_people_read_them)
{
    static const struct {
        const char *args[8], *says;
    } rows[] = {
        {{"--cron", "0 3 * * *"}, "0 3 * * *  "},
        {{"--cron", "@daily", "--timezone", "Europe/Berlin", "--overlap", "SKIP"}, "@daily Europe/Berlin"},
        {{"--every", "5m"}, "every 5m  "},
        {{"--every", "36h"}, "every 36h  "},
        {{"--every", "90s"}, "every 1m30s"},
        {{"--daily", "18:00,09:00", "--timezone", "Asia/Tokyo"}, "daily at 18:00,09:00 Asia/Tokyo"},
        {{"--daily", "09:00:05", "--each", "3"}, "every 3 days at 09:00:05"},
        {{"--weekly", "mon,fri@10:00"}, "weekly on mon,fri at 10:00"},
        {{"--monthly", "1,15@00:00", "--each", "2"}, "every 2 months on 1,15 at 00:00"},
    };

    ctl_reset();
    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        const char *args[16] = {"schedule", "put", "--key", "k", "t"};
        size_t n = 5;

        for (size_t k = 0; k < DQ_ARRAY_LEN(rows[i].args) && rows[i].args[k]; k++)
            args[n++] = rows[i].args[k];
        EXPECT_NOTE("%s", rows[i].says);
        ctl_expect(0, args, __FILE__, __LINE__);
        CTL(0, "schedule", "list");
        EXPECT_HAS(rows[i].says, ctl_out());
        EXPECT_TRUE(!strchr(ctl_out(), '{'));
        CTL(0, "schedule", "list", "-o", "csv");
        EXPECT_HAS("\"\"type\"\"", ctl_out()); /* programs get it whole */
    }
    ctl_reset();
}

SCENARIO(a_put_says_what_it_did)
{
    ctl_reset();
    CTL(0, "schedule", "put", "--key", "k", "t", "1", "--every", "1h", JSON_);
    EXPECT_HAS("\"status\":\"created\"", ctl_out());
    CTL(0, "schedule", "put", "--key", "k", "t", "1", "--every", "1h", JSON_);
    EXPECT_HAS("\"status\":\"same\"", ctl_out());
    CTL(0, "schedule", "put", "--key", "k", "t", "1", "--every", "2h", "--jitter", "1m", JSON_);
    EXPECT_HAS("\"status\":\"changed\"", ctl_out());
    CTL(0, "schedule", "get", "--key", "k");
    EXPECT_HAS("\"interval\":\"2h0m0s\"", ctl_out());
    CTL_FAILS(3, "no schedule of this key", "schedule", "get", "--key", "other");
    ctl_reset();
}

SCENARIO(a_file_of_schedules_is_applied)
{
    char path[] = "/tmp/dureq-schedules-XXXXXX";
    int fd = mkstemp(path);
    static const char text[] = "schedules:\n"
                               "  - {key: a, task_type: t, schedule: {type: DURATION, interval: 1h}}\n"
                               "  - {key: b, task_type: t, payload: [1], schedule: {type: CRON, cron_expr: '0 3 * * *'}}\n";

    EXPECT_I64((int64_t)sizeof text - 1, write(fd, text, sizeof text - 1));
    EXPECT_I64(0, close(fd));
    ctl_reset();
    CTL(0, "schedule", "apply", "-f", path);
    EXPECT_TEXT("2 created, 0 changed, 0 as they were, 0 deleted\n", ctl_out());
    CTL(0, "schedule", "put", "--key", "b", "t", "--every", "1h");
    CTL(0, "schedule", "put", "--key", "c", "t", "--every", "1h");
    CTL(0, "schedule", "create", "t", "--every", "1h");
    CTL(0, "schedule", "apply", "--file", path, "--prune");
    EXPECT_TEXT("0 created, 1 changed, 1 as they were, 1 deleted\n", ctl_out());
    CTL(0, "schedule", "list");
    EXPECT_I64(4, (int64_t)ctl_out_lines()); /* a head, and three */
    CTL_FAILS(2, "takes -f FILE", "schedule", "apply");
    CTL_FAILS(2, "No such file", "schedule", "apply", "-f", "/nonexistent");
    ctl_reset();
    (void)unlink(path);
}

SCENARIO(what_is_wrong_with_a_schedule_is_told_before_a_server_is_asked)
{
    ctl_reset();
    ctl_env("DUREQ_SERVER", "unix:///nonexistent/dureq.sock");
    CTL_FAILS(2, "needs one of --cron", "schedule", "create", "t");
    CTL_FAILS(2, "takes a task type", "schedule", "create", "--every", "1h");
    CTL_FAILS(2, "--overlap takes", "schedule", "create", "t", "--every", "1h", "--overlap", "NONE");
    CTL_FAILS(2, "--max-backfill takes", "schedule", "create", "t", "--every", "1h", "--max-backfill", "101");
    CTL_FAILS(2, "needs --key", "schedule", "put", "t", "--every", "1h");
    CTL_FAILS(2, "needs something to change", "schedule", "edit", "x");
    CTL_FAILS(2, "needs an id", "schedule", "pause");
    CTL_FAILS(2, "takes one id", "schedule", "trigger");
    ctl_reset();
}

RIG_MAIN()
