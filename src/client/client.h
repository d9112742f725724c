/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What other layers ask of a client and of one job beyond the public header. Any thread. */

#include <dureq/client.h>

/* How to name the server to people: no password. Valid as long as the client. */
const char *dq_client_server_name(dureq_client *client);

/* Starts it so long from now, by the server's clock; else as dureq_client_reschedule. */
int dq_client_reschedule_in(dureq_client *client, const char *id, int64_t delay_ms, dureq_error *err);

/* Its loop: a node's, for a client that shares it. */
struct dq_loop *dq_client_loop(dureq_client *client);
