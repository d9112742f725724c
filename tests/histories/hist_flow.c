/* SPDX-License-Identifier: Apache-2.0 */
/* Workflows and batches: started, cancelled, begun again, filled and sealed by hand; what they left to do, and their time-outs, are done by leaders. A
   definition goes the way of a client's: as JSON, which the library checks and compiles. */
#include "hist_play.h"

#include <stdio.h>
#include <string.h>

#include <dureq/batch.h>
#include <dureq/workflow.h>

#include "base/random.h"
#include "flow/image.h"
#include "model/job.h"
#include "store/batch_calls.h"
#include "store/flow_calls.h"

#define ME          DQ_STR_LIT("me")
#define REQUEST_MS  600000
#define CALLS_MAX   40 /* of one cancel */
#define LANE_OF_ALL 2  /* of all batches, and of no workflow: jobs that both add to a lane in one call go out in two parts */

static dureq_str flow_id(const hist *h, int flow)
{
    return hist_holder_id(h, HM_FLOW_KEYS + flow);
}

static dureq_str batch_id(const hist *h, int batch)
{
    return hist_holder_id(h, HM_FLOW_KEYS + HM_FLOWS + batch);
}

static void lane_text(int lane, char out[8])
{
    (void)snprintf(out, 8, "q%c|%c|", '0' + lane / 2, 'a' + lane % 2);
}

/* ---- definitions ---- */

static void put_set(dq_buf *out, const char *name, unsigned set)
{
    const char *comma = "";

    dq_buf_append_fmt(out, ",\"%s\":[", name);
    for (int i = 0; i < HM_TASKS; i++) {
        if (set >> i & 1) {
            dq_buf_append_fmt(out, "%s\"t%d\"", comma, i);
            comma = ",";
        }
    }
    dq_buf_append_char(out, ']');
}

static int first_of(unsigned set)
{
    int i = 0;

    while (i < HM_TASKS && !(set >> i & 1))
        i++;
    return i;
}

static void put_task(dq_buf *out, const hm_task_def *d, int task)
{
    static const char *const words[] = {"all_success", "all_done", "any_failed"};

    dq_buf_append_fmt(out, "%s{\"name\":\"t%d\",\"task_type\":\"%c\",\"queue\":\"q%d\",\"run_if\":\"%s\",\"priority\":%d",
                      task ? "," : "", task, 'a' + d->lane % 2, d->lane / 2, words[d->run_if], d->priority);
    if (d->large) {
        dq_buf_append_text(out, ",\"payload\":");
        dq_buf_append_str(out, hist_large_payload(d->large));
    } else {
        dq_buf_append_fmt(out, ",\"payload\":{\"n\":%d}", d->payload);
    }
    if (d->allow)
        dq_buf_append_text(out, ",\"allow_failure\":true");
    if (!d->kept)
        dq_buf_append_text(out, ",\"retention\":\"0s\"");
    if (d->s2s)
        dq_buf_append_fmt(out, ",\"schedule_to_start_timeout\":\"%ds\"", d->s2s * (HIST_UNIT_MS / 1000));
    if (d->deps)
        put_set(out, "depends_on", d->deps);
    if (d->inputs && d->is_map)
        put_set(out, "result_from", d->inputs);
    else if (d->inputs)
        dq_buf_append_fmt(out, ",\"result_from\":\"t%d\"", first_of(d->inputs));
    dq_buf_append_char(out, '}');
}

static void put_definition(dq_buf *out, const hm_flow_def *d)
{
    dq_buf_append_fmt(out, "{\"name\":\"w\",\"retry_policy\":{\"max_attempts\":%d},\"on_failure\":\"%s\",\"tasks\":[",
                      d->attempts, d->cancels ? "cancel" : "finish");
    for (int i = 0; i < d->n; i++)
        put_task(out, &d->task[i], i);
    dq_buf_append_text(out, "]}");
}

