/* SPDX-License-Identifier: Apache-2.0 */
/* A prefix may ask for a later version of the scripts once no live session is too old; who is, is named, and takes nothing and leads no more. */
#include "test_rig.h"

#include "store/versions.h"
#include "test_store.h"

#include <stdlib.h>
#include <string.h>

typedef struct told {
    int calls, code;
    dureq_error err;
} told;

static void on_told(void *userdata, int code, const dureq_error *e)
{
    told *t = userdata;

    t->calls++;
    t->code = code;
    if (e)
        t->err = *e;
}

static int fine(dureq_run *run, void *userdata)
{
    (void)run;
    (void)userdata;
    return 0;
}

/* With a store of its own, as a leader has. */
static told require(int64_t version)
{
    dq_loop *loop = test_loop_create();
    test_store s;
    told t = {0};

    test_store_open(&s, loop, test_redis_url(rig.server), rig.prefix, (unsigned)rig.shards);
    test_store_until_up(&s);
    EXPECT_I64(0, dq_store_require_version(s.store, version, on_told, &t));
    TEST_UNTIL(loop, t.calls > 0);
    EXPECT_I64(1, t.calls);
    test_store_close(&s);
    dq_loop_destroy(loop);
    return t;
}

static char *in_shards(const char *lua)
{
    char *last = NULL;

    for (int i = 0; i < rig.shards; i++) {
        char base[80];

        (void)snprintf(base, sizeof base, "{%s:%d}:", rig.prefix, i);
        free(last);
        last = test_redis_command(rig.server, "EVAL", lua, "0", base, NULL);
    }
    return last;
}

/* As a node of the version before opens it. */
static void forget_versions(void)
{
    free(in_shards("for _, s in ipairs(redis.call('ZRANGE', ARGV[1] .. 'lease', 0, -1)) do "
                   "redis.call('HDEL', ARGV[1] .. 's:' .. s, 'ver') end"));
}

static bool asks_for(const char *version)
{
    char *found = in_shards("return redis.call('HGET', ARGV[1] .. 'sh', 'mv') or 'none'"), key[80];
    char *meta;
    bool is;

    (void)snprintf(key, sizeof key, "%s:meta", rig.prefix);
    meta = test_redis_command(rig.server, "HGET", key, "scripts", NULL);
    is = strstr(found, version) && (strcmp(version, "none") == 0 ? strstr(meta, "\n1\r") : strstr(meta, version)) != NULL;
    free(found);
    free(meta);
    return is;
}

/* Of the last shard's leader, so that another may be elected. */
static bool term_is_over(void)
{
    char *until = in_shards("return redis.call('HGET', ARGV[1] .. 'sh', 'tu')");
    bool is = strstr(until, "\n0\r") != NULL;

    free(until);
    return is;
}

static bool node_is(const char *name, bool too_old, bool leads)
{
    dureq_node_list *list = NULL;
    bool is = false;

    RIG_OK(dureq_client_list_nodes(rig.client, &list, &err));
    for (size_t i = 0; i < list->n; i++)
        is = is || (dq_str_eq_text(list->items[i].node_id, name) && list->items[i].too_old == too_old &&
                    list->items[i].leader == leads);
    dureq_node_list_destroy(list);
    return is;
}

SCENARIO(a_version_that_all_know_is_asked_for_from_then_on)
{
    char latest[16];

    (void)snprintf(latest, sizeof latest, "\n%d\r", DQ_SCRIPTS_VERSION);
    (void)rig_node("n", "t", fine, NULL);
    EXPECT_TRUE(asks_for("none"));
    EXPECT_I64(0, require(DQ_SCRIPTS_VERSION).code);
    EXPECT_TRUE(asks_for(latest));
    EXPECT_I64(0, require(1).code); /* it never goes down */
    EXPECT_TRUE(asks_for(latest));
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(rig_enqueue("t", "1", NULL).text)->state);
    EXPECT_TRUE(node_is("n", false, true));
}

SCENARIO(live_sessions_that_are_too_old_are_named_and_nothing_is_raised)
{
    told t;

    (void)rig_node("elder", "t", fine, NULL);
    forget_versions();
    t = require(DQ_SCRIPTS_VERSION);
    EXPECT_RC(DUREQ_ECONFLICT, t.code);
    EXPECT_TEXT("nodes are too old for this: elder", t.err.msg);
    EXPECT_TRUE(asks_for("none"));
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(rig_enqueue("t", "1", NULL).text)->state);
}

SCENARIO(a_session_too_old_takes_nothing_and_leads_no_more)
{
    dureq_node *old = rig_node("old", "t", fine, NULL);
    dureq_job_id id;

    RIG_UNTIL(node_is("old", false, true));
    free(in_shards("redis.call('HSET', ARGV[1] .. 'sh', 'mv', 9)"));
    RIG_UNTIL(node_is("old", true, true)); /* the row says so at once; its heartbeats follow */
    RIG_UNTIL(term_is_over());
    id = rig_enqueue("t", "1", NULL);
    free(in_shards("redis.call('HDEL', ARGV[1] .. 'sh', 'mv')")); /* so that a newer one may come */
    (void)rig_node("new", "t", fine, NULL);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
    EXPECT_TRUE(dq_str_eq_text(rig_job(id.text)->node_id, "new"));
    EXPECT_I64(0, rig_stats(old).completed);
}

