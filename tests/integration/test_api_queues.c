/* SPDX-License-Identifier: Apache-2.0 */
/* The resources of queues, unique keys, nodes, counts and the server. */
#include "test_api.h"

#include "model/id.h"

#include "json/json.h"

static int nothing(dureq_run *task, void *userdata)
{
    (void)task;
    (void)userdata;
    return 0;
}

/* ---- queues ---- */

SCENARIO(a_queue_is_made_and_read)
{
    EXPECT_I64(
        200, api("PUT", "/api/queues/bulk", NULL,
                 "{\"weight\":2,\"priorities\":[1,2],\"max_len\":9,\"retention\":\"1h\",\"retry_policy\":{\"max_attempts\":7}}"));
    EXPECT_TEXT("bulk", api_text("name"));
    EXPECT_I64(200, api("GET", "/api/queues/bulk", NULL, NULL));
    EXPECT_I64(2, api_i64("weight"));
    EXPECT_I64(9, api_i64("max_len"));
    EXPECT_I64(0, api_i64("pending"));
    EXPECT_HAS("\"priorities\":[1,2]", api_body());
    EXPECT_HAS("\"max_attempts\":7", api_body());
    API_FAILS(404, "not_found", "no queue 'nowhere'", "GET", "/api/queues/nowhere", NULL, NULL);
}

SCENARIO(a_change_leaves_what_it_does_not_name)
{
    EXPECT_I64(
        200, api("PUT", "/api/queues/q", NULL,
                 "{\"weight\":2,\"priorities\":[1,2],\"max_len\":9,\"retention\":\"1h\",\"retry_policy\":{\"max_attempts\":7}}"));
    EXPECT_I64(200, api("PUT", "/api/queues/q", NULL, "{\"weight\":5}"));
    EXPECT_I64(5, api_i64("weight"));
    EXPECT_I64(9, api_i64("max_len"));
    EXPECT_TEXT("1h0m0s", api_text("retention"));
    EXPECT_HAS("\"priorities\":[1,2]", api_body());
    EXPECT_HAS("\"max_attempts\":7", api_body());
    EXPECT_I64(200, api("PUT", "/api/queues/q", NULL,
                        "{\"weight\":null,\"priorities\":null,\"max_len\":null,\"retention\":null,\"retry_policy\":null}"));
    EXPECT_I64(1, api_i64("weight"));
    EXPECT_I64(0, api_i64("max_len"));
    EXPECT_TRUE(!strstr(api_body(), "max_attempts"));
    EXPECT_TRUE(!strstr(api_body(), "priorities"));
    EXPECT_I64(200, api("PUT", "/api/queues/q", NULL, NULL));
}

SCENARIO(the_heaviest_queue_comes_first)
{
    const char *high, *normal, *low;

    EXPECT_I64(200, api("GET", "/api/queues", NULL, NULL));
    high = strstr(api_body(), "\"high\"");
    normal = strstr(api_body(), "\"normal\"");
    low = strstr(api_body(), "\"low\"");
    EXPECT_TRUE(high && normal && low && high < normal && normal < low);
}

SCENARIO(a_queue_is_paused_resumed_and_purged)
{
    static const char *const verbs[] = {"pause", "resume", "purge"};

    (void)rig_enqueue("t", "1", NULL);
    (void)rig_enqueue("t", "2", NULL);
    EXPECT_I64(200, api("POST", "/api/queues/normal/pause", NULL, NULL));
    EXPECT_I64(200, api("GET", "/api/queues/normal", NULL, NULL));
    EXPECT_HAS("\"paused\":true", api_body());
    EXPECT_I64(2, api_i64("pending"));
    EXPECT_I64(200, api("POST", "/api/queues/normal/resume", NULL, NULL));
    EXPECT_I64(200, api("POST", "/api/queues/normal/purge", NULL, NULL));
    EXPECT_I64(2, api_i64("affected"));
    EXPECT_I64(0, rig_counts().pending);
    for (size_t i = 0; i < DQ_ARRAY_LEN(verbs); i++)
        API_FAILS(404, "not_found", "nowhere", "POST", api_path("/api/queues/nowhere/%s", verbs[i]), NULL, NULL);
}