static hm_task_def any_task(hist *h, uint32_t bits, int task)
{
    static const int lanes[] = {0, 0, 1, 3}, rules[] = {0, 0, 0, 0, 1, 2}, limits[] = {0, 0, 0, 0, 0, 0, 0, 3};
    hm_task_def d = {
        .lane = lanes[bits % 4], .run_if = rules[bits / 4 % 6], .allow = bits / 32 % 4 == 0, .kept = bits / 128 % 4 != 0};

    for (int i = 0; i < task; i++)
        d.deps |= (unsigned)(bits >> (9 + i) & bits >> (16 + i) & 1) << i;
    if (task > 0 && bits / 1024 % 3 != 0)
        d.deps |= 1U << (bits / 4096 % (uint32_t)task);
    if (d.deps == 0)
        d.run_if = 0;
    d.payload = ++h->payloads;
    d.s2s = limits[bits >> 29];
    d.priority = (int)(bits >> 26 & 1);
    if (d.deps && bits >> 24 & 1) {
        d.is_map = bits >> 23 & 1;
        d.inputs = d.is_map ? d.deps : 1U << first_of(d.deps);
    } else if ((bits >> 20) % 16 == 5) {
        d.large = d.payload;
    }
    return d;
}

static hm_flow_def any_flow(hist *h, const uint32_t *r)
{
    static const int attempts[] = {1, 1, 1, 2, 3}, keeps[] = {1, 4, 50, 50};
    dq_rng rng;
    hm_flow_def d = {.n = 1 + (int)(r[1] % HM_TASKS),
                     .attempts = attempts[r[1] / 8 % 5],
                     .limit = r[1] / 64 % 5 == 0 ? 2 + (int)(r[1] / 512 % 4) : 0,
                     .keep = keeps[r[1] / 2048 % 4],
                     .cancels = r[1] / 8192 % 3 == 0,
                     .ukey = r[1] / 32768 % 5 == 0 ? (int)(r[1] / 262144 % HM_KEYS) : -1};

    dq_rng_seed(&rng, (uint64_t)r[2] << 32 | r[3]);
    for (int i = 0; i < d.n; i++)
        d.task[i] = any_task(h, (uint32_t)dq_rng_next(&rng), i);
    return d;
}

static hm_batch_def any_batch(hist *h, const uint32_t *r)
{
    static const int attempts[] = {1, 1, 2, 3}, keeps[] = {1, 4, 50, 50};

    return (hm_batch_def){.lane = LANE_OF_ALL,
                          .once_lane = r[1] % 3 == 0 ? LANE_OF_ALL : -1,
                          .once_payload = ++h->payloads,
                          .window = 1 + (int)(r[1] / 4 % 4),
                          .attempts = attempts[r[1] / 16 % 4],
                          .limit = r[1] / 64 % 5 == 0 ? 2 + (int)(r[1] / 512 % 4) : 0,
                          .keep = keeps[r[1] / 2048 % 4],
                          .ukey = r[1] / 8192 % 5 == 0 ? (int)(r[1] / 65536 % HM_KEYS) : -1,
                          .s2s = r[2] % 3 == 0 ? 2 : 0,
                          .fails_fast = r[2] / 8 % 3 == 0,
                          .is_open = r[2] / 16 % 3 == 0};
}

/* ---- calls as bytes ---- */

static void load_image(hist *h, hist_msg *msg, const dq_flow *flow, const dq_image *image)
{
    const dq_keys *k = &h->w->keys;
    dureq_str hash = dureq_str_of((const char *)image->hash, DQ_IMAGE_HASH);

    dq_call_flow_lanes(&msg->bytes, k, 0, hash, 0, image->lanes, image->n_lanes);
    for (uint32_t i = 0; i < image->n_large; i++) {
        char name[16];

        (void)snprintf(name, sizeof name, "b%u", image->large[i]);
        dq_call_flow_segment(&msg->bytes, k, 0, hash, name, flow->tasks[image->large[i]].spec.payload);
    }
    dq_call_flow_segment(&msg->bytes, k, 0, hash, "0", dq_buf_str(&image->bytes));
    msg->n_commands = 2 + (int)image->n_large;
}

