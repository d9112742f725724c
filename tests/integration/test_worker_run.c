/* SPDX-License-Identifier: Apache-2.0 */
/* What a handler sees of its job and says while it runs: accessors, progress, cancel, result, log. */
#include "test_rig.h"

#include "base/clock.h"

#include <stdatomic.h>

/* Handlers note what they saw; the test looks at it when the job has ended. */
typedef struct notes {
    char text[2048];
    int64_t deadline_at_ms, enqueued_at_ms;
    atomic_int entered, left;
    atomic_bool go;
    atomic_int rc[4];
} notes;

static void wait_for_go(const notes *n)
{
    for (int i = 0; i < 3000 && !atomic_load(&n->go); i++)
        rig_pause();
}

static const dureq_job *finish(notes *n, const char *id)
{
    atomic_store(&n->go, true);
    return rig_wait(id);
}

/* ---- accessors ---- */

static int note_all(dureq_run *task, void *userdata)
{
    notes *n = userdata;
    const dureq_header *headers;
    size_t n_headers = dureq_run_headers(task, &headers);
    dureq_str payload = dureq_run_payload(task), trace = dureq_run_header(task, "trace");
    int len;

    len = snprintf(n->text, sizeof n->text, "%s|%s|%d/%d|%s|%s|%d|%s|%.*s|%s|%.*s|%zu|", dureq_run_job_id(task),
                   dureq_run_id(task), (int)dureq_run_attempt(task), (int)dureq_run_max_attempts(task), dureq_run_task_type(task),
                   dureq_run_queue(task), (int)dureq_run_priority(task), dureq_run_node_id(task), DQ_STR_ARG(payload),
                   dureq_run_content_type(task), DQ_STR_ARG(trace), dureq_run_header(task, "no").len);
    for (size_t i = 0; i < n_headers; i++)
        len += snprintf(n->text + len, sizeof n->text - (size_t)len, "%s=%.*s;", headers[i].name, DQ_STR_ARG(headers[i].value));
    n->deadline_at_ms = dureq_run_deadline_at_ms(task);
    n->enqueued_at_ms = dureq_run_enqueued_at_ms(task);
    return dureq_run_attempt(task) == 1 ? dureq_run_retry(task, 0, "once more") : 0;
}

SCENARIO(a_handler_sees_all_of_its_job)
{
    const dureq_header headers[] = {{"trace", DQ_STR_LIT("ab c")}, {"empty", {0}}};
    dureq_job_options o = dureq_job_options_init();
    dureq_retry_policy p = {.struct_size = sizeof p, .max_attempts = 7, .initial_delay_ms = -1, .jitter = -1};
    char wanted[512];
    notes n = {0};
    dureq_job_id id;
    const dureq_job *j;

    (void)rig_node("node.1", "see", note_all, &n);
    o.headers = headers;
    o.n_headers = 2;
    o.retry_policy = &p;
    o.priority = 9;
    o.timeout_ms = 60000;
    id = rig_enqueue("see", "{\"a\":1}", &o);
    j = rig_wait(id.text);
    EXPECT_I64(DUREQ_JOB_COMPLETED, j->state);
    (void)snprintf(wanted, sizeof wanted, "%s|%s.2|2/7|see|high|9|node.1|{\"a\":1}|application/json|ab c|0|trace=ab c;empty=;",
                   id.text, id.text);
    EXPECT_TEXT(wanted, n.text);
    EXPECT_I64(j->created_at_ms, n.enqueued_at_ms);
    EXPECT_I64(j->started_at_ms + 60000, n.deadline_at_ms);
}

static int note_priority(dureq_run *task, void *userdata)
{
    *(int32_t *)userdata = dureq_run_priority(task);
    return 0;
}

SCENARIO(a_job_of_no_priority_has_that_of_default)
{
    dureq_job_options o = dureq_job_options_init();
    int32_t seen = 0;

    (void)rig_node("n", "see", note_priority, &seen);
    (void)rig_wait(rig_enqueue("see", "1", NULL).text);
    EXPECT_I64(5, seen);
    seen = 0;
    o.queue = "low";
    (void)rig_wait(rig_enqueue("see", "1", &o).text);
    EXPECT_I64(5, seen);
}

static int measure(dureq_run *task, void *userdata)
{
    dureq_str payload = dureq_run_payload(task);
    uint32_t sum = 0;

    for (size_t i = 0; i < payload.len; i++)
        sum = sum * 31 + (unsigned char)payload.ptr[i];
    (void)snprintf(userdata, 64, "%zu %u", payload.len, (unsigned)sum);
    return 0;
}

