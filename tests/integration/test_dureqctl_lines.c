/* SPDX-License-Identifier: Apache-2.0 */
/* dureqctl enqueue --lines and --ndjson: many jobs of one input, each accepted or refused by itself. */
#include "test_ctl.h"

#include <signal.h>

#include "base/buf.h"
#include "json/json.h"

static void expect_payloads(const char *const *want, size_t n)
{
    dureq_job_filter f = dureq_job_filter_init();
    dureq_job_list *list = NULL;
    size_t found = 0;

    f.limit = 100;
    RIG_OK(dureq_client_list_jobs(rig.client, &f, &list, &err));
    EXPECT_U64(n, list->n);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < list->n; k++)
            found += dq_str_eq_text(list->items[k].payload, want[i]);
    dureq_job_list_destroy(list);
    EXPECT_U64(n, found);
}

SCENARIO(each_line_is_the_payload_of_a_job)
{
    static const char *const want[] = {"a", " b ", "{\"c\":1}", "d\r", "last"};

    ctl_reset();
    ctl_input(DQ_STR_LIT("a\r\n b \n\n\r\n{\"c\":1}\nd\r\r\nlast"));
    CTL(0, "enqueue", "t", "--lines", "-", "--queue", "low", "--tag", "x");
    EXPECT_HAS("5 jobs accepted, 0 refused, in ", ctl_out());
    EXPECT_TEXT("dureqctl: warning: no live node handles 't': the job waits until one does\n", ctl_err());
    expect_payloads(want, 5);
    ctl_reset();
    CTL(0, "job", "list", "-o", "ndjson", "--queue", "low", "--tag", "x");
    EXPECT_U64(5, ctl_out_lines());
    EXPECT_HAS("\"content_type\":\"text/plain\"", ctl_out());
}

/* ---- a program that goes on ---- */

SCENARIO(lines_of_a_program_that_goes_on_are_sent_when_no_more_is_ready)
{
    ctl_reset();
    ctl_begin((const char *const[]){"enqueue", "t", "--lines", "-", "-o", "ndjson", NULL});
    ctl_feed("one\ntwo\nthr");
    RIG_UNTIL(rig_counts().pending == 2);
    while (ctl_out_lines() < 2) /* the answers, too, do not wait for more */
        ctl_read_some();
    EXPECT_HAS("{\"line\":2,\"id\":\"", ctl_out());
    ctl_feed("ee\n");
    RIG_UNTIL(rig_counts().pending == 3);
    ctl_feed("last");
    EXPECT_I64(0, ctl_end());
    EXPECT_U64(4, ctl_out_lines());
    expect_payloads((const char *const[]){"one", "two", "three", "last"}, 4);
}

SCENARIO(a_signal_ends_it_after_what_was_read_and_it_says_how_far_it_came)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};

    ctl_reset();
    for (size_t i = 0; i < DQ_ARRAY_LEN(signals); i++) {
        ctl_begin((const char *const[]){"enqueue", "t", "--lines", "-", NULL});
        ctl_feed("one\ntwo\nhalf a li");
        RIG_UNTIL(rig_counts().pending == 2 * ((int64_t)i + 1));
        ctl_signal(signals[i]);
        EXPECT_I64(128 + signals[i], ctl_end());
        EXPECT_HAS("stopped after line 2, 2 jobs accepted, 0 refused; the next line was not whole and is not sent", ctl_err());
        EXPECT_TEXT("", ctl_out());
    }
    EXPECT_I64(6, rig_counts().pending);
}

SCENARIO(no_input_is_no_job)
{
    ctl_reset();
    CTL(0, "enqueue", "t", "--lines", "-");
    EXPECT_HAS("0 jobs accepted, 0 refused", ctl_out());
    CTL(0, "enqueue", "--ndjson", "-", "-o", "json");
    EXPECT_TEXT("[]\n", ctl_out());
    CTL(0, "enqueue", "t", "--lines", "/dev/null", "-q");
    EXPECT_TEXT("", ctl_out());
    EXPECT_I64(0, rig_counts().pending);
}

