/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How a program said its run ended: exit code, signal, and lines of JSON on descriptor 3. Pure. */

#include <dureq/job.h>

#include "base/buf.h"

/* What the lines said so far. Zeroed is "nothing". */
typedef struct dq_exec_said {
    bool has_outcome;
    dureq_outcome outcome;
    int64_t after_ms;
    dq_buf error;
    dq_buf payload; /* raw JSON; with has_payload */
    bool has_payload;
    int32_t limit;  /* of repeats; 0: none */
    dq_buf fault;   /* why the outcome cannot be taken as it was said */
    bool no_memory; /* a line was lost, perhaps an outcome */
} dq_exec_said;

void dq_exec_said_deinit(dq_exec_said *s);
/* What was said cannot be known for want of memory: to be tried again, unless a later line says more. */
void dq_exec_said_lost(dq_exec_said *s);

/* What one line asks for at once; views into the line or into `log`. Empty: not asked. */
typedef struct dq_exec_line {
    dureq_str progress; /* raw JSON */
    dq_buf log;         /* text, newline added */
    bool heartbeat;
} dq_exec_line;

void dq_exec_line_deinit(dq_exec_line *l);

/* Reads one line (without its newline). An outcome in it replaces the one said before. DUREQ_EPARSE when it is no JSON object,
   DUREQ_ENOMEM. Only on 0 there is a *ret to deinit. */
int dq_exec_line_read(dureq_str line, dq_exec_said *said, dq_exec_line *ret, dureq_error *err);

typedef struct dq_exec_end {
    bool by_signal;
    int status;        /* exit code, or the signal */
    const char *limit; /* the daemon killed it for this ("more than 1024 bytes of output"); NULL: not */
    const dq_exec_said *said;
    dureq_str stderr_tail;
    int64_t cpu_limit_seconds; /* 0: none; for the message of SIGXCPU */
} dq_exec_end;

typedef struct dq_exec_verdict {
    dureq_outcome outcome; /* DONE, RETRY, FAIL, RATE_LIMITED, SKIP, PAUSE, REPEAT */
    int code;              /* exit code, 128 + signal, or 0 */
    int64_t after_ms;
    char msg[512]; /* NUL-ended; empty for DONE */
} dq_exec_verdict;

/* What was said on descriptor 3 wins over an exit code, not over a death by signal. */
void dq_exec_judge(const dq_exec_end *end, dq_exec_verdict *ret);

/* How much of standard output is kept: enough to see that it is too long, even with its last newline. */
#define DQ_EXEC_STDOUT_KEEP (DUREQ_RESULT_MAX + 2)

/* Makes the result of standard output, of which `out` holds the first DQ_EXEC_STDOUT_KEEP bytes. One trailing newline goes;
   beyond DUREQ_RESULT_MAX it is cut, marked, and text. Returns the content type. */
const char *dq_exec_result(dq_buf *out);
