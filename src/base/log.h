/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where log records go. The macro tests the level before it formats. */

#include <stdatomic.h>

#include <dureq/log.h>

#include "base/base.h"

typedef struct dq_log {
    dureq_log_fn fn; /* NULL: silent */
    void *userdata;
    _Atomic int level; /* records above it are dropped; 0 = DUREQ_LOG_INFO. Relaxed: changed while others log */
} dq_log;

void dq_log_emit(const dq_log *log, dureq_log_level level, const char *event, const char *file, int line, const char *fmt, ...)
    DUREQ_PRINTF(6, 7);

static inline bool dq_log_wants(const dq_log *log, dureq_log_level level)
{
    int most = log && log->fn ? atomic_load_explicit(&((dq_log *)log)->level, memory_order_relaxed) : 0;

    return log && log->fn && (int)level <= (most ? most : DUREQ_LOG_INFO);
}

#define DQ_LOG(log, level, event, ...)                                             \
    do {                                                                           \
        if (dq_log_wants((log), (level)))                                          \
            dq_log_emit((log), (level), (event), __FILE__, __LINE__, __VA_ARGS__); \
    } while (0)
