/* SPDX-License-Identifier: Apache-2.0 */
/* The resources of single jobs and of many: reading, lists, what can be done to them, the dead ones. */
#include <inttypes.h>

#include "test_api.h"

#include "base/buf.h"

#include <stdatomic.h>

static int end_as_told(dureq_run *task, void *userdata)
{
    dureq_str payload = dureq_run_payload(task);

    (void)userdata;
    dureq_run_log(task, "line of %s", dureq_run_job_id(task));
    if (dq_str_eq_text(payload, "\"fail\""))
        return dureq_run_fail(task, 7, "told to fail");
    return dureq_run_set_result(task, DQ_STR_LIT("{\"sum\": 3}"), NULL);
}

static int until_cancelled(dureq_run *task, void *userdata)
{
    (void)userdata;
    while (!dureq_run_wait_cancelled(task, 100))
        ;
    return 0;
}

static dureq_job_id dead_job(const char *type)
{
    dureq_job_id id = rig_enqueue(type, "\"fail\"", NULL);

    EXPECT_I64(DUREQ_JOB_DEAD, rig_wait(id.text)->state);
    return id;
}

static int act(const char *verb, const char *id)
{
    char path[160];

    (void)snprintf(path, sizeof path, "/api/jobs/%s/%s", id, verb);
    return api("POST", path, NULL, NULL);
}

/* ---- one job ---- */

SCENARIO(a_job_is_read_in_any_state_and_forgotten_when_it_ended)
{
    dureq_job_id id = rig_enqueue("t", "1", NULL);
    const char *path = api_path("/api/jobs/%s", id.text);

    EXPECT_I64(200, api("GET", path, NULL, NULL));
    EXPECT_TEXT("pending", api_text("status"));
    API_FAILS(409, "wrong_state", "", "DELETE", path, NULL, NULL);
    EXPECT_I64(200, act("cancel", id.text));
    EXPECT_I64(200, api("DELETE", path, NULL, NULL));
    EXPECT_TEXT("deleted", api_text("status"));
    API_FAILS(404, "not_found", id.text, "GET", path, NULL, NULL);
    API_FAILS(400, "invalid", "id 'nope' is not a job id", "GET", "/api/jobs/nope", NULL, NULL);
}

SCENARIO(a_waiting_job_is_held_back_moved_and_changed)
{
    dureq_job_id id = rig_enqueue("t", "1", NULL);
    char detail[64];
    int64_t before;

    EXPECT_I64(200, act("pause", id.text));
    EXPECT_I64(DUREQ_JOB_PAUSED, rig_state(id.text));
    EXPECT_I64(200, act("resume", id.text));
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(id.text));
    EXPECT_I64(200, api("POST", api_path("/api/jobs/%s/reschedule", id.text), NULL, "{\"run_at\":\"2036-01-01T00:00:00Z\"}"));
    EXPECT_I64(DUREQ_JOB_SCHEDULED, rig_state(id.text));
    before = rig_server_ms();
    EXPECT_I64(200, api("POST", api_path("/api/jobs/%s/reschedule", id.text), NULL, "{\"delay\":\"2h\"}"));
    EXPECT_TRUE(rig_job(id.text)->run_at_ms >= before + 7200000 && rig_job(id.text)->run_at_ms <= rig_server_ms() + 7200000);
    EXPECT_I64(200, api("GET", api_path("/api/jobs/%s/audit", id.text), NULL, NULL));
    (void)snprintf(detail, sizeof detail, "\"detail\":\"%lld\"", (long long)rig_job(id.text)->run_at_ms);
    EXPECT_HAS(detail, api_body());
    EXPECT_I64(200, act("run", id.text));
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(id.text));
    EXPECT_I64(409, act("retry", id.text));
    EXPECT_TEXT("wrong_state", api_text("code"));
}

