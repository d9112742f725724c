/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Definitions of batches and their items, read from JSON (docs/batches.md lists the names, which are those of the Go version of dureq). Pure. */

#include <dureq/batch.h>

#include "base/arena.h"
#include "json/json.h"

#define DQ_BATCH_ID_MAX         128 /* bytes of an item's id */
#define DQ_BATCH_WINDOW_DEFAULT 100
#define DQ_BATCH_WINDOW_MAX     100000

/* All texts are views into the document, or lie in the arena. */
typedef struct dq_batch {
    dq_arena arena;
    const char *name;
    const char *item_type, *once_type; /* once_type NULL: no one-time task */
    dq_json_ref items, once_payload;   /* DQ_JSON_NONE: none */
    dureq_job_options options;         /* unique_key, request_id, tags, retention_ms */
    dureq_job_options item_options;
    int64_t execution_timeout_ms; /* 0: none */
    int32_t window;               /* how many of its items are in flight at most */
    int32_t max_attempts;         /* of the whole */
    int32_t default_priority;     /* 0: that of jobs */
    bool fails_fast, is_open;
} dq_batch;

/* 0: *ret is the caller's to deinit; DUREQ_EINVAL: err names the field; DUREQ_EUNSUPPORTED, DUREQ_ENOMEM. `doc` must outlive it. */
int dq_batch_from_json(const dq_json *doc, dq_json_ref v, dq_batch *ret, dureq_error *err);
void dq_batch_deinit(dq_batch *batch);

/* DUREQ_EINVAL, DUREQ_ENOMEM. */
int dq_batch_item_from_json(const dq_json *doc, dq_json_ref v, dq_arena *arena, dureq_batch_item *ret, dureq_error *err);
/* Of an item that comes another way. DUREQ_EINVAL. */
int dq_batch_item_check(dureq_str id, dureq_error *err);
