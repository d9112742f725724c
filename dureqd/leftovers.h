/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a daemon that was killed left on this machine: its directory of context files, and processes of its jobs. */

#include "base/buf.h"
#include "base/log.h"

/* Makes the directory `path` this daemon's: as long as *ret_fd is open it lives. `owner` is whose it is, the same for all daemons whose jobs
   are the same; others do not touch it. */
int dq_leftovers_claim(const char *path, const char *owner, int *ret_fd, dureq_error *err);
/* Its control group, for who ends what it left. */
int dq_leftovers_note_group(const char *path, const char *group, dureq_error *err);
/* That of a daemon which lives no more, with what its processes are and its files; `owner` NULL: whosever it is. Else nothing. Waits likewise, and
   before that up to `wait_ms` for a daemon that is dying to be dead. */
void dq_leftovers_end_dir(const char *path, const char *owner, int64_t wait_ms, const dq_log *log);
/* Looks beside `path` for the directories of daemons of the same owner that live no more; ends the processes that name a file of theirs in their
   environment, and removes them. Waits until those have ended, a second at most. */
void dq_leftovers_end(const char *path, const char *owner, const dq_log *log);
