/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a C program says of a job, as the fields of a job spec in JSON: how builders write definitions. Into an object that is begun. Pure. */

#include <dureq/job.h>

#include "json/json.h"

void dq_job_spec_fields_to_json(const dureq_job_spec *spec, dq_json_writer *w); /* task_type, payload, and its options */
/* But priority, which is another thing in a task of a workflow. NULL: none. */
void dq_job_options_fields_to_json(const dureq_job_options *options, dq_json_writer *w);
/* JSON as it is; else as base64 under "<name>_base64". Nothing when it is empty. */
void dq_payload_field_to_json(const char *name, dureq_str payload, const char *content_type, dq_json_writer *w);
void dq_duration_field_to_json(const char *name, int64_t ms,
                               dq_json_writer *w); /* 0: nothing; what is negative is written so, to be refused */
void dq_texts_field_to_json(const char *name, const char *const *texts, size_t n, dq_json_writer *w); /* 0: nothing */
