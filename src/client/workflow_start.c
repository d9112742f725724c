/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a workflow: its definition is checked and compiled here; the server is asked to start one of that hash, and gets the image in parts when it
   has none. Parts are forgotten by themselves when no start follows within a minute; starting is one step, which a request id makes
   repeatable. */

#include <dureq/workflow.h>

#include <inttypes.h>
#include <stdio.h>

#include "base/random.h"
#include "client/client_internal.h"
#include "client/require.h"
#include "client/workflow.h"
#include "flow/image.h"
#include "store/flow_calls.h"
#include "store/plain_calls.h"
#include "store/queue_calls.h"

#define OWN_REQUEST_MS 600000

typedef struct starter {
    dureq_client *client;
    const dq_flow *flow;
    const dq_json *doc;
    dq_image image;
    dq_queue_set queues;
    unsigned shard;
    char request[33];
    dq_flow_start start;
    dureq_str *queue_names;
    dq_buf tags;
} starter;

/* ---- queues ---- */

static int read_queues(starter *s, dureq_error *err)
{
    dq_owned_reply reply;
    dq_buf bytes = {0};
    int rc;

    dq_plain_queues(&bytes, dq_client_keys(s->client)->prefix);
    rc = dq_client_command(s->client, &bytes, 1, &reply, err);
    if (rc < 0)
        return rc;
    rc = dq_queue_set_from_reply(&reply.reply, &s->queues, err);
    dq_owned_reply_deinit(&reply);
    if (rc == 0)
        dq_queue_set_index(&s->queues);
    return rc;
}

static dureq_str queue_of(void *userdata, int priority)
{
    const starter *s = userdata;
    const dq_queue *q = s->queues.by_priority[priority];

    return q ? q->name : (dureq_str){0};
}

/* Those of its lanes, each once. */
static int name_queues(starter *s, dureq_error *err)
{
    s->queue_names = dq_calloc(s->image.n_lanes + (size_t)1, sizeof *s->queue_names);
    if (!s->queue_names)
        return dq_fail_nomem(err);
    for (uint32_t i = 0; i < s->image.n_lanes; i++) {
        dureq_str rest = s->image.lanes[i], queue = dq_str_cut(&rest, '|');
        size_t k = 0;

        while (k < s->start.n_queues && !dq_str_eq(s->queue_names[k], queue))
            k++;
        if (k == s->start.n_queues)
            s->queue_names[s->start.n_queues++] = queue;
    }
    s->start.queues = s->queue_names;
    return 0;
}

/* ---- where it lives ---- */

static int choose_shard(starter *s, dureq_error *err)
{
    const dureq_job_options *o = &s->flow->options;
    const dq_keys *k = dq_client_keys(s->client);
    unsigned char random[16];
    int rc;

    rc = dq_random_bytes(random, sizeof random, err);
    if (rc < 0)
        return rc;
    s->shard = random[15] % k->n_shards;
    if (o->unique_key.len)
        s->shard = dq_keys_shard_of(k, o->unique_key);
    if (o->unique_key.len && o->request_id.len && dq_keys_shard_of(k, o->request_id) != s->shard)
        return dq_fail(err, DUREQ_EUNSUPPORTED,
                       "unique_key and request_id of a workflow must be at home on one shard: leave one out");
    if (o->request_id.len)
        s->shard = dq_keys_shard_of(k, o->request_id);
    for (size_t i = 0; i < sizeof random; i++)
        (void)snprintf(s->request + 2 * i, 3, "%02x", random[i]);
    s->start.request = o->request_id.len ? o->request_id : dureq_str_from(s->request);
    s->start.request_ms = !o->request_id.len     ? OWN_REQUEST_MS
                          : o->request_window_ms ? o->request_window_ms
                                                 : DQ_REQUEST_WINDOW_MS;
    return 0;
}

/* ---- the image in parts ---- */

static int call_simply(starter *s, dq_buf *call, dq_owned_reply *ret, dureq_error *err)
{
    return dq_client_call(s->client, s->shard, DQ_CALL_REPEAT, call, ret, err);
}

static int load_part(starter *s, const char *name, dureq_str bytes, dureq_error *err)
{
    dq_owned_reply reply;
    dq_buf call = {0};
    int rc;

    dq_call_flow_segment(&call, dq_client_keys(s->client), s->shard, s->start.hash, name, bytes);
    rc = call_simply(s, &call, &reply, err);
    if (rc == 0)
        dq_owned_reply_deinit(&reply);
    return rc;
}

