/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Between queues.c (definitions and what waits) and queue_delete.c. Callers' threads, inside of dq_client_enter. */

#include "client/client_internal.h"
#include "store/queue_calls.h"

/* wanted: JSON, for verbs that bring a definition; taken. */
int dq_client_change_queue(dureq_client *c, dq_queue_verb verb, const char *name, dq_buf *wanted, bool *ret_differs,
                           dureq_error *err);
int dq_client_queue_exists(dureq_client *c, const char *name, dureq_error *err); /* 0, DUREQ_ENOTFOUND, or what went wrong */
/* All definitions; the caller's to deinit on 0. */
int dq_client_read_queues(dureq_client *c, dq_queue_set *ret, dureq_error *err);
/* Its definition, as JSON. */
int dq_client_queue_definition(dureq_client *c, const char *name, dq_buf *out, dureq_error *err);
