/* SPDX-License-Identifier: Apache-2.0 */
/* What a producer or operator may say: names, keys, policies, whole specs. Every message names the field and what it takes. */

#include <math.h>

#include "json/json.h"
#include "model/job.h"

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
}

static bool all_name_chars(dureq_str s, bool colon)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_name_char(s.ptr[i]) && !(colon && s.ptr[i] == ':'))
            return false;
    return true;
}

int dq_name_check(const char *what, dureq_str name, dureq_error *err)
{
    if (name.len == 0)
        return dq_fail(err, DUREQ_EINVAL, "%s is empty: it takes 1 to %d of [A-Za-z0-9_.:-]", what, DUREQ_NAME_MAX);
    if (name.len > DUREQ_NAME_MAX)
        return dq_fail(err, DUREQ_EINVAL, "%s is %zu bytes long: it takes 1 to %d of [A-Za-z0-9_.:-]", what, name.len,
                       DUREQ_NAME_MAX);
    if (!all_name_chars(name, true))
        return dq_fail(err, DUREQ_EINVAL, "%s has a character outside [A-Za-z0-9_.:-]", what);
    return 0;
}

int dq_type_filter_check(const char *type, dureq_error *err)
{
    const char *star = type ? strchr(type, '*') : NULL;

    if (star && star[1] != '\0')
        return dq_fail(err, DUREQ_EINVAL, "task_type takes a name, or its beginning and '*' at the end, not '%.80s'", type);
    return 0;
}

int dq_key_check(const char *what, dureq_str key, dureq_error *err)
{
    if (key.len == 0 || key.len > DUREQ_KEY_MAX)
        return dq_fail(err, DUREQ_EINVAL, "%s is %zu bytes long: it takes 1 to %d bytes", what, key.len, DUREQ_KEY_MAX);
    return 0;
}

int dq_prefix_check(dureq_str prefix, dureq_error *err)
{
    if (prefix.len == 0 || prefix.len > DUREQ_PREFIX_MAX || !all_name_chars(prefix, false))
        return dq_fail(err, DUREQ_EINVAL, "prefix takes 1 to %d of [A-Za-z0-9_.-]", DUREQ_PREFIX_MAX);
    return 0;
}

int dq_options_adopt(void *ours, size_t our_size, const void *theirs, const char *what, dureq_error *err)
{
    size_t their_size;

    memcpy(&their_size, theirs, sizeof their_size); /* struct_size comes first in all of them */
    if (their_size < sizeof their_size)
        return dq_fail(err, DUREQ_EINVAL, "%s: struct_size is not set: use the struct's _init function", what);
    const char *bytes = theirs;
    for (size_t i = our_size; i < their_size; i++)
        if (bytes[i] != 0)
            return dq_fail(err, DUREQ_EINVAL, "%s: a field is set that this version of the library does not know", what);
    memset(ours, 0, our_size);
    memcpy(ours, theirs, DQ_MIN(our_size, their_size));
    memcpy(ours, &our_size, sizeof our_size);
    return 0;
}

static int final_errors_check(const dureq_retry_policy *p, dureq_error *err)
{
    if (p->n_non_retryable_errors > 16)
        return dq_fail(err, DUREQ_EINVAL, "retry_policy.non_retryable_errors takes at most 16 texts");
    if (p->n_non_retryable_errors > 0 && !p->non_retryable_errors)
        return dq_fail(err, DUREQ_EINVAL, "retry_policy.non_retryable_errors is NULL");
    for (size_t i = 0; i < p->n_non_retryable_errors; i++) {
        size_t len = p->non_retryable_errors[i] ? strlen(p->non_retryable_errors[i]) : 0;

        if (len == 0 || len > 256)
            return dq_fail(err, DUREQ_EINVAL, "retry_policy.non_retryable_errors[%zu] takes 1 to 256 bytes", i);
    }
    return 0;
}

