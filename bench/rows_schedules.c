/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules: what a million of them cost while none is due, how soon ten thousand are dispatched that are due at the same time, how much
   memory one takes. One is made as users make it; the others are copies of what is stored of it. */
#include <dureq/schedule.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rig.h"

#define MANY      1000000
#define DUE       10000
#define RECORDED  2000
#define COPY_STEP 5000
#define PAYLOAD   270 /* with options of a job about 300 bytes of template */
#define LEAD_S    6   /* until those that are due at the same time are: the copies are made meanwhile */
#define WATCH_S   10

static int connect_client(rig *r, dureq_client **ret, dureq_error *err)
{
    dureq_client_options o = dureq_client_options_init();
    char url[320];

    (void)snprintf(url, sizeof url, "unix://%s", test_redis_socket(r->redis));
    o.redis_url = url;
    return dureq_client_create(&o, ret, err);
}

/* One that comes round first in so many seconds from now, and each hour after that. */
static int make_one(rig *r, int64_t in_s, int64_t *ret_at_s, dureq_error *err)
{
    static const char *const tags[] = {"bench"};
    char payload[PAYLOAD];
    dureq_schedule s = dureq_schedule_init();
    dureq_job_options o = dureq_job_options_init();
    dureq_job_spec spec = {.task_type = BENCH_TASK_TYPE, .payload = dureq_str_of(payload, sizeof payload), .options = &o};
    dureq_client *c;
    dureq_job_id id;
    int rc = connect_client(r, &c, err);

    if (rc < 0)
        return rc;
    memset(payload, 'x', sizeof payload);
    o.tags = tags;
    o.n_tags = 1;
    o.timeout_ms = 60000;
    o.retention_ms = -1;
    *ret_at_s = dq_wall_ms() / 1000 + in_s;
    s.type = DUREQ_SCHEDULE_DURATION;
    s.interval_ms = 3600000;
    s.starts_at_ms = *ret_at_s * 1000;
    rc = dureq_client_create_schedule(c, &s, &spec, &id, err);
    dureq_client_destroy(c);
    return rc;
}

/* n copies of the one that is there, and so many records with each. */
static int copy_it(rig *r, int n, int64_t at_s, int records, dureq_error *err)
{
    static const char lua[] =
        "local K='{dureq:0}:' local id=redis.call('HRANDFIELD',K..'sch:d') local d=redis.call('HGET',K..'sch:d',id) "
        "local f='>BBI4I6I6I6I4I4' local s={struct.unpack(f,redis.call('HGET',K..'sch:s',id))} s[6]=tonumber(ARGV[3]) "
        "s=struct.pack(f,unpack(s,1,8)) "
        "for i=tonumber(ARGV[1]),tonumber(ARGV[2]) do local c=struct.pack('>I6I4I3',1000000+i,16,0) "
        "redis.call('HSET',K..'sch:d',c,d) redis.call('HSET',K..'sch:s',c,s) redis.call('ZADD',K..'sch',ARGV[3]*1000,c) "
        "for k=1,ARGV[4] do redis.call('RPUSH',K..'so:'..c,struct.pack('>BI6I5',1,k,k)..c) end end return 1";
    int rc = 0;

    for (int from = 0; rc == 0 && from < n; from += COPY_STEP) {
        char a[24], b[24], at[24], k[24];

        (void)snprintf(a, sizeof a, "%d", from);
        (void)snprintf(b, sizeof b, "%d", DQ_MIN(from + COPY_STEP, n) - 1);
        (void)snprintf(at, sizeof at, "%lld", (long long)at_s);
        (void)snprintf(k, sizeof k, "%d", records);
        char *reply = test_redis_command(r->redis, "EVAL", lua, "0", a, b, at, k, NULL);
        rc = reply[0] == ':' ? 0 : dq_fail(err, DUREQ_EPROTO, "copies cannot be made: %.200s", reply);
        free(reply);
    }
    return rc;
}

