/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A server between programs and Redis that breaks connections where it is told to: a thread of its own, on a Unix socket. Settings change at any
   time and hold for all connections; a cut that was ordered is for one connection, whichever comes that far first. */

#include <stdbool.h>
#include <stdint.h>

typedef struct fault_proxy fault_proxy;

typedef enum fault_way { FAULT_TO_SERVER, FAULT_TO_CLIENT } fault_way;

/* What becomes of who connects. */
typedef enum fault_refusal {
    FAULT_TAKE,
    FAULT_HANG_UP,    /* taken, and closed at once */
    FAULT_NO_LISTENER /* ECONNREFUSED */
} fault_refusal;

typedef struct fault_proxy_stats {
    long connections, cuts, bytes[2];
} fault_proxy_stats;

fault_proxy *fault_proxy_start(const char *server_socket, const char *own_socket);
void fault_proxy_stop(fault_proxy *p);
const char *fault_proxy_url(const fault_proxy *p);
/* Closes, both ways, the connection that passes the n-th byte from now in this direction: what is before it arrives, what is behind does not. The
   server has what reached it. */
void fault_proxy_cut_at(fault_proxy *p, fault_way way, long n);
bool fault_proxy_has_cut(fault_proxy *p);         /* the ordered cut was made */
void fault_proxy_cut_all(fault_proxy *p);         /* now */
void fault_proxy_hold(fault_proxy *p, bool hold); /* connections stay open and nothing goes through: half-open */
void fault_proxy_refuse(fault_proxy *p, fault_refusal how);
bool fault_proxy_is_refused(const fault_proxy *p); /* whether who connects now gets ECONNREFUSED */
void fault_proxy_delay(fault_proxy *p, int ms);    /* of what comes from the server */
fault_proxy_stats fault_proxy_get_stats(fault_proxy *p);
