/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a batch: it is made empty, items are added some hundreds at a time, and a seal lets it run. Each of these calls can be made again: making it is
   known by its request id, items say their number, and a second seal changes nothing. A start that breaks off leaves a batch that is being loaded; it is
   cancelled after a minute. */

#include <dureq/batch.h>

#include <inttypes.h>
#include <stdio.h>

#include "base/random.h"
#include "client/batch.h"
#include "client/client_internal.h"
#include "client/require.h"
#include "store/batch_calls.h"
#include "store/plain_calls.h"
#include "store/queue_calls.h"

#define BATCH_SCRIPTS_VERSION 5 /* of sessions that know batches */
#define OWN_REQUEST_MS        600000

typedef struct starter {
    dureq_client *client;
    const dq_json *doc;
    const dq_batch *batch; /* `read`, once it is */
    dq_batch read;
    const dureq_batch_item *given; /* items instead of those of the definition */
    size_t n_given;
    dq_queue_set queues;
    unsigned shard;
    char request[33];
    dq_batch_start start;
    dq_buf lane, once_lane, front_json, front_bytes, once_front, tags, definition;
} starter;

/* ---- what is said of it ---- */

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

static int put_lane(const starter *s, const char *queue, int priority, const char *type, dq_buf *out, dureq_error *err)
{
    const dq_queue *q = queue ? NULL : s->queues.by_priority[priority ? priority : DQ_PRIORITY_DEFAULT];

    if (!queue && !q)
        return dq_fail(err, DUREQ_ENOTFOUND, "no queue takes priority %d", priority ? priority : DQ_PRIORITY_DEFAULT);
    dq_buf_append_str(out, queue ? dureq_str_from(queue) : q->name);
    dq_buf_append_char(out, '|');
    dq_buf_append_text(out, type);
    dq_buf_append_char(out, '|');
    return dq_buf_finish(out, err);
}

static int put_front(const char *type, const dureq_job_options *options, const char *content_type, dq_buf *out, dureq_error *err)
{
    dureq_job_options o = *options;
    dureq_job_spec spec = {.task_type = type, .options = &o};

    o.content_type = content_type;
    o.retention_ms = -1;
    (void)dq_envelope_pack_task(out, &spec); /* without a payload: that is all of it */
    return dq_buf_finish(out, err);
}

/* The definition as it was, but for its items. */
static int put_definition(starter *s, dq_json_ref v, dureq_error *err)
{
    dq_json_writer w = dq_json_writer_of(&s->definition);

    dq_json_begin_object(&w);
    for (dq_json_ref key = dq_json_first(s->doc, v); key != DQ_JSON_NONE; key = dq_json_next(s->doc, v, key)) {
        if (dq_json_string_eq(s->doc, key, "items"))
            continue;
        dureq_str name = dq_json_raw(s->doc, key);
        dq_json_key_str(&w, dureq_str_of(name.ptr + 1, name.len - 2)); /* all names that are known have no escapes */
        dq_json_put_raw(&w, dq_json_raw(s->doc, key + 1));
    }
    dq_json_end_object(&w);
    return dq_buf_finish(&s->definition, err);
}

static int choose_shard(starter *s, dureq_error *err)
{
    const dureq_job_options *o = &s->batch->options;
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
                       "unique_key and request_id of a batch must be at home on one shard: leave one out");
    if (o->request_id.len)
        s->shard = dq_keys_shard_of(k, o->request_id);
    for (size_t i = 0; i < sizeof random; i++)
        (void)snprintf(s->request + 2 * i, 3, "%02x", random[i]);
    s->start.request = o->request_id.len ? o->request_id : dureq_str_from(s->request);
    s->start.request_ms = o->request_id.len ? DQ_REQUEST_WINDOW_MS : OWN_REQUEST_MS;
    return 0;
}

static int put_texts(starter *s, dq_json_ref v, dureq_error *err)
{
    const dq_batch *b = s->batch;
    dureq_job_options once = dureq_job_options_init();
    int rc;

    once.priority = b->default_priority;
    rc = put_lane(s, b->item_options.queue, b->item_options.priority, b->item_type, &s->lane, err);
    if (rc == 0 && b->once_type)
        rc = put_lane(s, b->item_options.queue, b->default_priority, b->once_type, &s->once_lane, err);
    if (rc == 0)
        rc = put_front(b->item_type, &b->item_options, "application/json", &s->front_json, err);
    if (rc == 0)
        rc = put_front(b->item_type, &b->item_options, "application/octet-stream", &s->front_bytes, err);
    if (rc == 0 && b->once_type)
        rc = put_front(b->once_type, &once, "application/json", &s->once_front, err);
    for (size_t i = 0; i < b->options.n_tags; i++)
        dq_buf_append_lstr(&s->tags, dureq_str_from(b->options.tags[i]));
    if (rc == 0)
        rc = dq_buf_finish(&s->tags, err);
    return rc == 0 ? put_definition(s, v, err) : rc;
}

