/* SPDX-License-Identifier: Apache-2.0 */
/* The commands job, dlq, run and key. */
#include "test_ctl.h"

#include "base/buf.h"

static int end_as_told(dureq_run *task, void *userdata)
{
    (void)userdata;
    dureq_run_log(task, "a line");
    if (dq_str_eq_text(dureq_run_payload(task), "fail"))
        return dureq_run_fail(task, 0, "told to fail");
    (void)dureq_run_progress(task, DQ_STR_LIT("{\"percent\":50}"));
    return dureq_run_set_result(task, DQ_STR_LIT("{\"sum\":3}"), NULL);
}

static int skip_it(dureq_run *task, void *userdata)
{
    (void)userdata;
    return dureq_run_skip(task, "nothing to do");
}

static int until_cancelled(dureq_run *task, void *userdata)
{
    (void)userdata;
    while (!dureq_run_wait_cancelled(task, 100))
        ;
    return 0;
}

static dureq_job_id ended_job(const char *type, const char *payload)
{
    dureq_job_id id = rig_enqueue(type, payload, NULL);

    (void)rig_wait(id.text);
    return id;
}

/* ---- reading ---- */

SCENARIO(a_job_and_its_list_are_shown)
{
    dureq_job_id id = rig_enqueue("order.new", "{\"a\":1}", NULL);

    (void)rig_enqueue("mail", "1", NULL);
    CTL(0, "job", "get", id.text);
    EXPECT_HAS("payload       {\"a\":1}\n", ctl_out());
    EXPECT_HAS("status        pending\n", ctl_out());
    CTL(0, "job", "list");
    EXPECT_U64(3, ctl_out_lines());
    EXPECT_HAS("LAST ERROR", ctl_out());
    CTL(0, "job", "list", "--type", "order.*", "-o", "ndjson");
    EXPECT_U64(1, ctl_out_lines());
    EXPECT_HAS(id.text, ctl_out());
    CTL(0, "job", "list", "--status", "dead,cancelled", "-o", "ndjson");
    EXPECT_TEXT("", ctl_out());
    CTL(0, "job", "list", "--text", "{\"A\":1}", "--queue", "normal", "--since", "2026-01-01T00:00:00Z", "-o", "ndjson");
    EXPECT_U64(1, ctl_out_lines());
    CTL(0, "job", "list", "--oldest", "--payload", "--limit", "1", "-q", "-o", "ndjson");
    EXPECT_U64(1, ctl_out_lines());
}

SCENARIO(what_is_asked_wrongly_is_named)
{
    dureq_job_id id = rig_enqueue("t", "1", NULL);

    CTL_FAILS(2, "id 'nope' is not a job id: it takes 20 characters 0-9a-v", "job", "get", "nope");
    CTL_FAILS(3, "00000000000000000000", "job", "get", "00000000000000000000");
    CTL_FAILS(2, "'get' takes one id", "job", "get");
    CTL_FAILS(2, "'get' takes one id", "job", "get", "");
    CTL_FAILS(2, "'get' takes one id", "job", "get", id.text, id.text);
    CTL_FAILS(2, "'cancel' needs at least one id", "job", "cancel");
    CTL_FAILS(2, "'delete' takes ids, not ''", "job", "delete", "");
    CTL_FAILS(2, "--limit takes a whole number from 1 to 1000", "job", "list", "--limit", "0");
    CTL_FAILS(2, "--status takes pending, scheduled", "job", "list", "--status", "done");
    CTL_FAILS(2, "--since takes a time, not '-5m': 1h (ago), 'yesterday 10:00'", "job", "list", "--since", "-5m");
    CTL_FAILS(2, "'list' takes options only, not 'mail'", "job", "list", "mail");
    CTL_FAILS(2, "option '--type' needs a value", "dlq", "purge", "--type", "");
    CTL_FAILS(2, "unknown option '--limit'", "dlq", "purge", "--limit", "5");
    CTL_FAILS(2, "unknown option '--status'", "dlq", "list", "--status", "dead");
    CTL_FAILS(2, "--timeout takes a duration", "job", "wait", id.text, "--timeout", "-1s");
    CTL_FAILS(2, "--wait takes a duration", "job", "result", id.text, "--wait", "soon");
    CTL_FAILS(2, "reschedule needs --at TIME or --delay D", "job", "reschedule", id.text);
    CTL_FAILS(2, "--delay takes a duration", "job", "reschedule", id.text, "--delay", "-1s");
    CTL_FAILS(2, "--at takes a time", "job", "reschedule", id.text, "--at", "soon");
    CTL_FAILS(2, "--at takes a time", "job", "reschedule", id.text, "--at", "1969-12-31T00:00:00Z");
    CTL_FAILS(2, "--at takes a time", "enqueue", "t", "1", "--at", "1969-12-31T00:00:00Z");
    CTL_FAILS(3, "no queue 'nosuch'", "job", "list", "--queue", "nosuch");
    CTL_FAILS(2, "'*' at the end, not 'a*b'", "job", "list", "--type", "a*b");
    CTL_FAILS(2, "update takes an id and the new payload", "job", "update", id.text);
    CTL_FAILS(2, "update takes an id and the new payload", "job", "update", "", "1");
    CTL_FAILS(2, "a run id is <job id>.<run>, not 'x'", "run", "get", "x");
    CTL_FAILS(2, "'list' takes no 'x'", "run", "list", "x");
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(id.text));
}

