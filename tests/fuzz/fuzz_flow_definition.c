/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <stdlib.h>

#include "flow/flow.h"

/* A workflow definition from outside: either it is whole and in order, or every fault has a place within the text. */

static void expect_in_order(const dq_flow *flow)
{
    uint32_t *place = calloc(flow->n_tasks, sizeof *place);

    assert(place);
    for (uint32_t i = 0; i < flow->n_tasks; i++)
        place[flow->order[i]] = i;
    for (uint32_t i = 0; i < flow->n_tasks; i++)
        for (uint32_t e = 0; e < flow->tasks[i].n_deps; e++)
            assert(place[flow->deps[flow->tasks[i].deps_at + e]] < place[i]);
    free(place);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dureq_str text = dureq_str_of((const char *)data, size);
    dq_flow_faults faults = {0};
    dq_flow flow = {0};
    dq_json doc = {0};

    if (dq_json_parse(text, &doc, NULL) < 0)
        return 0;
    if (dq_flow_from_json(&doc, 0, 1000, &flow, &faults) == 0) {
        assert(faults.n == 0 && flow.n_tasks > 0);
        expect_in_order(&flow);
    } else {
        assert(faults.n > 0);
    }
    for (size_t i = 0; i < faults.n; i++)
        assert(faults.items[i].at < size && faults.items[i].line >= 1 && faults.items[i].column >= 1 && faults.items[i].text[0]);
    dq_flow_deinit(&flow);
    dq_flow_faults_deinit(&faults);
    dq_json_deinit(&doc);
    return 0;
}
