/* SPDX-License-Identifier: Apache-2.0 */
/* enqueue: its options, and one job. Many are in enqueue_many.c. */
#include <errno.h>
#include <stdio.h>

#include "enqueue.h"
#include "model/job.h"

static int add_header(void *data, const char *text)
{
    ctl_enqueue_options *o = data;
    const char *eq = strchr(text, '=');
    char *name;

    if (!eq || eq == text)
        return ctl_usage("--header takes name=value, not '%s'", text);
    if (o->job.n_headers == DUREQ_HEADERS_MAX)
        return ctl_usage("--header may be given at most %d times", DUREQ_HEADERS_MAX);
    name = dq_memdup(text, (size_t)(eq - text)); /* freed by cmd_enqueue */
    if (!name)
        return ctl_fail(CTL_FAILED, "out of memory");
    o->headers[o->job.n_headers++] = (dureq_header){name, dureq_str_from(eq + 1)};
    o->job.headers = o->headers;
    return 0;
}

static int add_tag(void *data, const char *text)
{
    ctl_enqueue_options *o = data;

    if (o->job.n_tags == DUREQ_TAGS_MAX)
        return ctl_usage("--tag may be given at most %d times", DUREQ_TAGS_MAX);
    o->tags[o->job.n_tags++] = text;
    o->job.tags = o->tags;
    return 0;
}

static int read_times(ctl_enqueue_options *o, const ctl_raw_job *raw)
{
    dureq_job_options *j = &o->job;
    int rc = ctl_duration("delay", raw->delay, &j->delay_ms);

    if (rc == 0)
        rc = ctl_duration("unique-for", raw->unique_for, &j->unique_for_ms);
    if (rc == 0)
        rc = ctl_duration("timeout", raw->timeout, &j->timeout_ms);
    if (rc == 0)
        rc = ctl_duration("schedule-to-start-timeout", raw->s2s, &j->schedule_to_start_timeout_ms);
    if (rc == 0)
        rc = ctl_duration("heartbeat-timeout", raw->heartbeat, &j->heartbeat_timeout_ms);
    if (rc == 0)
        rc = ctl_duration("retention", raw->retention, &j->retention_ms);
    if (rc == 0)
        rc = ctl_duration("initial-delay", raw->initial_delay, &o->retry.initial_delay_ms);
    if (rc == 0)
        rc = ctl_duration("max-delay", raw->max_delay, &o->retry.max_delay_ms);
    if (raw->retention && rc == 0 && j->retention_ms == 0)
        j->retention_ms = -1; /* 0 is the default */
    if (raw->initial_delay && rc == 0 && o->retry.initial_delay_ms == 0)
        o->retry.initial_delay_ms = -1;
    if (raw->max_delay && rc == 0 && o->retry.max_delay_ms == 0)
        o->retry.max_delay_ms = -1;
    if (rc == 0)
        rc = ctl_time("at", raw->at, /*is_past=*/false, &j->run_at_ms);
    if (rc == 0 && raw->at && raw->delay)
        rc = ctl_usage("--at and --delay exclude each other");
    if (rc == 0 && raw->unique_for && !raw->unique_key)
        rc = ctl_usage("--unique-for needs --unique-key");
    return rc;
}

static int read_job(ctl_enqueue_options *o, const ctl_raw_job *raw)
{
    int64_t priority = 0, dlq_after = 0, attempts = 0;
    int rc = ctl_i64("priority", raw->priority, 1, 10, &priority);

    if (rc == 0)
        rc = ctl_i64("dlq-after", raw->dlq_after, 1, 10000, &dlq_after);
    if (rc == 0)
        rc = ctl_i64("max-attempts", raw->max_attempts, 1, 10000, &attempts);
    if (rc == 0)
        rc = read_times(o, raw);
    if (rc != 0)
        return rc;
    o->job.queue = raw->queue;
    o->job.priority = (int32_t)priority;
    o->job.dlq_after = (int32_t)dlq_after;
    o->job.unique_key = dureq_str_from(raw->unique_key);
    o->job.request_id = dureq_str_from(raw->request_id);
    o->job.content_type = raw->content_type;
    o->retry.max_attempts = (int32_t)attempts;
    if (raw->max_attempts || raw->initial_delay || raw->max_delay)
        o->job.retry_policy = &o->retry;
    return 0;
}

