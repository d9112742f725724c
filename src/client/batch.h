/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <dureq/batch.h>

#include "flow/batch.h"
#include "model/id.h"

/* As dureq_client_start_batch (seals) or dureq_client_open_batch, of a definition that was parsed. */
int dq_client_start_batch(dureq_client *c, const dq_json *doc, dq_json_ref v, bool seals, dureq_job_id *ret, dureq_error *err);
/* Says that there is no batch rather than no job. */
int dq_batch_parse_id(dureq_client *c, const char *text, dq_id *ret, unsigned char packed[DQ_ID_BYTES], dureq_error *err);
