/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/flow.h"

int dq_flow_from_json(const dq_json *doc, dq_json_ref v, size_t max_payload, dq_flow *ret, dq_flow_faults *faults)
{
    dq_flow flow = {0};
    int rc = dq_flow_read(doc, v, max_payload, &flow, faults);

    if (rc == 0)
        rc = dq_flow_link(doc, &flow, faults);
    if (rc == 0)
        rc = dq_flow_faults_finish(faults, doc->text);
    if (rc == 0 && faults->n)
        rc = DUREQ_EINVAL;
    if (rc < 0) {
        dq_flow_deinit(&flow);
        return rc;
    }
    *ret = flow;
    return 0;
}

void dq_flow_deinit(dq_flow *flow)
{
    dq_arena_deinit(&flow->arena);
    *flow = (dq_flow){0};
}
