/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

void dq_log_emit(const dq_log *log, dureq_log_level level, const char *event, const char *file, int line, const char *fmt, ...)
{
    char text[1024]; /* longer records are cut: vsnprintf bounds */
    dureq_log_record record = {.level = level, .event = event, .text = text, .file = file, .line = line};
    va_list args;

    if (!log || !log->fn)
        return;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    for (char *p = text; *p; p++)
        if (*p == '\n' || *p == '\r')
            *p = ' ';
    log->fn(&record, log->userdata);
}
