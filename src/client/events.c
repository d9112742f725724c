/* SPDX-License-Identifier: Apache-2.0 */
/* What happened to a job or a schedule, from the event stream of its shard. Any thread; blocking. */

#include "client/events.h"

#include "client/audit.h"
#include "client/client_internal.h"
#include "json/json.h"
#include "model/schedule.h"

/* The kinds of entries of `ev` (the scripts write them; docs/redis-keys.md "Events"). */
static const char *event_name(char kind, char part)
{
    switch (kind) {
    case 'E':
    case 'A': return "job.enqueued";
    case 'C': return "job.completed";
    case 'S': return "job.started";
    case 'X': return "job.cancelled";
    case 'R': return "job.ready";
    case 'B': return "job.returned";
    case 'K': return "job.dead";
    case 'M': return "job.moved";
    case 'U': return "job.updated";
    case 'O':
        switch (part) {
        case 'c':
        case 'n': return "job.completed";
        case 'd': return "job.dead";
        case 'r': return "job.retrying";
        case 'p': return "job.paused";
        case 'f': return "job.repeated";
        default: return NULL;
        }
    default: return NULL;
    }
}

/* 'H': what a schedule did, and what was done with it (the first three are a dq_record_kind). */
static const char *schedule_event_name(unsigned what)
{
    static const char *const names[] = {"schedule.fired",   "schedule.skipped",   "schedule.held",
                                        "schedule.created", "schedule.updated",   "schedule.paused",
                                        "schedule.resumed", "schedule.completed", "schedule.removed"};

    return what >= 1 && what <= DQ_ARRAY_LEN(names) ? names[what - 1] : NULL;
}

static bool ids_contain(dureq_str ids, const unsigned char id[DQ_ID_BYTES])
{
    for (size_t at = 0; at + DQ_ID_BYTES <= ids.len; at += DQ_ID_BYTES)
        if (memcmp(ids.ptr + at, id, DQ_ID_BYTES) == 0)
            return true;
    return false;
}

/* Runs of enqueued ids: after the header, lane I3 ms I6 seq I4 n I2 ('E'), or 0 n I2 lane I3 ms I6 seq I4 and refusals ('A'). */
static bool runs_contain(dureq_str e, const dq_id *id)
{
    dq_reader r = dq_reader_of(e);
    bool sealed = dq_read_u8(&r) == 'E';

    (void)dq_read_be(&r, 6);
    while (r.p < r.end && !r.bad) {
        uint8_t refusal = sealed ? 0 : dq_read_u8(&r);

        if (refusal != 0) {
            if (refusal >= 3)
                (void)dq_read_bytes(&r, DQ_ID_BYTES);
            continue;
        }
        uint64_t n = sealed ? 0 : dq_read_be(&r, 2);
        uint64_t lane = dq_read_be(&r, 3), ms = dq_read_be(&r, 6), seq = dq_read_be(&r, 4);
        if (sealed)
            n = dq_read_be(&r, 2);
        if (!r.bad && lane == id->lane && ms == id->ms && id->seq >= seq && id->seq < seq + n)
            return true;
    }
    return false;
}

/* 'O': now I6 session I6, then parts: kind, n I2, ids. Returns the kind of the part with the id, 0 when none. */
static char part_with(dureq_str e, const unsigned char id[DQ_ID_BYTES])
{
    dq_reader r = dq_reader_of(e);

    (void)dq_read_bytes(&r, 13);
    while (r.p < r.end && !r.bad) {
        char kind = (char)dq_read_u8(&r);
        size_t n = (size_t)dq_read_be(&r, 2);
        dureq_str ids = dq_read_bytes(&r, n * DQ_ID_BYTES);

        if (!r.bad && ids_contain(ids, id))
            return kind;
    }
    return 0;
}

/* One of an entry 'H': after the header what u8, reason u8, schedule 13, first I5, then its job 13, or last I5, n I4 and four zeros. */
typedef struct schedule_item {
    unsigned what, reason;
    dureq_str schedule, job; /* job: of what was fired */
    int64_t first, last, n;  /* occurrences: s; n 0: 10,000 or more */
} schedule_item;

static bool next_schedule_item(dq_reader *r, schedule_item *ret)
{
    dq_reader rest;

    *ret = (schedule_item){.what = dq_read_u8(r)};
    ret->reason = dq_read_u8(r);
    ret->schedule = dq_read_bytes(r, DQ_ID_BYTES);
    ret->first = (int64_t)dq_read_be(r, 5);
    ret->job = dq_read_bytes(r, DQ_ID_BYTES);
    if (r->bad)
        return false;
    rest = dq_reader_of(ret->job);
    if (ret->what == DQ_RECORD_FIRED) {
        ret->last = ret->first;
        ret->n = 1;
    } else {
        ret->last = (int64_t)dq_read_be(&rest, 5);
        ret->n = (int64_t)dq_read_be(&rest, 4);
        ret->job = (dureq_str){0};
    }
    return true;
}

static dq_reader schedule_items(dureq_str e)
{
    dq_reader r = dq_reader_of(e);

    (void)dq_read_bytes(&r, 7);
    return r;
}