SCENARIO(a_payload_is_replaced_as_json_text_or_bytes)
{
    static const struct {
        const char *body, *payload, *type;
    } rows[] = {
        {"{\"payload\":{\"b\": 2}}", "{\"b\": 2}", "application/json"},
        {"{\"payload\":\"word\"}", "\"word\"", "application/json"},
        {"{\"payload\":\"word\",\"content_type\":\"text/plain\"}", "word", "text/plain"},
        {"{\"payload_base64\":\"/w==\",\"content_type\":\"image/png\"}", "\xff", "image/png"},
        {"{\"payload\":null}", "null", "application/json"},
    };
    dureq_job_id id = rig_enqueue("t", "1", NULL);
    const char *path = api_path("/api/jobs/%s/payload", id.text);

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        EXPECT_NOTE("%s", rows[i].body);
        EXPECT_I64(200, api("PUT", path, NULL, rows[i].body));
        EXPECT_STR_TEXT(rows[i].payload, rig_job(id.text)->payload);
        EXPECT_STR_TEXT(rows[i].type, rig_job(id.text)->content_type);
    }
    EXPECT_I64(200, act("cancel", id.text));
    API_FAILS(409, "wrong_state", "", "PUT", path, NULL, "{\"payload\":1}");
}

SCENARIO(a_cancel_keeps_its_reason)
{
    dureq_job_id id = rig_enqueue("t", "1", NULL);

    EXPECT_I64(200, api("POST", api_path("/api/jobs/%s/cancel", id.text), "reason=not+needed", NULL));
    EXPECT_I64(200, api("GET", api_path("/api/jobs/%s", id.text), NULL, NULL));
    EXPECT_TEXT("not needed", api_text("reason"));
    EXPECT_I64(200, api("GET", api_path("/api/jobs/%s/audit", id.text), NULL, NULL));
    EXPECT_HAS("cancel", api_body());
    EXPECT_I64(200, api("GET", api_path("/api/jobs/%s/events", id.text), NULL, NULL));
    EXPECT_HAS("job.cancelled", api_body());
}

/* ---- its end ---- */

SCENARIO(a_result_is_409_until_the_end_and_can_be_waited_for)
{
    dureq_job_id id = rig_enqueue("sum", "1", NULL);
    const char *path = api_path("/api/jobs/%s/result", id.text);

    API_FAILS(409, "wrong_state", "the job is pending: it has no result yet", "GET", path, NULL, NULL);
    API_FAILS(503, "timeout", "the job has not ended in time", "GET", path, "wait=20ms", NULL);
    API_FAILS(400, "invalid", "parameter 'wait' takes a duration such as 30s", "GET", path, "wait=-1s", NULL);
    (void)rig_node("n", "sum", end_as_told, NULL);
    EXPECT_I64(200, api("GET", path, "wait=10s", NULL));
    EXPECT_TEXT("completed", api_text("status"));
    EXPECT_HAS("\"result\":{\"sum\": 3}", api_body());
    EXPECT_I64(200, api("GET", path, NULL, NULL));
}

SCENARIO(runs_and_logs_of_a_job_are_kept)
{
    dureq_job_id id;
    char run[64];

    (void)rig_node("n", "sum", end_as_told, NULL);
    id = dead_job("sum");
    (void)snprintf(run, sizeof run, "%s.1", id.text);
    EXPECT_I64(200, api("GET", api_path("/api/jobs/%s/runs", id.text), NULL, NULL));
    EXPECT_HAS(run, api_body());
    EXPECT_HAS("\"error\":\"told to fail\"", api_body());
    EXPECT_I64(200, api("GET", api_path("/api/runs/%s", run), NULL, NULL));
    EXPECT_TEXT("failed", api_text("status"));
    EXPECT_TEXT("n", api_text("node_id"));
    EXPECT_I64(200, api("GET", api_path("/api/jobs/%s/logs", id.text), NULL, NULL));
    EXPECT_HAS("line of ", api_text("logs"));
    API_FAILS(404, "not_found", "no run '", "GET", api_path("/api/runs/%s.2", id.text), NULL, NULL);
    API_FAILS(400, "invalid", "a run id is <job id>.<run>, not 'x'", "GET", "/api/runs/x", NULL, NULL);
    API_FAILS(404, "not_found", "no run '", "POST", api_path("/api/runs/%s.9/requeue", id.text), NULL, NULL);
    EXPECT_I64(200, api("POST", api_path("/api/runs/%s/requeue", run), NULL, NULL));
    EXPECT_I64(DUREQ_JOB_DEAD, rig_wait(id.text)->state);
    EXPECT_I64(2, rig_job(id.text)->runs);
}

