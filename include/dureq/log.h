/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUREQ_LOG_H
#define DUREQ_LOG_H

/* Where a client's or node's log goes: log_fn of its options, NULL for nowhere. Records above log_level are not made.

   Example:

       static void log_to_stderr(const dureq_log_record *record, void *userdata)
       {
           (void)userdata;
           fprintf(stderr, "%s%s %s\n", record->level <= DUREQ_LOG_WARN ? "! " : "", record->event, record->text);
       }
*/

#include <dureq/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum dureq_log_level { DUREQ_LOG_ERROR = 1, DUREQ_LOG_WARN = 2, DUREQ_LOG_INFO = 3, DUREQ_LOG_DEBUG = 4 } dureq_log_level;

/* One record. `event` is a stable id such as "session.lost"; `text` is "key=value ..." without a newline, at most 1023 bytes;
   `file` and `line` are where in the library. All valid until the callback returns. */
typedef struct dureq_log_record {
    dureq_log_level level;
    const char *event;
    const char *text;
    const char *file;
    int line;
} dureq_log_record;

/* Called on loop, pool or caller threads, several at once; must not block and must not call back into dureq. Not called any
   more when the client's or node's destroy has returned. */
typedef void (*dureq_log_fn)(const dureq_log_record *record, void *userdata);

#ifdef __cplusplus
}
#endif
#endif