static int load_lanes(starter *s, uint32_t first, dureq_error *err)
{
    size_t n = DQ_MIN(s->image.n_lanes - first, (uint32_t)DQ_FLOW_LANES_MAX);
    dq_owned_reply reply;
    dq_buf call = {0};
    int rc;

    dq_call_flow_lanes(&call, dq_client_keys(s->client), s->shard, s->start.hash, first, s->image.lanes + first, n);
    rc = call_simply(s, &call, &reply, err);
    if (rc < 0)
        return rc;
    dureq_str refused = dq_flow_lanes_refused(&reply.reply);
    if (refused.len) {
        dureq_str type = refused, queue = dq_str_cut(&type, '|');

        rc = dq_fail(err, DUREQ_ENOTFOUND, "queue '" DQ_STR_FMT "' is not defined, or takes no more task types",
                     DQ_STR_ARG(queue));
    }
    dq_owned_reply_deinit(&reply);
    return rc;
}

static int load_image(starter *s, dureq_error *err)
{
    dureq_str bytes = dq_buf_str(&s->image.bytes);
    char name[24];
    int rc = 0;

    for (uint32_t i = 0; i < s->image.n_lanes && rc == 0; i += DQ_FLOW_LANES_MAX)
        rc = load_lanes(s, i, err);
    for (uint32_t i = 0; i < s->image.n_large && rc == 0; i++) {
        (void)snprintf(name, sizeof name, "b%" PRIu32, s->image.large[i]);
        rc = load_part(s, name, s->flow->tasks[s->image.large[i]].spec.payload, err);
    }
    for (uint32_t i = 0; i < s->start.n_segments && rc == 0; i++) {
        size_t from = (size_t)i * DQ_IMAGE_SEGMENT;

        (void)snprintf(name, sizeof name, "%" PRIu32, i);
        rc = load_part(s, name, dureq_str_of(bytes.ptr + from, DQ_MIN(bytes.len - from, (size_t)DQ_IMAGE_SEGMENT)), err);
    }
    return rc;
}

/* ---- the start ---- */

static int ask_to_start(starter *s, dq_id *ret, dureq_error *err)
{
    dq_owned_reply reply;
    dq_buf call = {0};
    int rc;

    dq_call_flow_start(&call, dq_client_keys(s->client), s->shard, &s->start);
    rc = call_simply(s, &call, &reply, err);
    if (rc < 0)
        return rc;
    rc = dq_flow_start_decode(&reply.reply, ret);
    dq_owned_reply_deinit(&reply);
    return rc < 0 ? dq_fail(err, rc, "the answer of flow_start cannot be read") : rc;
}

static int64_t keep_of(const dureq_job_options *o)
{
    return o->retention_ms < 0 ? 0 : o->retention_ms ? o->retention_ms : DQ_RETENTION_DEFAULT_MS;
}

static int prepare(starter *s, dureq_error *err)
{
    const dureq_job_options *o = &s->flow->options;
    int rc;

    rc = read_queues(s, err);
    if (rc == 0)
        rc = dq_image_make(s->flow, queue_of, s, &s->image, err);
    if (rc == 0)
        rc = name_queues(s, err);
    if (rc == 0)
        rc = choose_shard(s, err);
    for (size_t i = 0; i < o->n_tags; i++)
        dq_buf_append_lstr(&s->tags, dureq_str_from(o->tags[i]));
    if (rc == 0)
        rc = dq_buf_finish(&s->tags, err);
    s->start.hash = dureq_str_of(s->image.hash, DQ_IMAGE_HASH);
    s->start.n_tasks = s->flow->n_tasks;
    s->start.n_segments = (uint32_t)((s->image.bytes.len + DQ_IMAGE_SEGMENT - 1) / DQ_IMAGE_SEGMENT);
    s->start.unique_key = o->unique_key;
    s->start.unique_ms = o->unique_for_ms;
    s->start.keep_ms = keep_of(o);
    s->start.limit_ms = s->flow->execution_timeout_ms;
    s->start.max_attempts = DQ_MAX(s->flow->max_attempts, 1);
    s->start.max_running = s->flow->max_running;
    s->start.scripts = s->flow->max_running || s->image.is_controlled ? DQ_FLOW_CONTROLS : DQ_FLOW_SCRIPTS;
    s->start.cancels_on_failure = s->flow->cancels_on_failure;
    s->start.large = s->image.large;
    s->start.n_large = s->image.n_large;
    s->start.name = s->flow->name;
    s->start.input = s->flow->input == DQ_JSON_NONE ? (dureq_str){0} : dq_json_raw(s->doc, s->flow->input);
    s->start.tags = dq_buf_str(&s->tags);
    s->start.actor = dq_client_actor(s->client);
    return rc;
}

