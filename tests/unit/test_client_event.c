/* SPDX-License-Identifier: Apache-2.0 */
/* What entries of the event stream say, of this version and of older ones; positions; and filters. */
#include "client/event.h"
#include "client/event_cursor.h"
#include "expect.h"
#include "test_file.h"

#include <stdio.h>
#include <stdlib.h>

static const dq_id one = {.ms = 1700000000000, .seq = 7, .lane = 1, .shard = 2};
static const dq_id two = {.ms = 1700000000001, .seq = DQ_ID_SEQ_DUE + 1, .lane = 1, .shard = 2};

/* ---- entries, put together ---- */

static void put_be(dq_buf *b, uint64_t v, size_t n)
{
    while (n-- > 0)
        dq_buf_append_char(b, (char)(v >> (8 * n)));
}

static void put_id(dq_buf *b, const dq_id *id)
{
    unsigned char packed[DQ_ID_BYTES];

    dq_id_pack(id, packed);
    dq_buf_append(b, packed, sizeof packed);
}

static void head(dq_buf *b, char kind)
{
    dq_buf_append_char(b, kind);
    put_be(b, 1700000000002, 6);
}

static void part(dq_buf *b, char letter, const dq_id *id)
{
    dq_buf_append_char(b, letter);
    put_be(b, 1, 2);
    put_id(b, id);
}

static void detail(dq_buf *x, unsigned place, unsigned flags, unsigned attempt, unsigned outcome, const char *error)
{
    put_be(x, place, 2);
    put_be(x, flags, 1);
    put_be(x, attempt, 2);
    put_be(x, attempt, 2);
    put_be(x, outcome, 1);
    put_be(x, 0, 6);
    put_be(x, strlen(error), 2);
    dq_buf_append_text(x, error);
}

static void add_word(const dq_event *e, void *userdata)
{
    dq_buf *out = userdata;

    dq_buf_append_fmt(out, "%s%s", out->len ? " " : "", dq_event_text(e->type));
    if (e->attempt)
        dq_buf_append_fmt(out, "#%u", (unsigned)e->attempt);
    if (e->error.len)
        dq_buf_append_fmt(out, "(" DQ_STR_FMT ")", DQ_STR_ARG(e->error));
}

static void expect_told(const char *want, const dq_buf *e, const dq_buf *x)
{
    dq_event_entry entry = {.shard = 2, .ms = 1, .e = dq_buf_str(e), .x = dq_buf_str(x)};
    DQ_BUF_AUTO told = {0};

    dq_event_each(&entry, add_word, &told);
    EXPECT_TEXT(want, told.ptr ? told.ptr : "");
}

/* ---- what they say ---- */

TEST(an_end_without_more_is_of_a_first_run_whose_start_was_not_told)
{
    DQ_BUF_AUTO e = {0};
    DQ_BUF_AUTO none = {0};

    head(&e, 'C');
    put_be(&e, 5, 6);
    put_id(&e, &one);
    expect_told("job.started#1 job.completed#1", &e, &none);
}

TEST(accepted_jobs_are_enqueued_or_scheduled)
{
    DQ_BUF_AUTO e = {0};
    DQ_BUF_AUTO none = {0};

    head(&e, 'A');
    dq_buf_append_char(&e, 3); /* one that was refused */
    put_id(&e, &two);
    dq_buf_append_char(&e, 0);
    put_be(&e, 2, 2);
    put_be(&e, one.lane, 3);
    put_be(&e, one.ms, 6);
    put_be(&e, one.seq, 4);
    dq_buf_append_char(&e, 0);
    put_be(&e, 1, 2);
    put_be(&e, two.lane, 3);
    put_be(&e, two.ms, 6);
    put_be(&e, two.seq, 4);
    expect_told("job.enqueued job.enqueued job.scheduled", &e, &none);
}

TEST(outcomes_have_attempts_and_errors)
{
    DQ_BUF_AUTO e = {0};
    DQ_BUF_AUTO x = {0};

    head(&e, 'O');
    put_be(&e, 5, 6);
    part(&e, 'r', &one);
    part(&e, 'd', &two);
    part(&e, 'c', &one);
    part(&e, 'f', &two);
    dq_buf_append_char(&x, 1);
    detail(&x, 0, DQ_EVENT_IS_SPENT, 1, DUREQ_OUTCOME_RETRY, "no");
    detail(&x, 1, DQ_EVENT_IS_SPENT | DQ_EVENT_WAS_STARTED, 3, DUREQ_OUTCOME_FAIL, "never");
    detail(&x, 3, 0, 2, DUREQ_OUTCOME_REPEAT, "");
    expect_told(
        "job.started#1 job.failed#1(no) job.retrying#1(no) job.failed#3(never) job.dead#3(never) job.started#1 job.completed#1 "
        "job.started#2 job.repeated#2",
        &e, &x);
}

TEST(entries_of_older_nodes_say_what_they_can)
{
    DQ_BUF_AUTO e = {0};
    DQ_BUF_AUTO none = {0};

    head(&e, 'O');
    put_be(&e, 5, 6);
    part(&e, 'r', &one);
    part(&e, 'd', &two);
    part(&e, 'c', &one);
    part(&e, 'f', &two);
    part(&e, 'p', &two);
    expect_told("job.retrying job.dead job.completed job.repeated job.paused", &e, &none);
}

