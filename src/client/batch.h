/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <dureq/batch.h>

#include "flow/batch.h"
#include "model/id.h"

typedef struct dq_batch_beginning {
    const dq_json *doc; /* the definition: value v of it */
    dq_json_ref v;
    const dureq_batch_item *items; /* where it has none itself */
    size_t n_items;
    bool seals;
} dq_batch_beginning;
int dq_client_begin_batch(dureq_client *c, const dq_batch_beginning *b, dureq_job_id *ret, dureq_error *err);
/* As dureq_client_start_batch (seals) or dureq_client_open_batch, of a definition that was parsed. */
int dq_client_start_batch(dureq_client *c, const dq_json *doc, dq_json_ref v, bool seals, dureq_job_id *ret, dureq_error *err);
/* Says that there is no batch rather than no job. */
int dq_batch_parse_id(dureq_client *c, const char *text, dq_id *ret, unsigned char packed[DQ_ID_BYTES], dureq_error *err);
