/* SPDX-License-Identifier: Apache-2.0 */
/* A client whose n-th allocation fails, for each n: whichever of its two threads asks for it. Here it is created, enqueues, and reads; test_oom_operate.c has
   what changes jobs, queues and nodes. */

#include "test_oom.h"
#include "test_rig.h"

#include "api/api.h"
#include "client/client_internal.h"
#include "client/request.h"

#include <stdatomic.h>

#define ROUNDS_MAX 3000
#define CREATE_MS  2000 /* it does not wait for a time-out instead of saying what is wrong */

/* ---- calls ---- */

static int enqueue_one(oom_call *c, dureq_error *err)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_header header = {"x-from", DQ_STR_LIT("test")};
    const char *tag = "tag";
    dureq_job_spec spec = {"mail", DQ_STR_LIT("{\"to\": 1}"), &o};
    dureq_job_id id = {.text = ""};
    int rc;

    o.headers = &header;
    o.n_headers = 1;
    o.tags = &tag;
    o.n_tags = 1;
    rc = dureq_client_enqueue(rig.client, &spec, &id, err);
    c->n_jobs += rc == 0;
    if (rc == 0)
        EXPECT_I64(DUREQ_JOB_ID_LEN, (int64_t)strlen(id.text));
    return rc;
}

static void name_key(const oom_call *c, char out[32])
{
    (void)snprintf(out, 32, "k%lld", (long long)c->calls);
}

static int enqueue_unique(oom_call *c, dureq_error *err)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_job_spec spec = {"mail", DQ_STR_LIT("1"), &o};
    char key[32];
    int rc;

    c->id.text[0] = '\0';
    name_key(c, key);
    o.unique_key = dureq_str_from(key);
    rc = dureq_client_enqueue(rig.client, &spec, &c->id, err);
    c->n_jobs += rc == 0;
    return rc;
}

/* The key is held by the job there is, or, within the minute that a reservation lasts, by none. */
static void key_is_right(oom_call *c, int rc)
{
    dureq_job_id holder = {.text = ""};
    char key[32];
    int64_t ttl_ms;
    int found;

    name_key(c, key);
    found = dureq_client_get_unique_key(rig.client, dureq_str_from(key), &holder, &ttl_ms, NULL);
    if (rc == 0)
        EXPECT_TEXT(c->id.text, holder.text);
    else
        EXPECT_TRUE(found == DUREQ_ENOTFOUND || !holder.text[0]);
}

static int enqueue_many(oom_call *c, dureq_error *err)
{
    enum { N = 40 };
    dureq_job_spec specs[N];
    dureq_enqueue_result results[N];
    int rc;

    for (int i = 0; i < N; i++)
        specs[i] = (dureq_job_spec){i % 2 ? "mail" : "sms", DQ_STR_LIT("1"), NULL};
    rc = dureq_client_enqueue_many(rig.client, specs, N, results, err);
    for (int i = 0; i < N; i++) {
        EXPECT_TRUE(oom_is_fair(results[i].code));
        c->n_jobs += results[i].code == 0;
    }
    return rc;
}

static dureq_job_id known;

static int get(oom_call *c, dureq_error *err)
{
    dureq_job_list *list = NULL;
    int rc = dureq_client_get_job(rig.client, known.text, &list, err);

    (void)c;
    if (rc == 0)
        EXPECT_STR_TEXT("{\"to\": 1}", list->items[0].payload);
    dureq_job_list_destroy(list);
    return rc;
}

static int list(oom_call *c, dureq_error *err)
{
    dureq_job_filter f = dureq_job_filter_init();
    dureq_job_list *found = NULL;
    int rc;

    (void)c;
    f.limit = 5;
    f.with_payload = true;
    rc = dureq_client_list_jobs(rig.client, &f, &found, err);
    if (rc == 0)
        EXPECT_TRUE(found->n > 0 && found->n <= 5);
    dureq_job_list_destroy(found);
    return rc;
}

static int list_others(oom_call *c, dureq_error *err)
{
    dureq_queue_list *queues = NULL;
    dureq_node_list *nodes = NULL;
    int rc = dureq_client_list_queues(rig.client, &queues, err);

    (void)c;
    if (rc == 0)
        rc = dureq_client_list_nodes(rig.client, &nodes, err);
    dureq_queue_list_destroy(queues);
    dureq_node_list_destroy(nodes);
    return rc;
}

static int wait_ended(oom_call *c, dureq_error *err)
{
    dureq_job_list *ended = NULL;
    int rc = dureq_client_wait(rig.client, known.text, 1000, &ended, err);

    (void)c;
    dureq_job_list_destroy(ended);
    return rc;
}

/* ---- requests with a callback: told once, or refused when submitted ---- */

typedef struct heard {
    atomic_int n;
    dureq_error err;
} heard;

static void on_end(void *userdata, const dq_answer *a)
{
    heard *h = userdata;

    h->err = a->code < 0 ? *a->err : (dureq_error){0};
    atomic_fetch_add(&h->n, 1);
}

static int hear(heard *h, dq_request *r, dureq_error *err)
{
    RIG_UNTIL(atomic_load(&h->n) > 0);
    dq_request_release(r);
    EXPECT_I64(1, atomic_load(&h->n));
    *err = h->err;
    return h->err.code;
}

static int submit_wait(oom_call *c, dureq_error *err)
{
    heard h = {.n = 0};
    dq_request *r;
    int rc = dq_client_submit_wait(rig.client, known.text, 20, on_end, &h, &r, err);

    (void)c;
    if (rc == 0)
        rc = hear(&h, r, err);
    return rc == DUREQ_ETIMEOUT ? 0 : rc;
}

