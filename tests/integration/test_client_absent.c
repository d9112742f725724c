/* SPDX-License-Identifier: Apache-2.0 */
/* A prefix that does not exist: who reads finds nothing and makes nothing, who writes first says how many shards it has. */
#include "test_ctl.h"

#include "client/absent.h"

#define ABSENT "absent"

static long long n_keys_of(const char *prefix)
{
    char script[128];

    (void)snprintf(script, sizeof script, "return #redis.call('KEYS', '*%s*')", prefix);
    return test_redis_command_int(rig.server, "EVAL", script, "0", NULL);
}

static void begin(void)
{
    free(test_redis_command(rig.server, "EVAL",
                            "for _, k in ipairs(redis.call('KEYS', '*" ABSENT "*')) do redis.call('DEL', k) end", "0", NULL));
    ctl_reset();
    ctl_env("DUREQ_PREFIX", ABSENT);
}

static dureq_client *reader(void)
{
    dureq_client_options o = dureq_client_options_init();
    dureq_client *c = NULL;

    o.redis_url = test_redis_url(rig.server);
    o.prefix = ABSENT;
    o.no_create = true;
    o.timeout_ms = 3000;
    RIG_OK(dureq_client_create(&o, &c, &err));
    return c;
}

static int64_t pending_of(dureq_client *c)
{
    dureq_counts counts;

    return dureq_client_count(c, &counts, NULL) < 0 ? -1 : counts.pending;
}

SCENARIO(commands_that_read_make_no_prefix)
{
    static const char *const commands[][5] = {
        {"stats"},         {"stats", "--days", "2"}, {"job", "list"}, {"dlq", "list"},
        {"queue", "list"}, {"node", "list"},         {"doctor"},      {"dlq", "purge", "--dry-run"},
    };

    begin();
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        CTL(0, commands[i][0], commands[i][1], commands[i][2], commands[i][3]);
        EXPECT_HAS("nothing here yet", ctl_err());
        EXPECT_I64(0, n_keys_of(ABSENT));
    }
    CTL(0, "stats", "-o", "json");
    EXPECT_TEXT("", ctl_err());
    EXPECT_HAS("\"job_counts\":{", ctl_out());
    CTL(0, "job", "list", "-o", "ndjson");
    EXPECT_TEXT("", ctl_out());
    CTL_FAILS(3, "no job", "job", "get", "00000000000000000001");
    EXPECT_I64(0, n_keys_of(ABSENT));
}

SCENARIO(who_writes_first_says_how_many_shards_there_are)
{
    dureq_client *first;

    begin();
    CTL(0, "stats");
    first = rig_client(ABSENT, 16);
    EXPECT_I64(16, test_redis_command_int(rig.server, "HGET", ABSENT ":meta", "shards", NULL));
    CTL(0, "queue", "list", "-q");
    EXPECT_TRUE(!strstr(ctl_err(), "nothing here"));
    dureq_client_destroy(first);
}

SCENARIO(the_first_command_that_writes_makes_it)
{
    begin();
    CTL(0, "enqueue", "t", "1");
    EXPECT_TRUE(n_keys_of(ABSENT) > 0);
    CTL(0, "stats", "-o", "json");
    EXPECT_HAS("\"pending\":1", ctl_out());
}

SCENARIO(a_client_that_creates_nothing_reads_empty_and_is_refused_what_writes)
{
    dureq_job_spec spec = {"t", dureq_str_from("1"), NULL};
    dureq_queue_options q = dureq_queue_options_init();
    dureq_queue_list *queues = NULL;
    dureq_client *c;
    dureq_job_id id;

    begin();
    c = reader();
    EXPECT_I64(0, pending_of(c));
    RIG_OK(dureq_client_list_queues(c, &queues, &err));
    EXPECT_U64(0, queues->n);
    dureq_queue_list_destroy(queues);
    RIG_FAILS(DUREQ_ENOTFOUND, "nothing is here yet", dureq_client_enqueue(c, &spec, &id, &err));
    RIG_FAILS(DUREQ_ENOTFOUND, "nothing is here yet", dureq_client_set_queue(c, "q", &q, false, NULL, &err));
    EXPECT_I64(0, n_keys_of(ABSENT));
    dureq_client_destroy(c);
}

SCENARIO(a_client_that_creates_nothing_sees_what_others_make)
{
    dureq_job_spec spec = {"t", dureq_str_from("1"), NULL};
    dureq_client *c, *other;
    dureq_job_id id;

    begin();
    c = reader();
    EXPECT_I64(0, pending_of(c));
    other = rig_client(ABSENT, 1);
    RIG_OK(dureq_client_enqueue(other, &spec, &id, &err));
    RIG_UNTIL(pending_of(c) == 1);
    RIG_UNTIL(dureq_client_enqueue(c, &spec, &id, NULL) == 0);
    EXPECT_I64(2, pending_of(other));
    dureq_client_destroy(other);
    dureq_client_destroy(c);
}

SCENARIO(a_client_that_counted_on_other_shards_is_told)
{
    dureq_job_spec spec = {"t", dureq_str_from("1"), NULL};
    dureq_counts counts;
    dureq_error why = {0};
    dureq_client *c;
    dureq_job_id id;

    begin();
    c = reader();
    dureq_client_destroy(rig_client(ABSENT, 4));
    RIG_UNTIL(dureq_client_count(c, &counts, &why) == DUREQ_ESCHEMA);
    EXPECT_HAS("has 4 shards now", why.msg);
    RIG_FAILS(DUREQ_ESCHEMA, "has 4 shards now", dureq_client_enqueue(c, &spec, &id, &err));
    EXPECT_FALSE(dq_client_is_absent(c));
    dureq_client_destroy(c);
}

RIG_MAIN()
