/* SPDX-License-Identifier: Apache-2.0 */
/* enqueue: one job, one job a line, or one job spec a line. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl.h"
#include "model/job.h"
#include "model/job_json.h"

#define CHUNK      256
#define CHUNK_MAX  (1024 * 1024) /* bytes of payload kept before they are sent */
#define FAILED_MAX 5             /* refusals told one by one */

typedef struct options {
    dureq_job_options job;
    dureq_retry_policy retry;
    dureq_header headers[DUREQ_HEADERS_MAX];
    const char *tags[DUREQ_TAGS_MAX];
    const char *type;
    bool wait;
    const char *lines, *ndjson, *wait_timeout;
} options;

static int add_header(void *data, const char *text)
{
    options *o = data;
    const char *eq = strchr(text, '=');
    char *name;

    if (!eq || eq == text)
        return ctl_usage("--header takes name=value, not '%s'", text);
    if (o->job.n_headers == DUREQ_HEADERS_MAX)
        return ctl_usage("at most %d headers", DUREQ_HEADERS_MAX);
    name = dq_memdup(text, (size_t)(eq - text)); /* lives as long as the program */
    if (!name)
        return ctl_fail(CTL_FAILED, "out of memory");
    o->headers[o->job.n_headers++] = (dureq_header){name, dureq_str_from(eq + 1)};
    o->job.headers = o->headers;
    return 0;
}

static int add_tag(void *data, const char *text)
{
    options *o = data;

    if (o->job.n_tags == DUREQ_TAGS_MAX)
        return ctl_usage("at most %d tags", DUREQ_TAGS_MAX);
    o->tags[o->job.n_tags++] = text;
    o->job.tags = o->tags;
    return 0;
}

typedef struct raw_options {
    const char *queue, *priority, *delay, *at, *unique_key, *unique_for, *request_id, *timeout, *s2s, *heartbeat, *retention,
        *dlq_after, *max_attempts, *initial_delay, *max_delay, *content_type;
} raw_options;

static int read_times(options *o, const raw_options *raw)
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
        j->retention_ms = -1;
    if (rc == 0 && raw->at && dq_parse_rfc3339_ms(dureq_str_from(raw->at), &j->run_at_ms) < 0)
        rc = ctl_usage("--at takes an RFC 3339 time such as 2026-11-23T20:00:00Z, not '%s'", raw->at);
    return rc;
}

static int read_job(options *o, const raw_options *raw)
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

static int read_options(options *o, int argc, char **argv, int *ret_n)
{
    raw_options raw = {0};
    const ctl_option list[] = {
        {.name = "at", .value = &raw.at},
        {.name = "content-type", .value = &raw.content_type},
        {.name = "delay", .value = &raw.delay},
        {.name = "dlq-after", .value = &raw.dlq_after},
        {.name = "header", .each = add_header, .data = o},
        {.name = "heartbeat-timeout", .value = &raw.heartbeat},
        {.name = "initial-delay", .value = &raw.initial_delay},
        {.name = "lines", .value = &o->lines},
        {.name = "max-attempts", .value = &raw.max_attempts},
        {.name = "max-delay", .value = &raw.max_delay},
        {.name = "ndjson", .value = &o->ndjson},
        {.name = "priority", .value = &raw.priority},
        {.name = "queue", .value = &raw.queue},
        {.name = "request-id", .value = &raw.request_id},
        {.name = "retention", .value = &raw.retention},
        {.name = "schedule-to-start-timeout", .value = &raw.s2s},
        {.name = "tag", .each = add_tag, .data = o},
        {.name = "timeout", .value = &raw.timeout},
        {.name = "unique-for", .value = &raw.unique_for},
        {.name = "unique-key", .value = &raw.unique_key},
        {.name = "wait", .flag = &o->wait},
        {.name = "wait-timeout", .value = &o->wait_timeout},
    };
    int rc;

    o->job = dureq_job_options_init();
    o->retry = dureq_retry_policy_init();
    rc = ctl_options(argc, argv, list, DQ_ARRAY_LEN(list), ret_n);
    return rc != 0 ? rc : read_job(o, &raw);
}

/* ---- one job ---- */