static int64_t keep_of(const dureq_job_options *o)
{
    return o->retention_ms < 0 ? 0 : o->retention_ms ? o->retention_ms : DQ_RETENTION_DEFAULT_MS;
}

static int prepare(starter *s, dq_json_ref v, dureq_error *err)
{
    const dq_batch *b = s->batch;
    int rc;

    rc = read_queues(s, err);
    if (rc == 0)
        rc = put_texts(s, v, err);
    if (rc == 0)
        rc = choose_shard(s, err);
    if (rc < 0)
        return rc;
    s->start.unique_key = b->options.unique_key;
    s->start.unique_ms = b->options.unique_for_ms;
    s->start.keep_ms = keep_of(&b->options);
    s->start.limit_ms = b->execution_timeout_ms;
    s->start.is_open = b->is_open;
    s->start.fails_fast = b->fails_fast;
    s->start.window = b->window;
    s->start.max_attempts = DQ_MAX(b->max_attempts, 1);
    s->start.lane = dq_buf_str(&s->lane);
    s->start.once_lane = dq_buf_str(&s->once_lane);
    s->start.front_json = dq_buf_str(&s->front_json);
    s->start.front_bytes = dq_buf_str(&s->front_bytes);
    s->start.once_front = dq_buf_str(&s->once_front);
    if (b->once_payload != DQ_JSON_NONE)
        s->start.once_payload = dq_json_raw(s->doc, b->once_payload);
    s->start.s2s_ms = b->item_options.schedule_to_start_timeout_ms;
    s->start.name = dureq_str_from(b->name);
    s->start.tags = dq_buf_str(&s->tags);
    s->start.actor = dq_client_actor(s->client);
    s->start.definition = dq_buf_str(&s->definition);
    return 0;
}

static void deinit(starter *s)
{
    dq_queue_set_deinit(&s->queues);
    dq_buf_deinit(&s->lane);
    dq_buf_deinit(&s->once_lane);
    dq_buf_deinit(&s->front_json);
    dq_buf_deinit(&s->front_bytes);
    dq_buf_deinit(&s->once_front);
    dq_buf_deinit(&s->tags);
    dq_buf_deinit(&s->definition);
}

/* ---- calls ---- */

static int make_it(starter *s, dq_batch_start_answer *ret, dureq_error *err)
{
    dq_owned_reply reply;
    dq_buf call = {0};
    int rc;

    dq_call_batch_start(&call, dq_client_keys(s->client), s->shard, &s->start);
    rc = dq_client_call(s->client, s->shard, DQ_CALL_REPEAT, &call, &reply, err);
    if (rc < 0)
        return rc;
    rc = dq_batch_start_decode(&reply.reply, ret);
    if (rc < 0) {
        rc = dq_fail(err, rc, "the answer of batch_start cannot be read");
    } else if (ret->what == DQ_BATCH_NO_QUEUE) {
        dureq_str rest = ret->lane, queue = dq_str_cut(&rest, '|');

        rc = dq_fail(err, DUREQ_ENOTFOUND, "queue '" DQ_STR_FMT "' is not defined, or takes no more task types",
                     DQ_STR_ARG(queue));
    }
    dq_owned_reply_deinit(&reply);
    return rc;
}

typedef struct adder {
    dureq_client *client;
    dq_id id;
    dureq_str packed;
    int64_t at; /* -1: whatever comes next */
    bool joins; /* others may add the same: who finds that they are ahead goes on where they are */
    uint32_t n; /* there are now */
    dq_buf scratch;
} adder;

