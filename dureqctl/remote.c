/* SPDX-License-Identifier: Apache-2.0 */
/* What commands ask beside one request of their own: jobs to enqueue, and looks at queues, nodes and jobs; of the API wherever it is. */
#include <stdio.h>

#include "ctl.h"
#include "enqueue.h"
#include "model/job_json.h"

/* ---- enqueueing ---- */

static void put_text_if(dq_json_writer *w, const char *name, const char *text)
{
    if (!text || !*text)
        return;
    dq_json_key(w, name);
    dq_json_put_text(w, text);
}

static void put_str_if(dq_json_writer *w, const char *name, dureq_str s)
{
    if (s.len == 0)
        return;
    dq_json_key(w, name);
    dq_json_put_str(w, s);
}

static void put_ms_if(dq_json_writer *w, const char *name, int64_t ms)
{
    char text[DQ_DURATION_TEXT_MAX];

    if (ms == 0)
        return;
    (void)dq_format_duration_ms(DQ_MAX(ms, 0), text); /* -1, which the library takes for none, is 0s in JSON */
    put_text_if(w, name, text);
}

static void put_int_if(dq_json_writer *w, const char *name, int64_t v)
{
    if (v == 0)
        return;
    dq_json_key(w, name);
    dq_json_put_i64(w, v);
}

static void put_time_if(dq_json_writer *w, const char *name, int64_t at_ms)
{
    if (at_ms == 0)
        return;
    dq_json_key(w, name);
    dq_json_put_rfc3339(w, at_ms);
}

/* -1, which the library takes for none, is 0 in JSON. */
static void put_number_if(dq_json_writer *w, const char *name, double v)
{
    if (v == 0)
        return;
    dq_json_key(w, name);
    dq_json_put_f64(w, v < 0 ? 0 : v);
}

static void put_retry(dq_json_writer *w, const dureq_retry_policy *p)
{
    if (!p)
        return;
    dq_json_key(w, "retry_policy");
    dq_json_begin_object(w);
    put_int_if(w, "max_attempts", p->max_attempts);
    put_ms_if(w, "initial_delay", p->initial_delay_ms);
    put_ms_if(w, "max_delay", p->max_delay_ms);
    put_number_if(w, "multiplier", p->multiplier);
    put_number_if(w, "jitter", p->jitter);
    put_int_if(w, "pause_after_err_count", p->pause_after_err_count);
    put_ms_if(w, "pause_retry_delay", p->pause_retry_delay_ms);
    if (p->n_non_retryable_errors) {
        dq_json_key(w, "non_retryable_errors");
        dq_json_begin_array(w);
        for (size_t i = 0; i < p->n_non_retryable_errors; i++)
            dq_json_put_text(w, p->non_retryable_errors[i]);
        dq_json_end_array(w);
    }
    dq_json_end_object(w);
}

static void put_options(dq_json_writer *w, const dureq_job_options *o)
{
    put_text_if(w, "queue", o->queue);
    put_int_if(w, "priority", o->priority);
    put_ms_if(w, "delay", o->delay_ms);
    put_time_if(w, "run_at", o->run_at_ms);
    put_str_if(w, "unique_key", o->unique_key);
    put_ms_if(w, "unique_for", o->unique_for_ms);
    put_str_if(w, "request_id", o->request_id);
    put_int_if(w, "dlq_after", o->dlq_after);
    put_ms_if(w, "timeout", o->timeout_ms);
    put_ms_if(w, "schedule_to_start_timeout", o->schedule_to_start_timeout_ms);
    put_ms_if(w, "heartbeat_timeout", o->heartbeat_timeout_ms);
    put_ms_if(w, "retention", o->retention_ms);
    put_retry(w, o->retry_policy);
    if (o->n_tags) {
        dq_json_key(w, "tags");
        dq_json_begin_array(w);
        for (size_t i = 0; i < o->n_tags; i++)
            dq_json_put_text(w, o->tags[i]);
        dq_json_end_array(w);
    }
    if (o->n_headers) {
        dq_json_key(w, "headers");
        dq_json_begin_object(w);
        for (size_t i = 0; i < o->n_headers; i++) {
            dq_json_key(w, o->headers[i].name);
            dq_json_put_str(w, o->headers[i].value);
        }
        dq_json_end_object(w);
    }
}

void ctl_put_spec(dq_json_writer *w, const dureq_job_spec *spec)
{
    const dureq_job_options *o = spec->options;
    const char *type = o && o->content_type ? o->content_type : "application/json";

    dq_json_key(w, "task_type");
    dq_json_put_text(w, spec->task_type);
    dq_json_key(w, "payload_base64"); /* byte for byte, whatever it is */
    dq_json_put_base64(w, spec->payload);
    put_text_if(w, "content_type", type);
    if (o)
        put_options(w, o);
}

static void put_spec(dq_buf *out, const dureq_job_spec *spec)
{
    dq_json_writer w = dq_json_writer_of(out);

    dq_json_begin_object(&w);
    ctl_put_spec(&w, spec);
    dq_json_end_object(&w);
    dq_buf_append_char(out, '\n');
}

