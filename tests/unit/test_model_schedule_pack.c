/* SPDX-License-Identifier: Apache-2.0 */
/* Packed definitions: back as they were, the same bytes for the same times, and nothing that is damaged is taken for one. */
#include "model/schedule.h"

#include "expect.h"
#include "model/job.h"

static const dureq_at_time times[] = {{9, 0, 0}, {23, 59, 59}};
static const int32_t days[] = {1, 31};

static dureq_schedule monthly(void)
{
    dureq_schedule s = dureq_schedule_init();

    s.type = DUREQ_SCHEDULE_MONTHLY;
    s.at_times = times;
    s.n_at_times = 2;
    s.included_days = days;
    s.n_included_days = 2;
    s.regular_interval = 3;
    s.starts_at_ms = 1700000000000;
    s.ends_at_ms = 1900000000000;
    s.timezone = "Europe/Berlin";
    s.jitter_ms = 5000;
    s.gap = DUREQ_GAP_SKIP;
    s.overlap_hour = DUREQ_OVERLAP_HOUR_BOTH;
    s.overlap_policy = DUREQ_OVERLAP_BUFFER_ALL;
    s.misfire = DUREQ_MISFIRE_SKIP;
    s.catchup_window_ms = 3600000;
    s.max_backfill_per_tick = 7;
    s.max_occurrences = 1000000;
    s.pause_on_failure = true;
    return s;
}

static dureq_schedule cron(const char *expr)
{
    dureq_schedule s = dureq_schedule_init();

    s.type = DUREQ_SCHEDULE_CRON;
    s.cron_expr = expr;
    return s;
}

static void pack(dq_buf *out, const dureq_schedule *s)
{
    dq_definition d = {.schedule = *s,
                       .lane_name = DQ_STR_LIT("normal|t|"),
                       .key = DQ_STR_LIT("k"),
                       .unique_key = DQ_STR_LIT("u"),
                       .j = DQ_STR_LIT("envelope"),
                       .more_at = 3};

    dq_definition_pack(out, &d);
    EXPECT_TRUE(!dq_buf_failed(out));
}

TEST(a_definition_comes_back_as_it_was)
{
    dureq_schedule s = monthly(), *r;
    DQ_BUF_AUTO bytes = {0};
    dq_arena arena = {0};
    dq_definition d;

    pack(&bytes, &s);
    EXPECT_RC(0, dq_definition_unpack(dq_buf_str(&bytes), &arena, &d));
    EXPECT_STR_TEXT("normal|t|", d.lane_name);
    EXPECT_STR_TEXT("k", d.key);
    EXPECT_STR_TEXT("u", d.unique_key);
    EXPECT_STR_TEXT("envelope", d.j);
    EXPECT_I64(3, d.more_at);
    r = &d.schedule;
    EXPECT_I64(DUREQ_SCHEDULE_MONTHLY, r->type);
    EXPECT_I64(2, (int64_t)r->n_at_times);
    EXPECT_I64(59, r->at_times[1].second);
    EXPECT_I64(31, r->included_days[1]);
    EXPECT_I64(3, r->regular_interval);
    EXPECT_I64(s.starts_at_ms, r->starts_at_ms);
    EXPECT_I64(s.ends_at_ms, r->ends_at_ms);
    EXPECT_TEXT("Europe/Berlin", r->timezone);
    EXPECT_I64(5000, r->jitter_ms);
    EXPECT_I64(DUREQ_GAP_SKIP, r->gap);
    EXPECT_I64(DUREQ_OVERLAP_HOUR_BOTH, r->overlap_hour);
    EXPECT_I64(DUREQ_OVERLAP_BUFFER_ALL, r->overlap_policy);
    EXPECT_I64(DUREQ_MISFIRE_SKIP, r->misfire);
    EXPECT_I64(3600000, r->catchup_window_ms);
    EXPECT_I64(7, r->max_backfill_per_tick);
    EXPECT_I64(1000000, r->max_occurrences);
    EXPECT_TRUE(r->pause_on_failure);
    dq_arena_deinit(&arena);
}

