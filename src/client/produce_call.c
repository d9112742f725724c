/* SPDX-License-Identifier: Apache-2.0 */
/* Numbered calls of a producer to one shard: built from what waits, kept until answered, sent again byte for byte, oldest first, after a
   lost connection. The server keeps the highest number it saw and its last 64 answers, so a repeat is answered and not executed twice.

   Two forms. Fast: MULTI, one XADD a job (and a SET of a large payload), enqueue_seal, EXEC; for jobs that start at once and hold no keys, of lanes
   that are known.
   The seal is sent as text: were its hash unknown to the server, EXEC would add the jobs unsealed. General: enqueue.lua, for everything else, and for a
   fast call that was refused as a whole (nothing of it was executed). Loop thread. */

#include <stdio.h>

#include "base/clock.h"
#include "client/produce.h"
#include "redis/resp.h"

/* A call that is older than the server remembers a producer may have been executed and forgotten: ten minutes before that, no more. */
#define REPEAT_LIMIT_US ((DQ_PRODUCER_KEPT_MS - 600000) * 1000)

void dq_enq_call_free(enq_call *call)
{
    dq_buf_deinit(&call->bytes);
    dq_free(call);
}

static void call_drop(enq_shard *s, enq_call *call)
{
    for (size_t i = 0; i < call->n; i++)
        if (call->items[i])
            call->items[i]->call = NULL;
    dq_list_remove(&call->link);
    s->n_flying--;
    dq_enq_call_free(call);
}

/* The item of a slot, out of the call: behind its answer it is its caller's again. NULL when the caller gave up. */
static enq_item *item_out(enq_call *call, size_t slot)
{
    enq_item *item = call->items[slot];

    call->items[slot] = NULL;
    if (item)
        item->call = NULL;
    return item;
}

static void call_failed(enq_shard *s, enq_call *call, int code, const char *msg)
{
    for (size_t i = 0; i < call->n; i++) {
        enq_item *item = item_out(call, i);

        if (item)
            dq_enq_answer(item, code, NULL, msg);
    }
    call_drop(s, call);
}

/* ---- building ---- */

static dureq_str args_of(const enq_item *item, size_t from, size_t to)
{
    return dureq_str_of(item->request->args.ptr + item->off + from, to - from);
}

/* Name of a payload until the seal knows the id of its job: nobody else's, and within one MULTI. */
static void put_payload_key(dq_buf *out, const dq_keys *k, const enq_call *call, size_t i)
{
    char name[80];

    (void)snprintf(name, sizeof name, "%s.%llu.%zu", call->producer->id, (unsigned long long)call->number, i);
    dq_keys_arg(out, k, call->shard, "b:", dureq_str_from(name));
}

static void put_entry(enq_call *call, const dq_keys *k, size_t i)
{
    const enq_item *item = call->items[i];
    dq_buf *out = &call->bytes;

    if (item->large) {
        dq_resp_begin(out, 3);
        dq_resp_arg(out, DQ_STR_LIT("SET"));
        put_payload_key(out, k, call, i);
        dq_buf_append_str(out, args_of(item, item->payload_at, item->payload_end));
    }
    dq_resp_begin(out, 6);
    dq_resp_arg(out, DQ_STR_LIT("XADD"));
    dq_keys_arg_u64(out, k, call->shard, "l:", item->lane->no[call->shard]);
    dq_buf_append(out, "$10\r\nNOMKSTREAM\r\n$1\r\n*\r\n$1\r\nj\r\n", 17 + 7 + 7);
    dq_buf_append_str(out, args_of(item, item->j_at, item->len));
}

/* Which lanes a call adds to, how many to each, and where in its lane a large job is. */
typedef struct fast_lanes {
    uint32_t no[DQ_CALL_JOBS_MAX];
    size_t n_of[DQ_CALL_JOBS_MAX];
    size_t n;
    size_t large[DQ_CALL_JOBS_MAX], large_lane[DQ_CALL_JOBS_MAX], large_place[DQ_CALL_JOBS_MAX];
    size_t n_large;
} fast_lanes;