int dq_retry_policy_check(const dureq_retry_policy *given, dureq_error *err)
{
    dureq_retry_policy p;
    int rc;

    rc = dq_options_adopt(&p, sizeof p, given, "retry_policy", err);
    if (rc < 0)
        return rc;
    if (p.max_attempts < 0 || p.max_attempts > 10000)
        return dq_fail(err, DUREQ_EINVAL, "retry_policy.max_attempts takes 1 to 10000, or 0 for the default");
    if (p.initial_delay_ms < -1)
        return dq_fail(err, DUREQ_EINVAL, "retry_policy.initial_delay_ms takes 0 or more, or -1 for none");
    if (p.max_delay_ms < -1)
        return dq_fail(err, DUREQ_EINVAL, "retry_policy.max_delay_ms takes 0 or more, or -1 for no cap");
    if (!isfinite(p.multiplier) || (p.multiplier != 0 && (p.multiplier < 1 || p.multiplier > 1000)))
        return dq_fail(err, DUREQ_EINVAL, "retry_policy.multiplier takes 1 to 1000, or 0 for the default");
    if (!isfinite(p.jitter) || (p.jitter != -1 && (p.jitter < 0 || p.jitter > 1)))
        return dq_fail(err, DUREQ_EINVAL, "retry_policy.jitter takes 0 to 1, or -1 for none");
    if (p.pause_after_err_count < 0 || p.pause_after_err_count > 10000)
        return dq_fail(err, DUREQ_EINVAL, "retry_policy.pause_after_err_count takes 0 to 10000");
    if (p.pause_retry_delay_ms < 0)
        return dq_fail(err, DUREQ_EINVAL, "retry_policy.pause_retry_delay_ms takes 0 or more");
    return final_errors_check(&p, err);
}

static int headers_check(const dureq_job_options *o, dureq_error *err)
{
    int rc;

    if (o->n_headers > DUREQ_HEADERS_MAX)
        return dq_fail(err, DUREQ_EINVAL, "headers takes at most %d, not %zu", DUREQ_HEADERS_MAX, o->n_headers);
    for (size_t i = 0; i < o->n_headers; i++) {
        rc = dq_name_check("a header's name", dureq_str_from(o->headers[i].name), err);
        if (rc < 0)
            return rc;
        if (o->headers[i].value.len > DUREQ_HEADER_VALUE_MAX)
            return dq_fail(err, DUREQ_ETOOLARGE, "header '%s' is %zu bytes long: a value takes at most %d", o->headers[i].name,
                           o->headers[i].value.len, DUREQ_HEADER_VALUE_MAX);
    }
    return 0;
}