static int submit_and_cancel(oom_call *c, dureq_error *err)
{
    heard h = {.n = 0};
    dq_request *r;
    int rc = dq_client_submit_wait(rig.client, known.text, -1, on_end, &h, &r, err);

    (void)c;
    if (rc < 0)
        return rc;
    dq_request_cancel(r);
    rc = hear(&h, r, err);
    return rc == DUREQ_ECANCELLED ? 0 : rc;
}

static int submit_call(oom_call *c, dureq_error *err)
{
    unsigned char packed[DQ_ID_BYTES];
    dureq_str one = dureq_str_of(packed, sizeof packed);
    heard h = {.n = 0};
    dq_buf call = {0};
    dq_request *r;
    dq_id id;
    int rc;

    (void)c;
    EXPECT_RC(0, dq_id_parse(dureq_str_from(known.text), &id));
    dq_id_pack(&id, packed);
    dq_call_job_get(&call, dq_client_keys(rig.client), id.shard, &one, 1);
    rc = dq_client_submit_call(rig.client, id.shard, DQ_CALL_REPEAT | DQ_CALL_LARGE, &call, on_end, &h, &r, err);
    return rc == 0 ? hear(&h, r, err) : rc;
}

static int set_queue(oom_call *c, dureq_error *err)
{
    dureq_queue_options o = dureq_queue_options_init();

    o.weight = 1 + (int32_t)(c->calls % 5);
    return dureq_client_set_queue(rig.client, "bulk", &o, /*only_if_missing=*/false, NULL, err);
}

static int ask_api(oom_call *c, const char *method, const char *path, const char *query, const char *body)
{
    dq_api_request req = {.method = method, .path = path, .query = query, .body = dureq_str_from(body)};
    dq_api_response res;
    int rc;

    (void)c;
    dq_api_handle(rig.client, &req, &res);
    rc = res.code;
    if (rc == DUREQ_ENOMEM)
        EXPECT_I64(500, res.status);
    dq_api_response_deinit(&res);
    return rc;
}

static int api_list(oom_call *c, dureq_error *err)
{
    err->code = ask_api(c, "GET", "/api/jobs", "limit=3&status=pending&queue=normal", "");
    return err->code;
}

static int api_get(oom_call *c, dureq_error *err)
{
    char path[64];

    (void)snprintf(path, sizeof path, "/api/jobs/%s", known.text);
    err->code = ask_api(c, "GET", path, NULL, "");
    return err->code;
}

static int api_set_queue(oom_call *c, dureq_error *err)
{
    err->code = ask_api(c, "PUT", "/api/queues/bulk", NULL, "{\"weight\": 2, \"retry_policy\": {\"max_attempts\": 2}}");
    return err->code;
}

/* ---- scenarios ---- */

SCENARIO(an_enqueued_job_is_accepted_once_or_not)
{
    static const oom_row rows[] = {
        {.name = "enqueue", .run = enqueue_one},
        {.name = "enqueue with a key", .run = enqueue_unique, .check = key_is_right},
        {.name = "enqueue_many", .run = enqueue_many},
    };

    oom_each_of(rows, DQ_ARRAY_LEN(rows));
    rig_doctor();
}

SCENARIO(reading_fails_whole_or_not_at_all)
{
    static const oom_row rows[] = {
        {.name = "get_job", .run = get},
        {.name = "list_jobs", .run = list},
        {.name = "list_queues and list_nodes", .run = list_others},
        {.name = "set_queue", .run = set_queue},
        {.name = "GET /api/jobs", .run = api_list},
        {.name = "GET /api/jobs/{id}", .run = api_get},
        {.name = "PUT /api/queues/{name}", .run = api_set_queue},
        {.name = "wait with its time", .run = submit_wait},
        {.name = "wait, cancelled", .run = submit_and_cancel},
        {.name = "call", .run = submit_call},
    };
    static const oom_row wait_row = {.name = "wait", .run = wait_ended};

    known = rig_enqueue("mail", "{\"to\": 1}", NULL);
    for (int i = 0; i < 6; i++)
        (void)rig_enqueue("mail", "{\"to\": 1}", NULL);
    oom_each_of(rows, DQ_ARRAY_LEN(rows));
    RIG_OK(dureq_client_cancel(rig.client, known.text, "", &err));
    oom_each(&wait_row);
}

SCENARIO(a_client_is_created_whole_or_not_at_all)
{
    dureq_client_options o = dureq_client_options_init();
    bool over = false;

    o.redis_url = test_redis_url(rig.server);
    o.prefix = rig.prefix;
    o.shards = rig.shards;
    o.timeout_ms = 3000;
    for (long n = oom_first(3); !over && n < ROUNDS_MAX; n += oom_step(3)) {
        dureq_client *client = NULL;
        dureq_error why = {0};
        int64_t began = rig_mono_ms();
        int rc;

        EXPECT_NOTE("allocation %ld fails", n);
        dq_alloc_fail_at(n);
        rc = dureq_client_create(&o, &client, &why);
        over = oom_is_over(n);
        if (!oom_is_fair(rc))
            print_error("%s\n", why.msg);
        EXPECT_TRUE(oom_is_fair(rc));
        EXPECT_TRUE((rc == 0) == (client != NULL));
        EXPECT_TRUE(rig_mono_ms() - began < CREATE_MS);
        if (client) {
            dureq_job_spec spec = {"mail", DQ_STR_LIT("1"), NULL};
            dureq_job_id id;

            RIG_OK(dureq_client_enqueue(client, &spec, &id, &err));
        }
        dureq_client_destroy(client);
    }
    EXPECT_TRUE(over);
}

RIG_MAIN()