static void count_lane(fast_lanes *l, const enq_call *call, size_t i)
{
    uint32_t no = call->items[i]->lane->no[call->shard];
    size_t at = 0;

    while (at < l->n && l->no[at] != no)
        at++;
    if (at == l->n) {
        l->no[at] = no;
        l->n_of[at] = 0;
        l->n++;
    }
    if (call->items[i]->large) {
        l->large[l->n_large] = i;
        l->large_lane[l->n_large] = no;
        l->large_place[l->n_large++] = l->n_of[at];
    }
    l->n_of[at]++;
}

static void put_seal(enq_call *call, const dq_keys *k, const char *token, const fast_lanes *l)
{
    dq_buf *out = &call->bytes;

    dq_call_begin_text(out, DQ_SCRIPT_ENQUEUE_SEAL, 2 + l->n_large, 4 + 2 * l->n + 2 * l->n_large);
    dq_keys_arg(out, k, call->shard, "sh", (dureq_str){0});
    dq_keys_arg(out, k, call->shard, "p:", dureq_str_from(call->producer->id));
    for (size_t i = 0; i < l->n_large; i++)
        put_payload_key(out, k, call, l->large[i]);
    dq_resp_arg_i64(out, (int64_t)call->number);
    dq_resp_arg_text(out, token);
    dq_resp_arg_i64(out, call->shard);
    dq_resp_arg_i64(out, (int64_t)l->n);
    for (size_t i = 0; i < l->n; i++) {
        dq_resp_arg_i64(out, l->no[i]);
        dq_resp_arg_i64(out, (int64_t)l->n_of[i]);
    }
    for (size_t i = 0; i < l->n_large; i++) {
        dq_resp_arg_i64(out, l->large_lane[i]);
        dq_resp_arg_i64(out, (int64_t)l->large_place[i]);
    }
}

static void put_fast(enq_call *call, const dq_keys *k, const char *token)
{
    dq_buf *out = &call->bytes;
    fast_lanes l;

    l.n = l.n_large = 0;
    dq_resp_begin(out, 1);
    dq_resp_arg(out, DQ_STR_LIT("MULTI"));
    for (size_t i = 0; i < call->n; i++) {
        put_entry(call, k, i);
        call->lane_nos[i] = call->items[i]->lane->no[call->shard];
        call->large[i] = call->items[i]->large;
        count_lane(&l, call, i);
    }
    put_seal(call, k, token, &l);
    dq_resp_begin(out, 1);
    dq_resp_arg(out, DQ_STR_LIT("EXEC"));
    call->n_executed = call->n + l.n_large + 1;
}

/* Segments of the general call: runs of one kind and lane. */
typedef struct segments {
    const enq_lane *lanes[DQ_CALL_JOBS_MAX];
    size_t n_lanes;
    struct {
        size_t lane, first, n;
        uint8_t kind;
    } runs[DQ_CALL_JOBS_MAX];
    size_t n_runs;
    size_t n_args;
} segments;

static size_t lane_index(segments *s, const enq_lane *lane)
{
    for (size_t i = 0; i < s->n_lanes; i++)
        if (s->lanes[i] == lane)
            return i;
    s->lanes[s->n_lanes] = lane;
    return s->n_lanes++;
}

static void find_segments(const enq_call *call, segments *s)
{
    s->n_lanes = s->n_runs = s->n_args = 0;
    for (size_t i = 0; i < call->n; i++) {
        const enq_item *item = call->items[i];
        size_t lane = lane_index(s, item->lane);

        s->n_args += item->kind == ENQ_READY ? 1 : item->kind == ENQ_DUE ? 3 : 10;
        if (s->n_runs > 0 && s->runs[s->n_runs - 1].lane == lane && s->runs[s->n_runs - 1].kind == item->kind) {
            s->runs[s->n_runs - 1].n++;
            continue;
        }
        s->runs[s->n_runs].lane = lane;
        s->runs[s->n_runs].first = i;
        s->runs[s->n_runs].n = 1;
        s->runs[s->n_runs++].kind = item->kind;
    }
}

