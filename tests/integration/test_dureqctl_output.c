/* SPDX-License-Identifier: Apache-2.0 */
/* How answers look: tables for people, JSON and CSV for programs, and nothing in them that drives a terminal. */
#include "test_ctl.h"

#include "base/buf.h"
#include "json/json.h"

/* Cursor addresses, colours, an 8-bit CSI (U+009B), a bell, DEL. */
#define NASTY              \
    "a\x1b[2J\x1b]0;t\x07" \
    "b\xc2\x9b"            \
    "31m\x7f"              \
    "c"

static dureq_job_id enqueue_text(const char *type, const char *text)
{
    dureq_job_options o = dureq_job_options_init();

    o.content_type = "text/plain";
    return rig_enqueue(type, text, &o);
}

static bool has_controls(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if ((*p < ' ' && *p != '\n') || *p == 127 || (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0))
            return true;
    return false;
}

static int fail_nastily(dureq_run *task, void *userdata)
{
    (void)userdata;
    dureq_run_log(task, "%s", "log " NASTY "\nsecond");
    return dureq_run_fail(task, 0, "broken\nstatus  completed " NASTY);
}

/* What a terminal would obey: controls of C0 and C1, DEL, marks of direction, bytes that are no UTF-8. */
#define DRIVES                 \
    "x\x1b[2J\x07\x7f\xc2\x9b" \
    "31m\xe2\x80\xae"          \
    "esrever\xe2\x81\xa6\xd8\x9c\xe2\x80\x8fy"

static bool drives_terminal(const char *text)
{
    static const char *const marks[] = {"\xe2\x80\xae", "\xe2\x81\xa6", "\xd8\x9c", "\xe2\x80\x8f",
                                        "\x7f",         "\x07",         "\xc2\x9b", "\x1b[2J"};

    for (size_t i = 0; i < DQ_ARRAY_LEN(marks); i++)
        if (strstr(text, marks[i]))
            return true;
    return false;
}

static int fail_driving(dureq_run *task, void *userdata)
{
    (void)userdata;
    dureq_run_log(task, "%s", DRIVES);
    (void)dureq_run_progress(task, DQ_STR_LIT("\""
                                              "p\xc2\x9b"
                                              "\xe2\x80\xae"
                                              "q\""));
    return dureq_run_fail(task, 0, "%s", DRIVES);
}

/* ---- terminals ---- */

SCENARIO(nothing_that_others_wrote_drives_a_terminal_in_any_form)
{
    static const char *const forms[] = {"table", "json", "ndjson", "csv"};
    static const char *const what[] = {"get", "logs", "events", "audit", "result", "watch"};
    dureq_job_options o = dureq_job_options_init();
    dureq_job_id id;

    (void)rig_node("n", "nasty", fail_driving, NULL);
    o.content_type = "text/plain";
    o.unique_key = DQ_STR_LIT(DRIVES);
    id = rig_enqueue("nasty", DRIVES, &o);
    EXPECT_I64(DUREQ_JOB_DEAD, rig_wait(id.text)->state);
    ctl_reset();
    ctl_terminal(100);
    for (size_t i = 0; i < DQ_ARRAY_LEN(forms); i++) {
        for (size_t k = 0; k < DQ_ARRAY_LEN(what); k++) {
            EXPECT_NOTE("%s -o %s", what[k], forms[i]);
            (void)ctl_run((const char *const[]){"job", what[k], id.text, "-o", forms[i], NULL});
            EXPECT_FALSE(drives_terminal(ctl_out()));
        }
        CTL(0, "job", "list", "-o", forms[i]);
        EXPECT_FALSE(drives_terminal(ctl_out()));
        EXPECT_HAS("nasty", ctl_out());
        CTL(3, "key", "get", DRIVES, "-o", forms[i]);
        EXPECT_FALSE(drives_terminal(ctl_out()));
        CTL(2, DRIVES, "-o", forms[i]);
        EXPECT_FALSE(drives_terminal(ctl_out()));
        CTL(2, "queue", "set", DRIVES, "--weight", "1", "-o", forms[i]);
        EXPECT_FALSE(drives_terminal(ctl_out()));
    }
    CTL(0, "job", "get", id.text, "-o", "json");
    EXPECT_HAS("\\u009b31m\\u202eesrever", ctl_out()); /* the value is the same still */
    ctl_reset();
    CTL(0, "job", "get", id.text, "-o", "json");
    EXPECT_HAS("\xe2\x80\xae"
               "esrever",
               ctl_out()); /* byte for byte where it is no terminal */
}

