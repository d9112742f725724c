/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "calendar/calendar.h"

/* A cron expression from anywhere. What is refused says in which column; what is taken has times that only grow, that do not depend on from
   where one looks, and that are found backwards as well. */

#define FROM INT64_C(1767225600) /* 2026-01-01 */

/* New York by its rule alone. */
static dq_zone *new_york(void)
{
    static const char bytes[] = "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\4"
                                "\0\0\0\0\0\0EST"
                                "\0"
                                "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\4"
                                "\0\0\0\0\0\0EST"
                                "\0"
                                "\nEST5EDT,M3.2.0,M11.1.0\n";
    static dq_zone *zone;

    if (!zone) {
        int rc = dq_zone_parse(DQ_STR_LIT("America/New_York"), dureq_str_of(bytes, sizeof bytes - 1), &zone, NULL);

        assert(rc == 0);
    }
    return zone;
}

static void check_times(const dq_calendar *c)
{
    int64_t at = FROM, before, found;

    for (int i = 0; i < 20; i++) {
        before = at;
        if (!dq_calendar_next(c, before, &at))
            break;
        assert(at > before);
        assert(dq_calendar_next(c, at - 1, &found) && found == at);
        assert(dq_calendar_next(c, before + (at - before) / 2, &found) && found == at);
        assert(dq_calendar_due_ms(c, DQ_STR_LIT("id"), at) / 1000 >= at);
    }
    before = at;
    if (dq_calendar_newest(c, before - 1, &at)) {
        assert(at < before);
        assert(dq_calendar_next(c, at - 1, &found) && found == at);
        assert(!dq_calendar_next(c, at, &found) || found >= before);
    }
}

static void check_sentence(const dq_calendar *c)
{
    DQ_BUF_AUTO text = {0};

    dq_calendar_explain(c, FROM, &text);
    assert(text.len > 1 && text.ptr[text.len - 1] == '.');
    assert(!memchr(text.ptr, '\n', text.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dureq_schedule s = dureq_schedule_init();
    dureq_error err = {0};
    dq_calendar c;
    char *text;
    int rc;

    if (size == 0 || memchr(data, 0, size))
        return 0;
    text = dq_memdup(data + 1, size - 1);
    assert(text);
    s.type = DUREQ_SCHEDULE_CRON;
    s.cron_expr = text;
    s.gap = data[0] & 1 ? DUREQ_GAP_SKIP : DUREQ_GAP_AFTER;
    s.overlap_hour = data[0] & 2 ? DUREQ_OVERLAP_HOUR_BOTH : DUREQ_OVERLAP_HOUR_FIRST;
    s.jitter_ms = data[0] & 4 ? 3600000 : 0;
    rc = dq_calendar_compile(&c, &s, FROM * 1000, &err);
    if (rc < 0) {
        assert(rc == DUREQ_EINVAL && strncmp(err.msg, "cron_expr", 9) == 0);
    } else {
        dq_calendar_use_zone(&c, new_york());
        rc = dq_calendar_check_fires(&c, FROM, &err);
        assert(rc == 0 || (rc == DUREQ_EINVAL && err.msg[0]));
        if (rc == 0)
            check_times(&c);
        check_sentence(&c);
        dq_calendar_deinit(&c);
    }
    dq_free(text);
    return 0;
}