SCENARIO(payloads_of_any_bytes_and_size_arrive_whole)
{
    static const size_t sizes[] = {0, 1, 300, 32768, 32769, 200000, 1048576};
    char *bytes = malloc(1048576);
    char seen[64], wanted[64];

    (void)rig_node("n", "measure", measure, seen);
    for (size_t s = 0; s < DQ_ARRAY_LEN(sizes); s++) {
        dureq_job_spec spec = {.task_type = "measure", .payload = dureq_str_of(bytes, sizes[s])};
        uint32_t sum = 0;
        dureq_job_id id;

        for (size_t i = 0; i < sizes[s]; i++) {
            bytes[i] = (char)(i * 7 + s);
            sum = sum * 31 + (unsigned char)bytes[i];
        }
        RIG_OK(dureq_client_enqueue(rig.client, &spec, &id, &err));
        EXPECT_STR(spec.payload, rig_wait(id.text)->payload);
        (void)snprintf(wanted, sizeof wanted, "%zu %u", sizes[s], (unsigned)sum);
        EXPECT_TEXT(wanted, seen);
    }
    free(bytes);
}

/* ---- progress and signs of life ---- */

static int make_progress(dureq_run *task, void *userdata)
{
    notes *n = userdata;
    char *large = malloc(70000);

    memset(large, '1', 70000);
    atomic_store(&n->rc[0], dureq_run_progress(task, DQ_STR_LIT("{\"done\": 3}")));
    atomic_store(&n->rc[1], dureq_run_progress(task, DQ_STR_LIT("{\"done\": ")));
    atomic_store(&n->rc[2], dureq_run_progress(task, dureq_str_of(large, 70000)));
    free(large);
    atomic_fetch_add(&n->entered, 1);
    wait_for_go(n);
    return 0;
}

/* A node whose own heartbeats are far apart: what is seen soon was not seen by chance. */
static dureq_node *slow_beat(const char *type, dureq_handler_fn fn, void *userdata, int32_t concurrency)
{
    dureq_node_options o = rig_node_options("n");
    dureq_node *n;

    o.lease_ms = 60000;
    o.concurrency = concurrency;
    n = rig_node_create(&o);
    rig_handle(n, type, fn, userdata, NULL);
    rig_start(n);
    return n;
}

SCENARIO(progress_is_seen_within_a_second)
{
    notes n = {0};
    dureq_job_id id;

    (void)slow_beat("work", make_progress, &n, 8);
    id = rig_enqueue("work", "1", NULL);
    RIG_UNTIL(atomic_load(&n.entered) == 1);
    RIG_UNTIL_MS(1000, rig_job(id.text)->progress.len > 0);
    EXPECT_STR_TEXT("{\"done\": 3}", rig_job(id.text)->progress);
    EXPECT_I64(DUREQ_JOB_RUNNING, rig_job(id.text)->state);
    EXPECT_STR_TEXT("n", rig_job(id.text)->node_id);
    EXPECT_RC(0, atomic_load(&n.rc[0]));
    EXPECT_RC(DUREQ_EINVAL, atomic_load(&n.rc[1]));
    EXPECT_RC(DUREQ_ETOOLARGE, atomic_load(&n.rc[2]));
    EXPECT_I64(DUREQ_JOB_COMPLETED, finish(&n, id.text)->state);
}

SCENARIO(progress_of_many_jobs_at_once_is_seen_within_a_second)
{
    enum { N = 200 };
    dureq_job_id ids[N];
    notes n = {0};
    int64_t since;

    (void)slow_beat("work", make_progress, &n, N);
    for (int i = 0; i < N; i++)
        ids[i] = rig_enqueue("work", "1", NULL);
    RIG_UNTIL(atomic_load(&n.entered) == N);
    since = rig_mono_ms();
    for (int i = 0; i < N; i++) {
        EXPECT_NOTE("job %d, %lld ms", i, (long long)(rig_mono_ms() - since));
        RIG_UNTIL_MS(2000, rig_job(ids[i].text)->progress.len > 0);
    }
    atomic_store(&n.go, true);
    RIG_UNTIL(rig_counts().completed == N);
}

