/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/batch.h"

#include "model/fields.h"
#include "model/job_json.h"

/* ---- a definition ---- */

static int read_flag(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, void *target)
{
    dq_json_type type = dq_json_type_of(r->doc, v);

    if (type != DQ_JSON_TRUE && type != DQ_JSON_FALSE)
        return dq_field_fail_type(r, f, v, "true or false");
    *DQ_FIELD_AT(bool, f, target) = type == DQ_JSON_TRUE;
    return 0;
}

static int read_policy(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, void *target)
{
    bool is_fast = dq_json_type_of(r->doc, v) == DQ_JSON_STRING && dq_json_string_eq(r->doc, v, "fail_fast");

    if (!is_fast && (dq_json_type_of(r->doc, v) != DQ_JSON_STRING ||
                     !(dq_json_string_eq(r->doc, v, "continue_on_error") || dq_json_string_eq(r->doc, v, ""))))
        return dq_field_fail_type(r, f, v, "\"continue_on_error\" or \"fail_fast\"");
    *DQ_FIELD_AT(bool, f, target) = is_fast;
    return 0;
}

static int read_attempts(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, void *target)
{
    dureq_retry_policy policy;
    int rc = dq_retry_policy_from_json(r->doc, v, r->arena, &policy, r->err);

    if (rc == 0)
        *DQ_FIELD_AT(int32_t, f, target) = policy.max_attempts;
    return rc;
}

static int read_items(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, void *target)
{
    if (dq_json_type_of(r->doc, v) != DQ_JSON_ARRAY)
        return dq_field_fail_type(r, f, v, "an array of items");
    *DQ_FIELD_AT(dq_json_ref, f, target) = v;
    return 0;
}

/* The options of a job spec, but for what belongs to the batch. */
static int read_option(const dq_json *doc, dq_json_ref key, dq_arena *arena, dq_spec_reading *spec, dureq_error *err)
{
    static const char *const refused[] = {"task_type", "payload",    "payload_base64", "content_type", "delay",    "run_at",
                                          "schedule",  "unique_key", "unique_for",     "request_id",   "retention"};
    dureq_str name = dq_json_raw(doc, key);
    int rc;

    for (size_t i = 0; i < DQ_ARRAY_LEN(refused); i++)
        if (dq_json_string_eq(doc, key, refused[i]))
            return dq_fail(err, DUREQ_EINVAL, "field 'item_options.%s' is no option of an item", refused[i]);
    rc = dq_spec_read_member(doc, key, arena, spec, err);
    if (rc == DUREQ_ENOTFOUND)
        return dq_fail(err, DUREQ_EINVAL, "field 'item_options.%.*s' is not known", (int)DQ_MIN(name.len - 2, (size_t)60),
                       name.ptr + 1);
    return rc;
}

static int read_item_options(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, void *target)
{
    dq_spec_reading spec = dq_spec_reading_of();
    int rc = 0;

    if (dq_json_type_of(r->doc, v) != DQ_JSON_OBJECT)
        return dq_field_fail_type(r, f, v, "an object of options of a job");
    for (dq_json_ref key = dq_json_first(r->doc, v); key != DQ_JSON_NONE && rc == 0; key = dq_json_next(r->doc, v, key))
        rc = read_option(r->doc, key, r->arena, &spec, r->err);
    if (rc == 0)
        *DQ_FIELD_AT(dureq_job_options, f, target) = spec.options;
    return rc;
}

/* Those options of a job that the whole has too, by the reader that reads them of jobs. */
static int read_own_option(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, void *target)
{
    dq_spec_reading spec = dq_spec_reading_of();
    dureq_job_options *options = DQ_FIELD_AT(dureq_job_options, f, target);
    int rc;

    spec.options = *options;
    rc = dq_spec_read_member(r->doc, v - 1, r->arena, &spec, r->err); /* the key stands before its value */
    if (rc == 0)
        *options = spec.options;
    return rc;
}

