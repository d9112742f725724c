/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a long run found, written into a document: what is between two marks there is rewritten, all else stays. A file that cannot be read or
   written, or has no marks, ends the program with a message. */

#include "base/buf.h"
#include "redis_server.h"

/* Appends which command it was, of which commit, the day and the machine: "`make soak`, 3a2e8d1, 2026-11-25, 2 cores, Linux 6.1.2, Redis 7.0.15".
   The commit is "unknown" outside of a clone, and ends with "-dirty" when anything but documents differs, since reports are documents. */
void test_report_head(dq_buf *out, const char *command, test_redis *server);
/* Marks are lines of their own; `said` ends with a line break. */
void test_report_write(const char *path, const char *begin, const char *end, const char *said);