/* What would otherwise be dropped without a word. */
static int check_together(const ctl_enqueue_options *o, const ctl_raw_job *raw)
{
    const ctl_raw_job none = {0};
    bool any = memcmp(raw, &none, sizeof none) != 0 || o->job.n_headers || o->job.n_tags;

    if (o->lines && o->ndjson)
        return ctl_usage("--lines and --ndjson exclude each other");
    if (o->wait_timeout && !o->wait)
        return ctl_usage("--wait-timeout needs --wait");
    if (o->wait && (o->lines || o->ndjson))
        return ctl_usage("--wait is for one job, not for --lines or --ndjson");
    if (o->ndjson && any)
        return ctl_usage("with --ndjson options of jobs stand in each line");
    if (o->lines && raw->request_id)
        return ctl_usage("--request-id names one job: with --lines all lines would be the same one");
    return 0;
}

size_t ctl_job_option_list(ctl_enqueue_options *o, ctl_raw_job *raw, ctl_option *out)
{
    const ctl_option list[CTL_JOB_OPTIONS] = {
        {.name = "content-type", .value = &raw->content_type},
        {.name = "dlq-after", .value = &raw->dlq_after},
        {.name = "header", .each = add_header, .data = o},
        {.name = "heartbeat-timeout", .value = &raw->heartbeat},
        {.name = "initial-delay", .value = &raw->initial_delay},
        {.name = "max-attempts", .value = &raw->max_attempts},
        {.name = "max-delay", .value = &raw->max_delay},
        {.name = "priority", .value = &raw->priority},
        {.name = "queue", .value = &raw->queue},
        {.name = "retention", .value = &raw->retention},
        {.name = "schedule-to-start-timeout", .value = &raw->s2s},
        {.name = "tag", .each = add_tag, .data = o},
        {.name = "text", .flag = &o->text},
        {.name = "timeout", .value = &raw->timeout},
        {.name = "unique-key", .value = &raw->unique_key},
    };

    memcpy(out, list, sizeof list);
    o->job = dureq_job_options_init();
    o->retry = dureq_retry_policy_init();
    return CTL_JOB_OPTIONS;
}

int ctl_read_job(ctl_enqueue_options *o, const ctl_raw_job *raw)
{
    return read_job(o, raw);
}

void ctl_enqueue_options_deinit(ctl_enqueue_options *o)
{
    for (size_t i = 0; i < o->job.n_headers; i++)
        dq_free((char *)o->headers[i].name);
}

static int read_options(ctl_enqueue_options *o, int argc, char **argv, int *ret_n)
{
    ctl_raw_job raw = {0};
    const ctl_option own[] = {
        {.name = "at", .value = &raw.at},
        {.name = "delay", .value = &raw.delay},
        {.name = "lines", .value = &o->lines},
        {.name = "ndjson", .value = &o->ndjson},
        {.name = "request-id", .value = &raw.request_id},
        {.name = "unique-for", .value = &raw.unique_for},
        {.name = "wait", .flag = &o->wait},
        {.name = "wait-timeout", .value = &o->wait_timeout},
    };
    ctl_option list[CTL_JOB_OPTIONS + DQ_ARRAY_LEN(own)];
    size_t n = ctl_job_option_list(o, &raw, list);
    int64_t wait_ms;
    int rc;

    memcpy(list + n, own, sizeof own);
    rc = ctl_options(argc, argv, list, DQ_ARRAY_LEN(list), ret_n);
    if (rc == 0)
        rc = read_job(o, &raw);
    if (rc == 0)
        rc = ctl_duration("wait-timeout", o->wait_timeout, &wait_ms);
    return rc != 0 ? rc : check_together(o, &raw);
}

/* ---- one job ---- */

/* No more than one job may have: standard input may never end. */
static int read_input(dq_buf *out)
{
    while (out->len <= DUREQ_PAYLOAD_DEFAULT_MAX) {
        char *at = dq_buf_reserve(out, 65536);
        size_t n;

        if (!at)
            return ctl_fail(CTL_FAILED, "out of memory");
        n = fread(at, 1, 65536, stdin);
        out->len += n;
        if (n == 0)
            return ferror(stdin) ? ctl_fail(CTL_FAILED, "cannot read standard input: %s", strerror(errno)) : 0;
    }
    return ctl_fail(CTL_REFUSED, "standard input gives more than the %d bytes that a payload may have",
                    DUREQ_PAYLOAD_DEFAULT_MAX);
}