static void put_flow_start(hist *h, hist_msg *msg, const dq_flow *flow, const dq_image *image)
{
    const hm_flow_def *d = &msg->flow;
    dureq_str queues[HM_QUEUES];
    bool named[HM_QUEUES] = {false};
    char request[16];
    dq_flow_start s = {.hash = dureq_str_of((const char *)image->hash, DQ_IMAGE_HASH),
                       .n_tasks = (uint32_t)d->n,
                       .n_segments = 1,
                       .request_ms = REQUEST_MS,
                       .unique_key = dureq_str_from(hist_key_text(d->ukey)),
                       .keep_ms = (int64_t)d->keep * HIST_UNIT_MS,
                       .limit_ms = (int64_t)d->limit * HIST_UNIT_MS,
                       .max_attempts = d->attempts,
                       .scripts = DQ_FLOW_CONTROLS,
                       .cancels_on_failure = d->cancels,
                       .large = image->large,
                       .n_large = image->n_large,
                       .queues = queues,
                       .name = DQ_STR_LIT("w")};

    for (int i = 0; i < d->n; i++) {
        int queue = d->task[i].lane / 2;

        if (!named[queue])
            queues[s.n_queues++] = queue ? DQ_STR_LIT("q1") : DQ_STR_LIT("q0");
        named[queue] = true;
    }
    (void)snprintf(request, sizeof request, "f%d", msg->who);
    s.request = dureq_str_from(request);
    load_image(h, msg, flow, image);
    dq_call_flow_start(&msg->bytes, &h->w->keys, 0, &s);
    msg->n_commands++;
}

static dureq_str no_queue(void *userdata, int priority)
{
    (void)userdata;
    (void)priority;
    return (dureq_str){0};
}

static void start_flow(hist *h, hist_msg *msg)
{
    DQ_BUF_AUTO text = {0};
    dq_flow_faults faults = {0};
    dureq_error err = {0};
    dq_image image;
    dq_flow flow;
    dq_json doc;

    put_definition(&text, &msg->flow);
    if (dq_json_parse(dq_buf_str(&text), &doc, &err) < 0)
        hist_die("definition", err.msg);
    if (dq_flow_from_json(&doc, 0, 1 << 20, &flow, &faults) < 0)
        hist_die("definition", faults.n ? faults.items[0].text : "is refused");
    if (dq_image_make(&flow, no_queue, NULL, &image, &err) < 0)
        hist_die("definition", err.msg);
    put_flow_start(h, msg, &flow, &image);
    dq_image_deinit(&image);
    dq_flow_faults_deinit(&faults);
    dq_flow_deinit(&flow);
    dq_json_deinit(&doc);
}

static void put_front(dq_buf *out)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_job_spec spec = {.task_type = "a", .options = &o};

    o.content_type = "application/json";
    o.retention_ms = -1;
    (void)dq_envelope_pack_task(out, &spec);
}

static void put_item_front(dq_buf *out, int s2s)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_job_spec spec = {.task_type = "a", .options = &o};

    o.content_type = "application/json";
    o.retention_ms = -1;
    o.schedule_to_start_timeout_ms = (int64_t)s2s * HIST_UNIT_MS;
    (void)dq_envelope_pack_task(out, &spec);
}