static void take_result(const dq_json *doc, dureq_enqueue_result *ret)
{
    dq_json_ref id = dq_json_member(doc, 0, "id"), error = dq_json_member(doc, 0, "error"), code = dq_json_member(doc, 0, "code");
    dq_json_ref status = dq_json_member(doc, 0, "status");
    DQ_BUF_AUTO text = {0};
    DQ_BUF_AUTO word = {0};

    if (id == DQ_JSON_NONE)
        id = dq_json_member(doc, 0, "existing_id");
    if (id != DQ_JSON_NONE && dq_json_string(doc, id, &text) == 0)
        (void)snprintf(ret->id.text, sizeof ret->id.text, "%s", text.ptr ? text.ptr : "");
    ret->existing = dq_json_member(doc, 0, "existing") != DQ_JSON_NONE;
    if (status != DQ_JSON_NONE && dq_json_string(doc, status, &word) == 0)
        ret->scheduled = dq_str_eq_text(dq_buf_str(&word), "scheduled");
    if (error == DQ_JSON_NONE)
        return;
    dq_buf_clear(&text);
    dq_buf_clear(&word);
    if (dq_json_string(doc, error, &text) == 0)
        (void)snprintf(ret->msg, sizeof ret->msg, "%.*s", (int)DQ_MIN(text.len, sizeof ret->msg - 1), text.ptr ? text.ptr : "");
    if (code != DQ_JSON_NONE)
        (void)dq_json_string(doc, code, &word);
    ret->code = dq_api_code_of_word(dq_buf_str(&word));
    ret->code = ret->code ? ret->code : DUREQ_EINVAL;
}

/* A line for each job, in order. */
static int take_results(const dq_api_response *r, size_t n, dureq_enqueue_result *results, dureq_error *err)
{
    dureq_str rest = dq_buf_str(&r->body);
    size_t i = 0;

    while (rest.len && i < n) {
        dureq_str line = dq_str_trim(dq_str_cut(&rest, '\n'));
        dq_json doc = {0};

        if (dq_json_parse_frame(line, &doc, NULL) == 0 && dq_json_type_of(&doc, 0) == DQ_JSON_OBJECT)
            take_result(&doc, &results[i++]);
        dq_json_deinit(&doc);
    }
    return i == n ? 0 : dq_fail(err, DUREQ_EUNKNOWN, "the server answered for %zu jobs of %zu", i, n);
}

static int enqueue_http(ctl *c, const dureq_job_spec *specs, size_t n, dureq_enqueue_result *results, dureq_error *err)
{
    dq_api_request req = {.method = "POST", .path = "/api/jobs", .content_type = "application/x-ndjson"};
    DQ_BUF_AUTO body = {0};
    dq_api_response res;
    int rc;

    memset(results, 0, n * sizeof *results);
    for (size_t i = 0; i < n; i++)
        put_spec(&body, &specs[i]);
    rc = dq_buf_finish(&body, err);
    if (rc < 0)
        return rc;
    req.body = dq_buf_str(&body);
    if (ctl_http_ask(c->http, &req, &res) != 0)
        return dq_fail(err, DUREQ_EUNAVAILABLE, "the jobs may or may not have been accepted");
    if (res.status >= 400)
        rc = dq_fail(err, res.code, DQ_STR_FMT, (int)DQ_MIN(res.body.len, (size_t)200), res.body.ptr ? res.body.ptr : "");
    else
        rc = take_results(&res, n, results, err);
    dq_api_response_deinit(&res);
    return rc;
}

int ctl_enqueue_jobs(ctl *c, const dureq_job_spec *specs, size_t n, dureq_enqueue_result *results, dureq_error *err)
{
    return c->http ? enqueue_http(c, specs, n, results, err) : dureq_client_enqueue_many(c->client, specs, n, results, err);
}

/* ---- looks ---- */

bool ctl_look(ctl *c, const char *path, ctl_answer *ret)
{
    dq_api_request req = {.method = "GET", .path = path};

    *ret = (ctl_answer){0};
    if (c->http) {
        if (ctl_http_ask(c->http, &req, &ret->res) != 0)
            return false;
    } else {
        dq_api_handle(c->client, &req, &ret->res);
    }
    if (ret->res.status < 400 && dq_json_parse_frame(dq_buf_str(&ret->res.body), &ret->doc, NULL) == 0)
        return true;
    ret->doc = (dq_json){0};
    ctl_answer_deinit(ret);
    return false;
}

bool ctl_next_text(const dq_json *doc, dq_json_ref array, dq_json_ref *at, const char *member, dq_buf *ret)
{
    *at = *at == DQ_JSON_NONE ? dq_json_first(doc, array) : dq_json_next(doc, array, *at);
    dq_buf_clear(ret);
    if (*at == DQ_JSON_NONE)
        return false;
    (void)dq_json_string(doc, member ? dq_json_member(doc, *at, member) : *at, ret); /* what is no text is an empty one */
    return true;
}