/* Cells, where no character is wider than one but those of three bytes. */
static size_t cells_of(dureq_str line)
{
    size_t n = 0;

    for (size_t i = 0; i < line.len; i++)
        n += ((unsigned char)line.ptr[i] & 0xc0) == 0x80 ? 0 : (unsigned char)line.ptr[i] >= 0xe3 ? 2 : 1;
    return n;
}

static void expect_rows_fit(size_t columns, size_t n_rows)
{
    dureq_str rest = ctl_out_str();
    size_t n = 0;

    while (rest.len) {
        dureq_str line = dq_str_trim(dq_str_cut(&rest, '\n'));

        EXPECT_NOTE(DQ_STR_FMT, DQ_STR_ARG(line));
        EXPECT_TRUE(cells_of(line) <= columns);
        n++;
    }
    EXPECT_U64(n_rows, n);
}

static int fail_wide(dureq_run *task, void *userdata)
{
    (void)userdata;
    return dureq_run_fail(task, 0,
                          "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe6\x97\xa5\xe6\x9c\xac"
                          "\xe8\xaa\x9e\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e");
}

SCENARIO(a_table_fits_the_terminal)
{
    static const int widths[] = {40, 80, 120, 200};
    dureq_job_id id;

    (void)rig_node("a-node-with-a-rather-long-name-in-a-zone", "*", fail_wide, NULL);
    id = rig_enqueue("order.with_a_long_name.that_goes_on.and_on.for_ever", "1", NULL);
    EXPECT_I64(DUREQ_JOB_DEAD, rig_wait(id.text)->state);
    ctl_reset();
    ctl_env("TERM", "xterm");
    ctl_env("NO_COLOR", "1");
    for (size_t i = 0; i < DQ_ARRAY_LEN(widths); i++) {
        ctl_terminal(widths[i]);
        CTL(0, "job", "list");
        expect_rows_fit((size_t)widths[i], 3); /* with the total */
        EXPECT_HAS(id.text, ctl_out());
        EXPECT_HAS("dead", widths[i] > 40 ? ctl_out() : "dead");
        CTL(0, "node", "list");
        expect_rows_fit((size_t)widths[i], 3);
        CTL(0, "queue", "list");
        expect_rows_fit((size_t)widths[i], 5);
    }
    ctl_reset();
    CTL(0, "job", "list");
    EXPECT_HAS("order.with_a_long_name.that_goes_on.and_on.for_ever", ctl_out()); /* no terminal: as it is */
}

SCENARIO(under_a_list_stands_how_many_there_are)
{
    ctl_reset();
    ctl_env("TERM", "dumb");
    ctl_terminal(120);
    CTL(0, "run", "list");
    EXPECT_HAS("0 runs.\r\n", ctl_out());
    (void)rig_enqueue("t", "1", NULL);
    CTL(0, "job", "list");
    EXPECT_HAS("\n1 job.\r\n", ctl_out());
    (void)rig_enqueue("t", "1", NULL);
    CTL(0, "job", "list", "--limit", "1");
    EXPECT_HAS("\n1 of 2 jobs. There is more: --cursor ", ctl_out());
    CTL(0, "job", "list", "--limit", "1", "--type", "t*");
    EXPECT_HAS("\n1 job on this page. There is more: ", ctl_out());
    CTL(0, "queue", "list");
    EXPECT_HAS("\n3 queues.\r\n", ctl_out());
    CTL(0, "queue", "list", "-q");
    EXPECT_TRUE(!strstr(ctl_out(), "queues."));
    ctl_reset();
    CTL(0, "queue", "list");
    EXPECT_TEXT("", ctl_err());
}

