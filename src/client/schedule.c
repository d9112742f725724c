/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules without a server: preview and explain. */

#include "client/schedule.h"

#include "base/date.h"

int dq_schedule_open(dq_calendar *ret, const dureq_schedule *s, int64_t created_at_ms, dq_zones *zones, dureq_error *err)
{
    DQ_CLEANUP(dq_zones_destroy_p) dq_zones *own = NULL;
    int rc = zones ? 0 : dq_zones_create(NULL, &own, err);

    return rc < 0 ? rc : dq_zones_open_calendar(zones ? zones : own, s, created_at_ms, ret, err);
}

/* What is created to run at once runs then, not after. */
static int64_t after_of(const dq_calendar *c, int64_t from_ms)
{
    int64_t from = dq_floor_div(from_ms, 1000);

    return c->type == DUREQ_SCHEDULE_IMMEDIATE ? from - 1 : from;
}

size_t dq_schedule_list(const dq_calendar *c, int64_t from_ms, size_t room, int64_t *ret)
{
    int64_t after = after_of(c, from_ms);
    size_t n = 0;

    while (n < room && dq_calendar_next(c, after, &after))
        ret[n++] = after;
    return n;
}

int dureq_schedule_preview(const dureq_schedule *schedule, int64_t from_ms, size_t room, int64_t *ret_at_ms, size_t *ret_n,
                           dureq_error *err)
{
    dq_calendar c;
    int rc;

    if (!schedule || !ret_at_ms || !ret_n)
        return dq_fail(err, DUREQ_EINVAL, "schedule, ret_at_ms or ret_n is NULL");
    if (room < 1 || room > DUREQ_PREVIEW_MAX)
        return dq_fail(err, DUREQ_EINVAL, "room takes 1 to %d, not %zu", DUREQ_PREVIEW_MAX, room);
    rc = dq_schedule_open(&c, schedule, from_ms, NULL, err);
    if (rc < 0)
        return rc;
    rc = dq_calendar_check_fires(&c, after_of(&c, from_ms), err);
    if (rc == 0) {
        *ret_n = dq_schedule_list(&c, from_ms, room, ret_at_ms);
        for (size_t i = 0; i < *ret_n; i++)
            ret_at_ms[i] *= 1000;
    }
    dq_calendar_deinit(&c);
    return rc;
}

int dureq_schedule_explain(const dureq_schedule *schedule, int64_t from_ms, char *ret_text, size_t room, dureq_error *err)
{
    DQ_BUF_AUTO text = {0};
    dq_calendar c;
    int rc;

    if (!schedule || (!ret_text && room))
        return dq_fail(err, DUREQ_EINVAL, "schedule or ret_text is NULL");
    rc = dq_schedule_open(&c, schedule, from_ms, NULL, err);
    if (rc < 0)
        return rc;
    rc = dq_calendar_check_fires(&c, after_of(&c, from_ms), err);
    if (rc == 0) {
        dq_calendar_explain(&c, dq_floor_div(from_ms, 1000), &text);
        rc = dq_buf_finish(&text, err);
    }
    dq_calendar_deinit(&c);
    if (rc < 0)
        return rc;
    if (room) {
        size_t n = DQ_MIN(text.len, room - 1);

        memcpy(ret_text, text.ptr, n);
        ret_text[n] = '\0';
    }
    return (int)text.len;
}