SCENARIO(a_queue_is_deleted_unless_jobs_name_it)
{
    (void)rig_enqueue("mail", "1", NULL);
    (void)rig_enqueue("fax", "2", NULL);
    EXPECT_I64(200, api("POST", "/api/queues/normal/purge", "type=ma*", NULL));
    EXPECT_I64(1, api_i64("affected"));
    API_FAILS(409, "wrong_state", "queue 'normal' is not empty", "DELETE", "/api/queues/normal", NULL, NULL);
    API_FAILS(400, "invalid", "force", "DELETE", "/api/queues/normal", "force=maybe", NULL);
    EXPECT_I64(200, api("DELETE", "/api/queues/normal", "force=1", NULL));
    EXPECT_I64(1, api_i64("affected"));
    API_FAILS(404, "not_found", "normal", "DELETE", "/api/queues/normal", NULL, NULL);
}

/* ---- keys ---- */

SCENARIO(a_unique_key_is_looked_up_and_let_go)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_job_id id;

    o.unique_key = DQ_STR_LIT("k");
    o.unique_for_ms = 3600000;
    id = rig_enqueue("t", "1", &o);
    EXPECT_I64(200, api("GET", "/api/unique-keys/k", NULL, NULL));
    EXPECT_TEXT(id.text, api_text("job_id"));
    EXPECT_TRUE(api_i64("ttl") > 3500 && api_i64("ttl") <= 3600);
    EXPECT_I64(api_i64("ttl"), api_i64("ttl_seconds"));
    EXPECT_I64(200, api("DELETE", "/api/unique-keys/k", NULL, NULL));
    EXPECT_HAS("\"existed\":true", api_body());
    EXPECT_I64(200, api("DELETE", "/api/unique-keys/k", NULL, NULL));
    EXPECT_HAS("\"existed\":false", api_body());
    EXPECT_I64(200, api("GET", "/api/unique-keys/k", NULL, NULL));
    EXPECT_HAS("\"exists\":false", api_body());
}

/* ---- nodes ---- */

SCENARIO(a_node_is_shown_and_drained)
{
    (void)rig_node("node-1", "t", nothing, NULL);
    RIG_UNTIL(api("GET", "/api/nodes/node-1", NULL, NULL) == 200);
    EXPECT_TEXT("node-1", api_text("node_id"));
    EXPECT_I64(200, api("GET", "/api/nodes", NULL, NULL));
    EXPECT_HAS("[{\"node_id\":\"node-1\"", api_body());
    EXPECT_I64(200, api("GET", "/api/nodes/node-1/drain", NULL, NULL));
    EXPECT_HAS("\"draining\":false", api_body());
    EXPECT_I64(200, api("POST", "/api/nodes/node-1/drain", NULL, NULL));
    EXPECT_TEXT("draining", api_text("status"));
    RIG_UNTIL(api("GET", "/api/nodes/node-1/drain", NULL, NULL) == 200 && strstr(api_body(), "\"draining\":true"));
    EXPECT_I64(200, api("DELETE", "/api/nodes/node-1/drain", NULL, NULL));
    EXPECT_TEXT("active", api_text("status"));
    API_FAILS(404, "not_found", "nobody", "GET", "/api/nodes/nobody", NULL, NULL);
    API_FAILS(404, "not_found", "nobody", "GET", "/api/nodes/nobody/drain", NULL, NULL);
    API_FAILS(404, "not_found", "nobody", "POST", "/api/nodes/nobody/drain", NULL, NULL);
}

/* ---- counts and the server ---- */

