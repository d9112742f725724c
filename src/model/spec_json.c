/* SPDX-License-Identifier: Apache-2.0 */
/* The job spec of an enqueue body, and retry policies, from JSON. One table says which fields there are and what each takes; what
   the values themselves may be is checked where every producer's are (check.c). */

#include "model/job_json.h"

#include "model/fields.h"

#define NS_PER_MS 1000000

/* ---- values ---- */

static int read_key(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, void *target)
{
    if (dq_json_type_of(r->doc, v) != DQ_JSON_STRING || dq_json_raw(r->doc, v).len == 2)
        return dq_field_fail_type(r, f, v, "a string of 1 to 256 bytes");
    return dq_field_string_of(r, v, DQ_FIELD_AT(dureq_str, f, target));
}

/* "0s" is to keep nothing, which the struct says by -1. */
static int read_retention(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, void *target)
{
    int rc = dq_field_read_duration(r, f, v, target);

    if (rc == 0 && *DQ_FIELD_AT(int64_t, f, target) == 0)
        *DQ_FIELD_AT(int64_t, f, target) = -1;
    return rc;
}

/* ---- lists ---- */

/* A list of texts, allocated in the arena. */
static int texts_of(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, const char *const **ret, size_t *ret_n)
{
    const char **texts;
    size_t n = 0;

    if (dq_json_type_of(r->doc, v) != DQ_JSON_ARRAY)
        return dq_field_fail_type(r, f, v, "an array of strings");
    texts = dq_arena_alloc(r->arena, (r->doc->nodes[v].n + (size_t)1) * sizeof *texts);
    if (!texts)
        return dq_fail_nomem(r->err);
    for (dq_json_ref at = dq_json_first(r->doc, v); at != DQ_JSON_NONE; at = dq_json_next(r->doc, v, at)) {
        int rc = dq_json_type_of(r->doc, at) == DQ_JSON_STRING ? dq_field_text_of(r, f, at, &texts[n++])
                                                               : dq_field_fail_type(r, f, at, "an array of strings");

        if (rc < 0)
            return rc;
    }
    *ret = texts;
    *ret_n = n;
    return 0;
}

static int read_tags(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, void *target)
{
    dureq_job_options *o = target;

    return texts_of(r, f, v, &o->tags, &o->n_tags);
}

static int read_final_errors(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, void *target)
{
    dureq_retry_policy *p = target;

    return texts_of(r, f, v, &p->non_retryable_errors, &p->n_non_retryable_errors);
}

static int read_header(const dq_fields_reading *r, const dq_field *f, dq_json_ref key, dureq_header *ret)
{
    int rc = dq_field_text_of(r, f, key, &ret->name);

    if (rc < 0)
        return rc;
    if (dq_json_type_of(r->doc, key + 1) != DQ_JSON_STRING)
        return dq_field_fail_type(r, f, key + 1, "an object of strings");
    return dq_field_string_of(r, key + 1, &ret->value);
}

static int read_headers(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, void *target)
{
    dureq_job_options *o = target;
    dureq_header *headers;
    size_t n = 0;

    if (dq_json_type_of(r->doc, v) != DQ_JSON_OBJECT)
        return dq_field_fail_type(r, f, v, "an object of strings");
    headers = dq_arena_alloc(r->arena, (r->doc->nodes[v].n + (size_t)1) * sizeof *headers);
    if (!headers)
        return dq_fail_nomem(r->err);
    for (dq_json_ref k = dq_json_first(r->doc, v); k != DQ_JSON_NONE; k = dq_json_next(r->doc, v, k)) {
        int rc = read_header(r, f, k, &headers[n++]);

        if (rc < 0)
            return rc;
    }
    o->headers = headers;
    o->n_headers = n;
    return 0;
}

/* ---- retry policy ---- */

