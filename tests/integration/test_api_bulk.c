/* SPDX-License-Identifier: Apache-2.0 */
/* What is done to many jobs for somebody who does not wait for it to the end. */
#include "base/buf.h"
#include "test_api.h"

#define N_JOBS 2500

/* Somebody who asks, and is gone after so many looks. */
typedef struct caller {
    dq_api_sink sink;
    int n_looks;
    int status;
    dq_buf body;
} caller;

static void begin(dq_api_sink *s, const dq_api_response *head, int64_t length)
{
    (void)length;
    dq_container_of(s, caller, sink)->status = head->status;
}

static void take(dq_api_sink *s, dureq_str part)
{
    dq_buf_append_str(&dq_container_of(s, caller, sink)->body, part);
}

static void end(dq_api_sink *s, bool is_whole)
{
    (void)s;
    (void)is_whole;
}

static bool is_gone(dq_api_sink *s)
{
    return dq_container_of(s, caller, sink)->n_looks-- <= 0;
}

static void ask(caller *k, const char *path, const char *query, const char *body)
{
    dq_api_request req = {
        .method = "POST", .path = path, .query = query, .body = dureq_str_from(body), .actor = "ci", .role = DQ_API_OPERATOR};

    k->sink = (dq_api_sink){.begin = begin, .write = take, .end = end, .is_gone = is_gone};
    dq_buf_clear(&k->body);
    dq_api_run(rig.client, &req, &k->sink);
    EXPECT_FALSE(dq_buf_failed(&k->body));
}

static void enqueue_many(void)
{
    DQ_BUF_AUTO lines = {0};

    for (int i = 0; i < N_JOBS; i++)
        dq_buf_append_text(&lines, "{\"task_type\":\"t\"}\n");
    EXPECT_I64(200, api_ndjson("/api/jobs", lines.ptr));
    EXPECT_I64(N_JOBS, rig_counts().pending);
}

SCENARIO(a_bulk_call_stops_when_nobody_waits_for_it_and_the_audit_says_how_far_it_came)
{
    caller k = {.n_looks = 1};
    char done[40];
    int64_t n;

    enqueue_many();
    ask(&k, "/api/jobs/bulk/cancel", "type=t", "{}");
    n = rig_counts().cancelled;
    EXPECT_TRUE(n > 0 && n < N_JOBS);
    EXPECT_I64(503, k.status);
    EXPECT_HAS("\"code\":\"stopped\"", k.body.ptr);
    (void)snprintf(done, sizeof done, "after %lld jobs", (long long)n);
    EXPECT_HAS(done, k.body.ptr);
    EXPECT_I64(200, api("GET", "/api/audit", "target=cancel", NULL));
    EXPECT_HAS("\"actor\":\"ci\",\"action\":\"bulk.stop\"", api_body());
    (void)snprintf(done, sizeof done, "\"detail\":\"%lld jobs: ", (long long)n);
    EXPECT_HAS(done, api_body());
    k.n_looks = 1000; /* who stays has the rest done */
    ask(&k, "/api/jobs/bulk/cancel", "type=t", "{}");
    EXPECT_I64(200, k.status);
    EXPECT_I64(N_JOBS, rig_counts().cancelled);
    dq_buf_deinit(&k.body);
}

SCENARIO(a_look_at_what_would_be_done_stops_and_leaves_no_trace)
{
    caller k = {0};

    enqueue_many();
    ask(&k, "/api/jobs/bulk/cancel", "type=t&dry_run=1", "{}");
    EXPECT_I64(503, k.status);
    EXPECT_I64(N_JOBS, rig_counts().pending);
    EXPECT_I64(200, api("GET", "/api/audit", NULL, NULL));
    EXPECT_TEXT("[]", api_body());
    dq_buf_deinit(&k.body);
}

RIG_MAIN()