/* ---- doing ---- */

SCENARIO(waiting_jobs_are_held_back_moved_and_changed)
{
    dureq_job_id id = rig_enqueue("t", "1", NULL);
    char said[80];

    (void)snprintf(said, sizeof said, "paused %s\n", id.text);
    CTL(0, "job", "pause", id.text);
    EXPECT_TEXT(said, ctl_out());
    EXPECT_I64(DUREQ_JOB_PAUSED, rig_state(id.text));
    CTL(0, "job", "resume", id.text);
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(id.text));
    CTL(0, "job", "reschedule", id.text, "--delay", "2h");
    EXPECT_TRUE(rig_job(id.text)->run_at_ms > rig_server_ms() + 7100000);
    CTL(0, "job", "reschedule", id.text, "--at", "2036-01-02T03:04:05Z");
    EXPECT_I64(2082855845000, rig_job(id.text)->run_at_ms);
    CTL(0, "job", "run", id.text);
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(id.text));
    CTL(0, "job", "update", id.text, "{\"b\": 2}");
    EXPECT_STR_TEXT("{\"b\": 2}", rig_job(id.text)->payload);
    CTL(0, "job", "update", id.text, "plain words");
    EXPECT_STR_TEXT("plain words", rig_job(id.text)->payload);
    EXPECT_STR_TEXT("text/plain", rig_job(id.text)->content_type);
}

SCENARIO(all_ids_are_tried_and_the_first_failure_is_the_code)
{
    dureq_job_id a = rig_enqueue("t", "1", NULL), b = rig_enqueue("t", "2", NULL);

    CTL(3, "job", "cancel", a.text, "00000000000000000000", "nope", b.text, "--reason", "not needed");
    EXPECT_U64(2, ctl_out_lines());
    EXPECT_I64(DUREQ_JOB_CANCELLED, rig_state(a.text));
    EXPECT_I64(DUREQ_JOB_CANCELLED, rig_state(b.text));
    EXPECT_STR_TEXT("not needed", rig_job(b.text)->reason);
    CTL_FAILS(4, "has ended already", "job", "cancel", a.text);
    CTL(0, "job", "retry", a.text, b.text);
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(b.text));
    CTL(4, "job", "delete", a.text);
    CTL(0, "job", "cancel", a.text);
    CTL(0, "job", "delete", a.text);
    CTL(3, "job", "get", a.text);
}

/* ---- its end ---- */