static int read_all(FILE *f, dq_buf *out)
{
    for (;;) {
        char *at = dq_buf_reserve(out, 65536);
        size_t n;

        if (!at)
            return ctl_fail(CTL_FAILED, "out of memory");
        n = fread(at, 1, 65536, f);
        out->len += n;
        if (n == 0)
            return ferror(f) ? ctl_fail(CTL_FAILED, "cannot read standard input: %s", strerror(errno)) : 0;
    }
}

static int print_refused(const dureq_enqueue_result *r)
{
    if (r->id.text[0])
        return ctl_fail(ctl_exit_of(r->code), "%s (job %s)", r->msg, r->id.text);
    return ctl_fail(ctl_exit_of(r->code), "%s", r->msg);
}

static int wait_for(ctl *c, const char *id, const char *timeout)
{
    ctl_answer a;
    DQ_BUF_AUTO path = {0};
    DQ_BUF_AUTO query = {0};
    dq_json_ref status;
    int rc;

    ctl_path(&path, "/api/jobs/%s/result", id);
    ctl_query(&query, "wait", timeout ? timeout : "24h");
    rc = ctl_call(c, "GET", path.ptr, query.ptr, dureq_str_of(NULL, 0), &a);
    if (rc != 0)
        return rc;
    ctl_print_object(c, &a, 0);
    status = dq_json_member(&a.doc, 0, "status");
    rc = dq_json_string_eq(&a.doc, status, "completed") ? CTL_DONE : CTL_FAILED;
    ctl_answer_deinit(&a);
    return rc;
}

static void print_accepted(const ctl *c, const dureq_enqueue_result *r)
{
    if (c->format == CTL_TABLE)
        printf("%s\n", r->id.text);
    else if (c->format == CTL_CSV)
        printf("id,status\r\n%s,%s\r\n", r->id.text, r->scheduled ? "scheduled" : "pending");
    else
        printf("{\"id\":\"%s\",\"status\":\"%s\"}\n", r->id.text, r->scheduled ? "scheduled" : "pending");
}

static int enqueue_one(ctl *c, options *o, const char *payload)
{
    DQ_BUF_AUTO input = {0};
    dureq_job_spec spec = {.task_type = o->type, .payload = dureq_str_from(payload), .options = &o->job};
    dureq_enqueue_result result;
    dureq_error err = {0};
    int rc;

    if (payload && strcmp(payload, "-") == 0) {
        rc = read_all(stdin, &input);
        if (rc != 0)
            return rc;
        spec.payload = dq_buf_str(&input);
    }
    if (!payload)
        spec.payload = DQ_STR_LIT("null");
    if (!o->job.content_type)
        o->job.content_type = dq_json_valid(spec.payload)   ? "application/json"
                              : dq_utf8_valid(spec.payload) ? "text/plain"
                                                            : "application/octet-stream";
    rc = ctl_connect(c);
    if (rc != 0)
        return rc;
    rc = dureq_client_enqueue_many(c->client, &spec, 1, &result, &err);
    if (rc < 0)
        return ctl_fail(ctl_exit_of(rc), "%s", err.msg);
    if (result.code < 0)
        return print_refused(&result);
    if (o->wait)
        return wait_for(c, result.id.text, o->wait_timeout);
    print_accepted(c, &result);
    return CTL_DONE;
}

/* ---- many ---- */

typedef struct batch {
    ctl *c;
    options *o;
    bool ndjson;
    dureq_job_spec specs[CHUNK];
    dureq_job_options job_options[CHUNK];
    dureq_enqueue_result results[CHUNK];
    char *texts[CHUNK];
    dq_json docs[CHUNK];
    int64_t line_no[CHUNK];
    dq_arena arena;
    size_t n, bytes;
    int64_t accepted, refused, last_shown_us;
    int64_t total_bytes, seen_bytes; /* of the input file; total 0 when not known */
    bool on_terminal;
    int rc; /* exit code of the first refusal */
} batch;

