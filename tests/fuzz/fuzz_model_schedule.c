/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "calendar/calendar.h"
#include "model/schedule.h"

/* A definition from outside: whatever is wrong with it has a message, and what is taken is the same after a way through JSON and
   can be computed with. */

static void check_again(const dureq_schedule *s)
{
    DQ_BUF_AUTO first = {0};
    DQ_BUF_AUTO second = {0};
    dq_json_writer w = dq_json_writer_of(&first);
    dq_arena arena = {0};
    dureq_schedule again;
    dureq_error err = {0};
    dq_json doc = {0};
    int rc;

    dq_schedule_to_json(s, &w);
    rc = dq_json_parse(dq_buf_str(&first), &doc, &err);
    assert(rc == 0);
    rc = dq_schedule_from_json(&doc, 0, &arena, &again, &err);
    assert(rc == 0);
    w = dq_json_writer_of(&second);
    dq_schedule_to_json(&again, &w);
    assert(dq_str_eq(dq_buf_str(&first), dq_buf_str(&second)));
    dq_arena_deinit(&arena);
    dq_json_deinit(&doc);
}

static void check_times(const dureq_schedule *s)
{
    DQ_BUF_AUTO text = {0};
    dureq_error err = {0};
    dq_zone *utc = NULL;
    dq_calendar c;
    int64_t at = 0, before;
    int rc = dq_calendar_compile(&c, s, INT64_C(1767225600000), &err);

    assert(rc == 0 || err.msg[0]);
    if (rc < 0)
        return;
    rc = dq_zone_create_utc(&utc, &err);
    assert(rc == 0);
    dq_calendar_use_zone(&c, utc);
    for (int i = 0; i < 5; i++) {
        before = at;
        if (!dq_calendar_next(&c, before, &at))
            break;
        assert(at > before);
    }
    dq_calendar_explain(&c, 0, &text);
    dq_calendar_deinit(&c);
    dq_zone_unref(utc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dq_arena arena = {0};
    dureq_schedule s;
    dureq_error err = {0};
    dq_json doc = {0};
    int rc;

    if (dq_json_parse(dureq_str_of((const char *)data, size), &doc, &err) < 0)
        return 0;
    rc = dq_schedule_from_json(&doc, 0, &arena, &s, &err);
    assert(rc == 0 || (err.code == rc && err.msg[0]));
    if (rc == 0) {
        check_again(&s);
        check_times(&s);
    }
    dq_arena_deinit(&arena);
    dq_json_deinit(&doc);
    return 0;
}