static void start_batch(hist *h, hist_msg *msg)
{
    const hm_batch_def *d = &msg->batch;
    char request[16], lane[8], once_lane[8] = "", payload[24];
    DQ_BUF_AUTO front = {0};
    DQ_BUF_AUTO once = {0};
    dq_batch_start s = {.request_ms = REQUEST_MS,
                        .unique_key = dureq_str_from(hist_key_text(d->ukey)),
                        .keep_ms = (int64_t)d->keep * HIST_UNIT_MS,
                        .limit_ms = (int64_t)d->limit * HIST_UNIT_MS,
                        .is_open = d->is_open,
                        .fails_fast = d->fails_fast,
                        .window = d->window,
                        .max_attempts = d->attempts,
                        .s2s_ms = (int64_t)d->s2s * HIST_UNIT_MS,
                        .name = DQ_STR_LIT("b")};

    lane_text(d->lane, lane);
    if (d->once_lane >= 0)
        lane_text(d->once_lane, once_lane);
    put_item_front(&front, d->s2s);
    put_front(&once);
    (void)snprintf(request, sizeof request, "f%d", msg->who);
    (void)snprintf(payload, sizeof payload, "{\"n\":%d}", d->once_payload);
    s.request = dureq_str_from(request);
    s.lane = dureq_str_from(lane);
    s.once_lane = dureq_str_from(once_lane);
    s.front_json = s.front_bytes = dq_buf_str(&front);
    s.once_front = dq_buf_str(&once);
    s.once_payload = dureq_str_from(payload);
    dq_call_batch_start(&msg->bytes, &h->w->keys, 0, &s);
}

static void add_items(hist *h, const uint32_t *r, hist_msg *msg)
{
    DQ_BUF_AUTO scratch = {0};
    dq_call c;

    msg->a = h->m.batch[msg->who].n + (r[2] / 8 % 8 == 0 ? 1 : 0); /* as if a call before it were lost */
    msg->n = (int)DQ_MIN(1 + r[2] % 4, (uint32_t)DQ_MAX(HM_MEMBERS - msg->a, 0));
    if (msg->n == 0) {
        msg->kind = MSG_NONE;
        return;
    }
    c = dq_call_batch_add(&msg->bytes, &h->w->keys, 0, batch_id(h, msg->who), msg->a);
    for (int i = 0; i < msg->n; i++) {
        char payload[24];
        dureq_batch_item item = {.is_json = true};

        msg->job[i] = ++h->payloads;
        (void)snprintf(payload, sizeof payload, "{\"n\":%d}", msg->job[i]);
        item.payload = dureq_str_from(payload);
        dq_batch_add_item(&c, &item, &scratch);
    }
    dq_call_end(&c);
}

static void put_call(hist *h, const uint32_t *r, hist_msg *msg)
{
    const dq_keys *k = &h->w->keys;

    switch (msg->kind) {
    case MSG_FLOW_CANCEL:
        dq_call_flow_cancel(&msg->bytes, k, 0, ME, flow_id(h, msg->who), DQ_STR_LIT("no more"), 0, (dureq_str){0});
        break;
    case MSG_FLOW_RETRY: dq_call_flow_retry(&msg->bytes, k, 0, ME, flow_id(h, msg->who)); break;
    case MSG_BATCH_ADD: add_items(h, r, msg); break;
    case MSG_BATCH_SEAL: dq_call_batch_seal(&msg->bytes, k, 0, batch_id(h, msg->who)); break;
    case MSG_BATCH_CANCEL:
        dq_call_batch_cancel(&msg->bytes, k, 0, ME, batch_id(h, msg->who), DQ_STR_LIT("no more"), true, (dureq_str){0});
        break;
    case MSG_BATCH_RETRY: dq_call_batch_retry(&msg->bytes, k, 0, ME, batch_id(h, msg->who), msg->flag); break;
    default: break;
    }
}

static void step_start(hist *h, const uint32_t *r, hist_msg *msg)
{
    msg->who = ++h->requests;
    if (msg->kind == MSG_BATCH_START) {
        msg->batch = any_batch(h, r);
        start_batch(h, msg);
        return;
    }
    msg->flow = any_flow(h, r);
    if (h->m.n_flows > 0 && (r[4] >> 28) % 3 == 0) { /* of a definition that is there, or was */
        int ukey = msg->flow.ukey;

        msg->flow = h->m.flow[(r[4] >> 20) % (uint32_t)h->m.n_flows].d;
        msg->flow.ukey = ukey;
    }
    start_flow(h, msg);
}