SCENARIO(the_end_can_be_waited_for_and_watched)
{
    dureq_job_id id, bad;

    id = rig_enqueue("sum", "1", NULL);
    CTL_FAILS(4, "the job is pending: it has no result yet", "job", "result", id.text);
    CTL_FAILS(6, "the job has not ended in time", "job", "wait", id.text, "--timeout", "20ms");
    (void)rig_node("n", "sum", end_as_told, NULL);
    CTL(0, "job", "wait", id.text);
    EXPECT_HAS("result  {\"sum\":3}\n", ctl_out());
    CTL(0, "job", "result", id.text, "--wait", "10s", "-o", "json");
    EXPECT_HAS("\"result\":{\"sum\":3}", ctl_out());
    CTL(0, "job", "watch", id.text);
    EXPECT_HAS("completed", ctl_out());
    CTL(0, "job", "watch", id.text, "-o", "ndjson");
    EXPECT_U64(1, ctl_out_lines());
    EXPECT_HAS("\",\"status\":\"completed\",\"attempt\":", ctl_out());
    CTL(0, "job", "watch", id.text, "-o", "csv");
    EXPECT_HAS("at,status,attempt,progress\r\n", ctl_out());
    EXPECT_HAS("Z,completed,", ctl_out());
    bad = ended_job("sum", "fail");
    CTL(1, "job", "wait", bad.text);
    EXPECT_HAS("told to fail\n", ctl_out());
    CTL(1, "job", "watch", bad.text);
    EXPECT_HAS("dead", ctl_out());
    CTL(4, "job", "retry", id.text);
    CTL(0, "job", "retry", id.text, "--force");
}

SCENARIO(why_a_job_ended_without_a_result_is_told)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_job_id id = rig_enqueue("nobody", "1", NULL);

    CTL(0, "job", "cancel", id.text, "--reason", "no more of it");
    CTL(1, "job", "result", id.text);
    EXPECT_HAS("reason  no more of it\n", ctl_out());
    CTL(1, "job", "wait", id.text, "-o", "json");
    EXPECT_HAS("\"status\":\"cancelled\",\"reason\":\"no more of it\"}", ctl_out());
    (void)rig_node("n", "skip", skip_it, NULL);
    CTL(0, "enqueue", "skip", "1", "--wait", "-o", "json");
    EXPECT_HAS("\"skipped\":true,\"reason\":\"nothing to do\"}", ctl_out());
    o.schedule_to_start_timeout_ms = 1;
    id = rig_enqueue("nobody", "1", &o);
    CTL(1, "job", "wait", id.text, "-o", "json");
    EXPECT_HAS("\"status\":\"dead\",\"", ctl_out());
    EXPECT_HAS("schedule_to_start_timeout", ctl_out());
}

SCENARIO(logs_events_and_audit_tell_its_story)
{
    dureq_job_id id;

    (void)rig_node("n", "sum", end_as_told, NULL);
    id = ended_job("sum", "fail");
    CTL(0, "job", "logs", id.text);
    EXPECT_HAS("a line\n", ctl_out());
    CTL(0, "job", "logs", id.text, "-o", "json");
    EXPECT_HAS("{\"logs\":\"", ctl_out());
    CTL(0, "job", "events", id.text);
    EXPECT_HAS("WHEN", ctl_out());
    EXPECT_HAS("job.dead", ctl_out());
    CTL(0, "job", "retry", id.text);
    (void)rig_wait(id.text);
    CTL(0, "job", "audit", id.text, "-o", "csv");
    EXPECT_HAS("at,actor,action,detail\r\n", ctl_out());
    EXPECT_HAS("dureqctl", ctl_out());
    {
        /* Newest first: it died again, was retried, died, was enqueued. */
        const char *again = strstr(ctl_out(), ",,job.dead,"), *retried = again ? strstr(again, ",dureqctl,job.retry,") : NULL;
        const char *dead = retried ? strstr(retried, ",,job.dead,") : NULL;

        EXPECT_TRUE(dead && strstr(dead, ",,job.enqueued,"));
    }
    CTL_FAILS(2, "id 'nope' is not a job id", "job", "audit", "nope");
    CTL(3, "job", "logs", "00000000000000000000");
}

static int sum_step(dureq_step *step, void *userdata)
{
    (void)userdata;
    return dureq_step_set_result(step, dureq_str_from("{\"sum\":3}"));
}

