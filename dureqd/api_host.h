/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The daemon's API: a client of its own and the server over it. */

#include "base/log.h"
#include "config.h"
#include "node_meter.h"

typedef struct dq_api_host dq_api_host;

/* Blocks until the client is connected. *ret is NULL when nothing is to be listened on, or when the address that nobody chose is taken, which is
   told. `meter` outlives it. */
int dq_api_host_start(const dq_config *cfg, const char *redis_url, dq_node_meter *meter, const dq_log *log, dq_api_host **ret,
                      dureq_error *err);
/* Reads the certificate and its key again; NULL is fine. */
void dq_api_host_reload(dq_api_host *h, const dq_config *cfg);
/* Both block and take NULL. drain: nobody else is let in. */
void dq_api_host_drain(dq_api_host *h);
void dq_api_host_destroy(dq_api_host *h);