/* One that still takes items, if there is one. */
static int open_batch(const hist *h, uint32_t r)
{
    for (int i = 0; i < h->m.n_batches; i++) {
        const hm_batch *b = &h->m.batch[(r + (uint32_t)i) % (uint32_t)h->m.n_batches];

        if (b->status == DUREQ_BATCH_LOADING || (b->status == DUREQ_BATCH_RUNNING && b->is_open))
            return (int)(b - h->m.batch);
    }
    return (int)(r % (uint32_t)h->m.n_batches);
}

/* One that may be retried, if there is one. */
static int ended_one(const hist *h, bool of_flow, uint32_t r)
{
    int n = of_flow ? h->m.n_flows : h->m.n_batches;

    for (int i = 0; i < n; i++) {
        int at = (int)((r + (uint32_t)i) % (uint32_t)n);
        const hm_flow *f = &h->m.flow[at];
        const hm_batch *b = &h->m.batch[of_flow ? 0 : at];

        if (of_flow && f->there && hm_flow_is_over(f) && f->status != DUREQ_WORKFLOW_COMPLETED)
            return at;
        if (!of_flow && b->there && hm_batch_is_over(b) && b->status != DUREQ_BATCH_COMPLETED)
            return at;
    }
    return (int)(r % (uint32_t)n);
}

void hist_step_flow(hist *h, const uint32_t *r, hist_msg *msg)
{
    static const hist_msg_kind kinds[] = {MSG_FLOW_START,   MSG_FLOW_START,  MSG_FLOW_START,  MSG_FLOW_START,  MSG_BATCH_START,
                                          MSG_BATCH_START,  MSG_BATCH_ADD,   MSG_BATCH_ADD,   MSG_BATCH_ADD,   MSG_BATCH_SEAL,
                                          MSG_BATCH_SEAL,   MSG_FLOW_CANCEL, MSG_FLOW_CANCEL, MSG_FLOW_RETRY,  MSG_FLOW_RETRY,
                                          MSG_BATCH_CANCEL, MSG_BATCH_RETRY, MSG_BATCH_RETRY, MSG_BATCH_RETRY, MSG_FLOW_RETRY};
    bool of_flow;

    msg->kind = kinds[r[0] % DQ_ARRAY_LEN(kinds)];
    of_flow = msg->kind <= MSG_FLOW_RETRY;
    if ((of_flow ? h->m.n_flows : h->m.n_batches) == 0)
        msg->kind = of_flow ? MSG_FLOW_START : MSG_BATCH_START;
    if (msg->kind == MSG_FLOW_START || msg->kind == MSG_BATCH_START) {
        if ((of_flow ? h->m.n_flows < HM_FLOWS : h->m.n_batches < HM_BATCHES))
            step_start(h, r, msg);
        else
            msg->kind = MSG_NONE;
        return;
    }
    msg->who = (int)(r[1] % (uint32_t)(of_flow ? h->m.n_flows : h->m.n_batches));
    if (msg->kind == MSG_BATCH_ADD || msg->kind == MSG_BATCH_SEAL)
        msg->who = open_batch(h, r[1]);
    if ((msg->kind == MSG_FLOW_RETRY || msg->kind == MSG_BATCH_RETRY) && r[3] / 16 % 4 != 0)
        msg->who = ended_one(h, of_flow, r[1]);
    msg->flag = r[3] % 2 == 0;
    msg->b = r[3] / 4 % 4 == 0 ? 1 : CALLS_MAX; /* a caller may die between two steps of a cancel */
    put_call(h, r, msg);
}

/* Mostly a batch gets its first items, and is sealed, by those who start it. */
void hist_fill_batch(hist *h, const uint32_t *r, int n_before)
{
    static const hist_msg_kind kinds[] = {MSG_BATCH_ADD, MSG_BATCH_SEAL};

    if (h->m.n_batches == n_before || r[3] % 4 == 0)
        return;
    for (size_t i = 0; i < DQ_ARRAY_LEN(kinds); i++) {
        hist_msg msg = {.kind = kinds[i], .who = n_before};

        put_call(h, r, &msg);
        hist_exec(h, &msg);
        dq_buf_deinit(&msg.bytes);
    }
}

