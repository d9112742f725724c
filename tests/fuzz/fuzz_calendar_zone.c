/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "calendar/zone.h"

/* A zone file from anywhere: what is taken for one answers every question, and its answers agree with each other. */

static void check_at(const dq_zone *z, int64_t at)
{
    dq_zone_span s = dq_zone_span_at(z, at);
    int64_t local = at + s.offset;
    dq_zone_instants i = dq_zone_instants_of(z, local);

    assert(s.start <= at && at < s.end);
    assert(s.offset == dq_zone_offset_at(z, at));
    assert(i.n >= 1 && i.first <= at && at <= i.last);
    assert(i.until > local);
    if (s.end != INT64_MAX)
        assert(dq_zone_span_at(z, s.end).start <= s.end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dq_zone *z = NULL;
    dureq_error err = {0};
    int rc = dq_zone_parse(DQ_STR_LIT("Fuzz/Zone"), dureq_str_of((const char *)data, size), &z, &err);

    if (rc < 0) {
        assert(err.code == rc && err.msg[0] && !z);
        return 0;
    }
    for (int64_t at = -2208988800; at < INT64_C(9000000000); at += 123456789)
        check_at(z, at);
    dq_zone_unref(z);
    return 0;
}