SCENARIO(color_is_for_terminals_that_have_it_and_want_it)
{
    dureq_job_id id = rig_enqueue("t", "1", NULL);

    ctl_reset();
    CTL(0, "job", "list");
    EXPECT_TRUE(!strstr(ctl_out(), "\033["));
    CTL(0, "job", "list", "--color", "always");
    EXPECT_HAS("\033[1mSTATUS\033[0m", ctl_out());
    CTL(0, "job", "pause", id.text);
    CTL(0, "job", "get", id.text, "--color", "always");
    EXPECT_HAS("\nstatus        \033[35mpaused\033[0m\n", ctl_out());
    CTL_FAILS(2, "--color takes auto, always or never, not 'x'", "job", "list", "--color", "x");
    ctl_terminal(120);
    ctl_env("TERM", "xterm");
    CTL(0, "job", "list");
    EXPECT_HAS("\033[1mSTATUS\033[0m", ctl_out());
    CTL(0, "job", "list", "--color=never");
    EXPECT_TRUE(!strstr(ctl_out(), "\033["));
    ctl_env("NO_COLOR", "1");
    CTL(0, "job", "list");
    EXPECT_TRUE(!strstr(ctl_out(), "\033["));
    ctl_reset();
    ctl_terminal(120);
    ctl_env("TERM", "dumb");
    CTL(0, "job", "list");
    EXPECT_TRUE(!strstr(ctl_out(), "\033["));
    ctl_reset();
}

/* ---- tables ---- */

SCENARIO(control_characters_of_jobs_never_reach_the_terminal)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_job_id id;

    (void)rig_node("n", "nasty", fail_nastily, NULL);
    o.content_type = "text/plain";
    o.unique_key = DQ_STR_LIT(NASTY);
    id = rig_enqueue("nasty", NASTY, &o);
    EXPECT_I64(DUREQ_JOB_DEAD, rig_wait(id.text)->state);
    CTL(0, "job", "list");
    EXPECT_HAS("broken status  completed a [2J", ctl_out());
    EXPECT_FALSE(has_controls(ctl_out()));
    CTL(0, "job", "get", id.text);
    EXPECT_HAS("[2J", ctl_out());
    EXPECT_FALSE(has_controls(ctl_out()));
    CTL(0, "job", "logs", id.text);
    EXPECT_HAS("second", ctl_out());
    EXPECT_FALSE(has_controls(ctl_out()));
    CTL(1, "job", "result", id.text);
    EXPECT_FALSE(has_controls(ctl_out()));
    CTL(0, "job", "events", id.text);
    EXPECT_FALSE(has_controls(ctl_out()));
    CTL(0, "job", "get", id.text, "-o", "json");
    EXPECT_HAS("\\u001b[2J", ctl_out());
}

SCENARIO(a_value_of_several_lines_cannot_pass_for_another_field)
{
    dureq_job_id id = enqueue_text("lines", "first\nstatus        completed\n");

    CTL(0, "job", "get", id.text);
    EXPECT_HAS("\npayload       first\n              status        completed\n", ctl_out());
    EXPECT_HAS("\nstatus        pending\n", ctl_out());
    EXPECT_TRUE(!strstr(ctl_out(), "\nstatus        completed"));
}

static int fail_at_length(dureq_run *task, void *userdata)
{
    char text[512] = "";

    (void)userdata;
    for (int i = 0; i < 100; i++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "\xc3\xa4");
    return dureq_run_fail(task, 0, "%s", text);
}

/* Where a column begins in a line, in characters. */
static long column_of(const char *line, const char *word)
{
    const char *at = strstr(line, word);
    long n = 0;

    EXPECT_TRUE(at != NULL);
    for (const char *p = line; p < at; p++)
        n += ((unsigned char)*p & 0xc0) != 0x80;
    return n;
}

SCENARIO(columns_stand_below_their_titles)
{
    const char *row;

    (void)rig_node("n", "umlaut", fail_at_length, NULL);
    EXPECT_I64(DUREQ_JOB_DEAD, rig_wait(rig_enqueue("umlaut", "1", NULL).text)->state);
    CTL(0, "job", "list");
    row = strchr(ctl_out(), '\n') + 1;
    EXPECT_I64(column_of(ctl_out(), "TYPE"), column_of(row, "umlaut"));
    EXPECT_I64(column_of(ctl_out(), "STATUS"), column_of(row, "dead"));
    EXPECT_I64(column_of(ctl_out(), "LAST ERROR"), column_of(row, "\xc3\xa4"));
}