void hist_put_flow_step(hist *h, int leader, hist_msg *msg)
{
    msg->kind = MSG_FLOW_STEP;
    msg->who = leader;
    msg->no = h->epoch_of[leader];
    dq_call_flow_step(&msg->bytes, &h->w->keys, 0, (dq_term){.session = (uint64_t)leader, .epoch = msg->no});
}

/* Whoever gives way is skipped: what workflows and batches may yet make has to have room. */
bool hist_flow_fits(const hist *h, const hist_msg *msg)
{
    int more = 0;

    if (msg->kind == MSG_FLOW_START)
        more = h->m.n_flows < HM_FLOWS ? msg->flow.n * msg->flow.attempts : HM_JOBS;
    else if (msg->kind == MSG_BATCH_START)
        more = h->m.n_batches < HM_BATCHES ? (HM_MEMBERS + 1) * msg->batch.attempts : HM_JOBS;
    else if (msg->kind == MSG_FLOW_RETRY)
        more = HM_TASKS;
    else if (msg->kind == MSG_BATCH_RETRY)
        more = HM_MEMBERS + 1;
    return more == 0 || h->m.n_jobs + hm_flows_to_come(&h->m) + more <= HM_JOBS;
}

/* ---- answers ---- */

static void keep_id(hist *h, int holder, const dq_id *id)
{
    int at = holder - HM_FLOW_KEYS;
    char *mine = at < HM_FLOWS ? h->m.flow[at].id : h->m.batch[at - HM_FLOWS].id;

    dq_id_pack(id, (unsigned char *)mine);
}

static void see_started(hist *h, int holder, bool is_new, const dq_id *id)
{
    unsigned char packed[DQ_ID_BYTES];

    dq_id_pack(id, packed);
    if (is_new)
        keep_id(h, holder, id);
    else if (!dq_str_eq(hist_holder_id(h, holder), dureq_str_of((const char *)packed, DQ_ID_BYTES)))
        hist_fail(h, "start: the answer is not the id of %d", holder);
}

static void exec_flow_start(hist *h, const hist_msg *msg, dq_reply r)
{
    int holder = -1, want, got;
    dq_id id = {0};

    if (!hist_answered(h, msg, r, 0))
        return;
    got = dq_flow_start_decode(&r, &id);
    want = hm_flow_start(&h->m, msg->who, &msg->flow, &holder);
    if (!hist_equal(h, "flow start", want, got))
        return;
    hist_say(h, "    %d: workflow %d of %d tasks", want, holder - HM_FLOW_KEYS, msg->flow.n);
    for (int i = 0; i < msg->flow.n && want == DQ_FLOW_STARTED; i++)
        hist_say(h, "      t%d: lane %d, needs %x, rule %d%s", i, msg->flow.task[i].lane, msg->flow.task[i].deps,
                 msg->flow.task[i].run_if, msg->flow.task[i].allow ? ", may fail" : "");
    see_started(h, holder, want == DQ_FLOW_STARTED, &id);
}

static void exec_batch_start(hist *h, const hist_msg *msg, dq_reply r)
{
    dq_batch_start_answer got;
    int holder = -1, want;

    if (!hist_answered(h, msg, r, 0))
        return;
    if (dq_batch_start_decode(&r, &got) < 0) {
        hist_fail(h, "batch start: the answer cannot be read");
        return;
    }
    want = hm_batch_start(&h->m, msg->who, &msg->batch, &holder);
    if (!hist_equal(h, "batch start", want, got.what))
        return;
    hist_say(h, "    %d: batch %d, window %d", want, holder - HM_FLOW_KEYS - HM_FLOWS, msg->batch.window);
    see_started(h, holder, want == DQ_BATCH_STARTED, &got.id);
}