static int two_steps(dureq_run *task, void *userdata)
{
    notes *n = userdata;

    for (int step = 1; step <= 2; step++) {
        char json[16];

        for (int i = 0; i < 3000 && atomic_load(&n->entered) < step; i++)
            rig_pause();
        (void)snprintf(json, sizeof json, "%d", step);
        atomic_store(&n->rc[step], dureq_run_progress(task, dureq_str_from(json)));
        atomic_store(&n->left, step);
    }
    wait_for_go(n);
    return 0;
}

SCENARIO(progress_is_not_forgotten_while_the_server_is_slow)
{
    notes n = {0};
    dureq_node *node = slow_beat("steps", two_steps, &n, 8);
    dureq_job_id id = rig_enqueue("steps", "1", NULL);
    int64_t since;

    RIG_UNTIL(rig_stats(node).running == 1);
    RIG_UNTIL(rig_job(id.text)->started_at_ms > 0); /* reported: no heartbeat for that is under way */
    test_redis_freeze(rig.server);
    atomic_store(&n.entered, 1); /* goes out and is not answered */
    RIG_UNTIL(atomic_load(&n.left) == 1);
    since = rig_mono_ms();
    RIG_UNTIL(rig_mono_ms() - since > 250);
    atomic_store(&n.entered, 2);
    RIG_UNTIL(atomic_load(&n.left) == 2);
    since = rig_mono_ms();
    RIG_UNTIL(rig_mono_ms() - since > 250);
    test_redis_thaw(rig.server);
    RIG_UNTIL_MS(1500, dq_str_eq_text(rig_job(id.text)->progress, "2"));
    EXPECT_I64(DUREQ_JOB_COMPLETED, finish(&n, id.text)->state);
}

static int beat_for_long(dureq_run *task, void *userdata)
{
    notes *n = userdata;

    atomic_store(&n->entered, 1);
    while (!atomic_load(&n->go)) {
        dureq_run_heartbeat(task);
        rig_pause();
    }
    return dureq_run_is_cancelled(task) ? DUREQ_ETIMEOUT : 0;
}

static int sleep_until_told(dureq_run *task, void *userdata)
{
    notes *n = userdata;

    atomic_fetch_add(&n->entered, 1);
    atomic_store(&n->rc[0], dureq_run_wait_cancelled(task, 8000));
    atomic_fetch_add(&n->left, 1);
    return 0;
}

SCENARIO(a_handler_that_beats_is_left_alone)
{
    dureq_job_options o = dureq_job_options_init();
    notes n = {0};
    dureq_job_id id;

    (void)rig_node("n", "beat", beat_for_long, &n);
    o.heartbeat_timeout_ms = 300;
    id = rig_enqueue("beat", "1", &o);
    RIG_UNTIL(atomic_load(&n.entered) == 1);
    int64_t since = rig_mono_ms();
    RIG_UNTIL(rig_mono_ms() - since > 900);
    EXPECT_I64(DUREQ_JOB_COMPLETED, finish(&n, id.text)->state);
    EXPECT_I64(1, rig_job(id.text)->runs);
}

SCENARIO(a_missed_heartbeat_spends_an_attempt_and_says_so)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_retry_policy p = {.struct_size = sizeof p, .max_attempts = 2, .initial_delay_ms = -1};
    notes n = {0};
    dureq_job_id id;
    const dureq_job *j;

    (void)rig_node("n", "mute", sleep_until_told, &n);
    o.heartbeat_timeout_ms = 120;
    o.retry_policy = &p;
    id = rig_enqueue("mute", "1", &o);
    j = rig_wait(id.text);
    EXPECT_I64(DUREQ_JOB_DEAD, j->state);
    EXPECT_I64(2, j->attempt);
    EXPECT_I64(DUREQ_OUTCOME_TIMED_OUT, j->attempts[0].outcome);
    EXPECT_STR_TEXT("no heartbeat for 120 ms", j->attempts[0].error);
    EXPECT_I64(2, atomic_load(&n.left));
    EXPECT_I64(1, atomic_load(&n.rc[0]));
}

/* ---- cancel ---- */