SCENARIO(a_line_of_bytes_keeps_them)
{
    ctl_reset();
    ctl_input(DQ_STR_LIT("caf\xe9\nnul\0here\n"));
    CTL(0, "enqueue", "t", "--lines", "-", "-o", "ndjson");
    EXPECT_HAS("{\"line\":1,\"id\":\"", ctl_out());
    EXPECT_HAS("\n{\"line\":2,\"id\":\"", ctl_out());
    ctl_reset();
    CTL(0, "job", "list", "-o", "json");
    EXPECT_HAS("\"payload_base64\":\"Y2Fm6Q==\"", ctl_out());
    EXPECT_HAS("nul\\u0000here", ctl_out());
}

SCENARIO(a_hundred_thousand_lines_are_accepted_in_a_few_seconds)
{
    DQ_BUF_AUTO text = {0};

    if (rig.shards > 1) /* the same code at the client's side; counted once */
        return;
    for (int i = 0; i < 100000; i++)
        dq_buf_append_fmt(&text, "./some/dir/file-%d.txt\n", i);
    ctl_reset();
    ctl_input(dq_buf_str(&text));
    CTL(0, "enqueue", "file.sha256", "--lines", "-");
    EXPECT_HAS("100000 jobs accepted, 0 refused", ctl_out());
    EXPECT_I64(100000, rig_counts().pending);
    ctl_reset();
}

SCENARIO(a_line_that_is_too_long_is_refused_and_the_next_taken)
{
    size_t len = 3 * 1024 * 1024;
    DQ_BUF_AUTO text = {0};
    char *big = malloc(len);

    if (!big)
        fail_msg("out of memory");
    memset(big, 'x', len);
    dq_buf_append_text(&text, "a\n");
    dq_buf_append(&text, big, len);
    dq_buf_append_text(&text, "\nb\n");
    dq_buf_append(&text, big, 1048576);
    free(big);
    ctl_reset();
    ctl_input(dq_buf_str(&text));
    CTL(5, "enqueue", "t", "--lines", "-");
    EXPECT_HAS("3 jobs accepted, 1 refused", ctl_out());
    EXPECT_HAS("line 2: the line is longer than 1048576 bytes", ctl_err());
    CTL(2, "enqueue", "--ndjson", "-");
    EXPECT_HAS("line 2: the line is longer than 2097152 bytes", ctl_err());
    EXPECT_I64(3, rig_counts().pending);
    ctl_reset();
}

/* ---- job specs ---- */

#define SPECS                                                          \
    "{\"task_type\":\"a\",\"payload\":{\"n\":1},\"queue\":\"high\"}\n" \
    "{\"task_type\":\"a\",\"payload\":[1,}\n"                          \
    "{\"task_type\":\"a\",\"delay\":\"-5s\"}\n"                        \
    "{\"task_type\":\"a\",\"colour\":1}\n"                             \
    "{\"payload\":1}\n"                                                \
    "17\n"                                                             \
    "{\"task_type\":\"a\",\"queue\":\"nowhere\"}\n"                    \
    "{\"task_type\":\"a\",\"unique_key\":\"k\"}\n"                     \
    "{\"task_type\":\"a\",\"unique_key\":\"k\"}\n"                     \
    "{\"task_type\":\"a\",\"payload_base64\":\"AAE=\",\"content_type\":\"image/png\",\"delay\":\"1h\"}"

SCENARIO(bad_specs_are_told_by_line_and_place_and_the_others_are_accepted)
{
    ctl_reset();
    ctl_input(DQ_STR_LIT(SPECS));
    CTL(2, "enqueue", "--ndjson", "-");
    EXPECT_HAS("3 jobs accepted, 7 refused", ctl_out());
    EXPECT_HAS("dureqctl: line 2: line 1, column 31: ", ctl_err());
    EXPECT_HAS("line 3: field 'delay' takes a duration such as \"30s\", not \"-5s\"", ctl_err());
    EXPECT_HAS("line 4: unknown field 'colour'", ctl_err());
    EXPECT_HAS("line 5: field 'task_type' is missing", ctl_err());
    EXPECT_HAS("line 6: a job spec is an object, not a number", ctl_err());
    EXPECT_HAS("and 2 more lines were refused", ctl_err());
    EXPECT_I64(2, rig_counts().pending);
    EXPECT_I64(1, rig_counts().scheduled);
    ctl_reset();
}