static int run_due(bench_out *out, dureq_error *err)
{
    RIG_AUTO r = {.redis = NULL};
    ROLE_AUTO node = {.pid = 0};
    role_words answer = {.n = 0};
    int64_t at_s = 0;
    double last_ms = 0;
    int rc = rig_open(&r, &(rig_options){.append_only = false}, err);

    if (rc == 0)
        rc = rig_start(&r, &node, "node", err, NULL);
    if (rc == 0)
        rc = make_one(&r, LEAD_S, &at_s, err);
    if (rc == 0)
        rc = copy_it(&r, DUE - 1, at_s, 0, err);
    if (rc == 0 && dq_wall_ms() >= at_s * 1000)
        rc = dq_fail(err, DUREQ_ETIMEOUT, "they were due before they were made");
    if (rc == 0)
        rc = role_ask(&node, &answer, err, "wait completed=%d", DUE);
    if (rc < 0)
        return rc;
    char *reply = test_redis_command(
        r.redis, "EVAL",
        "local i=redis.call('XINFO','STREAM','{dureq:0}:l:1') for k=1,#i,2 do if i[k]=='last-generated-id' then "
        "return i[k+1] end end",
        "0", NULL);
    const char *line = strchr(reply, '\n');
    last_ms = line ? strtod(line + 1, NULL) : 0;
    free(reply);
    bench_put(out, "schedules_due", last_ms / 1000 - (double)at_s, "from when they are due to the last dispatch; one shard");
    return 0;
}

static int run_many(bench_out *out, dureq_error *err)
{
    RIG_AUTO r = {.redis = NULL};
    ROLE_AUTO node = {.pid = 0};
    role_words used[2] = {{.n = 0}, {.n = 0}};
    double memory[2] = {0}, cpu[2] = {0};
    int64_t at_s = 0;
    int rc = rig_open(&r, &(rig_options){.append_only = false}, err);

    if (rc == 0)
        rc = rig_start(&r, &node, "node", err, NULL);
    if (rc == 0)
        rc = make_one(&r, 20 * 3600, &at_s, err);
    if (rc == 0)
        rc = rig_memory(&r, &memory[0], err);
    if (rc == 0)
        rc = copy_it(&r, MANY, at_s, 0, err);
    if (rc == 0)
        rc = rig_memory(&r, &memory[1], err);
    for (int i = 0; rc == 0 && i < 2; i++) {
        rc = rig_cpu_us(&r, &cpu[i], err);
        if (rc == 0)
            rc = role_ask(&node, &used[i], err, "usage");
        if (i == 0)
            role_sleep_until_us(dq_mono_us() + WATCH_S * 1000000);
    }
    if (rc < 0)
        return rc;
    bench_put(out, "schedules_idle", (role_get(&used[1], "cpu_us", 0) - role_get(&used[0], "cpu_us", 0)) / WATCH_S / 10000,
              "%d s; Redis beside it %.2f %%", WATCH_S, (cpu[1] - cpu[0]) / WATCH_S / 10000);
    bench_put(out, "schedules_memory", (memory[1] - memory[0]) / MANY, "all of it, a template of about 300 bytes included");
    return 0;
}

static int run_recorded(bench_out *out, dureq_error *err)
{
    RIG_AUTO r = {.redis = NULL};
    double memory[2] = {0};
    int64_t at_s = 0;
    int rc = rig_open(&r, &(rig_options){.append_only = false}, err);

    if (rc == 0)
        rc = make_one(&r, 20 * 3600, &at_s, err);
    if (rc == 0)
        rc = rig_memory(&r, &memory[0], err);
    if (rc == 0)
        rc = copy_it(&r, RECORDED, at_s, 100, err);
    if (rc == 0)
        rc = rig_memory(&r, &memory[1], err);
    if (rc == 0)
        bench_put(out, "schedules_recorded", (memory[1] - memory[0]) / RECORDED, "with the last hundred that it dispatched");
    return rc;
}

#define END                        \
    {                              \
        NULL, NULL, NULL, 0, false \
    }

static const bench_row due_rows[] = {{"schedules_due", "10,000 schedules due in one second, all dispatched", "s", 1, false}, END};
static const bench_row many_rows[] = {
    {"schedules_idle", "leader's CPU with 1,000,000 schedules stored", "% of a core", 1, false},
    {"schedules_memory", "Redis memory of a schedule before its first occurrence", "bytes", 700, false},
    END};
static const bench_row recorded_rows[] = {{"schedules_recorded", "the same with a full record", "bytes", 4096, false}, END};

const bench_group bench_schedule_groups[] = {
    {"schedules_due", due_rows, run_due, false},
    {"schedules_many", many_rows, run_many, true},
    {"schedules_recorded", recorded_rows, run_recorded, false},
    {NULL, NULL, NULL, false},
};