static void put_item(dq_buf *out, const enq_item *item)
{
    if (item->kind != ENQ_KEYED) {
        dq_buf_append_str(out, args_of(item, 0, item->len));
        return;
    }
    dq_buf_append_str(out, args_of(item, 0, item->token_at));
    dq_resp_arg(out, dureq_str_of(item->token, item->token_len));
    dq_buf_append_str(out, args_of(item, item->token_at, item->len));
}

static void put_general(enq_call *call, const dq_keys *k)
{
    static const char *const names[] = {"lanes", "due", "due:h"};
    dq_buf *out = &call->bytes;
    segments s;

    find_segments(call, &s);
    dq_call_begin(out, DQ_SCRIPT_ENQUEUE, 5, 3 + s.n_lanes + 3 * s.n_runs + s.n_args);
    dq_keys_arg(out, k, call->shard, "sh", (dureq_str){0});
    dq_keys_arg(out, k, call->shard, "p:", dureq_str_from(call->producer->id));
    for (size_t i = 0; i < DQ_ARRAY_LEN(names); i++)
        dq_keys_arg(out, k, call->shard, names[i], (dureq_str){0});
    dq_resp_arg_i64(out, (int64_t)call->number);
    dq_resp_arg_i64(out, call->shard);
    dq_resp_arg_i64(out, (int64_t)s.n_lanes);
    for (size_t i = 0; i < s.n_lanes; i++)
        dq_resp_arg(out, s.lanes[i]->name);
    for (size_t r = 0; r < s.n_runs; r++) {
        char kind = (char)s.runs[r].kind;

        dq_resp_arg(out, dureq_str_of(&kind, 1));
        dq_resp_arg_i64(out, (int64_t)s.runs[r].lane + 1);
        dq_resp_arg_i64(out, (int64_t)s.runs[r].n);
        for (size_t i = 0; i < s.runs[r].n; i++)
            put_item(out, call->items[s.runs[r].first + i]);
    }
}

/* ---- answers ---- */

#define UNREADABLE "the answer of an enqueue call cannot be read"

typedef struct answer_reader {
    dq_reader r;
    bool sealed; /* 'S': runs of lanes, in the order of the lanes; 'G': in the order of the jobs */
    int kind;
    uint32_t left, lane, seq;
    uint64_t ms;
} answer_reader;

static uint64_t read_be(dq_reader *r, int n)
{
    uint64_t v = 0;

    while (n-- > 0)
        v = v << 8 | dq_read_u8(r);
    return v;
}

/* What no script answers is damage: an id made of it would be another job's. */
static bool run_is_sound(const answer_reader *a)
{
    return !a->r.bad && a->left > 0 && a->lane > 0 && a->lane <= DQ_LANE_MAX && a->ms >> 44 == 0 &&
           (uint64_t)a->seq + a->left <= (uint64_t)DQ_ID_SEQ_MAX + 1;
}

static void read_run(answer_reader *a)
{
    if (a->sealed) {
        a->lane = (uint32_t)read_be(&a->r, 3);
        a->ms = read_be(&a->r, 6);
        a->seq = (uint32_t)read_be(&a->r, 4);
        a->left = (uint32_t)read_be(&a->r, 2);
    } else {
        a->left = (uint32_t)read_be(&a->r, 2);
        a->lane = (uint32_t)read_be(&a->r, 3);
        a->ms = read_be(&a->r, 6);
        a->seq = (uint32_t)read_be(&a->r, 4);
    }
}