SCENARIO(a_wait_wakes_within_a_second_of_the_cancel)
{
    notes n = {0};
    dureq_job_id id;
    int64_t since;

    (void)slow_beat("sleep", sleep_until_told, &n, 8);
    id = rig_enqueue("sleep", "1", NULL);
    RIG_UNTIL(atomic_load(&n.entered) == 1);
    RIG_OK(dureq_client_cancel(rig.client, id.text, "changed my mind", &err));
    since = rig_mono_ms();
    RIG_UNTIL(atomic_load(&n.left) == 1);
    EXPECT_TRUE(rig_mono_ms() - since < 1000);
    EXPECT_I64(1, atomic_load(&n.rc[0]));
    EXPECT_I64(DUREQ_JOB_CANCELLED, rig_job(id.text)->state);
    EXPECT_STR_TEXT("changed my mind", rig_job(id.text)->reason);
}

static int poll_until_told(dureq_run *task, void *userdata)
{
    notes *n = userdata;

    atomic_store(&n->entered, 1);
    for (int i = 0; i < 3000 && !dureq_run_is_cancelled(task); i++)
        rig_pause();
    atomic_store(&n->rc[0], dureq_run_is_cancelled(task));
    (void)dureq_run_set_result(task, DQ_STR_LIT("too late"), NULL);
    atomic_store(&n->left, 1);
    return 0;
}

SCENARIO(what_a_cancelled_handler_returns_does_not_count)
{
    notes n = {0};
    dureq_node *node = rig_node("n", "poll", poll_until_told, &n);
    dureq_job_id id;

    id = rig_enqueue("poll", "1", NULL);
    RIG_UNTIL(atomic_load(&n.entered) == 1);
    EXPECT_FALSE(atomic_load(&n.rc[0]));
    RIG_OK(dureq_client_cancel(rig.client, id.text, NULL, &err));
    RIG_UNTIL(atomic_load(&n.left) == 1);
    EXPECT_I64(1, atomic_load(&n.rc[0]));
    RIG_UNTIL(rig_stats(node).running == 0);
    EXPECT_I64(DUREQ_JOB_CANCELLED, rig_job(id.text)->state);
    EXPECT_U64(0, rig_job(id.text)->result.len);
    EXPECT_U64(1, rig_stats(node).cancelled);
    EXPECT_U64(0, rig_stats(node).completed);
}

static int wait_shortly(dureq_run *task, void *userdata)
{
    atomic_store((atomic_int *)userdata, 1 + dureq_run_wait_cancelled(task, 30) + 2 * dureq_run_wait_cancelled(task, 0));
    return 0;
}

SCENARIO(a_wait_that_is_not_cancelled_ends_with_its_time)
{
    atomic_int seen = 0;
    dureq_job_id id;
    const dureq_job *j;

    (void)rig_node("n", "short", wait_shortly, &seen);
    id = rig_enqueue("short", "1", NULL);
    j = rig_wait(id.text);
    EXPECT_I64(1, atomic_load(&seen));
    EXPECT_TRUE(j->finished_at_ms - j->started_at_ms >= 29);
}

/* ---- result ---- */

static int give_result(dureq_run *task, void *userdata)
{
    notes *n = userdata;
    dureq_str p = dureq_run_payload(task);
    static char large[DUREQ_RESULT_MAX + 1];

    if (dq_str_eq_text(p, "typed"))
        return dureq_run_set_result(task, DQ_STR_LIT("<p>"), "text/html; charset=utf-8");
    if (dq_str_eq_text(p, "bytes"))
        return dureq_run_set_result(task, DQ_STR_LIT("\0\xff{"), NULL);
    if (dq_str_eq_text(p, "twice")) {
        (void)dureq_run_set_result(task, DQ_STR_LIT("first"), "text/plain");
        return dureq_run_set_result(task, DQ_STR_LIT("[2]"), NULL);
    }
    if (dq_str_eq_text(p, "largest"))
        return dureq_run_set_result(task, dureq_str_of(large, DUREQ_RESULT_MAX), "x/y");
    atomic_store(&n->rc[0], dureq_run_set_result(task, dureq_str_of(large, sizeof large), NULL));
    memset(large, 'z', 200);
    large[200] = '\0';
    atomic_store(&n->rc[1], dureq_run_set_result(task, DQ_STR_LIT("1"), large));
    atomic_store(&n->rc[2], dureq_run_set_result(task, DQ_STR_LIT("1"), ""));
    memset(large, 0, 201);
    return 0;
}

