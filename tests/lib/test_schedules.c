/* SPDX-License-Identifier: Apache-2.0 */
#include "test_schedules.h"

#include "model/id.h"

#include <string.h>

int test_board_run(dureq_run *run, void *userdata)
{
    test_board *b = userdata;
    int i = atomic_fetch_add(&b->n, 1);
    dureq_job_id schedule = {0};

    if (i >= TEST_SEEN_MAX)
        return 0;
    (void)dureq_run_schedule(run, &schedule, &b->items[i].at_ms);
    memcpy(b->items[i].schedule, schedule.text, DUREQ_JOB_ID_LEN + 1);
    (void)snprintf(b->items[i].job, sizeof b->items[i].job, "%s", dureq_run_job_id(run));
    atomic_store(&b->items[i].done, true);
    return 0;
}

int test_board_count(const test_board *b, const char *schedule, int64_t at_ms)
{
    int n = atomic_load(&b->n), found = 0;

    for (int i = 0; i < n && i < TEST_SEEN_MAX; i++)
        found += atomic_load(&b->items[i].done) && (!schedule || strcmp(b->items[i].schedule, schedule) == 0) &&
                 (!at_ms || b->items[i].at_ms == at_ms);
    return found;
}

dureq_schedule test_every(int64_t interval_ms)
{
    dureq_schedule s = dureq_schedule_init();

    s.type = DUREQ_SCHEDULE_DURATION;
    s.interval_ms = interval_ms;
    return s;
}

dureq_job_id test_schedule(const dureq_schedule *s, const char *type, const dureq_job_options *o)
{
    dureq_job_spec spec = {.task_type = type, .payload = dureq_str_from("1"), .options = o};
    dureq_job_id id = {0};

    RIG_OK(dureq_client_create_schedule(rig.client, s, &spec, &id, &err));
    return id;
}

const dureq_schedule_info *test_schedule_get(const char *id)
{
    static dureq_schedule_list *kept[16];
    static int at;

    dureq_schedule_list_destroy(kept[at]);
    kept[at] = NULL;
    RIG_OK(dureq_client_get_schedule(rig.client, id, &kept[at], &err));
    const dureq_schedule_info *info = &kept[at]->items[0];
    at = (at + 1) % 16;
    return info;
}

void test_schedule_wind_back(const char *id, int64_t seconds)
{
    static const char lua[] = "local id = string.gsub(ARGV[2], '..', function(h) return string.char(tonumber(h, 16)) end) "
                              "local f = '>BBI4I6I6I6I4I4' "
                              "local v = { struct.unpack(f, redis.call('HGET', ARGV[1] .. 'sch:s', id)) } "
                              "local back = tonumber(ARGV[3]) "
                              "v[4], v[5], v[6] = v[4] - back * 1000, v[5] - back, 0 "
                              "redis.call('HSET', ARGV[1] .. 'sch:s', id, struct.pack(f, unpack(v, 1, 8))) "
                              "return redis.call('ZADD', ARGV[1] .. 'sch', 0, id)";
    char base[80], hex[2 * DQ_ID_BYTES + 1], back[24];
    unsigned char packed[DQ_ID_BYTES];
    dq_id parsed;

    EXPECT_RC(0, dq_id_parse(dureq_str_from(id), &parsed));
    dq_id_pack(&parsed, packed);
    for (int i = 0; i < DQ_ID_BYTES; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", packed[i]);
    (void)snprintf(base, sizeof base, "{%s:%u}:", rig.prefix, (unsigned)parsed.shard);
    (void)snprintf(back, sizeof back, "%lld", (long long)seconds);
    char *reply = test_redis_command(rig.server, "EVAL", lua, "0", base, hex, back, NULL);
    EXPECT_TRUE(reply[0] == ':');
    free(reply);
}

int test_schedule_records(const char *id, const char *what, const char *reason)
{
    const dureq_schedule_info *info = test_schedule_get(id);
    int n = 0;

    for (size_t i = 0; i < info->n_records; i++)
        n += strcmp(info->records[i].what, what) == 0 && (!reason || strcmp(info->records[i].reason, reason) == 0);
    return n;
}