static void show_progress(batch *b, bool last)
{
    int64_t now_us = dq_mono_us();
    double share = b->total_bytes ? (double)b->seen_bytes / (double)b->total_bytes : 0;
    char bar[31];
    int filled = (int)(share * 30);

    if (!b->on_terminal || (!last && now_us - b->last_shown_us < 100000))
        return;
    b->last_shown_us = now_us;
    if (b->total_bytes) {
        memset(bar, '.', 30);
        memset(bar, '#', (size_t)DQ_MIN(filled, 30));
        bar[30] = '\0';
        fprintf(stderr, "\r[%s] %3d %%  %" PRId64 " accepted  %" PRId64 " refused", bar, (int)(share * 100), b->accepted,
                b->refused);
    } else {
        fprintf(stderr, "\r%" PRId64 " accepted  %" PRId64 " refused", b->accepted, b->refused);
    }
    if (last)
        fputc('\n', stderr);
}

static void tell_refused(batch *b, int64_t line, int code, const char *msg)
{
    if (b->refused++ < FAILED_MAX)
        fprintf(stderr, "%sdureqctl: line %" PRId64 ": %s\n", b->on_terminal ? "\r" : "", line, msg);
    if (b->rc == 0)
        b->rc = ctl_exit_of(code);
}

static void print_result(const batch *b, const dureq_enqueue_result *r, int64_t line)
{
    if (b->c->quiet || b->c->format == CTL_TABLE)
        return;
    if (b->c->format == CTL_CSV)
        printf("%" PRId64 ",%s,%s\r\n", line, r->id.text, r->code < 0 ? dq_api_code_word(r->code) : "accepted");
    else if (r->code < 0)
        printf("{\"line\":%" PRId64 ",\"code\":\"%s\"}\n", line, dq_api_code_word(r->code));
    else
        printf("{\"line\":%" PRId64 ",\"id\":\"%s\"}\n", line, r->id.text);
}

static void batch_clear(batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        dq_json_deinit(&b->docs[i]);
        dq_free(b->texts[i]);
    }
    dq_arena_reset(&b->arena);
    b->n = b->bytes = 0;
}

static int batch_send(batch *b)
{
    dureq_error err = {0};
    int rc;

    if (b->n == 0)
        return 0;
    rc = dureq_client_enqueue_many(b->c->client, b->specs, b->n, b->results, &err);
    if (rc < 0) {
        batch_clear(b);
        return ctl_fail(ctl_exit_of(rc), "%s (%" PRId64 " jobs were accepted before)", err.msg, b->accepted);
    }
    for (size_t i = 0; i < b->n; i++) {
        if (b->results[i].code < 0)
            tell_refused(b, b->line_no[i], b->results[i].code, b->results[i].msg);
        else
            b->accepted++;
        print_result(b, &b->results[i], b->line_no[i]);
    }
    batch_clear(b);
    show_progress(b, false);
    return 0;
}

static int add_line(batch *b, const char *line, size_t len, int64_t line_no)
{
    size_t i = b->n;
    dureq_error err = {0};
    char *copy = dq_memdup(line, len);

    if (!copy)
        return ctl_fail(CTL_FAILED, "out of memory");
    b->texts[i] = copy;
    b->docs[i] = (dq_json){0};
    b->line_no[i] = line_no;
    if (b->ndjson) {
        int rc = dq_json_parse_frame(dureq_str_of(copy, len), &b->docs[i], &err);

        b->job_options[i] = dureq_job_options_init();
        if (rc == 0)
            rc = dq_job_spec_from_json(&b->docs[i], 0, &b->arena, &b->specs[i], &b->job_options[i], &err);
        if (rc < 0) {
            tell_refused(b, line_no, rc, err.msg);
            dq_json_deinit(&b->docs[i]);
            dq_free(copy);
            return 0;
        }
        b->specs[i].options = &b->job_options[i];
    } else {
        b->specs[i] = (dureq_job_spec){.task_type = b->o->type, .payload = dureq_str_of(copy, len), .options = &b->o->job};
    }
    b->n++;
    b->bytes += len;
    return b->n == CHUNK || b->bytes >= CHUNK_MAX ? batch_send(b) : 0;
}