SCENARIO(a_completed_job_is_retried_by_force_only)
{
    dureq_job_id id;
    const char *path;

    (void)rig_node("n", "sum", end_as_told, NULL);
    id = rig_enqueue("sum", "1", NULL);
    path = api_path("/api/jobs/%s/retry", id.text);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
    API_FAILS(409, "wrong_state", "", "POST", path, NULL, NULL);
    API_FAILS(409, "wrong_state", "", "POST", path, "force=0", NULL);
    API_FAILS(400, "invalid", "parameter 'force' takes 1 or 0", "POST", path, "force=yes", NULL);
    EXPECT_I64(200, api("POST", path, "force=true", NULL));
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
}

SCENARIO(what_runs_is_listed_and_cannot_be_requeued)
{
    dureq_job_id id;
    char run[64];

    (void)rig_node("n", "long", until_cancelled, NULL);
    id = rig_enqueue("long", "1", NULL);
    (void)snprintf(run, sizeof run, "%s.1", id.text);
    RIG_UNTIL(rig_state(id.text) == DUREQ_JOB_RUNNING);
    EXPECT_I64(200, api("GET", "/api/runs", NULL, NULL));
    EXPECT_HAS(run, api_body());
    EXPECT_I64(200, api("GET", api_path("/api/runs/%s", run), NULL, NULL));
    EXPECT_TEXT("running", api_text("status"));
    API_FAILS(409, "wrong_state", "has not ended", "POST", api_path("/api/runs/%s/requeue", run), NULL, NULL);
    EXPECT_I64(200, act("cancel", id.text));
    EXPECT_I64(DUREQ_JOB_CANCELLED, rig_wait(id.text)->state);
}

static size_t count_of(const char *part)
{
    size_t n = 0;

    for (const char *at = strstr(api_body(), part); at; at = strstr(at + 1, part))
        n++;
    return n;
}

SCENARIO(more_runs_than_a_page_holds_are_all_listed)
{
    enum { RUNS = 1003 };
    dureq_node_options o = rig_node_options("wide");
    dureq_node *n;

    if (rig.shards > 1) /* a thread for each */
        return;
    o.concurrency = RUNS;
    n = rig_node_create(&o);
    rig_handle(n, "long", until_cancelled, NULL, NULL);
    rig_start(n);
    for (int i = 0; i < RUNS; i++)
        (void)rig_enqueue("long", "1", NULL);
    RIG_UNTIL(rig_counts().running == RUNS);
    EXPECT_I64(200, api("GET", "/api/runs", NULL, NULL));
    EXPECT_U64(RUNS, count_of("\"job_id\":"));
    EXPECT_U64(RUNS, count_of("\"task_type\":\"long\""));
    EXPECT_U64(RUNS, count_of("\"queue\":\"normal\""));
    EXPECT_I64(200, api("POST", "/api/jobs/bulk/cancel", NULL, "{\"status\":\"running\"}"));
    RIG_UNTIL(rig_counts().running == 0);
}

/* ---- lists ---- */

static size_t rows_of(const char *query)
{
    EXPECT_I64(200, api("GET", "/api/jobs", query, NULL));
    return count_of("{\"id\":");
}

