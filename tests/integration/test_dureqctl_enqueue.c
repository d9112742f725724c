/* SPDX-License-Identifier: Apache-2.0 */
/* dureqctl enqueue: one job with each of its options, waiting for its end, and refusals that leave nothing behind. */
#include "test_ctl.h"

static int echo(dureq_run *task, void *userdata)
{
    (void)userdata;
    return dureq_run_set_result(task, dureq_run_payload(task), dureq_run_content_type(task));
}

static int fail_finally(dureq_run *task, void *userdata)
{
    (void)userdata;
    return dureq_run_fail(task, 0, "no good");
}

/* ---- payloads ---- */

SCENARIO(the_id_is_printed_and_the_job_waits)
{
    const char *id;

    CTL(0, "enqueue", "mail", "{\"to\": \"a@example.com\"}");
    id = ctl_line();
    EXPECT_U64(1, ctl_out_lines());
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(id));
    EXPECT_STR_TEXT("{\"to\": \"a@example.com\"}", rig_job(id)->payload);
    CTL(0, "enqueue", "mail", "1", "-o", "json");
    EXPECT_HAS("\",\"status\":\"pending\",\"warning\":\"no live node handles 'mail': the job waits until one does\"}\n",
               ctl_out());
    CTL(0, "enqueue", "mail", "1", "--delay", "1h", "-o", "ndjson");
    EXPECT_HAS("\",\"status\":\"scheduled\",\"warning\":\"", ctl_out());
    CTL(0, "enqueue", "mail", "1", "-o", "csv");
    EXPECT_HAS("id,status,existing\r\n", ctl_out());
}

SCENARIO(a_payload_is_json_when_it_parses_else_text_else_bytes)
{
    static const struct {
        const char *given, *type;
    } rows[] = {
        {"{\"a\":1}", "application/json"}, {"17", "application/json"},
        {"nightly", "text/plain"},         {"", "text/plain"},
        {"-5", "application/json"},        {"\xff\xfe", "application/octet-stream"},
        {"--wait", "text/plain"},
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        const dureq_job *job;

        EXPECT_NOTE("%s", rows[i].given);
        CTL(0, "enqueue", "t", "--", rows[i].given);
        job = rig_job(ctl_line());
        EXPECT_STR_TEXT(rows[i].type, job->content_type);
        EXPECT_STR_TEXT(rows[i].given, job->payload);
    }
    CTL(0, "enqueue", "t");
    EXPECT_STR_TEXT("null", rig_job(ctl_line())->payload);
    CTL(0, "enqueue", "t", "<x/>", "--content-type", "text/xml");
    EXPECT_STR_TEXT("text/xml", rig_job(ctl_line())->content_type);
}

SCENARIO(a_payload_can_come_from_standard_input)
{
    const dureq_job *job;

    ctl_reset();
    ctl_input(DQ_STR_LIT("{\"a\":\n1}\n"));
    CTL(0, "enqueue", "t", "-");
    job = rig_job(ctl_line());
    EXPECT_STR_TEXT("{\"a\":\n1}\n", job->payload);
    EXPECT_STR_TEXT("application/json", job->content_type);
    ctl_input(DQ_STR_LIT("a\0b"));
    CTL(0, "enqueue", "t", "-");
    EXPECT_STR(DQ_STR_LIT("a\0b"), rig_job(ctl_line())->payload);
    ctl_reset();
    CTL(0, "enqueue", "t", "-"); /* nothing is a payload of no bytes */
    EXPECT_U64(0, rig_job(ctl_line())->payload.len);
}

SCENARIO(input_that_never_ends_is_refused)
{
    size_t len = 8 * 1024 * 1024;
    char *text = malloc(len);

    if (!text)
        fail_msg("out of memory");
    memset(text, 'x', len);
    ctl_reset();
    ctl_input(dureq_str_of(text, len));
    CTL_FAILS(5, "standard input gives more than the 1048576 bytes", "enqueue", "t", "-");
    ctl_input(dureq_str_of(text, 1048576));
    CTL(0, "enqueue", "t", "-");
    ctl_input(dureq_str_of(text, 1048577));
    CTL_FAILS(5, "1048576 bytes", "enqueue", "t", "-");
    EXPECT_I64(1, rig_counts().pending);
    ctl_reset();
    free(text);
}

/* ---- options ---- */

