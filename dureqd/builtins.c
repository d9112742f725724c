/* SPDX-License-Identifier: Apache-2.0 */
#include "builtins.h"

#include "base/clock.h"
#include "json/json.h"

#include <inttypes.h>

#define SLEEP_DEFAULT_MS 1000
#define SLEEP_MAX_MS     (366 * 24 * 3600 * 1000LL)

/* ---- echo: {"message": text}; the payload comes back as the result ---- */

static int run_echo(dureq_run *task, void *userdata)
{
    dureq_str payload = dureq_run_payload(task);
    DQ_BUF_AUTO message = {0};
    dq_json doc;

    (void)userdata;
    if (dq_json_parse(payload, &doc, NULL) == 0) {
        dq_json_ref v = dq_json_type_of(&doc, 0) == DQ_JSON_OBJECT ? dq_json_member(&doc, 0, "message") : DQ_JSON_NONE;

        if (v != DQ_JSON_NONE && dq_json_string(&doc, v, &message) < 0)
            dq_buf_append_str(&message, dq_json_raw(&doc, v));
        dq_json_deinit(&doc);
    }
    dureq_run_log(task, "job %s: %s", dureq_run_job_id(task), message.len ? message.ptr : "(no message)");
    return dureq_run_set_result(task, payload, dureq_run_content_type(task));
}

/* ---- noop ---- */

static int run_noop(dureq_run *task, void *userdata)
{
    (void)task;
    (void)userdata;
    return 0;
}

/* ---- sleep: {"duration_ms": n, "message": text} ---- */

static int read_message(const dq_json *doc, dq_json_ref v, dq_buf *ret, dureq_error *err)
{
    int rc = dq_json_string(doc, v, ret);

    if (rc == DUREQ_ENOMEM)
        return dq_fail_nomem(err);
    return rc < 0 ? dq_fail(err, DUREQ_EINVAL, "message is not a text") : 0;
}

int dq_builtin_parse_sleep(dureq_str payload, int64_t *ret_ms, dq_buf *ret_message, dureq_error *err)
{
    dq_json doc;
    dq_json_ref ms, message;
    int rc = dq_json_parse(payload, &doc, err);

    if (rc < 0)
        return rc;
    *ret_ms = 0;
    ms = dq_json_type_of(&doc, 0) == DQ_JSON_OBJECT ? dq_json_member(&doc, 0, "duration_ms") : DQ_JSON_NONE;
    message = dq_json_type_of(&doc, 0) == DQ_JSON_OBJECT ? dq_json_member(&doc, 0, "message") : DQ_JSON_NONE;
    if (dq_json_type_of(&doc, 0) != DQ_JSON_OBJECT)
        rc = dq_fail(err, DUREQ_EINVAL, "sleep takes an object such as {\"duration_ms\": 500}");
    else if (ms != DQ_JSON_NONE && (dq_json_i64(&doc, ms, ret_ms) < 0 || *ret_ms > SLEEP_MAX_MS))
        rc = dq_fail(err, DUREQ_EINVAL, "duration_ms is not a whole number of milliseconds up to a year");
    else if (message != DQ_JSON_NONE)
        rc = read_message(&doc, message, ret_message, err);
    dq_json_deinit(&doc);
    if (rc == 0 && *ret_ms <= 0)
        *ret_ms = SLEEP_DEFAULT_MS;
    return rc;
}

static int sleep_result(dureq_run *task, int64_t slept_ms, const dq_buf *message)
{
    DQ_BUF_AUTO out = {0};
    dq_json_writer w = dq_json_writer_of(&out);

    dq_json_begin_object(&w);
    dq_json_set_i64(&w, "slept_ms", slept_ms);
    if (message->len > 0) {
        dq_json_set_str(&w, "message", dq_buf_str(message));
    }
    dq_json_end_object(&w);
    return out.failed ? DUREQ_ENOMEM : dureq_run_set_result(task, dq_buf_str(&out), "application/json");
}

static int run_sleep(dureq_run *task, void *userdata)
{
    DQ_BUF_AUTO message = {0};
    dureq_error err = {0};
    int64_t ms = 0, begun_us = dq_mono_us();
    int rc = dq_builtin_parse_sleep(dureq_run_payload(task), &ms, &message, &err);

    (void)userdata;
    if (rc == DUREQ_ENOMEM)
        return rc;
    if (rc < 0)
        return dureq_run_fail(task, rc, "%s", err.msg);
    if (dureq_run_wait_cancelled(task, ms))
        return DUREQ_ECANCELLED;
    return sleep_result(task, (dq_mono_us() - begun_us) / 1000, &message);
}

/* ---- fail-always ---- */

static int run_fail_always(dureq_run *task, void *userdata)
{
    (void)userdata;
    return dureq_run_retry(task, 0, "fail-always always fails");
}

/* ---- registering ---- */

static const struct builtin {
    const char *name;
    dureq_handler_fn fn;
    int32_t concurrency;
    int64_t timeout_ms;
    int32_t max_attempts; /* 0: the default policy */
} builtins[] = {
    {"echo", run_echo, 5, 10000, 0},
    {"fail-always", run_fail_always, 5, 5000, 1},
    {"noop", run_noop, 10, 5000, 0},
    {"sleep", run_sleep, 10, 300000, 0},
};

int32_t dq_builtin_concurrency(const char *name)
{
    for (size_t i = 0; i < DQ_ARRAY_LEN(builtins); i++)
        if (strcmp(builtins[i].name, name) == 0)
            return builtins[i].concurrency;
    return 0;
}

static bool is_configured(const dq_config *cfg, const char *type)
{
    for (size_t i = 0; i < cfg->n_handlers; i++)
        if (strcmp(cfg->handlers[i].type, type) == 0)
            return true;
    return false;
}

const char *dq_builtin_listed(const dq_config *cfg, size_t *at)
{
    while (*at < DQ_ARRAY_LEN(builtins)) {
        const char *name = builtins[(*at)++].name;

        if (dq_config_list_has(cfg->builtins, name) && !is_configured(cfg, name))
            return name;
    }
    return NULL;
}

int dq_builtin_add(dureq_node *node, const dq_handler_spec *spec, dureq_error *err)
{
    dureq_handler_options o = dureq_handler_options_init();
    dureq_retry_policy once = dureq_retry_policy_init();

    for (size_t i = 0; i < DQ_ARRAY_LEN(builtins); i++) {
        const struct builtin *b = &builtins[i];

        if (strcmp(b->name, spec->builtin) != 0)
            continue;
        once.max_attempts = b->max_attempts;
        o.concurrency = spec->concurrency ? spec->concurrency : b->concurrency;
        o.timeout_ms = spec->timeout_ms ? spec->timeout_ms : b->timeout_ms;
        o.grace_ms = spec->grace_ms;
        o.retry_policy = spec->retry_policy ? spec->retry_policy : b->max_attempts ? &once : NULL;
        return dureq_node_handle(node, spec->type, b->fn, NULL, &o, err);
    }
    return dq_fail(err, DUREQ_EINVAL, "there is no built-in '%.40s'", spec->builtin);
}