SCENARIO(filters_apply_together)
{
    static const char *const tags[] = {"red"};
    dureq_job_options o = dureq_job_options_init();

    o.queue = "high";
    o.tags = tags;
    o.n_tags = 1;
    o.unique_key = DQ_STR_LIT("k");
    (void)rig_enqueue("order.new", "{\"who\":\"Alice\"}", &o);
    (void)rig_enqueue("order.old", "{\"who\":\"Bob\"}", NULL);
    (void)rig_enqueue("mail", "{\"who\":\"alice\"}", NULL);
    EXPECT_U64(3, rows_of(NULL));
    EXPECT_U64(2, rows_of("type=order.*"));
    EXPECT_U64(1, rows_of("task_type=mail"));
    EXPECT_U64(1, rows_of("queue=high"));
    EXPECT_U64(1, rows_of("tag=red"));
    EXPECT_U64(2, rows_of("text=ALICE"));
    EXPECT_U64(1, rows_of("search=alice&type=order.*&queue=high&unique_key=k"));
    EXPECT_U64(0, rows_of("text=alice&queue=low"));
    EXPECT_U64(0, rows_of("since=2036-01-01T00:00:00Z"));
    EXPECT_U64(3, rows_of("since=2026-01-01T00:00:00Z&until=2099-01-01T00:00:00Z"));
    EXPECT_U64(0, rows_of("status=dead,failed,cancelled"));
    EXPECT_U64(3, rows_of("status=pending"));
    EXPECT_U64(3, rows_of("status=pending,dead,dead,dead,dead,dead,dead,dead,dead,pending"));
    EXPECT_I64(3, api_i64("total"));
    EXPECT_U64(2, rows_of("type=order.*"));
    EXPECT_I64(2, api_i64("total"));
    EXPECT_TRUE(!strstr(api_body(), "total_exact"));
    EXPECT_U64(1, rows_of("type=order.*&limit=1"));
    EXPECT_I64(1, api_i64("total"));
    EXPECT_HAS("\"total_exact\":false", api_body());
    EXPECT_U64(1, rows_of("type=order.*&limit=5&offset=1"));
    EXPECT_I64(2, api_i64("total"));
    EXPECT_U64(0, rows_of("queue=low"));
    API_FAILS(404, "not_found", "no queue 'nowhere'", "GET", "/api/jobs", "queue=nowhere", NULL);
    API_FAILS(404, "not_found", "no queue 'nowhere'", "GET", "/api/dlq", "queue=nowhere", NULL);
    API_FAILS(404, "not_found", "no queue 'nowhere'", "POST", "/api/dlq/redrive", "queue=nowhere", NULL);
    API_FAILS(400, "invalid", "'*' at the end", "GET", "/api/jobs", "type=o*r", NULL);
}

SCENARIO(pages_lead_through_all_jobs_by_cursor_and_by_offset)
{
    char query[200] = "limit=2";
    bool more = true;
    size_t n = 0;

    for (int i = 0; i < 7; i++)
        (void)rig_enqueue("t", "1", NULL);
    for (int page = 0; page < 10 && more; page++) {
        n += rows_of(query);
        more = *api_text("next_cursor") != '\0';
        (void)snprintf(query, sizeof query, "limit=2&cursor=%s", api_text("next_cursor"));
    }
    EXPECT_U64(7, n);
    EXPECT_U64(2, rows_of("offset=5"));
    EXPECT_U64(3, rows_of("offset=4&limit=5"));
    EXPECT_U64(0, rows_of("offset=7"));
    EXPECT_U64(0, rows_of("offset=10000"));
}

SCENARIO(a_list_names_the_nodes_of_every_attempt_in_every_shard)
{
    (void)rig_node("node-with-a-name", "a", end_as_told, NULL);
    for (int i = 0; i < 12; i++)
        (void)rig_enqueue("a", "\"fail\"", NULL);
    RIG_UNTIL(rig_counts().dead == 12);
    EXPECT_U64(12, rows_of("limit=100"));
    EXPECT_U64(24, count_of("\"node_id\":\"node-with-a-name\"")); /* of the job and of its attempt */
}

/* ---- many ---- */

SCENARIO(bulk_calls_pass_over_what_is_in_the_wrong_state)
{
    dureq_job_id a = rig_enqueue("t", "1", NULL), b = rig_enqueue("t", "2", NULL);
    char body[200];

    (void)snprintf(body, sizeof body, "{\"ids\":[\"%s\",\"%s\",\"nope\",\"%s\"]}", a.text, b.text, a.text);
    EXPECT_I64(200, api("POST", "/api/jobs/bulk/cancel", NULL, body));
    EXPECT_I64(2, api_i64("affected"));
    EXPECT_I64(200, api("POST", "/api/jobs/bulk/retry", NULL, "{\"ids\":[],\"status\":\"cancelled\"}"));
    EXPECT_I64(2, api_i64("affected"));
    EXPECT_I64(200, api("POST", "/api/jobs/bulk/delete", NULL, "{\"status\":\"pending\"}"));
    EXPECT_I64(0, api_i64("affected"));
    EXPECT_I64(200, api("POST", "/api/jobs/bulk/cancel", NULL, "{\"status\":\"pending\"}"));
    EXPECT_I64(200, api("POST", "/api/jobs/bulk/delete", NULL, "{\"status\":\"cancelled\"}"));
    EXPECT_I64(2, api_i64("affected"));
    EXPECT_I64(200, api("POST", "/api/jobs/bulk/delete", NULL, "{\"ids\":[]}"));
    EXPECT_I64(0, api_i64("affected"));
}