static int refused(const adder *a, int what, uint32_t n, const dureq_batch_item *items, dureq_error *err)
{
    dureq_job_id id;

    dq_id_to_text(&a->id, &id);
    switch (what) {
    case DQ_BATCH_ADD_NONE: return dq_fail(err, DUREQ_ENOTFOUND, "no batch %s", id.text);
    case DQ_BATCH_ADD_SEALED: return dq_fail(err, DUREQ_ECONFLICT, "batch %s takes no items any more", id.text);
    case DQ_BATCH_ADD_AT:
        return dq_fail(err, DUREQ_ECONFLICT, "batch %s has %" PRIu32 " items, the next one is not number %" PRId64, id.text, n,
                       a->at);
    case DQ_BATCH_ADD_TWICE:
        return dq_fail(err, DUREQ_EDUPLICATE, "batch %s has an item '" DQ_STR_FMT "' already", id.text, DQ_STR_ARG(items[n].id));
    case DQ_BATCH_ADD_NAMES: return dq_fail(err, DUREQ_EINVAL, "either all items of a batch have an id, or none");
    case DQ_BATCH_ADD_NO_JSON:
        return dq_fail(err, DUREQ_EINVAL, "payloads of items are JSON in a batch with a one-time task, whose result they get");
    default: return dq_fail(err, DUREQ_ETOOLARGE, "a batch takes at most 100,000,000 items");
    }
}

static int check_item(const dureq_client *c, const dureq_batch_item *item, size_t i, dureq_error *err)
{
    int rc = dq_batch_item_check(item->id, err);

    if (rc == 0 && item->payload.len > c->max_payload)
        rc = dq_fail(err, DUREQ_ETOOLARGE, "payload of item %zu takes at most %zu bytes, not %zu", i, c->max_payload,
                     item->payload.len);
    return rc;
}

/* One call. *ret_n: how many of them went with it. */
static int add_some(adder *a, const dureq_batch_item *items, size_t n, size_t *ret_n, dureq_error *err)
{
    dq_owned_reply reply;
    dq_buf call = {0};
    size_t taken = 0, bytes = 0;
    uint32_t now = 0;
    int rc = 0;

    dq_call c = dq_call_batch_add(&call, dq_client_keys(a->client), a->id.shard, a->packed, a->at);
    while (taken < n && taken < DQ_BATCH_ADD_MAX && (taken == 0 || bytes + items[taken].payload.len < DQ_BATCH_ADD_BYTES) &&
           rc == 0) {
        rc = check_item(a->client, &items[taken], taken, err);
        bytes += items[taken].payload.len + items[taken].id.len;
        dq_batch_add_item(&c, &items[taken++], &a->scratch);
    }
    dq_call_end(&c);
    if (rc < 0) {
        dq_buf_deinit(&call);
        return rc;
    }
    rc = dq_client_call(a->client, a->id.shard, a->at < 0 ? 0 : DQ_CALL_REPEAT, &call, &reply, err);
    if (rc < 0)
        return rc;
    rc = dq_batch_add_decode(&reply.reply, &now);
    dq_owned_reply_deinit(&reply);
    if (rc == DUREQ_EPROTO)
        return dq_fail(err, rc, "the answer of batch_add cannot be read");
    if (rc == DQ_BATCH_ADD_AT && a->joins && now > a->at)
        taken = (size_t)(now - a->at); /* all of the call were not there, so this is fewer */
    else if (rc < 0)
        return refused(a, rc, now, items, err);
    a->n = now;
    a->at += a->at < 0 ? 0 : (int64_t)taken;
    *ret_n = taken;
    return 0;
}

static int add_all(adder *a, const dureq_batch_item *items, size_t n, dureq_error *err)
{
    size_t done = 0;
    int rc = 0;

    while (done < n && rc == 0) {
        size_t taken = 0;

        rc = add_some(a, items + done, n - done, &taken, err);
        done += taken;
    }
    return rc;
}

static int seal(dureq_client *c, const dq_id *id, dureq_str packed, dureq_error *err)
{
    dq_owned_reply reply;
    dq_buf call = {0};
    dureq_job_id text;
    int64_t n;
    int rc;

    dq_call_batch_seal(&call, dq_client_keys(c), id->shard, packed);
    rc = dq_client_call(c, id->shard, DQ_CALL_REPEAT, &call, &reply, err);
    if (rc < 0)
        return rc;
    n = dq_reply_int(reply.reply);
    dq_owned_reply_deinit(&reply);
    dq_id_to_text(id, &text);
    if (n == DUREQ_ENOTFOUND)
        return dq_fail(err, DUREQ_ENOTFOUND, "no batch %s", text.text);
    return n < 0 ? dq_fail(err, DUREQ_ECONFLICT, "batch %s is cancelled", text.text) : 0;
}

/* ---- a start ---- */

#define READ_AT_ONCE 1000

