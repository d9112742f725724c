/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Telling a service manager how we are (the protocol of sd_notify): a datagram to the socket in $NOTIFY_SOCKET. Without one
   nothing is done. */

#include <dureq/types.h>

/* "READY=1", "STOPPING=1", "WATCHDOG=1", several with newlines between. Failures are ignored: the manager finds out by itself. */
void dq_notify(const char *state);
/* How often WATCHDOG=1 is to be said, half of what the manager allows; 0: not at all. */
int64_t dq_notify_watchdog_every_us(void);
