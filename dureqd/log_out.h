/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Log records as lines on standard error: text for people, or one JSON object each. */

#include "base/buf.h"
#include "base/log.h"
#include "config.h"

typedef struct dq_log_out {
    int fd;
    dq_log_format format;
} dq_log_out;

/* A dureq_log_fn; userdata is a dq_log_out. One write a record, so lines of several threads do not mix. */
void dq_log_out_write(const dureq_log_record *record, void *userdata);

/* The line, newline included. Pure. In JSON "key=value" becomes a member (numbers as numbers, unless zeros lead them), other words
   become "msg". */
void dq_log_out_format(dq_log_format format, const dureq_log_record *record, int64_t at_ms, dq_buf *out);
const char *dq_log_level_text(dureq_log_level level);
