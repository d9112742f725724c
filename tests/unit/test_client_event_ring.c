/* SPDX-License-Identifier: Apache-2.0 */
/* The newest events, which of them are out of date, and many of them as one message. */
#include "client/event_digest.h"
#include "client/event_ring.h"
#include "expect.h"

static dq_id job_of(uint32_t n)
{
    return (dq_id){.ms = 1700000000000, .seq = n, .lane = 1, .shard = 2};
}

static void add(dq_event_ring *r, dq_event_type type, uint32_t job, const char *text, const char *queue)
{
    dq_event_frame like = {.type = type, .has_job = true, .job = job_of(job)};

    dq_event_ring_add(r, &like,
                      (const dureq_str[DQ_FRAME_PARTS]){
                          [DQ_FRAME_TEXT] = dureq_str_from(text),
                          [DQ_FRAME_QUEUE] = dureq_str_from(queue),
                      });
}

static dq_event_ring *ring(void)
{
    dq_event_ring *r = dq_calloc(1, sizeof *r);

    EXPECT_TRUE(r != NULL);
    return r;
}

static void drop(dq_event_ring *r)
{
    dq_event_ring_clear(r);
    EXPECT_I64(0, r->bytes);
    dq_free(r);
}

TEST(a_frame_has_its_parts_and_fits_a_filter)
{
    dq_event_ring *r = ring();
    dureq_str parts[DQ_FRAME_PARTS];
    dq_event_filter all = {.types = UINT64_MAX}, other = {.types = UINT64_MAX, .queue = DQ_STR_LIT("low")};

    add(r, DQ_EVENT_JOB_DEAD, 1, "{\"type\":\"job.dead\"", "high");
    dq_event_frame_parts(dq_event_ring_at(r, 0), parts);
    EXPECT_STR_TEXT("{\"type\":\"job.dead\"", parts[DQ_FRAME_TEXT]);
    EXPECT_STR_TEXT("high", parts[DQ_FRAME_QUEUE]);
    EXPECT_I64(0, parts[DQ_FRAME_TOKEN].len);
    EXPECT_TRUE(dq_event_frame_fits(dq_event_ring_at(r, 0), &all, parts));
    EXPECT_TRUE(!dq_event_frame_fits(dq_event_ring_at(r, 0), &other, parts));
    drop(r);
}

TEST(a_later_progress_of_a_job_outdates_the_one_before_and_no_other)
{
    dq_event_ring *r = ring();

    add(r, DQ_EVENT_JOB_PROGRESS, 1, "a", "");
    add(r, DQ_EVENT_JOB_PROGRESS, 2, "b", "");
    add(r, DQ_EVENT_JOB_STARTED, 1, "c", "");
    add(r, DQ_EVENT_JOB_PROGRESS, 1, "d", "");
    add(r, DQ_EVENT_JOB_PROGRESS, 1, "e", "");
    EXPECT_TRUE(dq_event_ring_at(r, 0)->is_outdated);
    EXPECT_TRUE(!dq_event_ring_at(r, 1)->is_outdated);
    EXPECT_TRUE(!dq_event_ring_at(r, 2)->is_outdated);
    EXPECT_TRUE(dq_event_ring_at(r, 3)->is_outdated);
    EXPECT_TRUE(!dq_event_ring_at(r, 4)->is_outdated);
    drop(r);
}

/* More jobs than there are chains, so that many share one; the ring goes round twice. */
TEST(of_each_job_the_latest_progress_is_in_date_however_many_there_are)
{
    enum { JOBS = 6000, ROUNDS = 6 };
    dq_event_ring *r = ring();
    int64_t in_date = 0;

    for (uint32_t i = 0; i < JOBS * ROUNDS; i++)
        add(r, DQ_EVENT_JOB_PROGRESS, i % JOBS, "x", "");
    EXPECT_I64(DQ_EVENT_RING_FRAMES, r->end - r->first);
    for (uint64_t i = r->first; i < r->end; i++) {
        EXPECT_I64(i < r->end - JOBS, dq_event_ring_at(r, i)->is_outdated);
        in_date += !dq_event_ring_at(r, i)->is_outdated;
    }
    EXPECT_I64(JOBS, in_date);
    drop(r);
}

TEST(what_is_missed_has_no_frame_and_moves_the_beginning)
{
    dq_event_ring *r = ring();

    add(r, DQ_EVENT_JOB_PROGRESS, 1, "a", "");
    dq_event_ring_lose(r);
    EXPECT_I64(2, r->first);
    EXPECT_I64(2, r->end);
    add(r, DQ_EVENT_JOB_PROGRESS, 1, "b", "");
    add(r, DQ_EVENT_JOB_PROGRESS, 1, "c", "");
    EXPECT_TRUE(dq_event_ring_at(r, 2)->is_outdated);
    EXPECT_TRUE(!dq_event_ring_at(r, 3)->is_outdated);
    drop(r);
}

TEST(long_frames_push_others_out)
{
    static char text[1 << 20];
    dq_event_ring *r = ring();

    memset(text, 'x', sizeof text - 1);
    for (uint32_t i = 0; i < 40; i++)
        add(r, DQ_EVENT_JOB_DEAD, i, text, "");
    EXPECT_TRUE(r->bytes <= DQ_EVENT_RING_BYTES);
    EXPECT_TRUE(r->end - r->first < 17 && r->end - r->first > 12);
    drop(r);
}

TEST(a_digest_counts_by_type_and_names_jobs_once)
{
    dq_event_digest d = {0};
    dq_id a = job_of(1), b = job_of(2);
    dureq_job_id text;
    DQ_BUF_AUTO out = {0};
    DQ_BUF_AUTO want = {0};

    dq_event_digest_add(&d, DQ_EVENT_JOB_ENQUEUED, &a);
    dq_event_digest_add(&d, DQ_EVENT_JOB_ENQUEUED, &b);
    dq_event_digest_add(&d, DQ_EVENT_JOB_COMPLETED, &a);
    dq_event_digest_add(&d, DQ_EVENT_QUEUE_PAUSED, NULL);
    dq_event_digest_write(&d, &out);
    dq_buf_append_text(
        &want, "{\"type\":\"stream.digest\",\"events\":{\"job.enqueued\":2,\"job.completed\":1,\"queue.paused\":1},\"jobs\":[");
    dq_id_to_text(&a, &text);
    dq_buf_append_fmt(&want, "\"%s\",", text.text);
    dq_id_to_text(&b, &text);
    dq_buf_append_fmt(&want, "\"%s\"],\"jobs_exact\":true", text.text);
    EXPECT_STR_TEXT(want.ptr, dq_buf_str(&out));
}

TEST(a_digest_names_no_more_jobs_than_it_has_room_for_and_says_so)
{
    dq_event_digest d = {0};
    DQ_BUF_AUTO out = {0};

    for (uint32_t i = 0; i <= DQ_EVENT_DIGEST_JOBS_MAX; i++) {
        dq_id job = job_of(i);

        EXPECT_TRUE(!d.has_more_jobs);
        dq_event_digest_add(&d, DQ_EVENT_JOB_ENQUEUED, &job);
    }
    EXPECT_I64(DQ_EVENT_DIGEST_JOBS_MAX, d.n_jobs);
    dq_event_digest_write(&d, &out);
    EXPECT_HAS("\"job.enqueued\":33", out.ptr);
    EXPECT_HAS("\"jobs_exact\":false", out.ptr);
}

TEST_MAIN()