static bool schedules_contain(dureq_str e, const unsigned char id[DQ_ID_BYTES])
{
    dq_reader r = schedule_items(e);
    schedule_item item;

    while (r.p < r.end && next_schedule_item(&r, &item))
        if (dq_str_eq(item.schedule, dureq_str_of(id, DQ_ID_BYTES)))
            return true;
    return false;
}

static const char *event_of(dureq_str e, const dq_id *id, const unsigned char packed[DQ_ID_BYTES])
{
    size_t head;

    if (e.len < 7)
        return NULL;
    switch (e.ptr[0]) {
    case 'H': return schedules_contain(e, packed) ? "schedule." : NULL; /* put_schedule_events names each */
    case 'E':
    case 'A': return runs_contain(e, id) ? event_name(e.ptr[0], 0) : NULL;
    case 'O': return event_name('O', part_with(e, packed));
    case 'M': head = 8; break;
    case 'C':
    case 'S':
    case 'B': head = 13; break;
    case 'X':
    case 'R':
    case 'K':
    case 'U': head = 7; break;
    default: return NULL;
    }
    return e.len >= head && ids_contain(dureq_str_of(e.ptr + head, e.len - head), packed) ? event_name(e.ptr[0], 0) : NULL;
}

static void put_event(dq_json_writer *w, dureq_str e, const char *name)
{
    dq_reader r = dq_reader_of(e);

    (void)dq_read_u8(&r);
    dq_json_begin_object(w);
    dq_json_set_rfc3339(w, "at", (int64_t)dq_read_be(&r, 6));
    dq_json_set_text(w, "type", name);
    dq_json_end_object(w);
}

static void put_schedule_item(dq_json_writer *w, int64_t at_ms, const schedule_item *item)
{
    const char *name = schedule_event_name(item->what);
    dureq_job_id job;
    dq_id id;

    if (!name)
        return;
    dq_json_begin_object(w);
    dq_json_set_rfc3339(w, "at", at_ms);
    dq_json_set_text(w, "type", name);
    if (item->reason)
        dq_json_set_text(w, "reason", dq_schedule_reason(item->reason));
    if (item->first)
        dq_json_set_rfc3339(w, "scheduled_at", item->first * 1000);
    if (item->last > item->first)
        dq_json_set_rfc3339(w, "until", item->last * 1000);
    if (item->what == DQ_RECORD_SKIPPED && item->n)
        dq_json_set_i64(w, "count", item->n);
    if (item->job.len && dq_id_unpack(item->job, &id)) {
        dq_id_to_text(&id, &job);
        dq_json_set_text(w, "job_id", job.text);
    }
    dq_json_end_object(w);
}

/* Those of one schedule, in the order in which they happened. */
static void put_schedule_events(dq_json_writer *w, dureq_str e, const unsigned char *packed)
{
    dq_reader head = dq_reader_of(e), r = schedule_items(e);
    schedule_item item;
    int64_t at_ms;

    (void)dq_read_u8(&head);
    at_ms = (int64_t)dq_read_be(&head, 6);
    while (r.p < r.end && next_schedule_item(&r, &item))
        if (dq_str_eq(item.schedule, dureq_str_of(packed, DQ_ID_BYTES)))
            put_schedule_item(w, at_ms, &item);
}

/* The stream's entries come newest first. */
static int put_events(dq_reply entries, const dq_id *id, const unsigned char *packed, dq_buf *ret, dureq_error *err)
{
    dq_reply_items items = dq_reply_items_of(entries);
    size_t n_kept = 0;
    dureq_str *kept = dq_calloc(items.left + 1, sizeof *kept);
    dq_json_writer w = dq_json_writer_of(ret);
    dq_reply entry;

    if (!kept)
        return dq_fail_nomem(err);
    while (dq_reply_items_next(&items, &entry)) {
        dureq_str e = dq_reply_str(dq_reply_at(dq_reply_at(entry, 1), 1));

        if (event_of(e, id, packed))
            kept[n_kept++] = e;
    }
    dq_json_begin_array(&w);
    while (n_kept-- > 0) {
        if (kept[n_kept].ptr[0] == 'H')
            put_schedule_events(&w, kept[n_kept], packed);
        else
            put_event(&w, kept[n_kept], event_of(kept[n_kept], id, packed));
    }
    dq_json_end_array(&w);
    dq_free(kept);
    return dq_buf_finish(ret, err);
}

int dq_client_job_events(dureq_client *c, const char *id_text, int scan, dq_buf *ret, dureq_error *err)
{
    unsigned char packed[DQ_ID_BYTES];
    dq_owned_reply reply;
    dq_id id;
    int rc;

    rc = dq_parse_job_id(id_text, c, &id, packed, err);
    if (rc < 0)
        return rc;
    dq_client_enter(c);
    rc = dq_client_newest(c, id.shard, "ev", scan, &reply, err);
    dq_client_leave(c);
    if (rc < 0)
        return rc;
    rc = put_events(reply.reply, &id, packed, ret, err);
    dq_owned_reply_deinit(&reply);
    return rc;
}
