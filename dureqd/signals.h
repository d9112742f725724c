/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* SIGTERM, SIGINT and SIGHUP from the first moment to the last. */

#include "base/base.h"

/* First thing in main: SIGTERM and SIGINT end the program as they would by themselves, as process 1 of a container, too, until
   dq_signals_take; SIGHUP waits for it. */
void dq_signals_first(void);
/* From here on nothing interrupts: the three are read from *ret_fd, which does not block and is the caller's. Before any thread, so
   that all inherit the mask. DUREQ_EIO. */
int dq_signals_take(int *ret_fd, dureq_error *err);
/* Whether a SIGTERM or SIGINT came that nobody has read. */
bool dq_signals_stop_waits(void);
/* Until `fd` can be read or is at its end: 1; 0 when that took too long; -1 when there is a SIGTERM or SIGINT to read, which
   stays. */
int dq_signals_poll(int fd, int timeout_ms);