/* The next item: its kind (0 accepted, 1 to 5 as enqueue.lua says), and its id of 0, 3 and 4. -1: the answer ends too early. */
static int next_item(answer_reader *a, unsigned shard, dq_id *ret)
{
    if (a->left == 0) {
        int kind = a->sealed ? 0 : dq_read_u8(&a->r);

        if (kind > 0)
            return a->r.bad || kind > 5                                                                ? -1
                   : (kind == 3 || kind == 4) && !dq_id_unpack(dq_read_bytes(&a->r, DQ_ID_BYTES), ret) ? -1
                                                                                                       : kind;
        read_run(a);
        if (!run_is_sound(a))
            return -1;
    }
    *ret = (dq_id){.ms = a->ms, .seq = a->seq++, .lane = a->lane, .shard = (uint16_t)shard};
    a->left--;
    return 0;
}

/* "queue 'low' is full" */
static void refuse_by_queue(enq_item *item, int code, const char *what)
{
    dureq_str rest = item->lane->name, queue = dq_str_cut(&rest, '|');
    char msg[sizeof(((dureq_enqueue_result *)0)->msg)];

    (void)snprintf(msg, sizeof msg, "queue '%.*s' %s", (int)DQ_MIN(queue.len, (size_t)64), queue.ptr, what);
    dq_enq_answer(item, code, NULL, msg);
}

static void answer_item(enq_item *item, int kind, const dq_id *id)
{
    switch (kind) {
    case 1: refuse_by_queue(item, DUREQ_ENOTFOUND, "is not defined"); break;
    case 2: refuse_by_queue(item, DUREQ_ELIMIT, "is full"); break;
    case 3: dq_enq_held(item, id); break;
    case 4:
        item->request->results[item->index].existing = true;
        dq_enq_answer(item, 0, id, NULL);
        break;
    case 5:
        dq_enq_answer(item, DUREQ_ELIMIT, NULL,
                      "there are 262143 pairs of queue and task type, and no number is left for another");
        break;
    default:
        if (item->token_len == DQ_TOKEN_BYTES)
            dq_enq_confirm(item, id);
        dq_enq_answer(item, 0, id, NULL);
    }
}

/* In the order of the answer: jobs as they were sent, or lane by lane (a sealed call's). */
static void take_answer(enq_shard *s, enq_call *call, dureq_str answer)
{
    answer_reader a = {.r = dq_reader_of(answer)};
    bool taken[DQ_CALL_JOBS_MAX] = {false};

    a.sealed = dq_read_u8(&a.r) == 'S';
    (void)read_be(&a.r, 6);
    for (size_t done = 0, i = 0; done < call->n; done++) {
        dq_id id = {0};
        int kind = next_item(&a, s->no, &id);

        if (kind < 0) {
            call_failed(s, call, DUREQ_EPROTO, UNREADABLE);
            return;
        }
        if (a.sealed)
            for (i = 0; i < call->n && (taken[i] || call->lane_nos[i] != id.lane); i++)
                ;
        if (i >= call->n)
            continue;
        taken[i] = true;
        if (kind == 0)
            call->lanes[i]->no[s->no] = id.lane;
        if (kind == 1)
            dq_store_refresh_queues(call->producer->client->store);
        enq_item *item = item_out(call, i);
        if (item)
            answer_item(item, kind, &id);
        i++;
    }
    /* Whoever is left was not answered: the lanes of a sealed answer are others than those of the call. */
    call_failed(s, call, DUREQ_EPROTO, UNREADABLE);
}

/* Ids of a fast call from the answers of its XADDs: exact, and in the order of the jobs. */
static void take_entries(enq_shard *s, enq_call *call, dq_reply exec)
{
    dq_reply at = dq_reply_first(exec);

    for (size_t i = 0; i < call->n; i++) {
        dq_id id;
        if (call->large[i]) /* the SET of its payload */
            at = dq_reply_next(at);
        bool ok = dq_id_from_entry(dq_reply_str(at), call->lane_nos[i], (uint16_t)s->no, &id);

        enq_item *item = item_out(call, i);
        if (item)
            dq_enq_answer(item, ok ? 0 : DUREQ_EPROTO, ok ? &id : NULL, "XADD did not answer with an id");
        at = dq_reply_next(at);
    }
    call_drop(s, call);
}