SCENARIO(each_option_reaches_the_job)
{
    const dureq_job *job;

    CTL(0, "enqueue", "t", "1", "--queue", "low", "--unique-key", "k\xff", "--unique-for", "1h", "--request-id", "r 1",
        "--header", "A=1=2", "--header=B=", "--tag", "x", "--tag", "y", "--max-attempts", "7", "--initial-delay", "2s",
        "--max-delay", "1m", "--dlq-after", "5", "--timeout", "30s", "--schedule-to-start-timeout", "10m", "--heartbeat-timeout",
        "5s", "--retention", "2d", "--delay", "1h30m");
    job = rig_job(ctl_line());
    EXPECT_STR_TEXT("low", job->queue);
    EXPECT_STR_TEXT("k\xff", job->unique_key);
    EXPECT_STR_TEXT("r 1", job->request_id);
    EXPECT_U64(2, job->n_headers);
    EXPECT_TEXT("A", job->headers[0].name);
    EXPECT_STR_TEXT("1=2", job->headers[0].value);
    EXPECT_U64(0, job->headers[1].value.len);
    EXPECT_U64(2, job->n_tags);
    EXPECT_STR_TEXT("y", job->tags[1]);
    EXPECT_I64(7, job->retry_policy->max_attempts);
    EXPECT_I64(2000, job->retry_policy->initial_delay_ms);
    EXPECT_I64(60000, job->retry_policy->max_delay_ms);
    EXPECT_I64(5, job->dlq_after);
    EXPECT_I64(30000, job->timeout_ms);
    EXPECT_I64(600000, job->schedule_to_start_timeout_ms);
    EXPECT_I64(5000, job->heartbeat_timeout_ms);
    EXPECT_I64(172800000, job->retention_ms);
    EXPECT_I64(job->created_at_ms + 5400000, job->run_at_ms);
}

SCENARIO(a_time_a_priority_and_zeros_mean_what_they_say)
{
    const dureq_job *job;

    CTL(0, "enqueue", "t", "1", "--at", "2036-01-02T03:04:05Z", "--priority", "9", "--retention", "0s", "--initial-delay", "0s",
        "--max-delay", "0s");
    job = rig_job(ctl_line());
    EXPECT_STR_TEXT("high", job->queue);
    EXPECT_I64(9, job->priority);
    EXPECT_I64(2082855845000, job->run_at_ms);
    EXPECT_I64(-1, job->retention_ms);
    EXPECT_I64(-1, job->retry_policy->initial_delay_ms);
    EXPECT_I64(-1, job->retry_policy->max_delay_ms);
}

SCENARIO(a_unique_key_refuses_and_names_its_holder)
{
    const char *id;

    CTL(0, "enqueue", "t", "1", "--unique-key", "k");
    id = ctl_line();
    CTL_FAILS(5, id, "enqueue", "t", "2", "--unique-key", "k");
    EXPECT_I64(1, rig_counts().pending);
}

SCENARIO(a_request_id_gives_the_same_job_again)
{
    const char *id;

    CTL(0, "enqueue", "t", "1", "--request-id", "r");
    id = ctl_line();
    CTL(0, "enqueue", "t", "1", "--request-id", "r");
    EXPECT_TEXT(id, ctl_line());
    CTL(0, "enqueue", "t", "1", "--request-id", "r", "-o", "json");
    EXPECT_HAS("\"existing\":true", ctl_out());
    EXPECT_TRUE(strstr(ctl_out(), "status") == NULL); /* it may be any by now */
    EXPECT_I64(1, rig_counts().pending);
}

/* ---- refusals ---- */

