/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUREQ_LOG_H
#define DUREQ_LOG_H

#include <dureq/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum dureq_log_level {
    DUREQ_LOG_ERROR = 1,
    DUREQ_LOG_WARN = 2,
    DUREQ_LOG_INFO = 3,
    DUREQ_LOG_DEBUG = 4
} dureq_log_level;

/* One record. `event` is a stable id such as "session.lost"; `text` is "key=value ..." without a
   newline. Both valid until the callback returns. */
typedef struct dureq_log_record {
    dureq_log_level level;
    const char *event;
    const char *text;
    const char *file;
    int line;
} dureq_log_record;

/* Receives every record of a client or node. Called on loop, pool or caller threads, possibly
   several at once; must not block for long and must not call back into dureq. */
typedef void (*dureq_log_fn)(const dureq_log_record *record, void *userdata);

#ifdef __cplusplus
}
#endif
#endif