SCENARIO(every_line_has_its_answer_in_order)
{
    static const char *const words[] = {"\"id\":",     "\"invalid\"",   "\"invalid\"", "\"invalid\"",      "\"invalid\"",
                                        "\"invalid\"", "\"not_found\"", "\"id\":",     "\"existing_id\":", "\"id\":"};
    dureq_str rest;

    ctl_reset();
    ctl_input(DQ_STR_LIT(SPECS));
    CTL(2, "enqueue", "--ndjson", "-", "-o", "ndjson");
    EXPECT_U64(10, ctl_out_lines());
    rest = ctl_out_str();
    for (size_t i = 0; i < 10; i++) {
        dureq_str one = dq_str_cut(&rest, '\n');
        char line[400], begin[24];

        (void)snprintf(line, sizeof line, DQ_STR_FMT, DQ_STR_ARG(one));
        (void)snprintf(begin, sizeof begin, "{\"line\":%zu,", i + 1);
        EXPECT_HAS(begin, line);
        EXPECT_HAS(words[i], line);
        EXPECT_TRUE(dq_json_valid(dureq_str_from(line)));
    }
    CTL(2, "enqueue", "--ndjson", "-", "-o", "json");
    EXPECT_TRUE(dq_json_valid(ctl_out_str()));
    CTL(2, "enqueue", "--ndjson", "-", "-o", "csv");
    EXPECT_HAS("line,id,status\r\n1,", ctl_out());
    EXPECT_HAS("\r\n2,,invalid\r\n", ctl_out());
    EXPECT_U64(11, ctl_out_lines());
    ctl_reset();
}

/* ---- wrong use ---- */

SCENARIO(options_that_would_be_dropped_are_refused)
{
    static const struct {
        const char *args[7], *said;
        int code;
    } rows[] = {
        {{"enqueue", "t", "--lines", "-", "--ndjson", "-"}, "--lines and --ndjson exclude each other", 2},
        {{"enqueue", "t", "--ndjson", "-"}, "with --ndjson every line names its task type", 2},
        {{"enqueue", "--ndjson", "-", "--queue", "low"}, "with --ndjson options of jobs stand in each line", 2},
        {{"enqueue", "--ndjson", "-", "--tag", "x"}, "with --ndjson options of jobs stand in each line", 2},
        {{"enqueue", "t", "payload", "--lines", "-"}, "with --lines the payload is each line", 2},
        {{"enqueue", "--lines", "-"}, "enqueue needs a task type", 2},
        {{"enqueue", "t", "--lines", "-", "--wait"}, "--wait is for one job", 2},
        {{"enqueue", "t", "--lines", "-", "--request-id", "r"}, "--request-id names one job", 2},
        {{"enqueue", "t", "--lines", "/no/file"}, "cannot open '/no/file': No such file or directory", 1},
        {{"enqueue", "t", "--lines", "/tmp"}, "Is a directory", 1},
    };

    ctl_reset();
    ctl_input(DQ_STR_LIT("1\n"));
    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        EXPECT_NOTE("row %zu", i);
        EXPECT_I64(rows[i].code, ctl_run(rows[i].args));
        EXPECT_HAS(rows[i].said, ctl_err());
    }
    EXPECT_I64(0, rig_counts().pending);
    ctl_reset();
}

SCENARIO(a_bad_task_type_refuses_every_line_but_tells_five)
{
    ctl_reset();
    ctl_input(DQ_STR_LIT("1\n2\n3\n4\n5\n6\n7\n"));
    CTL(2, "enqueue", "bad type", "--lines", "-");
    EXPECT_HAS("line 5: TYPE has a character outside", ctl_err());
    EXPECT_TRUE(!strstr(ctl_err(), "line 6:"));
    EXPECT_HAS("and 2 more lines were refused", ctl_err());
    EXPECT_HAS("0 jobs accepted, 7 refused", ctl_out());
    ctl_reset();
}

RIG_MAIN()