/* These name what is given with the command. */
void ctl_enqueue_words(const char *msg, dq_buf *out)
{
    static const struct {
        const char *words, *option;
    } names[] = {
        {"queue is ", "--queue is "}, {"queue has ", "--queue has "}, {"task_type ", "TYPE "}, {"headers ", "--header "}};

    for (size_t i = 0; i < DQ_ARRAY_LEN(names); i++)
        if (strncmp(msg, names[i].words, strlen(names[i].words)) == 0) {
            dq_buf_append_text(out, names[i].option);
            msg += strlen(names[i].words);
            break;
        }
    ctl_own_words(msg, out);
}

static int print_refused(ctl *c, const ctl_enqueue_options *o, const dureq_enqueue_result *r)
{
    DQ_BUF_AUTO text = {0};

    ctl_enqueue_words(r->msg, &text);
    if (r->id.text[0])
        dq_buf_append_fmt(&text, " (job %s)", r->id.text);
    if (r->code == DUREQ_ENOTFOUND && o->job.queue)
        ctl_near_queue(c, o->job.queue, &text);
    return ctl_fail(ctl_exit_of(r->code), "%s", text.ptr ? text.ptr : r->msg);
}

static int wait_for(ctl *c, const char *id, const char *timeout)
{
    ctl_answer a;
    DQ_BUF_AUTO path = {0};
    DQ_BUF_AUTO query = {0};
    int rc;

    ctl_path(&path, "/api/jobs/%s/result", id);
    ctl_query(&query, "wait", timeout ? timeout : "24h");
    rc = ctl_call(c, "GET", path.ptr, query.ptr, dureq_str_of(NULL, 0), &a);
    if (rc != 0) {
        fprintf(stderr, "The job is accepted: see dureqctl job get %s\n", id);
        return rc;
    }
    rc = ctl_print_result(c, &a);
    ctl_answer_deinit(&a);
    return rc;
}

static void print_accepted_json(const ctl *c, const dureq_enqueue_result *r, const char *status, dureq_str warning)
{
    DQ_BUF_AUTO text = {0};
    dq_json_writer w = dq_json_writer_of(&text);

    dq_json_begin_object(&w);
    dq_json_key(&w, "id");
    dq_json_put_text(&w, r->id.text);
    if (r->existing) { /* what became of it by now is not known here */
        dq_json_key(&w, "existing");
        dq_json_put_bool(&w, true);
    } else {
        dq_json_key(&w, "status");
        dq_json_put_text(&w, status);
    }
    if (warning.len) {
        dq_json_key(&w, "warning");
        dq_json_put_str(&w, warning);
    }
    dq_json_end_object(&w);
    ctl_put_json(c, dq_buf_failed(&text) ? dureq_str_from(r->id.text) : dq_buf_str(&text));
}

static void print_accepted(const ctl *c, const dureq_enqueue_result *r, dureq_str warning)
{
    const char *status = r->scheduled ? "scheduled" : "pending";

    if (c->format == CTL_TABLE)
        printf("%s\n", r->id.text);
    else if (c->format == CTL_CSV)
        printf("id,status,existing\r\n%s,%s,%s\r\n", r->id.text, r->existing ? "" : status, r->existing ? "true" : "");
    else
        print_accepted_json(c, r, status, warning);
}

int ctl_read_payload(ctl_enqueue_options *o, const char *payload, dq_buf *input, dureq_str *ret)
{
    *ret = payload ? dureq_str_from(payload) : DQ_STR_LIT("null");
    if (payload && strcmp(payload, "-") == 0) {
        int rc = read_input(input);

        if (rc != 0)
            return rc;
        *ret = dq_buf_str(input);
    }
    if (!o->job.content_type && o->text)
        o->job.content_type = "text/plain";
    if (!o->job.content_type && ctl_is_broken_json(*ret))
        return ctl_usage("the payload begins like JSON and is none; quote it for the shell, or give --text to send it as text");
    if (!o->job.content_type)
        o->job.content_type = dq_json_valid(*ret)   ? "application/json"
                              : dq_utf8_valid(*ret) ? "text/plain"
                                                    : "application/octet-stream";
    return 0;
}