static int do_one_step(dureq_run *run, void *userdata)
{
    return dureq_run_step(run, "add up", sum_step, userdata, NULL, NULL, NULL);
}

SCENARIO(steps_are_shown_with_their_job)
{
    dureq_job_id id;

    (void)rig_node("n", "sum", do_one_step, NULL);
    id = rig_enqueue("sum", "1", NULL);
    (void)rig_wait(id.text);
    CTL(0, "job", "steps", id.text);
    EXPECT_HAS("STEP    STATUS", ctl_out());
    EXPECT_HAS("add up  done", ctl_out());
    CTL(0, "job", "steps", id.text, "-o", "json");
    EXPECT_HAS("[{\"key\":\"add up\",\"status\":\"done\",\"run_id\":\"", ctl_out());
    EXPECT_HAS("\"result\":{\"sum\":3}}]", ctl_out());
    CTL(0, "job", "get", id.text);
    EXPECT_HAS("add up  done", ctl_out());
    CTL(3, "job", "steps", "00000000000000000000");
}

/* ---- dlq, run, key ---- */

SCENARIO(dead_jobs_are_listed_retried_and_purged)
{
    (void)rig_node("n", "*", end_as_told, NULL);
    (void)ended_job("a", "fail");
    (void)ended_job("b", "fail");
    CTL(0, "dlq", "list");
    EXPECT_HAS("told to fail", ctl_out());
    EXPECT_U64(3, ctl_out_lines());
    CTL(0, "dlq", "redrive", "--type", "a");
    EXPECT_TEXT("retried 1 job\n", ctl_out());
    RIG_UNTIL(rig_counts().dead == 2);
    CTL(0, "dlq", "purge");
    EXPECT_TEXT("deleted 2 jobs\n", ctl_out());
    CTL(0, "dlq", "purge", "-o", "json");
    EXPECT_TEXT("{\"affected\":0}\n", ctl_out());
}

SCENARIO(runs_are_listed_shown_and_started_anew)
{
    dureq_job_id id, ended;
    char run[64], old[64];

    (void)rig_node("n", "long", until_cancelled, NULL);
    (void)rig_node("m", "sum", end_as_told, NULL);
    id = rig_enqueue("long", "1", NULL);
    (void)snprintf(run, sizeof run, "%s.1", id.text);
    RIG_UNTIL(rig_state(id.text) == DUREQ_JOB_RUNNING);
    CTL(0, "run", "list");
    EXPECT_HAS(run, ctl_out());
    CTL(0, "run", "get", run);
    EXPECT_HAS(" running\n", ctl_out());
    CTL_FAILS(4, "has not ended", "run", "requeue", run);
    CTL(0, "job", "cancel", id.text);
    ended = ended_job("sum", "1");
    (void)snprintf(old, sizeof old, "%s.1", ended.text);
    CTL(0, "run", "get", old);
    EXPECT_HAS("succeeded\n", ctl_out());
    CTL(0, "run", "requeue", old);
    EXPECT_I64(2, rig_wait(ended.text)->runs);
    old[strlen(old) - 1] = '9';
    CTL_FAILS(3, "no run '", "run", "get", old);
}

SCENARIO(keys_are_looked_up_and_let_go)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_job_id id;

    o.unique_key = DQ_STR_LIT("a/b \xff?");
    id = rig_enqueue("t", "1", &o);
    CTL(0, "key", "get", "a/b \xff?");
    EXPECT_HAS(id.text, ctl_out());
    CTL_FAILS(3, "no job holds the key 'other'", "key", "get", "other");
    CTL(3, "key", "delete", "other", "a/b \xff?");
    EXPECT_U64(1, ctl_out_lines());
    CTL(3, "key", "get", "a/b \xff?");
    CTL_FAILS(2, "'delete' needs at least one key", "key", "delete");
}

/* ---- what a person reads ---- */

static int fail_twice(dureq_run *run, void *userdata)
{
    (void)userdata;
    if (dureq_run_attempt(run) < 3)
        return dureq_run_retry_detail(run, 7, "first line\nsecond line", DQ_STR_LIT("a backtrace\nof two lines"));
    (void)dureq_run_set_result(run, DQ_STR_LIT("{\"n\":1}"), "application/json");
    return DUREQ_OUTCOME_DONE;
}

