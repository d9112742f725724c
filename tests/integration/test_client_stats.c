/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of the past: operators' actions and a job's events. */
#include "test_rig.h"

#include "base/buf.h"
#include "client/audit.h"
#include "client/events.h"
#include "client/stats.h"

enum { MANY = 12, TIME_LEN = 24 };

static dureq_job_id with_key(int i)
{
    dureq_job_options o = dureq_job_options_init();
    char key[16];

    (void)snprintf(key, sizeof key, "key-%d", i); /* decides its shard */
    o.unique_key = dureq_str_from(key);
    return rig_enqueue("t", "{}", &o);
}

static const char *audit_of(const char *target, int limit, dq_buf *out)
{
    dq_audit_query q = {.target = dureq_str_from(target), .limit = limit};
    bool has_more;

    dq_buf_clear(out);
    RIG_OK(dq_client_audit(rig.client, &q, &has_more, out, &err));
    dq_buf_append_char(out, '\0');
    return out->ptr;
}

/* Entries, each no later than the one before. */
static int count_newest_first(const char *json)
{
    const char *before = NULL;
    int n = 0;

    for (const char *at = strstr(json, "\"at\":\""); at; at = strstr(at + 1, "\"at\":\"")) {
        EXPECT_NOTE("entry %d of %s", n, json);
        EXPECT_TRUE(!before || strncmp(before, at, TIME_LEN + 6) >= 0);
        before = at;
        n++;
    }
    return n;
}

SCENARIO(audit_is_newest_first_over_all_shards)
{
    dureq_job_id ids[MANY];
    DQ_BUF_AUTO out = {0};
    const char *json;

    for (int i = 0; i < MANY; i++)
        ids[i] = with_key(i);
    for (int i = 0; i < MANY; i++) {
        RIG_OK(dureq_client_cancel(rig.client, ids[i].text, "why", &err));
        rig_pause();
    }
    EXPECT_I64(MANY, count_newest_first(audit_of(NULL, 50, &out)));
    json = audit_of(NULL, 3, &out);
    EXPECT_I64(3, count_newest_first(json));
    for (int i = 1; i <= 3; i++)
        EXPECT_HAS(ids[MANY - i].text, json);
    json = audit_of(ids[0].text, 50, &out);
    EXPECT_I64(1, count_newest_first(json));
    EXPECT_HAS("\"action\":\"job.cancel\"", json);
    EXPECT_HAS("\"detail\":\"why\"", json);
    EXPECT_I64(0, count_newest_first(audit_of("nobody", 50, &out)));
}

SCENARIO(events_of_a_job_are_told_in_their_order)
{
    dureq_job_id id = with_key(1);
    DQ_BUF_AUTO out = {0};

    (void)with_key(2);
    RIG_OK(dureq_client_pause(rig.client, id.text, &err));
    RIG_OK(dureq_client_cancel(rig.client, id.text, NULL, &err));
    RIG_OK(dureq_client_retry(rig.client, id.text, false, &err));
    RIG_OK(dq_client_job_events(rig.client, id.text, /*hides_payload=*/false, &out, &err));
    dq_buf_append_char(&out, '\0');
    const char *at = out.ptr;
    static const char *const types[] = {"job.enqueued", "job.paused", "job.cancelled", "job.retrying"};
    for (size_t i = 0; i < DQ_ARRAY_LEN(types); i++) {
        EXPECT_HAS(types[i], at);
        at = strstr(at, types[i]);
    }
    EXPECT_TRUE(!strstr(at + 1, "job."));
}

RIG_MAIN()