static int feed(batch *b, FILE *in)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    int64_t line_no = 0;
    int rc = 0;

    for (len = getline(&line, &cap, in); rc == 0 && len >= 0; len = rc == 0 ? getline(&line, &cap, in) : -1) {
        line_no++;
        b->seen_bytes += len;
        while (len && (line[len - 1] == '\n' || (len > 1 && line[len - 1] == '\r')))
            len--;
        if (len == 0)
            continue;
        rc = add_line(b, line, (size_t)len, line_no);
    }
    free(line);
    if (rc == 0 && ferror(in))
        rc = ctl_fail(CTL_FAILED, "cannot read the input: %s", strerror(errno));
    return rc == 0 ? batch_send(b) : rc;
}

static int enqueue_file(ctl *c, options *o, const char *path, bool ndjson)
{
    FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    batch *b;
    int64_t start_us = dq_mono_us();
    double seconds;
    int rc;

    if (!in)
        return ctl_fail(CTL_FAILED, "cannot open '%s': %s", path, strerror(errno));
    rc = ctl_connect(c);
    if (rc != 0)
        return rc;
    b = dq_calloc(1, sizeof *b);
    if (!b)
        return ctl_fail(CTL_FAILED, "out of memory");
    if (!o->job.content_type)
        o->job.content_type = "text/plain";
    b->c = c;
    b->o = o;
    b->ndjson = ndjson;
    b->on_terminal = isatty(STDERR_FILENO) && !c->quiet;
    if (in != stdin && fseek(in, 0, SEEK_END) == 0) {
        b->total_bytes = ftell(in);
        rewind(in);
    }
    if (c->format == CTL_CSV && !c->quiet)
        fputs("line,id,status\r\n", stdout);
    rc = feed(b, in);
    show_progress(b, true);
    if (in != stdin)
        (void)fclose(in);
    seconds = (double)(dq_mono_us() - start_us) / 1e6;
    if (rc == 0 && b->refused > FAILED_MAX)
        fprintf(stderr, "dureqctl: and %" PRId64 " more lines were refused\n", b->refused - FAILED_MAX);
    if (rc == 0 && c->format == CTL_TABLE && !c->quiet)
        printf("%" PRId64 " jobs accepted, %" PRId64 " refused, in %.2f s\n", b->accepted, b->refused, seconds);
    if (rc == 0)
        rc = b->rc;
    dq_arena_deinit(&b->arena);
    dq_free(b);
    return rc;
}

static int cmd_enqueue(ctl *c, int argc, char **argv)
{
    options o = {0};
    int n = 0;
    int rc = read_options(&o, argc, argv, &n);

    if (rc != 0)
        return rc;
    if (o.lines && o.ndjson)
        return ctl_usage("--lines and --ndjson exclude each other");
    if (o.ndjson)
        return n == 0 ? enqueue_file(c, &o, o.ndjson, true) : ctl_usage("with --ndjson every line names its task type");
    if (n == 0)
        return ctl_usage("enqueue needs a task type");
    o.type = argv[1];
    if (o.lines)
        return n == 1 ? enqueue_file(c, &o, o.lines, false) : ctl_usage("with --lines the payload is each line");
    if (n > 2)
        return ctl_usage("enqueue takes a task type and one payload (quote it)");
    return enqueue_one(c, &o, n == 2 ? argv[2] : NULL);
}

const ctl_command ctl_enqueue_commands[] = {
    {"enqueue", "TYPE [PAYLOAD|-] | TYPE --lines FILE|- | --ndjson FILE|-", "Enqueue one job, or one a line",
     "PAYLOAD is JSON when it parses, else text; '-' reads it from standard input; none is null.\n"
     "\n"
     "  --queue Q | --priority 1..10       where it waits (10 first; default 5)\n"
     "  --delay D | --at TIME              start later: 30s, 5m, 2026-11-23T20:00:00Z\n"
     "  --unique-key K [--unique-for D]    refused while a living job (or for D) holds K\n"
     "  --request-id ID                    the same ID within an hour gives the same job\n"
     "  --header NAME=VALUE, --tag TAG     may be given several times\n"
     "  --max-attempts N --initial-delay D --max-delay D --dlq-after N\n"
     "  --timeout D --schedule-to-start-timeout D --heartbeat-timeout D --retention D\n"
     "  --content-type T\n"
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