SCENARIO(counts_and_days_add_up)
{
    dureq_job_id id = rig_enqueue("t", "1", NULL);

    (void)rig_enqueue("t", "1", NULL);
    EXPECT_I64(200, api("POST", api_path("/api/jobs/%s/cancel", id.text), NULL, NULL));
    EXPECT_I64(200, api("GET", "/api/stats", NULL, NULL));
    EXPECT_HAS("{\"job_counts\":{\"pending\":1,\"cancelled\":1},", api_body());
    EXPECT_I64(0, api_i64("active_runs"));
    EXPECT_I64(200, api("GET", "/api/stats/daily", "days=1", NULL));
    EXPECT_HAS("\"enqueued\":2,", api_body());
    EXPECT_HAS("\"cancelled\":1}", api_body());
    EXPECT_I64(200, api("GET", "/api/stats/daily", "days=90", NULL));
}

SCENARIO(the_audit_tells_what_was_done_newest_first)
{
    dureq_job_id id = rig_enqueue("t", "1", NULL);

    EXPECT_I64(200, api("POST", "/api/queues/low/pause", NULL, NULL));
    EXPECT_I64(200, api("POST", api_path("/api/jobs/%s/cancel", id.text), NULL, NULL));
    EXPECT_I64(200, api("GET", "/api/audit", NULL, NULL));
    EXPECT_HAS(id.text, api_body());
    EXPECT_HAS("low", api_body());
    EXPECT_I64(200, api("GET", "/api/audit", "limit=1", NULL));
    EXPECT_I64(200, api("GET", api_path("/api/jobs/%s/audit", id.text), NULL, NULL));
    EXPECT_HAS("cancel", api_body());
}

/* 1,000 of a job's actions are shown; that there are more is an entry of its own. */
SCENARIO(an_audit_that_is_cut_says_so)
{
    dureq_job_id id = rig_enqueue("t", "1", NULL);
    char script[400], key[80], hex[2 * DQ_ID_BYTES + 1];
    unsigned char packed[DQ_ID_BYTES];
    dq_id parsed;

    EXPECT_RC(0, dq_id_parse(dureq_str_from(id.text), &parsed));
    dq_id_pack(&parsed, packed);
    for (int i = 0; i < DQ_ID_BYTES; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", packed[i]);
    (void)snprintf(key, sizeof key, "{%s:%u}:au", rig.prefix, (unsigned)parsed.shard);
    (void)snprintf(
        script, sizeof script,
        "local id = string.gsub(ARGV[1], '..', function(x) return string.char(tonumber(x, 16)) end) "
        "for i = 1, ARGV[2] do redis.call('XADD', KEYS[1], '*', 'at', i, 'actor', 'a', 'action', 'job.pause', 'target', id, "
        "'detail', '') end return 1");
    EXPECT_I64(1, test_redis_command_int(rig.server, "EVAL", script, "1", key, hex, "1000", NULL));
    EXPECT_I64(200, api("GET", api_path("/api/jobs/%s/audit", id.text), NULL, NULL));
    EXPECT_TRUE(!strstr(api_body(), "audit.cut"));
    EXPECT_I64(1, test_redis_command_int(rig.server, "EVAL", script, "1", key, hex, "1", NULL));
    EXPECT_I64(200, api("GET", api_path("/api/jobs/%s/audit", id.text), NULL, NULL));
    EXPECT_HAS("\"action\":\"audit.cut\"", api_body());
}

SCENARIO(the_server_tells_its_health_and_figures)
{
    EXPECT_I64(200, api("GET", "/api/health", NULL, NULL));
    EXPECT_TEXT("ok", api_text("status"));
    EXPECT_I64(200, api("GET", "/api/redis/info", "section=memory", NULL));
    EXPECT_HAS("\"sections\":{\"memory\":{\"used_memory\":\"", api_body());
    EXPECT_I64(200, api("GET", "/api/redis/info", NULL, NULL));
    EXPECT_HAS("\"redis_version\":", api_body());
}

RIG_MAIN()