SCENARIO(a_long_value_is_cut_between_characters)
{
    DQ_BUF_AUTO want = {0};
    dureq_job_id id;

    (void)rig_node("n", "long", fail_at_length, NULL);
    id = rig_enqueue("long", "1", NULL);
    EXPECT_I64(DUREQ_JOB_DEAD, rig_wait(id.text)->state);
    for (int i = 0; i < 57; i++)
        dq_buf_append_text(&want, "\xc3\xa4");
    dq_buf_append_text(&want, "...\n");
    CTL(0, "dlq", "list");
    EXPECT_HAS(want.ptr, ctl_out());
}

SCENARIO(columns_that_are_left_out_make_room_for_the_others)
{
    dureq_str rest;

    (void)rig_node("n", "long", fail_at_length, NULL);
    EXPECT_I64(DUREQ_JOB_DEAD, rig_wait(rig_enqueue("long", "1", NULL).text)->state);
    ctl_reset();
    ctl_env("TERM", "dumb");
    ctl_terminal(80);
    CTL(0, "dlq", "list");
    EXPECT_TRUE(!strstr(ctl_out(), "UPDATED"));
    rest = ctl_out_str();
    (void)dq_str_cut(&rest, '\n');
    EXPECT_U64(80, cells_of(dq_str_trim(dq_str_cut(&rest, '\n'))));
    ctl_reset();
}

/* ---- JSON and NDJSON ---- */

SCENARIO(json_is_one_document_and_ndjson_one_object_a_line)
{
    dq_json doc = {0};

    (void)rig_enqueue("t", "{\n  \"a\": [\r\n1]\n}\n", NULL); /* blanks around values are the payload's own */
    (void)rig_enqueue("t", "2", NULL);
    CTL(0, "job", "list", "-o", "json");
    EXPECT_U64(1, ctl_out_lines());
    EXPECT_RC(0, dq_json_parse(ctl_out_str(), &doc, NULL));
    EXPECT_U64(2, doc.nodes[dq_json_member(&doc, 0, "data")].n);
    dq_json_deinit(&doc);
    CTL(0, "job", "list", "-o", "ndjson");
    EXPECT_U64(2, ctl_out_lines());
    for (dureq_str rest = ctl_out_str(), line = dq_str_cut(&rest, '\n'); line.len; line = dq_str_cut(&rest, '\n'))
        EXPECT_TRUE(dq_json_valid(line));
    CTL(0, "queue", "list", "-o", "ndjson");
    EXPECT_U64(3, ctl_out_lines());
}

SCENARIO(a_payload_of_full_depth_can_be_read_again)
{
    char payload[257] = "", id[64];

    memset(payload, '[', 128);
    memset(payload + 128, ']', 128);
    CTL(0, "enqueue", "deep", payload);
    (void)snprintf(id, sizeof id, "%s", ctl_line());
    CTL(0, "job", "get", id);
    CTL(0, "job", "list");
    CTL(0, "job", "list", "-o", "json");
    EXPECT_HAS(payload, ctl_out());
}

/* ---- CSV ---- */

/* The first cell of the first row: nothing when the column asks for what the answer has not. */
static void expect_row_begins_with_a_year(void)
{
    const char *row = strchr(ctl_out(), '\n');

    EXPECT_TRUE(row && strncmp(row + 1, "20", 2) == 0);
}

SCENARIO(events_and_audit_tell_when_who_and_what)
{
    dureq_job_id id = enqueue_text("t", "x");

    CTL(0, "job", "cancel", id.text, "--reason", "not wanted");
    CTL(0, "job", "events", id.text);
    expect_row_begins_with_a_year();
    EXPECT_HAS("job.cancelled", ctl_out());
    CTL(0, "job", "audit", id.text);
    expect_row_begins_with_a_year();
    EXPECT_HAS("job.cancel", ctl_out());
    EXPECT_HAS("not wanted", ctl_out());
}

static int hold(dureq_run *task, void *userdata)
{
    (void)snprintf(userdata, 40, "%s", dureq_run_id(task));
    (void)dureq_run_progress(task, DQ_STR_LIT("1"));
    (void)dureq_run_wait_cancelled(task, -1);
    return 0;
}

