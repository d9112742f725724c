/* SPDX-License-Identifier: Apache-2.0 */
#include "client/job_fields.h"

#include <stdio.h>

#include "model/job_json.h"

void dq_duration_field_to_json(const char *name, int64_t ms, dq_json_writer *w)
{
    char text[DQ_DURATION_TEXT_MAX];

    if (ms > 0)
        dq_json_set_str(w, name, dureq_str_of(text, dq_format_duration_ms(ms, text)));
    else if (ms < 0)
        dq_json_set_i64(w, name, ms);
}

void dq_texts_field_to_json(const char *name, const char *const *texts, size_t n, dq_json_writer *w)
{
    if (n == 0)
        return;
    dq_json_key(w, name);
    dq_json_begin_array(w);
    for (size_t i = 0; i < n; i++)
        dq_json_put_text(w, texts[i]);
    dq_json_end_array(w);
}

void dq_payload_field_to_json(const char *name, dureq_str payload, const char *content_type, dq_json_writer *w)
{
    bool is_json = !content_type || dq_content_is_json(dureq_str_from(content_type));
    char base64_name[64];

    if (payload.len == 0)
        return;
    if (is_json && dq_json_valid(payload)) {
        dq_json_set_raw(w, name, payload);
        return;
    }
    (void)snprintf(base64_name, sizeof base64_name, "%s_base64", name);
    dq_json_key(w, base64_name);
    dq_json_put_base64(w, payload);
    if (!content_type)
        dq_json_set_text(w, "content_type", "application/octet-stream");
}

static void put_text_if(dq_json_writer *w, const char *name, const char *text)
{
    if (text)
        dq_json_set_text(w, name, text);
}

static void put_key_if(dq_json_writer *w, const char *name, dureq_str key)
{
    if (key.len)
        dq_json_set_str(w, name, key);
}

static void put_headers(const dureq_job_options *o, dq_json_writer *w)
{
    if (o->n_headers == 0)
        return;
    dq_json_key(w, "headers");
    dq_json_begin_object(w);
    for (size_t i = 0; i < o->n_headers; i++)
        dq_json_set_str(w, o->headers[i].name, o->headers[i].value);
    dq_json_end_object(w);
}

static void put_retention(int64_t ms, dq_json_writer *w)
{
    if (ms < 0)
        dq_json_set_text(w, "retention", "0s"); /* not kept */
    else
        dq_duration_field_to_json("retention", ms, w);
}

/* An older program's is shorter. */
static dureq_job_options options_of(const dureq_job_options *given)
{
    dureq_job_options o = dureq_job_options_init();

    if (given)
        memcpy(&o, given, DQ_MIN(given->struct_size, sizeof o));
    return o;
}

void dq_job_options_fields_to_json(const dureq_job_options *given, dq_json_writer *w)
{
    dureq_job_options o = options_of(given);

    put_text_if(w, "queue", o.queue);
    dq_duration_field_to_json("delay", o.delay_ms, w);
    if (o.run_at_ms)
        dq_json_set_rfc3339(w, "run_at", o.run_at_ms);
    put_key_if(w, "unique_key", o.unique_key);
    dq_duration_field_to_json("unique_for", o.unique_for_ms, w);
    put_key_if(w, "request_id", o.request_id);
    put_headers(&o, w);
    dq_texts_field_to_json("tags", o.tags, o.n_tags, w);
    if (o.retry_policy) {
        dq_json_key(w, "retry_policy");
        dq_retry_policy_to_json(o.retry_policy, w);
    }
    dq_duration_field_to_json("timeout", o.timeout_ms, w);
    dq_duration_field_to_json("schedule_to_start_timeout", o.schedule_to_start_timeout_ms, w);
    dq_duration_field_to_json("heartbeat_timeout", o.heartbeat_timeout_ms, w);
    if (o.dlq_after)
        dq_json_set_i64(w, "dlq_after", o.dlq_after);
    put_retention(o.retention_ms, w);
    put_text_if(w, "content_type", o.content_type);
}

void dq_job_spec_fields_to_json(const dureq_job_spec *spec, dq_json_writer *w)
{
    put_text_if(w, "task_type", spec->task_type);
    dq_payload_field_to_json("payload", spec->payload, options_of(spec->options).content_type, w);
    dq_job_options_fields_to_json(spec->options, w);
}
