/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the two files of `enqueue` share, and `schedule` with them. */

#include "ctl.h"

typedef struct ctl_enqueue_options {
    dureq_job_options job;
    dureq_retry_policy retry;
    dureq_header headers[DUREQ_HEADERS_MAX];
    const char *tags[DUREQ_TAGS_MAX];
    const char *type;
    bool wait, text;
    const char *lines, *ndjson, *wait_timeout; /* a file or "-"; at most one of lines and ndjson */
} ctl_enqueue_options;

/* ctl_own_words of what was said of a job whose options are those of the command. */
void ctl_enqueue_words(const char *msg, dq_buf *out);
/* One job a line of o->lines or o->ndjson. Returns the exit code. */
int ctl_enqueue_file(ctl *c, ctl_enqueue_options *o);

/* Options of a job as they were given. */
typedef struct ctl_raw_job {
    const char *queue, *priority, *delay, *at, *unique_key, *unique_for, *request_id, *timeout, *s2s, *heartbeat, *retention,
        *dlq_after, *max_attempts, *initial_delay, *max_delay, *content_type;
} ctl_raw_job;
#define CTL_JOB_OPTIONS 15
/* Writes so many to out, and empties o; when they are read, ctl_read_job. */
size_t ctl_job_option_list(ctl_enqueue_options *o, ctl_raw_job *raw, ctl_option *out);
int ctl_read_job(ctl_enqueue_options *o, const ctl_raw_job *raw);
/* payload: "-" reads standard input, into `input`; NULL is null. Sets the content type when none was given. */
int ctl_read_payload(ctl_enqueue_options *o, const char *payload, dq_buf *input, dureq_str *ret);
void ctl_put_spec(dq_json_writer *w, const dureq_job_spec *spec); /* remote.c: as members of an object */
void ctl_enqueue_options_deinit(ctl_enqueue_options *o);
