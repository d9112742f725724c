/* SPDX-License-Identifier: Apache-2.0 */
/* A schedule that has a key lives where the key is at home: the doctor names one that does not. */
#include "test_jobs.h"

#include "doctor/doctor.h"

#include <dureq/schedule.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const dq_keys *keys_of(test_world *w)
{
    return dq_store_keys(w->s.store);
}

/* By key: "keya", and then a key in its place whose home is another shard, as if it had been put there. */
static void have_a_schedule_elsewhere(test_world *w, dureq_client *client)
{
    dureq_schedule s = dureq_schedule_init();
    dureq_job_spec spec = {.task_type = "t", .payload = DQ_STR_LIT("1")};
    unsigned home = dq_keys_shard_of(keys_of(w), DQ_STR_LIT("keya"));
    char other[] = "keyb", lua[400];
    dureq_job_id id;
    dureq_error err = {0};

    s.type = DUREQ_SCHEDULE_DURATION;
    s.interval_ms = 3600000;
    if (dureq_client_put_schedule(client, DQ_STR_LIT("keya"), &s, &spec, &id, NULL, &err) < 0)
        fail_msg("%s", err.msg);
    while (w->n_shards > 1 && dq_keys_shard_of(keys_of(w), dureq_str_from(other)) == home)
        other[3]++;
    (void)snprintf(lua, sizeof lua,
                   "local id = call('HGET', K .. 'sch:k', 'keya') "
                   "call('HSET', K .. 'sch:d', id, (string.gsub(call('HGET', K .. 'sch:d', id), 'keya', '%s'))) "
                   "call('HDEL', K .. 'sch:k', 'keya') call('HSET', K .. 'sch:k', '%s', id)",
                   other, other);
    (void)test_plant(w, home, NULL, lua);
}

static void a_schedule_lives_where_its_key_is_at_home(void **state)
{
    test_world *w = *state;
    dureq_client_options o = dureq_client_options_init();
    dq_doctor_options how = {.settle_ms = 1};
    dq_doctor_report report;
    dureq_client *client;
    dureq_error err = {0};

    o.redis_url = test_redis_url(w->server);
    assert_int_equal(dureq_client_create(&o, &client, &err), 0);
    have_a_schedule_elsewhere(w, client);
    w->is_damaged = w->n_shards > 1;
    assert_int_equal(dq_doctor_run(client, &how, &report, &err), 0);
    assert_int_equal(report.n_found, w->n_shards > 1 ? 1 : 0);
    if (w->n_shards > 1) {
        assert_int_equal(report.faults[0].kind, DQ_FAULT_SCHEDULE_KEY);
        assert_non_null(strstr(report.faults[0].text, "another shard"));
        assert_false(report.faults[0].repairable);
    }
    dq_doctor_report_deinit(&report);
    dureq_client_destroy(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST_WORLDS(a_schedule_lives_where_its_key_is_at_home)};

    return cmocka_run_group_tests(tests, test_world_group_start, test_world_group_stop);
}
