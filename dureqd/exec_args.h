/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a program is given: arguments, environment, context. Pure; everything made lands in the arena or buffer. */

#include <dureq/job.h>

#include "base/arena.h"
#include "base/buf.h"

/* What is known of a run. All views are borrowed. Absent texts are NULL or empty, absent times 0. */
typedef struct dq_exec_facts {
    const char *job_id, *run_id, *task_type, *queue, *node_id, *content_type;
    int32_t priority, attempt, max_attempts;
    int64_t deadline_at_ms, enqueued_at_ms;
    const char *schedule_id; /* of an occurrence, with the time at which it came round */
    const char *workflow_id; /* of a task */
    int64_t scheduled_at_ms;
    const dureq_header *headers;
    size_t n_headers;
    dureq_str traceparent;
    dureq_str payload;
    bool allow_leading_dash; /* of a payload that begins a word */
} dq_exec_facts;

/* Linux takes 128 KiB in one argument, its NUL included. */
#define DQ_EXEC_ARG_MAX (128 * 1024 - 1)

/* The words with every "{payload}" replaced: by the text of a JSON string, else by the payload's bytes. NULL-ended. DUREQ_EINVAL
   for a NUL byte, or a word that the payload begins and that would be taken for an option, DUREQ_ETOOLARGE beyond DQ_EXEC_ARG_MAX. */
int dq_exec_build_argv(dq_arena *arena, const char *const *words, size_t n_words, const dq_exec_facts *facts, char ***ret,
                       dureq_error *err);
/* `base` ("NAME=value", NULL-ended), then the context as DUREQ_<NAME> and DUREQ_HEADER_<NAME>, then DUREQ_CONTEXT=context_path. Of
   two headers that would have the same name the first one is taken; a value with a NUL byte is left out. */
int dq_exec_build_env(dq_arena *arena, const char *const *base, const dq_exec_facts *facts, const char *context_path, char ***ret,
                      dureq_error *err);
/* The same as one JSON object with names in lower case. */
void dq_exec_build_context(const dq_exec_facts *facts, dq_buf *out);