#define ONE_ITEM "{\"name\": \"b\", \"item_task_type\": \"t\", \"items\": [{}]}"
#define ONE_TASK "{\"name\": \"w\", \"tasks\": [{\"name\": \"a\", \"task_type\": \"t\"}]}"

/* As after FLUSHALL, with a client that saw them asked for. */
SCENARIO(a_start_finds_that_the_version_is_not_asked_for_any_more)
{
    char key[80];
    dureq_job_id id;

    RIG_OK(dureq_client_start_workflow(rig.client, DQ_STR_LIT(ONE_TASK), &id, &err));
    EXPECT_FALSE(asks_for("none"));
    free(in_shards("redis.call('HDEL', ARGV[1] .. 'sh', 'mv')"));
    (void)snprintf(key, sizeof key, "%s:meta", rig.prefix);
    free(test_redis_command(rig.server, "HSET", key, "scripts", "1", NULL));
    (void)rig_node("elder", "other", fine, NULL);
    forget_versions();
    RIG_FAILS(DUREQ_ECONFLICT, "elder", dureq_client_start_workflow(rig.client, DQ_STR_LIT(ONE_TASK), &id, &err));
    EXPECT_TRUE(asks_for("none"));
}

SCENARIO(a_client_that_is_too_old_by_now_changes_nothing_and_still_enqueues)
{
    dureq_job_id waits = rig_enqueue("t", "1", NULL), over = rig_enqueue("t", "1", NULL), later, flow, sched, batch;
    dureq_batch_item item = {.payload = DQ_STR_LIT("1"), .is_json = true};
    dureq_schedule s = dureq_schedule_init();
    dureq_job_spec spec = {.task_type = "t", .payload = DQ_STR_LIT("1")};
    int64_t n;

    s.type = DUREQ_SCHEDULE_DURATION;
    s.interval_ms = 3600000;
    RIG_OK(dureq_client_create_schedule(rig.client, &s, &spec, &sched, &err));
    RIG_OK(dureq_client_start_workflow(rig.client, DQ_STR_LIT(ONE_TASK), &flow, &err));
    RIG_OK(dureq_client_open_batch(rig.client, DQ_STR_LIT(ONE_ITEM), &batch, &err));
    RIG_OK(dureq_client_cancel(rig.client, over.text, NULL, &err));
    free(in_shards("redis.call('HSET', ARGV[1] .. 'sh', 'mv', 9)"));
    RIG_FAILS(DUREQ_ESCHEMA, "scripts 9", dureq_client_cancel(rig.client, waits.text, NULL, &err));
    RIG_FAILS(DUREQ_ESCHEMA, "newer dureq", dureq_client_retry(rig.client, over.text, false, &err));
    RIG_FAILS(DUREQ_ESCHEMA, "newer dureq", dureq_client_delete(rig.client, over.text, &err));
    RIG_FAILS(DUREQ_ESCHEMA, "newer dureq", dureq_client_pause(rig.client, waits.text, &err));
    RIG_FAILS(DUREQ_ESCHEMA, "newer dureq", dureq_client_update_payload(rig.client, waits.text, DQ_STR_LIT("2"), NULL, &err));
    RIG_FAILS(DUREQ_ESCHEMA, "newer dureq", dureq_client_purge_queue(rig.client, "normal", &n, &err));
    RIG_FAILS(DUREQ_ESCHEMA, "newer dureq", dureq_client_cancel_workflow(rig.client, flow.text, NULL, &err));
    RIG_FAILS(DUREQ_ESCHEMA, "newer dureq", dureq_client_start_workflow(rig.client, DQ_STR_LIT(ONE_TASK), &later, &err));
    RIG_FAILS(DUREQ_ESCHEMA, "newer dureq", dureq_client_start_batch(rig.client, DQ_STR_LIT(ONE_ITEM), &later, &err));
    RIG_FAILS(DUREQ_ESCHEMA, "newer dureq", dureq_client_add_batch_items(rig.client, batch.text, 1, &item, 1, NULL, &err));
    RIG_FAILS(DUREQ_ESCHEMA, "newer dureq", dureq_client_seal_batch(rig.client, batch.text, &err));
    RIG_FAILS(DUREQ_ESCHEMA, "newer dureq", dureq_client_cancel_batch(rig.client, batch.text, NULL, &err));
    RIG_FAILS(DUREQ_ESCHEMA, "newer dureq", dureq_client_retry_batch(rig.client, batch.text, false, &err));
    RIG_FAILS(DUREQ_ESCHEMA, "newer dureq", dureq_client_pause_schedule(rig.client, sched.text, &err));
    RIG_FAILS(DUREQ_ESCHEMA, "newer dureq", dureq_client_delete_schedule(rig.client, sched.text, &err));
    RIG_FAILS(DUREQ_ESCHEMA, "newer dureq", dureq_client_trigger_schedule(rig.client, sched.text, NULL, &later, &err));
    RIG_FAILS(DUREQ_ESCHEMA, "newer dureq", dureq_client_create_schedule(rig.client, &s, &spec, &later, &err));
    later = rig_enqueue("t", "1", NULL);
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(waits.text));
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(later.text));
    EXPECT_I64(DUREQ_JOB_CANCELLED, rig_state(over.text));
}

RIG_MAIN()