SCENARIO(a_run_has_the_id_that_its_handler_knows)
{
    char run[40] = "", line[64];
    dureq_job_id id;

    (void)rig_node("n", "held", hold, run);
    id = rig_enqueue("held", "{}", NULL);
    RIG_UNTIL(rig_job(id.text)->progress.len > 0);
    CTL(0, "run", "list", "-o", "csv");
    (void)snprintf(line, sizeof line, "\n%s,", run);
    EXPECT_HAS(line, ctl_out());
    CTL(0, "run", "get", run);
    EXPECT_HAS(run, ctl_out());
    RIG_OK(dureq_client_cancel(rig.client, id.text, NULL, &err));
}

SCENARIO(csv_quotes_what_must_be_quoted)
{
    (void)enqueue_text("t", "x");
    CTL(0, "job", "list", "-o", "csv");
    EXPECT_HAS("id,task_type,queue,status,attempt,created_at,updated_at,last_error\r\n", ctl_out());
    EXPECT_HAS(",t,normal,pending,0,", ctl_out());
    EXPECT_HAS("Z,\r\n", ctl_out());
    CTL(0, "job", "get", enqueue_text("t", "say \"a, b\"\nand c").text, "-o", "csv");
    EXPECT_HAS("id,task_type,payload,", ctl_out());
    EXPECT_HAS(",t,\"say \"\"a, b\"\"\nand c\",text/plain,normal,", ctl_out());
}

SCENARIO(csv_of_single_answers_is_a_header_and_rows)
{
    dureq_job_id a = rig_enqueue("t", "1", NULL), b = rig_enqueue("t", "2", NULL);
    char want[128];

    (void)snprintf(want, sizeof want, "status,job_id\r\ncancelled,%s\r\ncancelled,%s\r\n", a.text, b.text);
    CTL(0, "job", "cancel", a.text, b.text, "-o", "csv");
    EXPECT_TEXT(want, ctl_out());
    CTL(0, "stats", "-o", "csv");
    EXPECT_HAS("name,value\r\ncancelled,2\r\n", ctl_out());
    CTL(0, "redis", "--section", "server", "-o", "csv");
    EXPECT_HAS("section,name,value\r\nserver,redis_version,", ctl_out());
    CTL(0, "stats", "--days", "2", "-o", "csv");
    EXPECT_HAS("date,enqueued,processed,failed,dead,cancelled\r\n", ctl_out());
    EXPECT_U64(3, ctl_out_lines());
}

/* ---- pages and quiet ---- */

SCENARIO(a_page_tells_how_to_get_the_next_outside_of_the_data)
{
    const char *at;
    char cursor[128];

    for (int i = 0; i < 3; i++)
        (void)rig_enqueue("t", "1", NULL);
    CTL(0, "job", "list", "--limit", "2", "-o", "ndjson");
    EXPECT_U64(2, ctl_out_lines());
    at = strstr(ctl_err(), "There is more: --cursor ");
    EXPECT_TRUE(at != NULL);
    (void)snprintf(cursor, sizeof cursor, "%.*s", (int)strcspn(at + 24, "\n"), at + 24);
    CTL(0, "job", "list", "--limit", "2", "-q");
    EXPECT_TEXT("", ctl_err());
    CTL(0, "job", "list", "--limit", "2", "-o", "json");
    EXPECT_TEXT("", ctl_err());
    CTL(0, "job", "list", "--limit", "2", "-o", "ndjson", "--cursor", cursor);
    EXPECT_U64(1, ctl_out_lines());
    EXPECT_TEXT("", ctl_err());
}

SCENARIO(quiet_says_nothing_of_what_was_done)
{
    dureq_job_id id = rig_enqueue("t", "1", NULL);

    CTL(0, "job", "cancel", id.text, "-q");
    EXPECT_TEXT("", ctl_out());
    CTL_FAILS(4, "has ended already", "job", "cancel", id.text, "-q");
    CTL(0, "job", "list", "-q");
    EXPECT_HAS("cancelled", ctl_out());
}

SCENARIO(an_empty_list_is_a_heading_an_empty_document_or_nothing)
{
    CTL(0, "run", "list");
    EXPECT_U64(1, ctl_out_lines());
    CTL(0, "run", "list", "-o", "json");
    EXPECT_TEXT("[]\n", ctl_out());
    CTL(0, "run", "list", "-o", "ndjson");
    EXPECT_TEXT("", ctl_out());
    CTL(0, "run", "list", "-o", "csv");
    EXPECT_U64(1, ctl_out_lines());
}

RIG_MAIN()
