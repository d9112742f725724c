/* SPDX-License-Identifier: Apache-2.0 */
/* A server that takes no writes for a while, as one whose disk is full: reads go on, what writes is refused with the server's reason, at once,
   and all goes on when it takes writes again. */
#include "test_ctl.h"

#include "base/clock.h"

#define AT_ONCE_US 1000000

static void take_writes(bool yes)
{
    free(test_redis_command(rig.server, "CONFIG", "SET", "min-replicas-to-write", yes ? "0" : "1", NULL));
}

SCENARIO(reads_go_on_and_writes_are_refused_with_the_reason)
{
    dureq_job_id before = rig_enqueue("t", "1", NULL), id;
    dureq_job_spec spec = {"t", dureq_str_from("2"), NULL};
    dureq_job *job = NULL;
    dureq_error err = {0};
    int64_t began_us;

    take_writes(false);
    for (int i = 0; i < 3; i++) { /* one refusal costs nobody the connection */
        began_us = dq_mono_us();
        EXPECT_RC(DUREQ_ENOWRITE, dureq_client_enqueue(rig.client, &spec, &id, &err));
        EXPECT_HAS("NOREPLICAS", err.msg);
        EXPECT_TRUE(dq_mono_us() - began_us < AT_ONCE_US);
        began_us = dq_mono_us();
        EXPECT_RC(0, dureq_client_get_one(rig.client, before.text, &job, &err));
        EXPECT_TRUE(dq_mono_us() - began_us < AT_ONCE_US);
        dureq_job_destroy(job);
        EXPECT_RC(DUREQ_ENOWRITE, dureq_client_cancel(rig.client, before.text, NULL, &err));
        EXPECT_HAS("NOREPLICAS", err.msg);
    }
    take_writes(true);
    EXPECT_RC(0, dureq_client_enqueue(rig.client, &spec, &id, &err));
    EXPECT_I64(2, rig_counts().pending);
}

SCENARIO(commands_name_the_reason)
{
    dureq_job_id id = rig_enqueue("t", "1", NULL);
    int64_t began_us = dq_mono_us();

    take_writes(false);
    CTL(0, "job", "list", "-o", "ndjson");
    EXPECT_U64(1, ctl_out_lines());
    CTL(0, "job", "get", id.text);
    CTL(0, "queue", "list");
    EXPECT_TRUE(dq_mono_us() - began_us < 3 * AT_ONCE_US);
    began_us = dq_mono_us();
    CTL_FAILS(6, "NOREPLICAS", "enqueue", "t", "2");
    EXPECT_TRUE(dq_mono_us() - began_us < AT_ONCE_US);
    CTL_FAILS(6, "NOREPLICAS", "job", "cancel", id.text);
    take_writes(true);
    CTL(0, "enqueue", "t", "2");
}

static int noop(dureq_run *run, void *userdata)
{
    (void)run;
    (void)userdata;
    return 0;
}

SCENARIO(a_node_goes_on_when_writes_are_taken_again)
{
    dureq_node *n = rig_node("n", "t", noop, NULL);
    dureq_job_id id = rig_enqueue("t", "1", NULL);
    dureq_job_spec spec = {"t", dureq_str_from("2"), NULL};
    int64_t began_ms;

    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
    take_writes(false);
    RIG_FAILS(DUREQ_ENOWRITE, "NOREPLICAS", dureq_client_enqueue(dureq_node_client(n), &spec, &id, &err));
    began_ms = rig_mono_ms();
    RIG_UNTIL(rig_mono_ms() - began_ms > 400); /* time enough for refused heartbeats */
    take_writes(true);
    id = rig_enqueue("t", "3", NULL);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
}

/* ---- at the start ---- */

static void be_replica(bool yes)
{
    free(test_redis_command(rig.server, "REPLICAOF", yes ? "127.0.0.1" : "NO", yes ? "1" : "ONE", NULL));
}

static void take_no_writes(bool as_replica, bool yes)
{
    if (as_replica)
        be_replica(yes);
    else
        take_writes(!yes);
}

static void expect_start_fails(const char *prefix, const char *word)
{
    dureq_node_options o = rig_node_options("n");
    int64_t began_us = dq_mono_us();
    dureq_node *n;

    o.prefix = prefix;
    n = rig_node_create(&o);
    rig_handle(n, "t", noop, NULL, NULL);
    RIG_FAILS(word[0] == 'R' ? DUREQ_EREADONLY : DUREQ_ENOWRITE, word, dureq_node_start(n, &err));
    EXPECT_TRUE(dq_mono_us() - began_us < AT_ONCE_US);
}

static void expect_create_fails(const char *prefix, const char *word)
{
    dureq_client_options o = dureq_client_options_init();
    int64_t began_us = dq_mono_us();
    dureq_client *c;

    o.redis_url = test_redis_url(rig.server);
    o.prefix = prefix;
    RIG_FAILS(word[0] == 'R' ? DUREQ_EREADONLY : DUREQ_ENOWRITE, word, dureq_client_create(&o, &c, &err));
    EXPECT_TRUE(dq_mono_us() - began_us < AT_ONCE_US);
}

SCENARIO(a_start_says_the_servers_reason_within_a_second)
{
    for (int as_replica = 0; as_replica < 2; as_replica++) {
        const char *word = as_replica ? "READONLY" : "NOREPLICAS";

        EXPECT_NOTE("%s", word);
        take_no_writes(as_replica, true);
        expect_start_fails("new", word);
        expect_start_fails(rig.prefix, word);
        expect_create_fails("new", word);
        CTL_FAILS(6, word, "enqueue", "--prefix", "new", "t", "1");
        take_no_writes(as_replica, false);
    }
}

RIG_MAIN()