static int tags_check(const dureq_job_options *o, dureq_error *err)
{
    int rc;

    if (o->n_tags > DUREQ_TAGS_MAX)
        return dq_fail(err, DUREQ_EINVAL, "tags takes at most %d, not %zu", DUREQ_TAGS_MAX, o->n_tags);
    for (size_t i = 0; i < o->n_tags; i++) {
        rc = dq_name_check("a tag", dureq_str_from(o->tags[i]), err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int times_check(const dureq_job_options *o, dureq_error *err)
{
    static const int64_t max_ms = 100LL * 366 * 86400000; /* a hundred years: whoever says more mixed up units */
    const struct {
        const char *name;
        int64_t ms, min;
    } fields[] = {
        {"delay_ms", o->delay_ms, 0},
        {"unique_for_ms", o->unique_for_ms, 0},
        {"request_window_ms", o->request_window_ms, 0},
        {"timeout_ms", o->timeout_ms, 0},
        {"schedule_to_start_timeout_ms", o->schedule_to_start_timeout_ms, 0},
        {"heartbeat_timeout_ms", o->heartbeat_timeout_ms, 0},
        {"retention_ms", o->retention_ms, -1},
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(fields); i++)
        if (fields[i].ms < fields[i].min || fields[i].ms > max_ms)
            return dq_fail(err, DUREQ_EINVAL, "%s takes %lld ms to 100 years, not %lld", fields[i].name, (long long)fields[i].min,
                           (long long)fields[i].ms);
    if (o->run_at_ms < 0 || o->run_at_ms >= 1LL << 44)
        return dq_fail(err, DUREQ_EINVAL, "run_at_ms takes a Unix time in ms, not %lld", (long long)o->run_at_ms);
    if (o->run_at_ms > 0 && o->delay_ms > 0)
        return dq_fail(err, DUREQ_EINVAL, "delay_ms and run_at_ms exclude each other");
    return 0;
}

static int content_type_check(const char *content_type, dureq_str payload, dureq_error *err);

static int options_check(const dureq_job_options *o, dureq_str payload, dureq_error *err)
{
    int rc;

    if (o->queue) {
        rc = dq_name_check("queue", dureq_str_from(o->queue), err);
        if (rc < 0)
            return rc;
    }
    if (o->priority < 0 || o->priority > 10)
        return dq_fail(err, DUREQ_EINVAL, "priority takes 1 to 10, or 0 for the default, not %d", (int)o->priority);
    if (o->unique_key.len > 0) {
        rc = dq_key_check("unique_key", o->unique_key, err);
        if (rc < 0)
            return rc;
    }
    if (o->request_id.len > 0) {
        rc = dq_key_check("request_id", o->request_id, err);
        if (rc < 0)
            return rc;
    }
    if (o->dlq_after < 0 || o->dlq_after > 10000)
        return dq_fail(err, DUREQ_EINVAL, "dlq_after takes 0 to 10000, not %d", (int)o->dlq_after);
    rc = times_check(o, err);
    if (rc < 0)
        return rc;
    rc = headers_check(o, err);
    if (rc < 0)
        return rc;
    rc = tags_check(o, err);
    if (rc < 0)
        return rc;
    if (o->retry_policy) {
        rc = dq_retry_policy_check(o->retry_policy, err);
        if (rc < 0)
            return rc;
    }
    return content_type_check(o->content_type, payload, err);
}

static int content_type_check(const char *content_type, dureq_str payload, dureq_error *err)
{
    size_t len = content_type ? strlen(content_type) : 0;

    if (!content_type)
        return 0;
    if (len == 0 || len > DUREQ_CONTENT_TYPE_MAX)
        return dq_fail(err, DUREQ_EINVAL, "content_type takes 1 to %d bytes", DUREQ_CONTENT_TYPE_MAX);
    for (size_t i = 0; i < len; i++)
        if (content_type[i] < 32 || content_type[i] > 126)
            return dq_fail(err, DUREQ_EINVAL, "content_type takes printable ASCII only");
    if (strcmp(content_type, "application/json") == 0 && !dq_json_valid(payload))
        return dq_fail(err, DUREQ_EINVAL, "payload is not JSON, but content_type says application/json");
    return 0;
}

int dq_job_spec_check(const dureq_job_spec *spec, size_t max_payload, dureq_error *err)
{
    dureq_job_options o;
    int rc;

    rc = dq_name_check("task_type", dureq_str_from(spec->task_type), err);
    if (rc < 0)
        return rc;
    if (spec->payload.len > max_payload)
        return dq_fail(err, DUREQ_ETOOLARGE, "payload is %zu bytes long: at most %zu are taken", spec->payload.len, max_payload);
    if (!spec->options)
        return 0;
    rc = dq_options_adopt(&o, sizeof o, spec->options, "options", err);
    if (rc < 0)
        return rc;
    return options_check(&o, spec->payload, err);
}

int64_t dq_retention_class(int64_t retention_ms)
{
    static const int64_t S = 1000, M = 60 * 1000, H = 3600 * 1000, D = 86400LL * 1000;
    const int64_t classes[] = {10 * S, 30 * S, M,     5 * M, 10 * M, 30 * M, H,      3 * H,  6 * H,   12 * H,
                               D,      2 * D,  3 * D, 7 * D, 14 * D, 30 * D, 60 * D, 90 * D, 180 * D, 400 * D};

    if (retention_ms <= 0)
        return 0;
    for (size_t i = 0; i < DQ_ARRAY_LEN(classes); i++)
        if (retention_ms <= classes[i])
            return classes[i];
    return classes[DQ_ARRAY_LEN(classes) - 1];
}