SCENARIO(bad_values_name_the_option_and_what_it_takes)
{
    static const struct {
        const char *option, *value, *said;
        int code;
    } rows[] = {
        {"--priority", "11", "--priority takes a whole number from 1 to 10, not '11'", 2},
        {"--priority", "0", "--priority takes a whole number from 1 to 10", 2},
        {"--max-attempts", "x", "--max-attempts takes a whole number from 1 to 10000, not 'x'", 2},
        {"--dlq-after", "-1", "--dlq-after takes a whole number", 2},
        {"--delay", "-5s", "--delay takes a duration such as 30s, 5m or 1h30m, not '-5s'", 2},
        {"--delay", "5", "--delay takes a duration such as 30s", 2},
        {"--delay", "", "option '--delay' needs a value", 2},
        {"--at", "soon",
         "--at takes a time, not 'soon': 1h (from now), 'tomorrow 10:00', '2026-12-01 10:00' (in the local zone), or RFC 3339",
         2},
        {"--at", "2099-02-30 10:00", "--at takes a time, not '2099-02-30 10:00'", 2},
        {"--timeout", "1 h", "--timeout takes a duration", 2},
        {"--retention", "-1s", "--retention takes a duration", 2},
        {"--header", "novalue", "--header takes name=value, not 'novalue'", 2},
        {"--header", "=x", "--header takes name=value", 2},
        {"--header", "a b=x", "header", 2},
        {"--tag", "a b", "tag", 2},
        {"--queue", "nowhere", "queue 'nowhere' is not defined", 3},
        {"--queue", "a b", "queue", 2},
        {"--unique-for", "1h", "--unique-for needs --unique-key", 2},
        {"--request-id", "", "option '--request-id' needs a value", 2},
        {"--unique-key", "", "option '--unique-key' needs a value", 2},
        {"--content-type", "application/json", "not JSON", 2},
        {"--wait-timeout", "soon", "--wait-timeout takes a duration", 2},
        {"--wait-timeout", "1s", "--wait-timeout needs --wait", 2},
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        EXPECT_NOTE("%s %s", rows[i].option, rows[i].value);
        CTL_FAILS(rows[i].code, rows[i].said, "enqueue", "t", "text", rows[i].option, rows[i].value);
    }
    CTL_FAILS(2, "--at and --delay exclude each other", "enqueue", "t", "1", "--at", "2036-01-01T00:00:00Z", "--delay", "1s");
    CTL_FAILS(2, "--wait-timeout takes a duration", "enqueue", "t", "1", "--wait", "--wait-timeout", "-1s");
    EXPECT_I64(0, rig_counts().pending);
    EXPECT_I64(0, rig_counts().scheduled);
}

SCENARIO(bad_words_name_what_is_missing)
{
    char name[130] = "";

    memset(name, 'x', 129);
    CTL_FAILS(2, "enqueue needs a task type", "enqueue");
    CTL_FAILS(2, "enqueue takes a task type and one payload (quote it)", "enqueue", "t", "a", "b");
    CTL_FAILS(2, "TYPE has a character outside [A-Za-z0-9_.:-]", "enqueue", "bad name");
    CTL_FAILS(2, "TYPE ", "enqueue", "");
    CTL_FAILS(2, "TYPE ", "enqueue", name);
    EXPECT_I64(0, rig_counts().pending);
}

SCENARIO(a_full_queue_and_a_server_without_memory_refuse)
{
    CTL(0, "queue", "set", "small", "--max-len", "1");
    CTL(0, "enqueue", "t", "1", "--queue", "small");
    CTL_FAILS(5, "queue 'small' is full", "enqueue", "t", "1", "--queue", "small");
    free(test_redis_command(rig.server, "CONFIG", "SET", "maxmemory", "1", NULL));
    CTL(5, "enqueue", "t", "1");
    free(test_redis_command(rig.server, "CONFIG", "SET", "maxmemory", "0", NULL));
    EXPECT_HAS("memory", ctl_err());
    EXPECT_I64(1, rig_counts().pending);
}

/* ---- waiting ---- */

SCENARIO(waiting_prints_the_result_and_tells_success_by_the_code)
{
    (void)rig_node("n", "echo", echo, NULL);
    CTL(0, "enqueue", "echo", "{\"a\":1}", "--wait");
    EXPECT_HAS("status  completed\n", ctl_out());
    EXPECT_HAS("result  {\"a\":1}\n", ctl_out());
    CTL(0, "enqueue", "echo", "text", "--wait", "-o", "json");
    EXPECT_HAS("\"status\":\"completed\",\"result\":\"text\"", ctl_out());
}

SCENARIO(waiting_for_a_job_that_fails_ends_with_1)
{
    (void)rig_node("n", "bad", fail_finally, NULL);
    CTL(1, "enqueue", "bad", "1", "--wait");
    EXPECT_HAS("dead\n", ctl_out());
    EXPECT_HAS("no good\n", ctl_out());
}

SCENARIO(waiting_too_long_tells_the_id_of_the_job_that_was_accepted)
{
    char id[64];
    const char *at;

    CTL_FAILS(6, "the job has not ended in time", "enqueue", "nobody", "1", "--wait", "--wait-timeout", "50ms");
    at = strstr(ctl_err(), "dureqctl job get ");
    EXPECT_TRUE(at != NULL);
    (void)snprintf(id, sizeof id, "%.*s", (int)strcspn(at + 17, "\n"), at + 17);
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(id));
}