static int start_it(starter *s, dureq_job_id *ret, dureq_error *err)
{
    dq_id id;
    int rc;

    rc = ask_to_start(s, &id, err);
    if (rc == DQ_FLOW_TOO_OLD) {
        rc = dq_client_require_version(s->client, s->start.scripts, err);
        if (rc == 0)
            rc = ask_to_start(s, &id, err);
    }
    if (rc == DQ_FLOW_UNDEFINED) {
        rc = load_image(s, err);
        if (rc == 0)
            rc = ask_to_start(s, &id, err);
    }
    if (rc < 0)
        return rc;
    if (rc == DQ_FLOW_UNDEFINED)
        return dq_fail(err, DUREQ_ETIMEOUT, "loading the definition took too long");
    if (rc == DQ_FLOW_TOO_OLD)
        return dq_fail(err, DUREQ_ECONFLICT, "a shard was made again meanwhile: try again");
    dq_id_to_text(&id, ret);
    if (rc == DQ_FLOW_OF_BATCH || (rc == DQ_FLOW_KNOWN && id.lane != 0))
        return dq_fail(err, DUREQ_ECONFLICT, "its request id belongs to %s %s", id.lane != 0 ? "job" : "batch", ret->text);
    return rc == DQ_FLOW_KEY_HELD ? dq_fail(err, DUREQ_EDUPLICATE, "its unique key is held by %s", ret->text) : 0;
}

static void deinit(starter *s)
{
    dq_image_deinit(&s->image);
    dq_queue_set_deinit(&s->queues);
    dq_buf_deinit(&s->tags);
    dq_free(s->queue_names);
}

static int start_flow(dureq_client *c, const dq_json *doc, const dq_flow *flow, dureq_job_id *ret, dureq_error *err)
{
    starter s = {.client = c, .flow = flow, .doc = doc};
    int rc;

    rc = dq_client_may_write(c, err);
    if (rc == 0)
        rc = prepare(&s, err);
    if (rc == 0)
        rc = start_it(&s, ret, err);
    deinit(&s);
    return rc;
}

int dq_client_start_flow(dureq_client *c, const dq_json *doc, dq_json_ref v, dureq_job_id *ret, dq_flow_faults *faults,
                         dureq_error *err)
{
    dq_flow flow;
    int rc;

    rc = dq_flow_from_json(doc, v, c->max_payload, &flow, faults);
    if (rc == DUREQ_EINVAL && faults->n)
        return dq_fail(err, rc, "line %" PRIu32 ", column %" PRIu32 ": %s%s%s%s", faults->items[0].line, faults->items[0].column,
                       faults->items[0].path, *faults->items[0].path ? " " : "", faults->items[0].text,
                       faults->n + faults->n_more > 1 ? " (and more)" : "");
    if (rc < 0)
        return rc == DUREQ_ENOMEM ? dq_fail_nomem(err) : dq_fail(err, rc, "the definition cannot be read");
    dq_client_enter(c);
    rc = start_flow(c, doc, &flow, ret, err);
    dq_client_leave(c);
    dq_flow_deinit(&flow);
    return rc;
}

int dureq_client_start_workflow(dureq_client *c, dureq_str definition, dureq_job_id *ret, dureq_error *err)
{
    dq_flow_faults faults = {0};
    dq_json doc;
    int rc;

    if (!c || !ret)
        return dq_fail(err, DUREQ_EINVAL, "client and ret must be given");
    rc = dq_json_parse_frame(definition, &doc, err);
    if (rc < 0)
        return rc;
    rc = dq_client_start_flow(c, &doc, 0, ret, &faults, err);
    dq_flow_faults_deinit(&faults);
    dq_json_deinit(&doc);
    return rc;
}
