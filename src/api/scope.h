/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a token that is limited to queues or task types may reach. Each route says by which rule (request.h); one that says nothing is refused to
   such a token. */

#include "api/request.h"

bool dq_api_is_limited(const dq_api_ctx *c);
/* DUREQ_EPERM, or why it cannot be told: the job is gone, Redis is away. Asks Redis for a limited token only. */
int dq_api_check_scope(dq_api_ctx *c, const dq_api_route *route, dureq_error *err);

/* For routes of the rule DQ_API_SCOPE_OWN. */
int dq_api_check_job(dq_api_ctx *c, const char *id, dureq_error *err);
int dq_api_check_spec(const dq_api_ctx *c, const dureq_job_spec *spec, dureq_error *err);
/* A page of the jobs that fit and that the caller may see. */
int dq_api_list_jobs(dq_api_ctx *c, const dureq_job_filter *f, dureq_job_list **ret, dureq_error *err);