/* Text with a unit, or whole nanoseconds as the Go version of dureq has them; parts of a millisecond round up. */
static int read_delay(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, void *target)
{
    int64_t ms, ns;

    if (dq_json_i64(r->doc, v, &ns) == 0 && ns >= 0)
        ms = ns / NS_PER_MS + (ns % NS_PER_MS != 0);
    else if (!dq_field_duration_of(r, v, &ms))
        return dq_field_fail_type(r, f, v, "a duration such as \"5s\", or whole nanoseconds");
    *DQ_FIELD_AT(int64_t, f, target) = ms;
    return 0;
}

/* An explicit 0 is no delay (no cap), which the struct says by -1. */
static int read_delay_or_none(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, void *target)
{
    int rc = read_delay(r, f, v, target);

    if (rc == 0 && *DQ_FIELD_AT(int64_t, f, target) == 0)
        *DQ_FIELD_AT(int64_t, f, target) = -1;
    return rc;
}

static int read_f64(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, void *target)
{
    if (dq_json_f64(r->doc, v, DQ_FIELD_AT(double, f, target)) < 0)
        return dq_field_fail_type(r, f, v, "a number");
    return 0;
}

static int read_jitter(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, void *target)
{
    double jitter;

    if (dq_json_f64(r->doc, v, &jitter) < 0 || !(jitter >= 0 && jitter <= 1))
        return dq_field_fail_type(r, f, v, "a number from 0 to 1");
    *DQ_FIELD_AT(double, f, target) = jitter > 0 ? jitter : -1;
    return 0;
}

int dq_retry_policy_from_json(const dq_json *doc, dq_json_ref v, dq_arena *a, dureq_retry_policy *ret, dureq_error *err)
{
    static const dq_field fields[] = {
        {"initial_delay", read_delay_or_none, offsetof(dureq_retry_policy, initial_delay_ms), 0, 0, false},
        {"jitter", read_jitter, offsetof(dureq_retry_policy, jitter), 0, 0, false},
        {"max_attempts", dq_field_read_i32, offsetof(dureq_retry_policy, max_attempts), 0, 10000, false},
        {"max_delay", read_delay_or_none, offsetof(dureq_retry_policy, max_delay_ms), 0, 0, false},
        {"multiplier", read_f64, offsetof(dureq_retry_policy, multiplier), 0, 0, false},
        {"non_retryable_errors", read_final_errors, 0, 0, 0, false},
        {"pause_after_err_count", dq_field_read_i32, offsetof(dureq_retry_policy, pause_after_err_count), 0, 10000, false},
        {"pause_retry_delay", read_delay, offsetof(dureq_retry_policy, pause_retry_delay_ms), 0, 0, false},
    };
    dq_fields_reading r = {doc, a, "retry_policy.", err};
    dureq_retry_policy p = dureq_retry_policy_init();
    int rc;

    if (dq_json_type_of(doc, v) != DQ_JSON_OBJECT)
        return dq_fail(err, DUREQ_EINVAL, "field 'retry_policy' takes an object, not %s",
                       dq_json_type_name(dq_json_type_of(doc, v)));
    rc = dq_fields_read(&r, v, fields, DQ_ARRAY_LEN(fields), &p);
    if (rc == 0)
        rc = dq_retry_policy_check(&p, err);
    if (rc < 0)
        return rc;
    *ret = p;
    return 0;
}

static int read_policy(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, void *target)
{
    dureq_retry_policy *p = dq_arena_alloc(r->arena, sizeof *p);
    int rc;

    if (!p)
        return dq_fail_nomem(r->err);
    rc = dq_retry_policy_from_json(r->doc, v, r->arena, p, r->err);
    if (rc < 0)
        return rc;
    *DQ_FIELD_AT(const dureq_retry_policy *, f, target) = p;
    return 0;
}

/* ---- job spec ---- */

/* The readers of lists take a reading for its options. */
_Static_assert(offsetof(dq_spec_reading, options) == 0, "options come first");

#define OPTION(member) (offsetof(dq_spec_reading, options) + offsetof(dureq_job_options, member))

