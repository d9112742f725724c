/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The daemon from its settings to its end. */

#include "config.h"

/* Exit codes, those of dureqctl as far as they fit. */
enum {
    DQ_EXIT_DONE = 0,
    DQ_EXIT_FAILED = 1,
    DQ_EXIT_USAGE = 2,
    DQ_EXIT_SERVER_AWAY = 6,
    DQ_EXIT_NOT_ALLOWED = 7,
};

/* Checks what the settings refer to: programs, users, the embedded server's program. */
int dq_daemon_check(const dq_config *cfg, dureq_error *err);
int dq_daemon_check_handlers(const dq_config *cfg, dureq_error *err);
/* Runs until SIGTERM or SIGINT, which it hears while it starts, too; a second one gives unfinished jobs back at once and shortens
   whatever is waited for. To be called on the first thread, after dq_signals_first and with no other thread running. Returns the
   exit code. */
int dq_daemon_run(const dq_config *cfg);