SCENARIO(broken_json_is_refused_unless_it_is_said_to_be_text)
{
    ctl_reset();
    CTL_FAILS(2, "the payload begins like JSON and is none", "enqueue", "t", "{\"a\":");
    CTL_FAILS(2, "or give --text to send it as text", "enqueue", "t", " [1,");
    ctl_input(DQ_STR_LIT("{oops"));
    CTL_FAILS(2, "the payload begins like JSON and is none", "enqueue", "t", "-");
    ctl_reset();
    EXPECT_I64(0, rig_counts().pending);
    CTL(0, "enqueue", "t", "{\"a\":", "--text");
    EXPECT_STR_TEXT("text/plain", rig_job(ctl_line())->content_type);
    CTL(0, "enqueue", "t", "[1,", "--content-type", "application/x-mine");
    CTL(0, "enqueue", "t", "[1]", "--text");
    EXPECT_STR_TEXT("text/plain", rig_job(ctl_line())->content_type);
}

static int end_at_once(dureq_run *run, void *userdata)
{
    (void)run;
    (void)userdata;
    return DUREQ_OUTCOME_DONE;
}

SCENARIO(a_type_that_no_live_node_handles_is_said)
{
    ctl_reset();
    CTL(0, "enqueue", "nobodys", "1");
    EXPECT_HAS("warning: no live node handles 'nobodys': the job waits until one does\n", ctl_err());
    CTL(0, "job", "get", ctl_line());
    EXPECT_HAS("waiting_for", ctl_out());
    EXPECT_HAS("a live node that handles 'nobodys'", ctl_out());
    CTL(6, "enqueue", "nobodys", "1", "--wait", "--wait-timeout", "50ms");
    EXPECT_HAS("warning: no live node handles 'nobodys'", ctl_err());
    ctl_input(DQ_STR_LIT("a\nb\n"));
    CTL(0, "enqueue", "nobodys", "--lines", "-");
    EXPECT_HAS("warning: no live node handles 'nobodys'", ctl_err());
    ctl_reset();
    (void)rig_node("n", "mail.*", end_at_once, NULL);
    (void)rig_node("m", "report", end_at_once, NULL);
    CTL(0, "enqueue", "mail.send", "1");
    EXPECT_TEXT("", ctl_err());
    CTL(0, "enqueue", "reprot", "1");
    EXPECT_HAS("no live node handles 'reprot': did you mean 'report'?\n", ctl_err());
    CTL(0, "enqueue", "reprot", "1", "-q");
    EXPECT_TEXT("", ctl_err());
}

SCENARIO(times_are_taken_as_people_write_them)
{
    static const char *const good[] = {
        "1h", "in 1h", "tomorrow 10:00", "tomorrow", "2099-12-01 10:00", "2099-12-01", "2099-12-01T10:00:00Z", "23:59:59"};
    static const char *const bad[] = {"1h 5", "2099-13-01 10:00", "2099-12-01 25:00", "tomorrow 10", "10:0x", "-1h"};
    static const char *const past[] = {"1h",    "1h ago",           "yesterday",           "yesterday 23:59",
                                       "today", "2020-01-01 10:00", "2020-01-01T00:00:00Z"};
    dureq_job_id id;

    ctl_reset();
    ctl_env("TZ", "Europe/Berlin");
    for (size_t i = 0; i < DQ_ARRAY_LEN(good); i++)
        CTL(0, "enqueue", "t", "1", "--at", good[i]);
    for (size_t i = 0; i < DQ_ARRAY_LEN(bad); i++)
        CTL_FAILS(2, "'2026-12-01 10:00' (in the local zone), or RFC 3339", "enqueue", "t", "1", "--at", bad[i]);
    CTL(0, "enqueue", "t", "1", "--at", "2099-07-01 10:00");
    id = (dureq_job_id){0};
    (void)snprintf(id.text, sizeof id.text, "%s", ctl_line());
    CTL(0, "job", "get", id.text, "-o", "json");
    EXPECT_HAS("2099-07-01T08:00:00.000Z", ctl_out()); /* two hours ahead in summer */
    for (size_t i = 0; i < DQ_ARRAY_LEN(past); i++) {
        CTL(0, "job", "list", "--since", past[i], "-o", "ndjson");
        EXPECT_TRUE(ctl_out_lines() > 0);
    }
    CTL(0, "job", "list", "--until", "1h", "-o", "ndjson");
    EXPECT_U64(0, ctl_out_lines());
    CTL(0, "job", "reschedule", id.text, "--at", "tomorrow 10:00");
    ctl_reset();
}

RIG_MAIN()