static const dq_field spec_table[] = {
    {"concurrency_keys", dq_field_read_unsupported, 0, 0, 0, false},
    {"content_type", dq_field_read_text, OPTION(content_type), 0, 0, false},
    {"delay", dq_field_read_duration, OPTION(delay_ms), 0, 0, false},
    {"dlq_after", dq_field_read_i32, OPTION(dlq_after), 0, 10000, false},
    {"headers", read_headers, 0, 0, 0, false},
    {"heartbeat_timeout", dq_field_read_duration, OPTION(heartbeat_timeout_ms), 0, 0, false},
    {"payload", dq_field_read_value, offsetof(dq_spec_reading, payload), 0, 0, true},
    {"payload_base64", dq_field_read_value, offsetof(dq_spec_reading, payload_base64), 0, 0, false},
    {"priority", dq_field_read_i32, OPTION(priority), 1, 10, false},
    {"queue", dq_field_read_text, OPTION(queue), 0, 0, false},
    {"request_id", read_key, OPTION(request_id), 0, 0, false},
    {"retention", read_retention, OPTION(retention_ms), 0, 0, false},
    {"retry_policy", read_policy, OPTION(retry_policy), 0, 0, false},
    {"run_at", dq_field_read_time, OPTION(run_at_ms), 0, 0, false},
    {"schedule", dq_field_read_unsupported, 0, 0, 0, false},
    {"schedule_to_start_timeout", dq_field_read_duration, OPTION(schedule_to_start_timeout_ms), 0, 0, false},
    {"tags", read_tags, 0, 0, 0, false},
    {"task_type", dq_field_read_text, offsetof(dq_spec_reading, task_type), 0, 0, false},
    {"timeout", dq_field_read_duration, OPTION(timeout_ms), 0, 0, false},
    {"unique_for", dq_field_read_duration, OPTION(unique_for_ms), 0, 0, false},
    {"unique_key", read_key, OPTION(unique_key), 0, 0, false},
    {"version", dq_field_read_unsupported, 0, 0, 0, false},
};

static int decode_payload(const dq_fields_reading *r, dq_json_ref v, dureq_str *ret)
{
    DQ_BUF_AUTO bytes = {0};
    dureq_str text;
    int rc;

    rc = dq_json_type_of(r->doc, v) == DQ_JSON_STRING ? dq_field_string_of(r, v, &text) : DUREQ_EPARSE;
    if (rc == 0)
        rc = dq_base64_decode(text, &bytes);
    if (rc == DUREQ_EPARSE)
        return dq_fail(r->err, DUREQ_EINVAL, "field 'payload_base64' takes a string of base64 with its padding");
    if (rc < 0)
        return dq_fail_nomem(r->err);
    *ret = dq_arena_dup_str(r->arena, dq_buf_str(&bytes));
    return ret->ptr || bytes.len == 0 ? 0 : dq_fail_nomem(r->err);
}

/* `payload` stands for itself, for a text or for nothing, as the content type says: what a job's JSON form shows can be sent
   again as it is. No payload at all is JSON's null. */
static int take_payload(const dq_fields_reading *r, dq_spec_reading *s, dureq_str *ret)
{
    const char *type = s->options.content_type;

    if (s->payload_base64 != DQ_JSON_NONE) {
        if (s->payload != DQ_JSON_NONE)
            return dq_fail(r->err, DUREQ_EINVAL, "fields 'payload' and 'payload_base64' exclude each other");
        return decode_payload(r, s->payload_base64, ret);
    }
    if (!type || dq_content_is_json(dureq_str_from(type))) {
        if (!type)
            s->options.content_type = "application/json";
        *ret = s->payload == DQ_JSON_NONE ? DQ_STR_LIT("null") : dq_json_raw(r->doc, s->payload);
        return 0;
    }
    if (s->payload == DQ_JSON_NONE) {
        *ret = dureq_str_of("", 0);
        return 0;
    }
    if (!dq_content_is_text(dureq_str_from(type)))
        return dq_fail(r->err, DUREQ_EINVAL, "field 'payload' cannot hold %s: use 'payload_base64'", type);
    if (dq_json_type_of(r->doc, s->payload) != DQ_JSON_STRING)
        return dq_fail(r->err, DUREQ_EINVAL, "field 'payload' takes a string when content_type is %s", type);
    return dq_field_string_of(r, s->payload, ret);
}