/* Those of the definition, from number a->at on. */
static int add_listed(adder *a, const starter *s, dureq_error *err)
{
    dureq_batch_item *items = dq_calloc(READ_AT_ONCE, sizeof *items);
    dq_json_ref list = s->batch->items;
    dq_arena arena = {0};
    int64_t number = 0, skip = a->at;
    size_t n = 0;
    int rc = items ? 0 : dq_fail_nomem(err);

    for (dq_json_ref v = dq_json_first(s->doc, list); v != DQ_JSON_NONE && rc == 0; v = dq_json_next(s->doc, list, v)) {
        if (number++ < skip)
            continue;
        rc = dq_batch_item_from_json(s->doc, v, &arena, &items[n++], err);
        if (rc == DUREQ_EINVAL) {
            dureq_error why = *err;

            rc = dq_fail(err, rc, "items[%" PRId64 "]: %.200s", number - 1, why.msg);
        }
        if (rc == 0 && n == READ_AT_ONCE) {
            rc = add_all(a, items, n, err);
            dq_arena_reset(&arena);
            n = 0;
        }
    }
    if (rc == 0)
        rc = add_all(a, items, n, err);
    dq_arena_deinit(&arena);
    dq_free(items);
    return rc;
}

/* All items are looked at before the first is sent, so that a batch with a bad one is not begun. */
static int check_listed(const starter *s, dureq_error *err)
{
    dq_json_ref list = s->batch->items;
    dq_arena arena = {0};
    int64_t number = 0;
    int rc = 0;

    for (dq_json_ref v = list == DQ_JSON_NONE ? DQ_JSON_NONE : dq_json_first(s->doc, list); v != DQ_JSON_NONE && rc == 0;
         v = dq_json_next(s->doc, list, v)) {
        dureq_batch_item item;

        rc = dq_batch_item_from_json(s->doc, v, &arena, &item, err);
        if (rc == 0)
            rc = check_item(s->client, &item, (size_t)number, err);
        if (rc == DUREQ_EINVAL) {
            dureq_error why = *err;

            rc = dq_fail(err, rc, "items[%" PRId64 "]: %.200s", number, why.msg);
        }
        number++;
        dq_arena_reset(&arena);
    }
    dq_arena_deinit(&arena);
    return rc;
}

/* One that this call made and that could not be loaded is not left to its minute. */
static void give_up(dureq_client *c, const dq_id *id, dureq_str packed)
{
    dq_owned_reply reply;
    dureq_error ignored;
    dq_buf call = {0};

    dq_call_batch_cancel(&call, dq_client_keys(c), id->shard, dq_client_actor(c), packed,
                         DQ_STR_LIT("its items could not be added"),
                         /*first=*/true, /*token=*/(dureq_str){0});
    if (dq_client_call(c, id->shard, DQ_CALL_REPEAT, &call, &reply, &ignored) == 0)
        dq_owned_reply_deinit(&reply);
}

/* Nothing is left to do for the start of one that is known: all its items came before it began. Those of an open one come while it runs. */
static bool is_started(const starter *s, const dq_batch_start_answer *answer)
{
    bool takes_more = answer->status == DUREQ_BATCH_LOADING || (s->batch->is_open && answer->status == DUREQ_BATCH_RUNNING);

    return answer->what == DQ_BATCH_KNOWN && !takes_more;
}

static int start_it(starter *s, bool seals, dureq_job_id *ret, dureq_error *err)
{
    unsigned char packed[DQ_ID_BYTES];
    dq_batch_start_answer answer;
    int rc;

    rc = make_it(s, &answer, err);
    if (rc < 0)
        return rc;
    dq_id_to_text(&answer.id, ret);
    dq_id_pack(&answer.id, packed);
    if (answer.what == DQ_BATCH_KEY_HELD)
        return dq_fail(err, DUREQ_EDUPLICATE, "its unique key is held by %s", ret->text);
    if (answer.what == DQ_BATCH_OF_FLOW || answer.id.lane != 0)
        return dq_fail(err, DUREQ_ECONFLICT, "its request id belongs to %s %s", answer.id.lane != 0 ? "job" : "workflow",
                       ret->text);
    if (is_started(s, &answer))
        return 0;
    adder a = {
        .client = s->client, .id = answer.id, .packed = dureq_str_of(packed, sizeof packed), .at = answer.n_items, .joins = true};
    if (s->batch->items != DQ_JSON_NONE)
        rc = add_listed(&a, s, err);
    else if ((size_t)answer.n_items < s->n_given) /* a start that broke off has some */
        rc = add_all(&a, s->given + answer.n_items, s->n_given - answer.n_items, err);
    dq_buf_deinit(&a.scratch);
    if (rc < 0 && rc != DUREQ_EUNAVAILABLE && rc != DUREQ_ETIMEOUT && answer.what == DQ_BATCH_STARTED)
        give_up(s->client, &answer.id, a.packed);
    return rc == 0 && seals && !s->batch->is_open ? seal(s->client, &answer.id, a.packed, err) : rc;
}

