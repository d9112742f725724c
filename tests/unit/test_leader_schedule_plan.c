/* SPDX-License-Identifier: Apache-2.0 */
/* What a leader makes of a schedule that is due and of a change that waits for it. */
#include "leader/schedule_plan.h"

#include "base/buf.h"
#include "model/schedule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define MADE 1000 /* s */

typedef struct scene {
    dq_buf calendar, calendar_new;
    dq_due_schedule due;
    dq_plan plan;
} scene;

/* Made at MADE, all up to there is settled: it comes round every so many seconds; a change of other times came at edited_s. */
static void plan_it(scene *s, int64_t every_s, int64_t edited_s, int64_t now_s, size_t room)
{
    dureq_schedule one = dureq_schedule_init();
    dureq_error err = {0};
    dq_zones *zones;

    one.type = DUREQ_SCHEDULE_DURATION;
    one.interval_ms = every_s * 1000;
    dq_calendar_pack(&s->calendar, &one);
    one.interval_ms = 7000;
    dq_calendar_pack(&s->calendar_new, &one);
    s->due = (dq_due_schedule){.id = DQ_STR_LIT("0123456789abc"),
                               .calendar = dq_buf_str(&s->calendar),
                               .state = {.version = 1, .created_ms = MADE * 1000, .cursor = MADE},
                               .is_edited = true,
                               .edit = {.at_ms = edited_s * 1000, .number = 2, .rest = dq_buf_str(&s->calendar_new)}};
    assert_int_equal(dq_zones_create(NULL, &zones, &err), 0);
    assert_int_equal(dq_schedule_plan(&s->plan, &s->due, zones, now_s * 1000, room, &err), 0);
    dq_zones_destroy(zones);
}

static void every(dq_buf *out, int64_t seconds)
{
    dureq_schedule s = dureq_schedule_init();

    s.type = DUREQ_SCHEDULE_DURATION;
    s.interval_ms = seconds * 1000;
    dq_calendar_pack(out, &s);
}

/* Of a zone that this machine does not have. */
static void daily_nowhere(dq_buf *out)
{
    static const dureq_at_time midnight = {0, 0, 0};
    dureq_schedule s = dureq_schedule_init();

    s.type = DUREQ_SCHEDULE_DAILY;
    s.at_times = &midnight;
    s.n_at_times = 1;
    s.timezone = "Nowhere/Land";
    dq_calendar_pack(out, &s);
}

/* One that was changed at MADE + 25 from what is in `calendar` to what is in `calendar_new`, and is looked at ten seconds later. */
static int plan_changed(scene *s, int64_t next, unsigned flags, dureq_error *err)
{
    dq_zones *zones;
    int rc;

    s->due = (dq_due_schedule){.id = DQ_STR_LIT("0123456789abc"),
                               .calendar = dq_buf_str(&s->calendar),
                               .state = {.flags = flags, .version = 1, .created_ms = MADE * 1000, .cursor = MADE, .next = next},
                               .is_edited = true,
                               .edit = {.at_ms = (MADE + 25) * 1000, .number = 2, .rest = dq_buf_str(&s->calendar_new)}};
    assert_int_equal(dq_zones_create(NULL, &zones, NULL), 0);
    rc = dq_schedule_plan(&s->plan, &s->due, zones, (MADE + 35) * 1000, DQ_FIRE_INSTANTS, err);
    dq_zones_destroy(zones);
    return rc;
}

static void scene_deinit(scene *s)
{
    dq_buf_deinit(&s->calendar);
    dq_buf_deinit(&s->calendar_new);
}

static void a_change_takes_its_place_from_when_it_came(void **state)
{
    scene s = {0};

    (void)state;
    plan_it(&s, /*every_s=*/10, /*edited_s=*/MADE + 25, /*now_s=*/MADE + 35, DQ_FIRE_INSTANTS);
    assert_int_equal(s.plan.firing.n, 2); /* the third is after the change */
    assert_int_equal(s.plan.firing.edit, 2);
    assert_int_equal(s.plan.firing.to.cursor, MADE + 25);
    assert_int_equal(s.plan.firing.to.next, MADE + 28);
    scene_deinit(&s);
}

static void a_change_waits_for_what_came_round_before_it(void **state)
{
    scene s = {0};

    (void)state;
    plan_it(&s, /*every_s=*/1, /*edited_s=*/MADE + 40, /*now_s=*/MADE + 40, /*room=*/5);
    assert_int_equal(s.plan.firing.n, 5);
    assert_int_equal(s.plan.firing.edit, 2); /* known, and not yet */
    assert_int_equal(s.plan.firing.to.cursor, -1);
    scene_deinit(&s);
}