static void fly(enq_shard *s, enq_call *call);

static void go_general(enq_shard *s, enq_call *call)
{
    for (size_t i = 0; i < call->n; i++)
        if (!call->items[i]) { /* its bytes are gone with its caller */
            call_failed(s, call, DUREQ_EUNKNOWN, "the call was refused and cannot be built again");
            return;
        }
    /* A new number: calls behind this one may have been accepted meanwhile, and a lower number counts as a repeat. */
    call->number = s->next_number++;
    dq_list_remove(&call->link);
    dq_list_push_back(&s->flying, &call->link);
    dq_buf_clear(&call->bytes);
    call->fast = false;
    put_general(call, dq_client_keys(call->producer->client));
    fly(s, call);
}

static void on_general(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    enq_call *call = userdata;
    enq_shard *s = &call->producer->shards[call->shard];

    if (code >= 0 && !s->token[0] && !s->asks_token) /* when it was time to ask there was no memory to */
        dq_enq_ask_token(s);
    if (code == DUREQ_EUNAVAILABLE || code == DUREQ_ECLOSED)
        call->lost = true;
    else if (code < 0)
        call_failed(s, call, code, err->msg);
    else
        take_answer(s, call, dq_reply_str(*reply));
    dq_loop_defer(s->producer->client->loop, &s->producer->send);
}

static void on_fast(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    enq_call *call = userdata;
    enq_shard *s = &call->producer->shards[call->shard];
    dureq_error why;
    dq_reply seal;

    dq_loop_defer(s->producer->client->loop, &s->producer->send);
    if (code == DUREQ_EUNAVAILABLE || code == DUREQ_ECLOSED) {
        call->lost = true;
        return;
    }
    if (code < 0 || dq_reply_len(*reply) != call->n_executed) {
        (void)err;
        go_general(s, call); /* EXECABORT: not executed; the general call says why in its own words */
        return;
    }
    seal = dq_reply_at(*reply, call->n_executed - 1);
    dureq_str answer = dq_reply_str(seal);
    code = dq_reply_error(seal, &why);
    if (code < 0) {
        call_failed(s, call, code, why.msg);
    } else if (answer.len == 0) {
        dq_enq_ask_token(s);
        go_general(s, call);
    } else if (answer.ptr[0] == 'N') {
        take_entries(s, call, *reply);
    } else {
        take_answer(s, call, answer);
    }
}

/* ---- sending ---- */

static void fly(enq_shard *s, enq_call *call)
{
    dq_store *store = call->producer->client->store;
    int rc;

    if (dq_buf_failed(&call->bytes)) {
        call_failed(s, call, DUREQ_ENOMEM, "out of memory");
        return;
    }
    call->lost = false;
    if (call->fast) {
        dq_redis *r = dq_store_redis(store, s->no, DQ_CONN_MAIN);

        dq_buf_append_buf(dq_redis_out(r), &call->bytes);
        rc = dq_redis_commit_many(r, 0, call->n_executed + 2, on_fast, call);
    } else {
        rc = dq_store_send(store, s->no, 0, dq_buf_str(&call->bytes), on_general, call);
    }
    if (rc == DUREQ_EUNAVAILABLE)
        call->lost = true;
    else if (rc < 0)
        call_failed(s, call, rc, dureq_errcode_text(rc));
}

static bool token_holds(const enq_shard *s)
{
    return s->token[0] && dq_store_queue_reads(s->producer->client->store) >= s->token_reads;
}

static bool may_be_fast(const enq_shard *s, const enq_item *item)
{
    return (item->kind == ENQ_READY || item->large) && item->lane->plain && item->lane->no[s->no] > 0;
}

