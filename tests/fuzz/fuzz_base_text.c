/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "base/str.h"

/* Numbers, durations, times and sizes that people write. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dureq_str text = dureq_str_of((const char *)data, size);
    int64_t i;
    double d;

    if (dq_parse_i64(text, -1000, 1000, &i) == 0)
        assert(i >= -1000 && i <= 1000);
    (void)dq_parse_f64(text, &d);
    (void)dq_parse_duration_ms(text, &i);
    (void)dq_parse_rfc3339_ms(text, &i);
    (void)dq_parse_bytes(text, &i);
    return 0;
}
