/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the two files of `enqueue` share. */

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