TEST(times_are_the_same_whatever_is_made_up_for)
{
    dureq_schedule a = cron("0 3 * * *"), b = a;
    DQ_BUF_AUTO one = {0};
    DQ_BUF_AUTO other = {0};

    dq_calendar_pack(&one, &a);
    b.catchup_window_ms = 5;
    b.max_backfill_per_tick = 3;
    b.misfire = DUREQ_MISFIRE_SKIP;
    dq_calendar_pack(&other, &b);
    EXPECT_TRUE(dq_calendar_is_same(dq_buf_str(&one), dq_buf_str(&other)));
    dq_buf_clear(&other);
    b.timezone = "UTC";
    dq_calendar_pack(&other, &b);
    EXPECT_TRUE(!dq_calendar_is_same(dq_buf_str(&one), dq_buf_str(&other)));
    dq_buf_clear(&other);
    b = cron("0 4 * * *");
    dq_calendar_pack(&other, &b);
    EXPECT_TRUE(!dq_calendar_is_same(dq_buf_str(&one), dq_buf_str(&other)));
    dq_buf_clear(&other);
    b = a;
    b.gap = DUREQ_GAP_SKIP;
    dq_calendar_pack(&other, &b);
    EXPECT_TRUE(!dq_calendar_is_same(dq_buf_str(&one), dq_buf_str(&other)));
    EXPECT_TRUE(!dq_calendar_is_same((dureq_str){0}, (dureq_str){0}));
}

TEST(what_is_cut_or_changed_is_refused_or_still_a_definition)
{
    dureq_schedule s = monthly();
    DQ_BUF_AUTO bytes = {0};
    dq_definition d;

    pack(&bytes, &s);
    for (size_t n = 0; n < bytes.len - strlen("envelope"); n++) {
        dq_arena arena = {0};

        EXPECT_NOTE("%zu bytes", n);
        EXPECT_TRUE(dq_definition_unpack(dureq_str_of(bytes.ptr, n), &arena, &d) < 0);
        dq_arena_deinit(&arena);
    }
    for (size_t i = 0; i < bytes.len; i++)
        for (int bit = 0; bit < 8; bit++) {
            dq_arena arena = {0};

            bytes.ptr[i] ^= (char)(1 << bit);
            if (dq_definition_unpack(dq_buf_str(&bytes), &arena, &d) == 0)
                EXPECT_RC(0, dq_schedule_check(&d.schedule, NULL));
            bytes.ptr[i] ^= (char)(1 << bit);
            dq_arena_deinit(&arena);
        }
    bytes.ptr[0] = 2;
    EXPECT_RC(DUREQ_ESCHEMA, dq_definition_unpack(dq_buf_str(&bytes), &(dq_arena){0}, &d));
}

TEST(a_template_has_room_for_schedule_and_time)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_job_spec spec = {.task_type = "t", .payload = DQ_STR_LIT("{}"), .options = &o};
    static const char *const tags[] = {"one", "two"};
    DQ_BUF_AUTO j = {0};
    dq_envelope e;
    dq_id id = {.ms = 1700000000000, .seq = 5, .lane = 0, .shard = 3}, back;
    unsigned char packed[DQ_ID_BYTES];
    size_t at;

    o.tags = tags;
    o.n_tags = 2;
    o.timeout_ms = 1000;
    at = dq_envelope_pack_template(&j, &spec);
    EXPECT_RC(0, dq_envelope_unpack(dq_buf_str(&j), &e));
    EXPECT_TRUE(e.more.ptr == j.ptr + at);
    EXPECT_I64(DQ_MORE_SCHEDULE_BYTES, (int64_t)e.more.len);
    EXPECT_I64(0, (int64_t)e.schedule_id.len);
    EXPECT_TRUE(!(e.flags & DQ_J_TRACKED));
    dq_id_pack(&id, packed);
    j.ptr[at] = DQ_MORE_SCHEDULE;
    memcpy(j.ptr + at + 1, packed, sizeof packed);
    j.ptr[at + 19] = 42;
    j.ptr[at + 20] = 1;
    EXPECT_RC(0, dq_envelope_unpack(dq_buf_str(&j), &e));
    EXPECT_TRUE(dq_id_unpack(e.schedule_id, &back) && back.ms == id.ms && back.lane == 0);
    EXPECT_I64(42, e.scheduled_at);
    EXPECT_TRUE(e.flags & DQ_J_TRACKED);
    EXPECT_STR_TEXT("{}", e.payload);
}

TEST_MAIN()