/* The caller goes on until nothing of it starts any more, or dies before that. */
static void exec_flow_cancel(hist *h, const hist_msg *msg, dq_reply r)
{
    int want = hm_flow_cancel(&h->m, msg->who, /*first=*/true);
    int64_t at;

    if (!hist_answered(h, msg, r, 0))
        return;
    at = dq_reply_int(r);
    if (want < 0 || at < -1) {
        (void)hist_equal(h, "flow cancel", want, at);
        return;
    }
    for (int i = 1; i < msg->b && at >= 0; i++) {
        DQ_BUF_AUTO call = {0};

        dq_call_flow_cancel(&call, &h->w->keys, 0, ME, flow_id(h, msg->who), DQ_STR_LIT("no more"), at, (dureq_str){0});
        at = dq_reply_int(hist_ask(h->w, 0, &call, 1));
    }
    if (at != -1 && msg->b == CALLS_MAX)
        hist_fail(h, "flow cancel: it goes on and on");
    if (at == -1)
        h->acknowledged = HM_FLOW_KEYS + msg->who;
}

static void exec_batch_cancel(hist *h, const hist_msg *msg, dq_reply r)
{
    int want = hm_batch_cancel(&h->m, msg->who, /*first=*/true);
    int64_t got;

    if (!hist_answered(h, msg, r, 0))
        return;
    got = dq_reply_int(r);
    if (want < 0 || got < 0) {
        (void)hist_equal(h, "batch cancel", want, got);
        return;
    }
    for (int i = 1; i < msg->b && got == 1; i++) {
        DQ_BUF_AUTO call = {0};

        dq_call_batch_cancel(&call, &h->w->keys, 0, ME, batch_id(h, msg->who), DQ_STR_LIT("no more"), false, (dureq_str){0});
        got = dq_reply_int(hist_ask(h->w, 0, &call, 1));
    }
    if (got != 0 && msg->b == CALLS_MAX)
        hist_fail(h, "batch cancel: it goes on and on");
    if (got == 0)
        h->acknowledged = HM_FLOW_KEYS + HM_FLOWS + msg->who;
}

static void exec_batch_add(hist *h, const hist_msg *msg, dq_reply r)
{
    uint32_t n = 0;
    int want = hm_batch_add(&h->m, msg->who, msg->a, msg->job, msg->n), got;

    if (!hist_answered(h, msg, r, 0))
        return;
    got = dq_batch_add_decode(&r, &n);
    (void)hist_equal(h, "batch add", DQ_MIN(want, 0), got);
    if (want >= 0)
        (void)hist_equal(h, "batch add: items", want, n);
}

static void exec_flow_step(hist *h, const hist_msg *msg, dq_reply r)
{
    dq_flow_stepped got;

    if (!hist_answered(h, msg, r, hm_leader_check(&h->m, msg->who, (int)msg->no)))
        return;
    if (dq_flow_step_decode(&r, &got) < 0) {
        hist_fail(h, "flow step: the answer cannot be read");
        return;
    }
    hm_flows_time_out(&h->m);
    hm_batches_time_out(&h->m);
    (void)hist_equal(h, "flow step: the time", h->base_ms + hm_now_ms(&h->m), got.now_ms);
    h->n_left = got.n_left;
    hist_say(h, "    %d left", (int)got.n_left);
}

void hist_exec_flow(hist *h, const hist_msg *msg, dq_reply r)
{
    hm *m = &h->m;

    switch (msg->kind) {
    case MSG_FLOW_START: exec_flow_start(h, msg, r); break;
    case MSG_FLOW_CANCEL: exec_flow_cancel(h, msg, r); break;
    case MSG_FLOW_STEP: exec_flow_step(h, msg, r); break;
    case MSG_BATCH_START: exec_batch_start(h, msg, r); break;
    case MSG_BATCH_CANCEL: exec_batch_cancel(h, msg, r); break;
    case MSG_BATCH_ADD: exec_batch_add(h, msg, r); break;
    case MSG_FLOW_RETRY:
        if (hist_answered(h, msg, r, 0))
            (void)hist_equal(h, "flow retry", hm_flow_retry(m, msg->who), dq_reply_int(r));
        break;
    case MSG_BATCH_SEAL:
        if (hist_answered(h, msg, r, 0))
            (void)hist_equal(h, "batch seal", hm_batch_seal(m, msg->who), dq_reply_int(r));
        break;
    default:
        if (hist_answered(h, msg, r, 0))
            (void)hist_equal(h, "batch retry", hm_batch_retry(m, msg->who, msg->flag), dq_reply_int(r));
        break;
    }
}