static int read_item_retry(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, void *target)
{
    dureq_retry_policy *policy = dq_arena_alloc(r->arena, sizeof *policy);
    int rc;

    if (!policy)
        return dq_fail_nomem(r->err);
    rc = dq_retry_policy_from_json(r->doc, v, r->arena, policy, r->err);
    if (rc == 0)
        *DQ_FIELD_AT(const dureq_retry_policy *, f, target) = policy;
    return rc;
}

typedef struct reading {
    dq_batch batch;
    const dureq_retry_policy *item_retry;
} reading;

static const dq_field batch_table[] = {
    {"chunk_size", dq_field_read_i32, offsetof(reading, batch.window), 1, DQ_BATCH_WINDOW_MAX, false},
    {"default_priority", dq_field_read_i32, offsetof(reading, batch.default_priority), 1, 10, false},
    {"execution_timeout", dq_field_read_duration, offsetof(reading, batch.execution_timeout_ms), 0, 0, false},
    {"failure_policy", read_policy, offsetof(reading, batch.fails_fast), 0, 0, false},
    {"hooks", dq_field_read_unsupported, 0, 0, 0, false},
    {"item_options", read_item_options, offsetof(reading, batch.item_options), 0, 0, false},
    {"item_retry_policy", read_item_retry, offsetof(reading, item_retry), 0, 0, false},
    {"item_task_type", dq_field_read_text, offsetof(reading, batch.item_type), 0, 0, false},
    {"items", read_items, offsetof(reading, batch.items), 0, 0, false},
    {"name", dq_field_read_text, offsetof(reading, batch.name), 0, 0, false},
    {"onetime_payload", dq_field_read_value, offsetof(reading, batch.once_payload), 0, 0, true},
    {"onetime_task_type", dq_field_read_text, offsetof(reading, batch.once_type), 0, 0, false},
    {"open", read_flag, offsetof(reading, batch.is_open), 0, 0, false},
    {"request_id", read_own_option, offsetof(reading, batch.options), 0, 0, false},
    {"retention", read_own_option, offsetof(reading, batch.options), 0, 0, false},
    {"retry_policy", read_attempts, offsetof(reading, batch.max_attempts), 0, 0, false},
    {"tags", read_own_option, offsetof(reading, batch.options), 0, 0, false},
    {"unique_key", read_own_option, offsetof(reading, batch.options), 0, 0, false},
};

static int check(reading *r, dureq_error *err)
{
    dq_batch *b = &r->batch;
    dureq_job_spec spec = {.task_type = b->item_type, .options = &b->item_options};
    dureq_job_spec once = {.task_type = b->once_type};
    int rc;

    if (!b->name || !*b->name)
        return dq_fail(err, DUREQ_EINVAL, "field 'name' is missing");
    if (strlen(b->name) > DQ_BATCH_ID_MAX)
        return dq_fail(err, DUREQ_EINVAL, "field 'name' takes at most %d bytes", DQ_BATCH_ID_MAX);
    if (!b->item_type || !*b->item_type)
        return dq_fail(err, DUREQ_EINVAL, "field 'item_task_type' is missing");
    if (b->once_payload != DQ_JSON_NONE && !b->once_type)
        return dq_fail(err, DUREQ_EINVAL, "field 'onetime_payload' needs 'onetime_task_type'");
    if (r->item_retry && b->item_options.retry_policy)
        return dq_fail(err, DUREQ_EINVAL, "fields 'item_retry_policy' and 'item_options.retry_policy' exclude each other");
    if (r->item_retry)
        b->item_options.retry_policy = r->item_retry;
    if (!b->item_options.priority)
        b->item_options.priority = b->default_priority;
    b->item_options.retention_ms = -1; /* the batch keeps what is to be known */
    rc = dq_job_spec_check(&spec, DUREQ_PAYLOAD_LIMIT_MAX, err);
    return rc == 0 && b->once_type ? dq_job_spec_check(&once, DUREQ_PAYLOAD_LIMIT_MAX, err) : rc;
}

