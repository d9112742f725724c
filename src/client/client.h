/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What other layers ask of a client and of one job beyond the public header. Any thread. */

#include <dureq/client.h>

#include "model/scope.h"

/* How to name the server to people: no password. Valid as long as the client. */
const char *dq_client_server_name(dureq_client *client);

/* Starts it so long from now, by the server's clock; else as dureq_client_reschedule. */
int dq_client_reschedule_in(dureq_client *client, const char *id, int64_t delay_ms, dureq_error *err);

/* As dureq_client_list_jobs, of what is within the scope only; NULL: of all. The page ends when its payloads and results have reached 4 MiB. */
int dq_client_list_jobs_within(dureq_client *client, const dureq_job_filter *filter, const dq_scope *scope, dureq_job_list **ret,
                               dureq_error *err);
/* Where each of n jobs is: codes[i] is 0 within the scope, DUREQ_EPERM outside of it, DUREQ_ENOTFOUND, or DUREQ_EINVAL for what is no job id. */
int dq_client_look_within(dureq_client *client, const char *const *ids, size_t n, const dq_scope *scope, int *codes,
                          dureq_error *err);

/* From now on callers of this client share what was found by looking at all lanes, where these are many: it may be a second old, or ten times as old as
   it took to find (walk.h). */
void dq_client_share_walks(dureq_client *client);

/* Its loop: a node's, for a client that shares it. */
struct dq_loop *dq_client_loop(dureq_client *client);