static int64_t scripts_called(void)
{
    char *info = test_redis_command(rig.server, "INFO", "commandstats", NULL), *at = strstr(info, "cmdstat_evalsha:");
    int64_t n = 0;

    EXPECT_TRUE(at && sscanf(at, "cmdstat_evalsha:calls=%" SCNd64, &n) == 1);
    free(info);
    return n;
}

static void count_progress(int64_t n_done, int64_t n, void *userdata)
{
    int64_t *seen = userdata;

    EXPECT_TRUE(n_done >= seen[1] && (n == 0 || n_done <= n));
    seen[0]++;
    seen[1] = n_done;
}

/* A command takes at most 128 of them, however long the way to the server is. */
SCENARIO(many_jobs_are_few_round_trips_and_progress_is_told)
{
    enum { JOBS = 1500 };
    int64_t before, seen[2] = {0};
    const dq_api_request req = {.method = "POST",
                                .path = "/api/jobs/bulk/cancel",
                                .query = "type=t",
                                .progress_fn = count_progress,
                                .progress_userdata = seen};

    for (int i = 0; i < JOBS; i++)
        (void)rig_enqueue("t", "1", NULL);
    before = scripts_called();
    EXPECT_I64(200, api_of(&req));
    EXPECT_I64(JOBS, api_i64("affected"));
    EXPECT_TRUE(scripts_called() - before < 100);
    EXPECT_TRUE(seen[0] >= JOBS / 128);
    EXPECT_I64(JOBS, seen[1]);
    EXPECT_I64(JOBS, rig_counts().cancelled);
}

SCENARIO(more_ids_than_a_call_takes_are_refused)
{
    DQ_BUF_AUTO body = {0};

    dq_buf_append_text(&body, "{\"ids\":[\"x\"");
    for (int i = 0; i < 10000; i++)
        dq_buf_append_text(&body, ",\"x\"");
    dq_buf_append_text(&body, "]}");
    API_FAILS(400, "invalid", "field 'ids' takes at most 10000 ids", "POST", "/api/jobs/bulk/cancel", NULL, body.ptr);
}

SCENARIO(dead_jobs_are_listed_retried_and_deleted_by_filter)
{
    (void)rig_node("n", "*", end_as_told, NULL);
    (void)dead_job("a.1");
    (void)dead_job("a.2");
    (void)dead_job("b");
    EXPECT_I64(200, api("GET", "/api/dlq", "type=a.*", NULL));
    EXPECT_HAS("\"task_type\":\"a.1\"", api_body());
    EXPECT_TRUE(!strstr(api_body(), "\"task_type\":\"b\""));
    API_FAILS(400, "invalid", "unknown parameter 'limit' (takes type task_type queue", "DELETE", "/api/dlq", "limit=1", NULL);
    API_FAILS(400, "invalid", "parameter 'type' is empty", "DELETE", "/api/dlq", "type=", NULL);
    EXPECT_I64(3, rig_counts().dead);
    EXPECT_I64(200, api("DELETE", "/api/dlq", "type=b", NULL));
    EXPECT_I64(1, api_i64("affected"));
    EXPECT_I64(2, rig_counts().dead);
}

/* They die again at once: each is retried once, and the call ends. */
SCENARIO(a_redrive_retries_each_job_once)
{
    (void)rig_node("n", "a", end_as_told, NULL);
    for (int i = 0; i < 20; i++)
        (void)rig_enqueue("a", "\"fail\"", NULL);
    RIG_UNTIL(rig_counts().dead == 20);
    EXPECT_I64(200, api("POST", "/api/dlq/redrive", NULL, NULL));
    EXPECT_I64(20, api_i64("affected"));
    RIG_UNTIL(rig_counts().dead == 20);
}

RIG_MAIN()