static int log_much(dureq_run *run, void *userdata)
{
    (void)userdata;
    for (int i = 0; i < 22; i++)
        dureq_run_log(run, "line %d", i);
    dureq_run_log(run, "a\033[31m trap");
    return dureq_run_retry_detail(
        run, 7, "why", dureq_run_attempt(run) == 1 ? DQ_STR_LIT("a backtrace") : DQ_STR_LIT("line 21\na\033[31m trap\n"));
}

SCENARIO(the_log_is_shown_run_by_run_with_times)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_retry_policy p = dureq_retry_policy_init();
    const char *first, *second;
    char more[80];
    dureq_job_id id;

    (void)rig_node("n", "t", log_much, NULL);
    p.initial_delay_ms = 10;
    p.max_attempts = 2;
    o.retry_policy = &p;
    id = rig_enqueue("t", "1", &o);
    EXPECT_I64(DUREQ_JOB_DEAD, rig_wait(id.text)->state);
    CTL(0, "job", "get", id.text);
    (void)snprintf(more, sizeof more, ":\n  (3 more: dureqctl job logs %s)\n  ", id.text);
    first = strstr(ctl_out(), "\nLog of run 1, 20");
    second = first ? strstr(first, "\nLog of run 2, 20") : NULL;
    EXPECT_TRUE(second != NULL);
    EXPECT_HAS(more, second);
    EXPECT_TRUE(strstr(first, "Z  line 3\n") && strstr(first, "Z  line 3\n") < second); /* the last twenty */
    EXPECT_HAS("Z  line 3\n", second);
    EXPECT_TRUE(!strstr(first, "  line 2\n"));
    EXPECT_HAS("Z  line 21\n", second);
    EXPECT_HAS("Z  a [31m trap\n", second);
    EXPECT_TRUE(!strstr(ctl_out(), "Its detail")); /* the log shows it */
    CTL(0, "job", "logs", id.text);
    EXPECT_U64(46, ctl_out_lines());
    EXPECT_HAS("Z 1 line 0\n", ctl_out());
    EXPECT_HAS("Z 2 line 21\n", ctl_out());
}

SCENARIO(attempts_are_a_table_and_the_last_error_is_lines)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_retry_policy p = dureq_retry_policy_init();
    const char *first, *second;
    dureq_job_id id;

    (void)rig_node("n", "t", fail_twice, NULL);
    p.initial_delay_ms = 10;
    p.max_attempts = 2;
    o.retry_policy = &p;
    id = rig_enqueue("t", "1", &o);
    EXPECT_I64(DUREQ_JOB_DEAD, rig_wait(id.text)->state);
    CTL(0, "job", "get", id.text);
    first = strstr(ctl_out(), "\nRUN  STARTED");
    EXPECT_TRUE(first != NULL);
    first = strstr(first, "\n  1  ");
    EXPECT_TRUE(first != NULL);
    second = strstr(first, "\n  2  "); /* the newest is last */
    EXPECT_TRUE(second != NULL);
    EXPECT_HAS("first line second line", second);
    EXPECT_HAS("\nThe last error:\nfirst line\nsecond line\n\nIts detail:\na backtrace\nof two lines\n", second);
    EXPECT_TRUE(!strstr(ctl_out(), "\nattempts "));
    CTL(1, "job", "result", id.text, "-q");
    EXPECT_TEXT("", ctl_out());
    EXPECT_HAS("dureqctl: first line second line\n", ctl_err());

    p.max_attempts = 5;
    id = rig_enqueue("t", "1", &o);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
    CTL(0, "job", "get", id.text);
    EXPECT_TRUE(!strstr(ctl_out(), "last_error")); /* it is past */
    EXPECT_TRUE(!strstr(ctl_out(), "The last error"));
    EXPECT_HAS("first line", ctl_out());
    CTL(0, "job", "result", id.text);
    EXPECT_TRUE(!strstr(ctl_out(), "first line"));
    CTL(0, "job", "wait", id.text, "-q");
    EXPECT_TEXT("{\"n\":1}\n", ctl_out());
    CTL(0, "enqueue", "t", "1", "--wait", "-q", "--initial-delay", "10ms", "--max-attempts", "5");
    EXPECT_TEXT("{\"n\":1}\n", ctl_out());
    EXPECT_TEXT("", ctl_err());
}