dq_spec_reading dq_spec_reading_of(void)
{
    return (dq_spec_reading){.options = dureq_job_options_init(), .payload = DQ_JSON_NONE, .payload_base64 = DQ_JSON_NONE};
}

int dq_payload_from_json(const dq_json *doc, dq_json_ref v, dq_arena *a, dureq_job_spec *ret, dureq_job_options *ret_options,
                         dureq_error *err)
{
    dq_spec_reading s = dq_spec_reading_of();
    dq_fields_reading r = {doc, a, "", err};
    dureq_str payload;
    int rc = dq_fields_read(&r, v, spec_table, DQ_ARRAY_LEN(spec_table), &s);

    if (rc == 0)
        rc = take_payload(&r, &s, &payload);
    if (rc < 0)
        return rc;
    *ret_options = s.options;
    *ret = (dureq_job_spec){.payload = payload};
    return 0;
}

/* What no field shows by itself. */
static int check_together(const dq_fields_reading *r, const dq_spec_reading *s)
{
    const dureq_job_options *o = &s->options;

    if (!s->task_type)
        return dq_fail(r->err, DUREQ_EINVAL, "field 'task_type' is missing");
    if (o->delay_ms && o->run_at_ms)
        return dq_fail(r->err, DUREQ_EINVAL, "fields 'delay' and 'run_at' exclude each other");
    if (o->unique_for_ms && !o->unique_key.len)
        return dq_fail(r->err, DUREQ_EINVAL, "field 'unique_for' needs 'unique_key'");
    return 0;
}

/* Whether the values read so far may be: content type and payload aside, which are judged together at the end. */
static int check_so_far(const dq_spec_reading *s, dureq_error *err)
{
    dureq_job_options o = s->options;
    dureq_job_spec spec = {s->task_type ? s->task_type : "-", {NULL, 0}, &o};

    o.content_type = NULL;
    return dq_job_spec_check(&spec, DUREQ_PAYLOAD_LIMIT_MAX, err);
}

int dq_spec_read_member(const dq_json *doc, dq_json_ref key, dq_arena *a, dq_spec_reading *s, dureq_error *err)
{
    dq_fields_reading r = {doc, a, "", err};
    const dq_field *f = dq_field_find(&r, spec_table, DQ_ARRAY_LEN(spec_table), key);
    dq_spec_reading before = *s;
    int rc;

    if (!f)
        return DUREQ_ENOTFOUND;
    if (dq_json_type_of(doc, key + 1) == DQ_JSON_NULL && !f->takes_null)
        return 0;
    rc = f->read(&r, f, key + 1, s);
    if (rc == 0)
        rc = check_so_far(s, err);
    if (rc < 0)
        *s = before;
    return rc;
}

int dq_spec_read_end(const dq_json *doc, dq_arena *a, dq_spec_reading *s, dureq_job_spec *ret, dureq_job_options *ret_options,
                     dureq_error *err)
{
    dq_fields_reading r = {doc, a, "", err};
    dureq_str payload;
    int rc = check_together(&r, s);

    if (rc == 0)
        rc = take_payload(&r, s, &payload);
    if (rc < 0)
        return rc;
    *ret_options = s->options;
    *ret = (dureq_job_spec){.task_type = s->task_type, .payload = payload, .options = ret_options};
    return 0;
}

int dq_job_spec_from_json(const dq_json *doc, dq_json_ref v, dq_arena *a, dureq_job_spec *ret, dureq_job_options *ret_options,
                          dureq_error *err)
{
    dq_spec_reading s = dq_spec_reading_of();
    dq_fields_reading r = {doc, a, "", err};
    int rc;

    if (dq_json_type_of(doc, v) != DQ_JSON_OBJECT)
        return dq_fail(err, DUREQ_EINVAL, "a job spec is an object, not %s", dq_json_type_name(dq_json_type_of(doc, v)));
    rc = dq_fields_read(&r, v, spec_table, DQ_ARRAY_LEN(spec_table), &s);
    return rc < 0 ? rc : dq_spec_read_end(doc, a, &s, ret, ret_options, err);
}