TEST(an_entry_cut_anywhere_tells_no_more_than_the_whole)
{
    DQ_BUF_AUTO e = {0};
    DQ_BUF_AUTO x = {0};
    dq_event_entry whole;
    DQ_BUF_AUTO told = {0};

    head(&e, 'O');
    put_be(&e, 5, 6);
    part(&e, 'd', &one);
    dq_buf_append_char(&x, 1);
    detail(&x, 0, DQ_EVENT_IS_SPENT, 1, DUREQ_OUTCOME_FAIL, "no");
    whole = (dq_event_entry){.shard = 2, .ms = 1, .e = dq_buf_str(&e), .x = dq_buf_str(&x)};
    dq_event_each(&whole, add_word, &told);
    for (size_t i = 0; i < e.len; i++) {
        dq_event_entry cut = {.shard = 2, .ms = 1, .e = dureq_str_of(e.ptr, i), .x = dureq_str_of(x.ptr, i % x.len)};
        DQ_BUF_AUTO less = {0};

        dq_event_each(&cut, add_word, &less);
        EXPECT_TRUE(less.len < told.len);
    }
}

TEST(what_only_some_may_see_can_be_left_out)
{
    const dq_event e = {
        .type = DQ_EVENT_JOB_FAILED, .at_ms = 1700000000000, .has_job = true, .job = one, .run = 1, .error = {"secret", 6}};
    const dq_event_names names = {.queue = {"q", 1}, .task_type = {"t", 1}, .node = {"n", 1}};
    DQ_BUF_AUTO text = {0};
    dq_event_secret secret;

    dq_event_write(&e, &names, &text, &secret);
    EXPECT_HAS("\"error\":\"secret\"", text.ptr);
    EXPECT_HAS("\"queue\":\"q\"", text.ptr);
    EXPECT_TRUE(!memmem(text.ptr, secret.at, "secret", 6));
    EXPECT_I64((int64_t)text.len, (int64_t)(secret.at + secret.len));
}

TEST(every_type_is_documented)
{
    const char *root = getenv("DUREQ_TEST_SOURCE");
    char path[1024];
    char *doc;

    if (!root)
        skip(); /* not run by the build */
    (void)snprintf(path, sizeof path, "%s/docs/api.md", root);
    doc = test_file_read(path);
    for (int t = 0; t < DQ_EVENT_N_TYPES; t++) {
        char row[512];

        (void)snprintf(row, sizeof row, "| `%s` | %s |\n", dq_event_text((dq_event_type)t), dq_event_says((dq_event_type)t));
        EXPECT_HAS(row, doc);
    }
    dq_free(doc);
}

/* ---- filters ---- */

TEST(types_are_words_or_beginnings)
{
    dureq_error err = {0};
    uint64_t set = 0;

    EXPECT_I64(0, dq_event_types("job.completed, node.*", &set, &err));
    EXPECT_TRUE(set >> DQ_EVENT_JOB_COMPLETED & 1);
    EXPECT_TRUE(set >> DQ_EVENT_NODE_LEFT & 1);
    EXPECT_TRUE(!(set >> DQ_EVENT_JOB_DEAD & 1));
    EXPECT_I64(0, dq_event_types("", &set, &err));
    EXPECT_TRUE(set == UINT64_MAX);
    EXPECT_RC(DUREQ_EINVAL, dq_event_types("job.*,jobs.*", &set, &err));
    EXPECT_HAS("'jobs.*'", err.msg);
}

/* ---- positions ---- */

TEST(a_position_reads_back)
{
    dq_event_cursor c, back;
    DQ_BUF_AUTO token = {0};
    dureq_error err = {0};

    EXPECT_I64(0, dq_event_cursor_init(&c, 3));
    EXPECT_I64(0, dq_event_cursor_init(&back, 3));
    c.at[0] = (dq_event_place){1700000000000, 12};
    c.at[2] = (dq_event_place){1, INT64_MAX};
    c.part = 70000;
    c.part_shard = 2;
    c.part_of = (dq_event_place){1700000000001, 0};
    dq_event_token_put(&token, &c);
    EXPECT_I64(0, dq_event_token_parse(dq_buf_str(&token), &back, &err));
    EXPECT_I64(0, memcmp(c.at, back.at, 3 * sizeof *c.at));
    EXPECT_I64(70000, back.part);
    EXPECT_TRUE(dq_event_cursor_has(&back, 2, c.part_of, 69999));
    EXPECT_TRUE(!dq_event_cursor_has(&back, 2, c.part_of, 70000));
    EXPECT_TRUE(dq_event_cursor_has(&back, 0, c.at[0], 5));
    for (size_t i = 0; i < token.len; i++)
        EXPECT_RC(DUREQ_EINVAL, dq_event_token_parse(dureq_str_of(token.ptr, i), &back, &err));
    EXPECT_RC(DUREQ_EINVAL, dq_event_token_parse(DQ_STR_LIT("not one!"), &back, &err));
    back.n_shards = 2;
    EXPECT_RC(DUREQ_EINVAL, dq_event_token_parse(dq_buf_str(&token), &back, &err));
    dq_event_cursor_deinit(&c);
    dq_event_cursor_deinit(&back);
}

TEST_MAIN()
