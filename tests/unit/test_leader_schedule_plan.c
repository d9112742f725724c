/* SPDX-License-Identifier: Apache-2.0 */
/* What a leader makes of a schedule that is due and of a change that waits for it. */
#include "leader/schedule_plan.h"

#include "base/buf.h"
#include "model/schedule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_takes_its_place_from_when_it_came),
        cmocka_unit_test(a_change_waits_for_what_came_round_before_it),
        cmocka_unit_test(a_change_keeps_the_pace_of_what_is_made_up_for),
        cmocka_unit_test(a_change_of_a_time_to_come_takes_its_place_now),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
