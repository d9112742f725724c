/* SPDX-License-Identifier: Apache-2.0 */
/* A batch of a C program's: its definition is written as JSON, which is read and checked as any is; its items go as they are. */

#include <dureq/build.h>

#include "client/batch.h"
#include "client/client_internal.h"
#include "client/job_fields.h"

static void put_spec(const dureq_batch_spec *spec, dq_json_writer *w)
{
    dq_json_begin_object(w);
    dq_json_set_text(w, "name", spec->name ? spec->name : "");
    dq_json_set_text(w, "item_task_type", spec->item_task_type ? spec->item_task_type : "");
    if (spec->item_options) {
        dq_json_key(w, "item_options");
        dq_json_begin_object(w);
        dq_job_options_fields_to_json(spec->item_options, w);
        if (spec->item_options->priority)
            dq_json_set_i64(w, "priority", spec->item_options->priority);
        dq_json_end_object(w);
    }
    if (spec->chunk_size)
        dq_json_set_i64(w, "chunk_size", spec->chunk_size);
    if (spec->fails_fast)
        dq_json_set_text(w, "failure_policy", "fail_fast");
    if (spec->max_attempts) {
        dq_json_key(w, "retry_policy");
        dq_json_begin_object(w);
        dq_json_set_i64(w, "max_attempts", spec->max_attempts);
        dq_json_end_object(w);
    }
    dq_duration_field_to_json("execution_timeout", spec->execution_timeout_ms, w);
    if (spec->onetime_task_type)
        dq_json_set_text(w, "onetime_task_type", spec->onetime_task_type);
    if (spec->onetime_payload.len)
        dq_json_set_raw(w, "onetime_payload", spec->onetime_payload);
    if (spec->open)
        dq_json_set_bool(w, "open", true);
    dq_texts_field_to_json("tags", spec->tags, spec->n_tags, w);
    if (spec->unique_key.len)
        dq_json_set_str(w, "unique_key", spec->unique_key);
    if (spec->request_id.len)
        dq_json_set_str(w, "request_id", spec->request_id);
    dq_duration_field_to_json("retention", spec->retention_ms, w);
    dq_json_end_object(w);
}

static int start_spec(dureq_client *c, const dureq_batch_spec *given, bool seals, dureq_job_id *ret, dureq_error *err)
{
    dureq_batch_spec spec = dureq_batch_spec_init();
    DQ_BUF_AUTO json = {0};
    dq_json_writer w = dq_json_writer_of(&json);
    dq_json doc;
    int rc;

    if (!c || !given || !ret)
        return dq_fail(err, DUREQ_EINVAL, "client, spec and ret must be given");
    memcpy(&spec, given, DQ_MIN(given->struct_size, sizeof spec)); /* an older program's is shorter */
    if (spec.onetime_payload.len && !dq_json_valid(spec.onetime_payload))
        return dq_fail(err, DUREQ_EINVAL, "field 'onetime_payload' takes JSON");
    put_spec(&spec, &w);
    rc = dq_buf_finish(&json, err);
    if (rc == 0)
        rc = dq_json_parse_frame(dq_buf_str(&json), &doc, err);
    if (rc < 0)
        return rc;
    dq_batch_beginning b = {.doc = &doc, .items = spec.items, .n_items = spec.n_items, .seals = seals};
    rc = dq_client_begin_batch(c, &b, ret, err);
    dq_json_deinit(&doc);
    return rc;
}

int dureq_client_start_batch_spec(dureq_client *c, const dureq_batch_spec *spec, dureq_job_id *ret, dureq_error *err)
{
    return start_spec(c, spec, /*seals=*/true, ret, err);
}

int dureq_client_open_batch_spec(dureq_client *c, const dureq_batch_spec *spec, dureq_job_id *ret, dureq_error *err)
{
    return start_spec(c, spec, /*seals=*/false, ret, err);
}