SCENARIO(a_result_is_kept_with_its_content_type)
{
    static const struct {
        const char *payload, *type;
        dureq_str result;
    } rows[] = {
        {"typed", "text/html; charset=utf-8", DQ_STR_LIT("<p>")},
        {"bytes", "application/octet-stream", DQ_STR_LIT("\0\xff{")},
        {"twice", "application/json", DQ_STR_LIT("[2]")},
    };
    notes n = {0};

    (void)rig_node("n", "give", give_result, &n);
    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        dureq_job_id id = rig_enqueue("give", rows[i].payload, NULL);
        const dureq_job *j = rig_wait(id.text);

        EXPECT_NOTE("%s", rows[i].payload);
        EXPECT_STR(rows[i].result, j->result);
        EXPECT_STR_TEXT(rows[i].type, j->result_content_type);
    }
}

SCENARIO(a_result_of_1_mib_is_kept_and_a_larger_one_is_refused)
{
    notes n = {0};
    dureq_job_id id;

    (void)rig_node("n", "give", give_result, &n);
    id = rig_enqueue("give", "largest", NULL);
    EXPECT_U64(DUREQ_RESULT_MAX, rig_wait(id.text)->result.len);
    id = rig_enqueue("give", "refused", NULL);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
    EXPECT_U64(0, rig_job(id.text)->result.len);
    EXPECT_RC(DUREQ_ETOOLARGE, atomic_load(&n.rc[0]));
    EXPECT_RC(DUREQ_EINVAL, atomic_load(&n.rc[1]));
    EXPECT_RC(DUREQ_EINVAL, atomic_load(&n.rc[2]));
}

/* ---- log ---- */

static int write_log(dureq_run *task, void *userdata)
{
    int lines = (int)strtol(dureq_run_payload(task).ptr, NULL, 10);

    (void)userdata;
    for (int i = 0; i < lines; i++)
        dureq_run_log(task, "run %s line %07d", dureq_run_id(task) + DUREQ_JOB_ID_LEN + 1, i);
    return dureq_run_attempt(task) == 1 ? dureq_run_retry(task, 0, "again") : 0;
}

static char *logs_of(const char *id, size_t *len)
{
    char *text = NULL;

    RIG_OK(dureq_client_get_logs(rig.client, id, &text, len, &err));
    return text;
}

static dureq_job_id log_lines(const char *n_lines)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_retry_policy p = {.struct_size = sizeof p, .initial_delay_ms = -1};
    dureq_job_id id;

    (void)rig_node("n", "log", write_log, NULL);
    o.retry_policy = &p;
    id = rig_enqueue("log", n_lines, &o);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
    return id;
}

/* "2026-11-23T20:00:00.123Z 1 text": its time. */
static int64_t expect_line(dureq_str *rest, const char *run, const char *text)
{
    dureq_str line = dq_str_cut(rest, '\n'), at = dq_str_cut(&line, ' '), number = dq_str_cut(&line, ' ');
    int64_t at_ms = 0;

    EXPECT_RC(0, dq_parse_rfc3339_ms(at, &at_ms));
    EXPECT_STR_TEXT(run, number);
    EXPECT_STR_TEXT(text, line);
    return at_ms;
}

SCENARIO(log_lines_of_all_runs_are_kept_in_order)
{
    int64_t before = dq_wall_ms();
    dureq_job_id id = log_lines("2 ");
    size_t len = 0;
    char *text = logs_of(id.text, &len);
    dureq_str rest = dureq_str_from(text);

    {
        int64_t first = expect_line(&rest, "1", "run 1 line 0000000"), second = expect_line(&rest, "1", "run 1 line 0000001");
        int64_t third = expect_line(&rest, "2", "run 2 line 0000000");

        EXPECT_TRUE(before <= first && first <= second && second <= third && third <= dq_wall_ms());
        (void)expect_line(&rest, "2", "run 2 line 0000001");
        EXPECT_U64(0, rest.len);
    }
    EXPECT_U64(strlen(text), len);
    dureq_free(text);
    id = rig_enqueue("log", "0 ", NULL);
    text = logs_of(id.text, &len);
    EXPECT_TEXT("", text);
    dureq_free(text);
}

SCENARIO(the_last_64_kib_of_the_log_stay)
{
    dureq_job_id id = log_lines("20000 ");
    size_t len = 0;
    char *text = logs_of(id.text, &len);

    EXPECT_TRUE(len <= 65536 && len > 65536 - 80);
    EXPECT_TEXT("run 2 line 0019999\n", text + len - 19);
    dureq_free(text);
    RIG_FAILS(DUREQ_ENOTFOUND, "no job", dureq_client_get_logs(rig.client, "00000000000000000000", &text, &len, &err));
}

RIG_MAIN()
