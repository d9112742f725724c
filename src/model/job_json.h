/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* JSON forms of docs/api.md: job, job list, queue, node; and the job spec of an enqueue body. Pure. */

#include <dureq/client.h>

#include "json/json.h"
#include "model/job.h"

/* One job object (docs/api.md "Job"), with the names of the Go version of dureq where it has one: id task_type payload |
   payload_base64 content_type schedule{type} retry_policy(ns) status attempt last_error ... attempts[]. */
void dq_job_to_json(const dureq_job *job, dq_json_writer *w);
void dq_queue_info_members_to_json(const dureq_queue_info *q, dq_json_writer *w); /* into an object that is begun */
void dq_node_info_to_json(const dureq_node_info *n, dq_json_writer *w);
void dq_retry_policy_to_json(const dureq_retry_policy *p,
                             dq_json_writer *w); /* durations in nanoseconds, as the Go version has them */
/* Durations of a retry policy: text with a unit, or integer nanoseconds. */
int dq_retry_policy_from_json(const dq_json *doc, dq_json_ref v, dq_arena *a, dureq_retry_policy *ret, dureq_error *err);
/* A job spec (docs/api.md "Job spec"). Unknown names, wrong types: DUREQ_EINVAL naming the field and what it takes; `version`,
   `concurrency_keys`, `schedule`: DUREQ_EUNSUPPORTED by name. Everything allocated in the arena or a view into the document. */
int dq_job_spec_from_json(const dq_json *doc, dq_json_ref v, dq_arena *a, dureq_job_spec *ret, dureq_job_options *ret_options,
                          dureq_error *err);
/* The same one member at a time, for objects that hold a spec's fields beside their own. A member that fails leaves `s` as it was, so that
   a reader can go on and find the next fault. */
typedef struct dq_spec_reading {
    dureq_job_options options;
    const char *task_type;
    dq_json_ref payload, payload_base64; /* DQ_JSON_NONE when absent */
} dq_spec_reading;
dq_spec_reading dq_spec_reading_of(void);
/* `key`: a member of an object. DUREQ_ENOTFOUND: a spec has no such field; err is not touched. */
int dq_spec_read_member(const dq_json *doc, dq_json_ref key, dq_arena *a, dq_spec_reading *s, dureq_error *err);
/* When all members were read: what no field shows by itself. ret_options is what ret->options points to. */
int dq_spec_read_end(const dq_json *doc, dq_arena *a, dq_spec_reading *s, dureq_job_spec *ret, dureq_job_options *ret_options,
                     dureq_error *err);
/* Only its payload, payload_base64 and content_type, from an object that has no other names. */
int dq_payload_from_json(const dq_json *doc, dq_json_ref v, dq_arena *a, dureq_job_spec *ret, dureq_job_options *ret_options,
                         dureq_error *err);
/* Payload or result as its content type wants it shown: under `name` JSON as it is, text as a string, else base64 under
   "<name>_base64". */
void dq_json_put_content(dq_json_writer *w, const char *name, dureq_str bytes, dureq_str content_type);
/* What a content type says of the bytes, parameters aside: application/json and ...+json; text/... */
bool dq_content_is_json(dureq_str content_type);
bool dq_content_is_text(dureq_str content_type);