static int check_given(const starter *s, dureq_error *err)
{
    int rc = 0;

    for (size_t i = 0; i < s->n_given && rc == 0; i++) {
        rc = check_item(s->client, &s->given[i], i, err);
        if (rc == DUREQ_EINVAL) {
            dureq_error why = *err;

            rc = dq_fail(err, rc, "items[%zu]: %.200s", i, why.msg);
        }
    }
    return rc;
}

static int start(starter *s, dq_json_ref v, bool seals, dureq_job_id *ret, dureq_error *err)
{
    int rc;

    rc = dq_client_require_version(s->client, BATCH_SCRIPTS_VERSION, err);
    if (rc == 0)
        rc = check_listed(s, err);
    if (rc == 0)
        rc = check_given(s, err);
    if (rc == 0)
        rc = prepare(s, v, err);
    if (rc == 0)
        rc = start_it(s, seals, ret, err);
    deinit(s);
    return rc;
}

static int start_with(starter *s, dq_json_ref v, bool seals, dureq_job_id *ret, dureq_error *err)
{
    int rc;

    rc = dq_batch_from_json(s->doc, v, &s->read, err);
    if (rc < 0)
        return rc;
    s->batch = &s->read;
    dq_client_enter(s->client);
    rc = start(s, v, seals, ret, err);
    dq_client_leave(s->client);
    dq_batch_deinit(&s->read);
    return rc;
}

int dq_client_begin_batch(dureq_client *c, const dq_batch_beginning *b, dureq_job_id *ret, dureq_error *err)
{
    starter s = {.client = c, .doc = b->doc, .given = b->items, .n_given = b->n_items};

    return start_with(&s, b->v, b->seals, ret, err);
}

int dq_client_start_batch(dureq_client *c, const dq_json *doc, dq_json_ref v, bool seals, dureq_job_id *ret, dureq_error *err)
{
    return dq_client_begin_batch(c, &(dq_batch_beginning){.doc = doc, .v = v, .seals = seals}, ret, err);
}

static int start_text(dureq_client *c, dureq_str definition, bool seals, dureq_job_id *ret, dureq_error *err)
{
    dq_json doc;
    int rc;

    if (!c || !ret)
        return dq_fail(err, DUREQ_EINVAL, "client and ret must be given");
    rc = dq_json_parse_frame(definition, &doc, err);
    if (rc < 0)
        return rc;
    rc = dq_client_start_batch(c, &doc, 0, seals, ret, err);
    dq_json_deinit(&doc);
    return rc;
}

int dureq_client_start_batch(dureq_client *c, dureq_str definition, dureq_job_id *ret, dureq_error *err)
{
    return start_text(c, definition, /*seals=*/true, ret, err);
}

int dureq_client_open_batch(dureq_client *c, dureq_str definition, dureq_job_id *ret, dureq_error *err)
{
    return start_text(c, definition, /*seals=*/false, ret, err);
}

/* ---- items of one that is open ---- */

int dureq_client_add_batch_items(dureq_client *c, const char *id, int64_t at, const dureq_batch_item *items, size_t n,
                                 uint32_t *ret_n, dureq_error *err)
{
    unsigned char packed[DQ_ID_BYTES];
    adder a = {.client = c, .at = at < 0 ? -1 : at};
    size_t none;
    int rc;

    if (!c || !id || (n && !items))
        return dq_fail(err, DUREQ_EINVAL, "client, id and items must be given");
    rc = dq_batch_parse_id(c, id, &a.id, packed, err);
    if (rc < 0)
        return rc;
    a.packed = dureq_str_of(packed, sizeof packed);
    dq_client_enter(c);
    rc = n ? add_all(&a, items, n, err) : add_some(&a, NULL, 0, &none, err); /* without items: how many there are */
    dq_client_leave(c);
    dq_buf_deinit(&a.scratch);
    if (rc == 0 && ret_n)
        *ret_n = a.n;
    return rc;
}

int dureq_client_seal_batch(dureq_client *c, const char *id_text, dureq_error *err)
{
    unsigned char packed[DQ_ID_BYTES];
    dq_id id;
    int rc;

    if (!c || !id_text)
        return dq_fail(err, DUREQ_EINVAL, "client and id must be given");
    rc = dq_batch_parse_id(c, id_text, &id, packed, err);
    if (rc < 0)
        return rc;
    dq_client_enter(c);
    rc = seal(c, &id, dureq_str_of(packed, sizeof packed), err);
    dq_client_leave(c);
    return rc;
}