/* Takes what fits into one call from the front of the queue. */
static enq_call *collect(enq_shard *s)
{
    enq_call *call = dq_calloc(1, sizeof *call);
    int64_t now_us = dq_mono_us();
    size_t bytes = 0;
    bool fast = token_holds(s);

    if (!call)
        return NULL;
    call->producer = s->producer;
    call->shard = s->no;
    while (call->n < DQ_CALL_JOBS_MAX && !dq_list_empty(&s->waiting)) {
        enq_item *item = dq_container_of(s->waiting.next, enq_item, link);

        bool still_fast = fast && may_be_fast(s, item);

        if (call->n > 0 && bytes + item->len > (still_fast ? DQ_FAST_BYTES_MAX : DQ_CALL_BYTES_MAX))
            break;
        dq_list_remove(&item->link);
        if (item->reserved_us && now_us - item->reserved_us > DQ_RESERVE_FIRST_US) {
            dq_enq_reserve(s->producer, item);
            continue;
        }
        if (item->reserved_us && (!call->reserved_us || item->reserved_us < call->reserved_us))
            call->reserved_us = item->reserved_us;
        bytes += item->len;
        fast = still_fast;
        item->call = call;
        item->call_slot = call->n;
        call->lanes[call->n] = item->lane;
        call->items[call->n++] = item;
    }
    call->fast = fast;
    return call;
}

static void refuse_waiting(enq_shard *s)
{
    while (!dq_list_empty(&s->waiting))
        dq_enq_answer(dq_container_of(dq_list_pop_front(&s->waiting), enq_item, link), DUREQ_ENOMEM, NULL, "out of memory");
}

void dq_enq_send(enq_shard *s)
{
    dureq_client *c = s->producer->client;

    while (dq_store_is_up(c->store) && s->n_flying < DQ_CALLS_FLYING && !dq_list_empty(&s->waiting)) {
        enq_call *call = collect(s);

        if (!call) { /* nothing may ever come that tries again */
            refuse_waiting(s);
            return;
        }
        if (call->n == 0) {
            dq_free(call);
            continue;
        }
        call->number = s->next_number++;
        call->first_sent_us = dq_mono_us();
        if (call->fast)
            put_fast(call, dq_client_keys(c), s->token);
        else
            put_general(call, dq_client_keys(c));
        dq_list_push_back(&s->flying, &call->link);
        s->n_flying++;
        fly(s, call);
        s->producer->current = (s->producer->current + 1) % s->producer->n_shards;
    }
}

/* A fast call names lanes by numbers, which another server may have given to others: its general form, under the same number. */
static bool by_name(enq_shard *s, enq_call *call)
{
    for (size_t i = 0; i < call->n; i++)
        if (!call->items[i]) {
            call_failed(s, call, DUREQ_EUNKNOWN, "its answer was lost and the call cannot be built again");
            return false;
        }
    call->fast = false;
    dq_buf_clear(&call->bytes);
    put_general(call, dq_client_keys(call->producer->client));
    return true;
}

/* Oldest first: a number that comes behind a higher one would be taken for a repeat. */
void dq_enq_resend(enq_shard *s, bool same_server)
{
    dq_list again;

    dq_list_init(&again);
    dq_list_splice_back(&again, &s->flying);
    while (!dq_list_empty(&again)) {
        enq_call *call = dq_container_of(dq_list_pop_front(&again), enq_call, link);

        dq_list_push_back(&s->flying, &call->link);
        if (!call->lost)
            continue;
        if (call->fast && !same_server && !by_name(s, call))
            continue;
        if (dq_mono_us() - call->first_sent_us > REPEAT_LIMIT_US ||
            (call->reserved_us && dq_mono_us() - call->reserved_us > DQ_RESERVE_AGAIN_US))
            call_failed(s, call, DUREQ_EUNKNOWN, "the connection was lost for too long to know what became of the call");
        else
            fly(s, call);
    }
}