static void a_change_keeps_the_pace_of_what_is_made_up_for(void **state)
{
    scene s = {0};

    (void)state;
    plan_it(&s, /*every_s=*/1, /*edited_s=*/MADE + 200, /*now_s=*/MADE + 200, DQ_FIRE_INSTANTS);
    assert_int_equal(s.plan.firing.n, 10); /* the newest that is late, and nine of the last minute */
    assert_int_equal(s.plan.firing.to.cursor, -1);
    scene_deinit(&s);
}

/* The clock was set back since: what it comes to again, it comes to under the new definition. */
static void a_change_of_a_time_to_come_takes_its_place_now(void **state)
{
    scene s = {0};

    (void)state;
    plan_it(&s, /*every_s=*/100, /*edited_s=*/MADE + 150, /*now_s=*/MADE + 50, DQ_FIRE_INSTANTS);
    assert_int_equal(s.plan.firing.n, 0);
    assert_int_equal(s.plan.firing.to.cursor, MADE + 50);
    assert_int_equal(s.plan.firing.to.next, MADE + 56);
    scene_deinit(&s);
}

static void a_change_takes_the_place_of_one_whose_zone_is_gone(void **state)
{
    scene s = {0};
    dureq_error err = {0};

    (void)state;
    daily_nowhere(&s.calendar);
    every(&s.calendar_new, 7);
    assert_int_equal(plan_changed(&s, /*next=*/MADE + 20, /*flags=*/0, &err), 0);
    assert_int_equal(s.plan.firing.n, 0);
    assert_int_equal(s.plan.firing.missed.n, 1); /* that came round for certain */
    assert_int_equal(s.plan.firing.missed.first, MADE + 20);
    assert_int_equal(s.plan.firing.missed.last, MADE + 25);
    assert_int_equal(s.plan.firing.edit, 2);
    assert_int_equal(s.plan.firing.to.cursor, MADE + 25);
    assert_int_equal(s.plan.firing.to.next, MADE + 28);
    assert_int_equal(plan_changed(&s, /*next=*/MADE + 30, /*flags=*/0, &err), 0);
    assert_int_equal(s.plan.firing.missed.n, -1); /* it was yet to come */
    assert_int_equal(s.plan.firing.to.cursor, MADE + 25);
    scene_deinit(&s);
}

static void a_change_whose_zone_is_gone_waits_and_holds_up_nothing_before_it(void **state)
{
    scene s = {0};
    dureq_error err = {0};

    (void)state;
    every(&s.calendar, 10);
    daily_nowhere(&s.calendar_new);
    assert_int_equal(plan_changed(&s, /*next=*/MADE + 10, /*flags=*/0, &err), DUREQ_EINVAL);
    assert_non_null(strstr(err.msg, "Nowhere/Land"));
    assert_int_equal(s.plan.firing.n, 2);
    assert_int_equal(s.plan.firing.to.cursor, -1);
    assert_int_equal(s.plan.firing.due_ms, (MADE + 35 + 3600) * 1000);
    scene_deinit(&s);
}

static void one_without_any_zone_is_put_off(void **state)
{
    scene s = {0};
    dureq_error err = {0};

    (void)state;
    daily_nowhere(&s.calendar);
    daily_nowhere(&s.calendar_new);
    assert_int_equal(plan_changed(&s, /*next=*/MADE + 10, /*flags=*/0, &err), DUREQ_EINVAL);
    assert_int_equal(s.plan.firing.n, 0);
    assert_int_equal(s.plan.firing.missed.n, -1);
    assert_int_equal(s.plan.firing.next, MADE + 10);
    assert_int_equal(s.plan.firing.to.cursor, -1);
    assert_int_equal(s.plan.firing.due_ms, (MADE + 35 + 3600) * 1000);
    scene_deinit(&s);
}

/* What came round before the pause, and during it, is settled when it is resumed, by the rules for what was missed. */
static void a_change_of_a_paused_one_waits(void **state)
{
    scene s = {0};
    dureq_error err = {0};

    (void)state;
    every(&s.calendar, 10);
    every(&s.calendar_new, 7);
    assert_int_equal(plan_changed(&s, /*next=*/MADE + 10, DQ_SCHEDULE_PAUSED, &err), 0);
    assert_int_equal(s.plan.firing.n, 0);
    assert_int_equal(s.plan.firing.missed.n, -1);
    assert_int_equal(s.plan.firing.to.cursor, -1);
    scene_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_takes_its_place_from_when_it_came),
        cmocka_unit_test(a_change_waits_for_what_came_round_before_it),
        cmocka_unit_test(a_change_keeps_the_pace_of_what_is_made_up_for),
        cmocka_unit_test(a_change_of_a_time_to_come_takes_its_place_now),
        cmocka_unit_test(a_change_takes_the_place_of_one_whose_zone_is_gone),
        cmocka_unit_test(a_change_whose_zone_is_gone_waits_and_holds_up_nothing_before_it),
        cmocka_unit_test(one_without_any_zone_is_put_off),
        cmocka_unit_test(a_change_of_a_paused_one_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