/* ---- many ---- */

SCENARIO(several_ids_go_out_together_and_each_has_its_answer)
{
    dureq_job_id a = rig_enqueue("t", "1", NULL), b = rig_enqueue("t", "2", NULL), c = rig_enqueue("t", "3", NULL);
    DQ_BUF_AUTO said = {0};

    CTL(0, "job", "cancel", c.text, "--reason", "no more");
    CTL(3, "job", "cancel", a.text, "38hb3qrp600000000100", c.text, b.text, "x");
    dq_buf_append_fmt(&said, "cancelled %s\ncancelled %s\n", a.text, b.text);
    EXPECT_TEXT(said.ptr, ctl_out());
    EXPECT_HAS("no job 38hb3qrp600000000100\n", ctl_err());
    EXPECT_HAS(" has ended already\n", ctl_err());
    EXPECT_HAS("'x' is no job id\n", ctl_err());
    CTL(0, "job", "retry", a.text, b.text, "-o", "ndjson");
    EXPECT_U64(2, ctl_out_lines());
    EXPECT_HAS("{\"status\":\"retried\",\"job_id\":\"", ctl_out());
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(a.text));
    EXPECT_I64(DUREQ_JOB_CANCELLED, rig_state(c.text));
}

SCENARIO(jobs_that_fit_filters_are_acted_upon)
{
    dureq_job_options o = dureq_job_options_init();

    for (int i = 0; i < 12; i++)
        (void)rig_enqueue("mail.send", "1", NULL);
    (void)rig_enqueue("other", "1", NULL);
    o.delay_ms = 3600000;
    (void)rig_enqueue("mail.later", "1", &o);
    CTL_FAILS(2, "needs at least one id, or a filter such as --type T", "job", "cancel");
    CTL_FAILS(2, "takes ids or filters, not both", "job", "cancel", "38hb3qrp600000000100", "--type", "x");
    CTL_FAILS(2, "--status names dead: a job that is so has ended already", "job", "cancel", "--status", "dead");
    CTL_FAILS(3, "no queue 'nowhere'", "job", "cancel", "--queue", "nowhere");
    CTL(0, "job", "cancel", "--type", "mail.*", "--dry-run");
    EXPECT_HAS("Would cancel 13 jobs.\n", ctl_out());
    EXPECT_U64(1 + 10 + 1 + 1, ctl_out_lines());
    CTL(0, "job", "cancel", "--type", "mail.*", "--dry-run", "-o", "json");
    EXPECT_HAS("\"matched\":13}", ctl_out());
    EXPECT_I64(13, rig_counts().pending);
    CTL(0, "job", "pause", "--type", "mail.send");
    EXPECT_TEXT("paused 12 jobs\n", ctl_out());
    CTL(0, "job", "resume", "--type", "mail.*");
    EXPECT_TEXT("resumed 12 jobs\n", ctl_out());
    CTL(0, "job", "run", "--type", "mail.later");
    EXPECT_I64(0, rig_counts().scheduled);
    CTL(0, "job", "cancel", "--type", "mail.*", "--reason", "enough", "-o", "json");
    EXPECT_TEXT("{\"affected\":13}\n", ctl_out());
    CTL(0, "job", "list", "--status", "cancelled", "-o", "json", "--limit", "1");
    EXPECT_HAS("\"reason\":\"enough\"", ctl_out());
    CTL(0, "job", "retry", "--type", "mail.later");
    EXPECT_TEXT("retried 1 job\n", ctl_out());
    CTL(0, "job", "delete", "--status", "cancelled", "--yes");
    EXPECT_TEXT("deleted 12 jobs\n", ctl_out());
    EXPECT_I64(2, rig_counts().pending);
}

RIG_MAIN()
