/* SPDX-License-Identifier: Apache-2.0 */
/* A duty whose call failed is done again with the next heartbeat, whatever that says is due: a job whose pause has a time is in no other's count. */
#include "test_places.h"

#include "leader/leader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void beat(test_world *w, dq_leaders *leaders)
{
    dq_leaders_beat(
        leaders,
        &(dq_leader_beat){.session = w->leader[0].session, .epoch = w->leader[0].epoch, .next_due_ms = -1, .next_late_ms = -1});
    for (int i = 0; i < 8;
         i++) /* after the reply to a command all calls made before it are answered; each may have led to one more */
        (void)test_command(w, "PING", NULL);
}

static test_id add_paused(test_world *w)
{
    test_id id = test_job_add(w, 0, NULL, "mail", "x");
    dureq_str ids[] = {test_id_str(&id)};
    dq_buf call = {0};

    dq_call_job_move(&call, dq_store_keys(w->s.store), 0, DQ_STR_LIT("me"), &(dq_job_move){.verb = DQ_JOB_PAUSE, .at_ms = 0}, ids,
                     1);
    (void)test_store_call(&w->s, 0, &call, NULL);
    (void)test_plant(w, 0, &id, "call('ZADD', K .. 'paused', now - 1, id)"); /* its time is over */
    return id;
}

static void a_call_that_failed_is_made_again_by_the_next_heartbeat(void **state)
{
    static const dq_log none = {0};
    test_world *w = *state;
    dq_leaders_options o = {.lease_ms = 5000, .max_crashes = 3, .log = &none};
    test_id id = add_paused(w);
    dq_leaders *leaders;

    assert_int_equal(dq_leaders_create(w->s.store, &o, &leaders, NULL), 0);
    (void)test_plant(w, 0, NULL, "call('SET', K .. 'due', 'no sorted set')");
    beat(w, leaders);
    assert_int_equal(test_job_state(w, 0, &id), DUREQ_JOB_PAUSED);
    (void)test_plant(w, 0, NULL, "call('DEL', K .. 'due')");
    beat(w, leaders);
    assert_int_equal(test_job_state(w, 0, &id), DUREQ_JOB_PENDING);
    dq_leaders_destroy(leaders);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST_WORLDS(a_call_that_failed_is_made_again_by_the_next_heartbeat)};

    return cmocka_run_group_tests(tests, test_world_group_start, test_world_group_stop);
}
