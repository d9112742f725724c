/* SPDX-License-Identifier: Apache-2.0 */
/* Outcomes whose message is formatted; the handler's thread. */
#include <dureq/node.h>

#include <stdarg.h>
#include <stdio.h>

#include "model/job.h"

static const dureq_str no_detail = {NULL, 0};

int dureq_run_retry(dureq_run *run, int code, const char *fmt, ...)
{
    char msg[DQ_ERROR_TEXT_MAX + 1];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(msg, sizeof msg, fmt, args);
    va_end(args);
    return dureq_run_retry_detail(run, code, msg, no_detail);
}

int dureq_run_fail(dureq_run *run, int code, const char *fmt, ...)
{
    char msg[DQ_ERROR_TEXT_MAX + 1];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(msg, sizeof msg, fmt, args);
    va_end(args);
    return dureq_run_fail_detail(run, code, msg, no_detail);
}