int dq_batch_from_json(const dq_json *doc, dq_json_ref v, dq_batch *ret, dureq_error *err)
{
    reading r = {.batch = {.window = DQ_BATCH_WINDOW_DEFAULT,
                           .items = DQ_JSON_NONE,
                           .once_payload = DQ_JSON_NONE,
                           .options = dureq_job_options_init(),
                           .item_options = dureq_job_options_init()}};
    dq_fields_reading fields = {doc, &r.batch.arena, "", err};
    int rc;

    if (dq_json_type_of(doc, v) != DQ_JSON_OBJECT)
        return dq_fail(err, DUREQ_EINVAL, "a batch is an object, not %s", dq_json_type_name(dq_json_type_of(doc, v)));
    rc = dq_fields_read(&fields, v, batch_table, DQ_ARRAY_LEN(batch_table), &r);
    if (rc == 0)
        rc = check(&r, err);
    if (rc < 0)
        dq_arena_deinit(&r.batch.arena);
    else
        *ret = r.batch;
    return rc;
}

void dq_batch_deinit(dq_batch *batch)
{
    dq_arena_deinit(&batch->arena);
}

/* ---- an item ---- */

int dq_batch_item_check(dureq_str id, dureq_error *err)
{
    for (size_t i = 0; i < id.len; i++)
        if ((unsigned char)id.ptr[i] < ' ' || id.ptr[i] == 127)
            return dq_fail(err, DUREQ_EINVAL, "field 'id' of an item takes no control characters");
    if (id.len > DQ_BATCH_ID_MAX)
        return dq_fail(err, DUREQ_EINVAL, "field 'id' of an item takes at most %d bytes", DQ_BATCH_ID_MAX);
    return 0;
}

static int read_id(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, void *target)
{
    dureq_str *id = DQ_FIELD_AT(dureq_str, f, target);

    if (dq_json_type_of(r->doc, v) != DQ_JSON_STRING || dq_json_raw(r->doc, v).len == 2)
        return dq_field_fail_type(r, f, v, "a string of 1 to 128 bytes");
    return dq_field_string_of(r, v, id);
}

int dq_batch_item_from_json(const dq_json *doc, dq_json_ref v, dq_arena *arena, dureq_batch_item *ret, dureq_error *err)
{
    typedef struct item {
        dureq_str id;
        dq_json_ref payload, base64;
    } item;
    static const dq_field table[] = {
        {"id", read_id, offsetof(item, id), 0, 0, false},
        {"payload", dq_field_read_value, offsetof(item, payload), 0, 0, true},
        {"payload_base64", dq_field_read_value, offsetof(item, base64), 0, 0, false},
    };
    dq_fields_reading fields = {doc, arena, "", err};
    item i = {.payload = DQ_JSON_NONE, .base64 = DQ_JSON_NONE};
    dq_spec_reading spec = dq_spec_reading_of();
    dureq_job_options options = dureq_job_options_init();
    dureq_job_spec read;
    int rc;

    if (dq_json_type_of(doc, v) != DQ_JSON_OBJECT)
        return dq_fail(err, DUREQ_EINVAL, "an item is an object of 'id' and 'payload', not %s",
                       dq_json_type_name(dq_json_type_of(doc, v)));
    rc = dq_fields_read(&fields, v, table, DQ_ARRAY_LEN(table), &i);
    if (rc == 0)
        rc = dq_batch_item_check(i.id, err);
    if (rc < 0)
        return rc;
    spec.task_type = "item"; /* what a spec must have */
    spec.payload = i.payload;
    spec.payload_base64 = i.base64;
    rc = dq_spec_read_end(doc, arena, &spec, &read, &options, err);
    if (rc < 0)
        return rc;
    *ret = (dureq_batch_item){.id = i.id, .payload = read.payload, .is_json = i.base64 == DQ_JSON_NONE};
    return 0;
}
