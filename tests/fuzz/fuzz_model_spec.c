/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "model/job_json.h"

/* A job spec from outside: whatever is wrong with it has a message. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dureq_str text = dureq_str_of((const char *)data, size);
    dq_arena arena = {0};
    dureq_job_spec spec;
    dureq_job_options options;
    dureq_error err = {0};
    dq_json doc = {0};
    int rc;

    if (dq_json_parse(text, &doc, &err) < 0)
        return 0;
    rc = dq_job_spec_from_json(&doc, 0, &arena, &spec, &options, &err);
    assert(rc == 0 || (err.code == rc && err.msg[0]));
    dq_arena_deinit(&arena);
    dq_json_deinit(&doc);
    return 0;
}
