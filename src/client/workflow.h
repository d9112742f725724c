/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <dureq/workflow.h>

#include "flow/flow.h"

/* As dureq_client_start_workflow, of a definition that was parsed, with all its faults: DUREQ_EINVAL when there are some (the caller's to deinit). */
int dq_client_start_flow(dureq_client *c, const dq_json *doc, dq_json_ref v, dureq_job_id *ret, dq_flow_faults *faults,
                         dureq_error *err);