static int enqueue_one(ctl *c, ctl_enqueue_options *o, const char *payload)
{
    DQ_BUF_AUTO input = {0};
    dureq_job_spec spec = {.task_type = o->type, .options = &o->job};
    DQ_BUF_AUTO unhandled = {0};
    dureq_enqueue_result result;
    dureq_error err = {0};
    int rc = ctl_read_payload(o, payload, &input, &spec.payload);

    if (rc != 0)
        return rc;
    rc = ctl_connect(c, CTL_WRITES);
    if (rc != 0)
        return rc;
    rc = ctl_enqueue_jobs(c, &spec, 1, &result, &err);
    if (rc < 0)
        return ctl_fail(ctl_exit_of(rc), "%s", err.msg);
    if (result.code < 0)
        return print_refused(c, o, &result);
    ctl_warn_unhandled(c, o->type, &unhandled);
    if (o->wait)
        return wait_for(c, result.id.text, o->wait_timeout);
    print_accepted(c, &result, dq_buf_str(&unhandled));
    return CTL_DONE;
}

static int enqueue(ctl *c, ctl_enqueue_options *o, int argc, char **argv)
{
    int n = 0;
    int rc = read_options(o, argc, argv, &n);

    if (rc != 0)
        return rc;
    if (o->ndjson)
        return n == 0 ? ctl_enqueue_file(c, o) : ctl_usage("with --ndjson every line names its task type");
    if (n == 0)
        return ctl_usage("enqueue needs a task type");
    o->type = argv[1];
    if (o->lines)
        return n == 1 ? ctl_enqueue_file(c, o) : ctl_usage("with --lines the payload is each line");
    if (n > 2)
        return ctl_usage("enqueue takes a task type and one payload (quote it)");
    return enqueue_one(c, o, n == 2 ? argv[2] : NULL);
}

static int cmd_enqueue(ctl *c, int argc, char **argv)
{
    ctl_enqueue_options o = {0};
    int rc = enqueue(c, &o, argc, argv);

    ctl_enqueue_options_deinit(&o);
    return rc;
}

const ctl_command ctl_enqueue_commands[] = {
    {"enqueue", "TYPE [PAYLOAD|-] | TYPE --lines FILE|- | --ndjson FILE|-", "Enqueue one job, or one a line",
     "PAYLOAD is JSON when it parses, else text; '-' reads it from standard input; none is null. What begins with { or [\n"
     "and is no JSON is refused unless --text says that it is text. A PAYLOAD that begins with '-' stands after '--'.\n"
     "\n"
     "  --queue Q | --priority 1..10       where it waits; a priority (default 5) picks the queue that takes it: queues\n"
     "                                     share by weight, and within one jobs start in the order in which they came\n"
     "  --delay D | --at TIME              start later: 30s, 'tomorrow 10:00', 2026-11-23T20:00:00Z\n"
     "  --unique-key K [--unique-for D]    refused while a living job (or for D) holds K\n"
     "  --request-id ID                    the same ID within an hour gives the same job\n"
     "  --header NAME=VALUE, --tag TAG     may be given several times\n"
     "  --max-attempts N --initial-delay D --max-delay D --dlq-after N\n"
     "  --timeout D --schedule-to-start-timeout D --heartbeat-timeout D --retention D\n"
     "  --content-type T | --text\n"
     "  --wait [--wait-timeout D]          wait for the end and print the result; exit 1 unless completed\n"
     "  --lines FILE|-                     one job per line, the line is the payload (text)\n"
     "  --ndjson FILE|-                    one job spec per line: {\"task_type\":...,\"payload\":...,\"queue\":...}\n"
     "\n"
     "Examples:\n"
     "  dureqctl enqueue echo '{\"message\":\"hi\"}' --wait\n"
     "  dureqctl enqueue report.build nightly --delay 10m --unique-key report --tag night\n"
     "  find . -type f | dureqctl enqueue file.sha256 --lines -\n",
     cmd_enqueue},
    {NULL, NULL, NULL, NULL, NULL},
};