/* ---- the end of a history: given an end of its jobs, each workflow and batch ends ---- */

#define ROUNDS_MAX 60

static bool any_lives(const hist *h)
{
    bool any = false;

    for (int i = 0; i < h->m.n_flows; i++)
        any = any || (h->m.flow[i].there && !hm_flow_is_over(&h->m.flow[i]));
    for (int i = 0; i < h->m.n_batches; i++)
        any = any || (h->m.batch[i].there && !hm_batch_is_over(&h->m.batch[i]));
    return any;
}

static void send_now(hist *h, hist_msg *msg)
{
    hist_exec(h, msg);
    dq_buf_deinit(&msg->bytes);
}

/* Someone who lives, and leads; 0: nobody can. */
static int leader_now(hist *h)
{
    int session = 0;

    for (int i = 1; i <= h->m.n_sessions; i++)
        session = h->m.session[i].life == HM_LIVE && !h->node[i].dead ? i : session;
    if (session == 0 && h->m.n_sessions + 1 < HM_SESSIONS) {
        hist_node_open(h);
        session = h->m.n_sessions;
    }
    if (session == 0)
        return 0;
    hist_turn_clock(h, HM_LEASE + 1); /* whoever led before leads no more */
    hist_msg msg = {.kind = MSG_BEAT, .who = session, .flag = true, .a = -1};
    hist_put_beat(h, &msg);
    send_now(h, &msg);
    return hm_leader_check(&h->m, session, h->epoch_of[session]) == 0 ? session : 0;
}

static void step_until_done(hist *h, int leader)
{
    h->n_left = 1;
    for (int i = 0; i < 400 && h->n_left > 0 && !h->failed; i++) {
        hist_msg msg = {0};

        hist_put_flow_step(h, leader, &msg);
        send_now(h, &msg);
    }
    if (h->n_left > 0 && !h->failed)
        hist_fail(h, "flow step: what is left to do is never done");
}

static void seal_all(hist *h)
{
    for (int i = 0; i < h->m.n_batches; i++) {
        const hm_batch *b = &h->m.batch[i];
        hist_msg msg = {.kind = MSG_BATCH_SEAL, .who = i};

        if (!b->there || (b->status != DUREQ_BATCH_LOADING && !b->is_open))
            continue;
        put_call(h, NULL, &msg);
        send_now(h, &msg);
    }
}

static void end_jobs(hist *h)
{
    for (int i = 0; i < h->m.n_jobs && !h->failed; i++) {
        const hm_job *j = &h->m.job[i];
        hist_msg msg = {.kind = MSG_CANCEL, .who = i};

        if ((!j->flow && !j->batch) || j->place < HM_LANE || j->place > HM_PAUSED)
            continue;
        hist_put_operator(h, &msg);
        send_now(h, &msg);
    }
}

void hist_end_flows(hist *h)
{
    int leader;

    if (h->failed || !any_lives(h))
        return;
    hist_say(h, "the end: all jobs of workflows and batches end");
    leader = leader_now(h);
    if (leader == 0)
        return;
    for (int i = 0; i < ROUNDS_MAX && any_lives(h) && !h->failed; i++) {
        step_until_done(h, leader);
        seal_all(h);
        end_jobs(h);
    }
    if (any_lives(h))
        hist_fail(h, "a workflow or a batch does not end");
}
