/* SPDX-License-Identifier: Apache-2.0 */
/* What the API layer asks beyond the public header: days, the server's INFO, audit, a job's events. */

#include "client/extra.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "client/client_internal.h"
#include "json/json.h"
#include "store/plain_calls.h"

#define DAY_MS 86400000LL

static void add_days(dq_day_stats *days, int n, dq_reply r)
{
    dq_reply row = dq_reply_first(r);

    for (int i = 0; i < n && (size_t)i < dq_reply_len(r); i++) {
        dq_reply_add(dq_reply_at(row, 0), &days[i].enqueued);
        dq_reply_add(dq_reply_at(row, 1), &days[i].completed);
        dq_reply_add(dq_reply_at(row, 2), &days[i].failed);
        dq_reply_add(dq_reply_at(row, 3), &days[i].dead);
        dq_reply_add(dq_reply_at(row, 4), &days[i].cancelled);
        row = dq_reply_next(row);
    }
}

int dq_client_days(dureq_client *c, int n, dq_day_stats *ret, dureq_error *err)
{
    int64_t last = dq_wall_ms() / DAY_MS, first = last - n + 1;
    int rc = 0;

    if (n < 1 || n > 400)
        return dq_fail(err, DUREQ_EINVAL, "days takes 1 to 400");
    memset(ret, 0, (size_t)n * sizeof *ret);
    for (int i = 0; i < n; i++) {
        char text[DQ_RFC3339_TEXT_MAX];

        (void)dq_format_rfc3339_ms((first + i) * DAY_MS, text);
        memcpy(ret[i].date, text, 10);
    }
    dq_client_enter(c);
    for (unsigned s = 0; rc == 0 && s < dq_client_keys(c)->n_shards; s++) {
        dq_owned_reply reply;
        dq_buf call = {0};

        dq_call_stats_days(&call, dq_client_keys(c), s, first, n);
        rc = dq_client_call(c, s, DQ_CALL_REPEAT, &call, &reply, err);
        if (rc == 0) {
            add_days(ret, n, reply.reply);
            dq_owned_reply_deinit(&reply);
        }
    }
    dq_client_leave(c);
    return rc;
}

int dq_client_redis_info(dureq_client *c, const char *section, dq_buf *ret, dureq_error *err)
{
    dq_owned_reply reply;
    dq_buf bytes = {0};
    int rc;

    dq_plain_info(&bytes, section);
    dq_client_enter(c);
    rc = dq_client_command(c, &bytes, 1, &reply, err);
    dq_client_leave(c);
    if (rc < 0)
        return rc;
    dq_buf_append_str(ret, dq_reply_str(reply.reply));
    dq_owned_reply_deinit(&reply);
    return dq_buf_finish(ret, err);
}

/* ---- audit ---- */

static void put_audit_entry(dq_json_writer *w, dq_reply fields, dureq_str target)
{
    dq_id id;

    dq_json_begin_object(w);
    dq_json_key(w, "at");
    dq_json_put_rfc3339(w, dq_reply_int(dq_reply_lookup(fields, "at")));
    dq_json_key(w, "actor");
    dq_json_put_str(w, dq_reply_str(dq_reply_lookup(fields, "actor")));
    dq_json_key(w, "action");
    dq_json_put_str(w, dq_reply_str(dq_reply_lookup(fields, "action")));
    dq_json_key(w, "target");
    if (dq_id_unpack(target, &id)) {
        dureq_job_id text;

        dq_id_to_text(&id, &text);
        dq_json_put_text(w, text.text);
    } else {
        dq_json_put_str(w, target);
    }
    dq_json_key(w, "detail");
    dq_json_put_str(w, dq_reply_str(dq_reply_lookup(fields, "detail")));
    dq_json_end_object(w);
}

/* Targets that are jobs are kept packed. */
static dureq_str packed_target(dureq_str target, unsigned char packed[DQ_ID_BYTES])
{
    dq_id id;

    if (dq_id_parse(target, &id) < 0)
        return target;
    dq_id_pack(&id, packed);
    return dureq_str_of(packed, DQ_ID_BYTES);
}

static int read_stream(dureq_client *c, unsigned shard, const char *name, int count, dq_owned_reply *ret, dureq_error *err)
{
    dq_buf bytes = {0};

    dq_plain_newest(&bytes, dq_client_keys(c), shard, name, count);
    return dq_client_command(c, &bytes, 1, ret, err);
}

#define AUDIT_SCAN 10000 /* entries of a shard, when one target's are wanted */

/* What one shard knows, newest first, and how far it was told. */
typedef struct audit_shard {
    dq_owned_reply reply;
    dq_reply next;
    size_t left;
    dq_reply fields; /* of the entry whose turn it is */
    dureq_str target;
    int64_t at_ms; /* -1: nothing is left */
} audit_shard;

/* On to the next entry of this target (empty: of any). */
static void audit_step(audit_shard *s, dureq_str wanted)
{
    s->at_ms = -1;
    while (s->left > 0 && s->at_ms < 0) {
        s->fields = dq_reply_at(s->next, 1);
        s->target = dq_reply_str(dq_reply_lookup(s->fields, "target"));
        if (wanted.len == 0 || dq_str_eq(s->target, wanted))
            s->at_ms = DQ_MAX(dq_reply_int(dq_reply_lookup(s->fields, "at")), 0);
        s->left--;
        if (s->left > 0)
            s->next = dq_reply_next(s->next);
    }
}

static int audit_read(dureq_client *c, unsigned shard, dureq_str wanted, int limit, audit_shard *ret, dureq_error *err)
{
    int rc;

    rc = read_stream(c, shard, "au", wanted.len > 0 ? AUDIT_SCAN : limit, &ret->reply, err);
    if (rc < 0)
        return rc;
    ret->left = dq_reply_len(ret->reply.reply);
    ret->next = dq_reply_first(ret->reply.reply);
    audit_step(ret, wanted);
    return 0;
}

static audit_shard *audit_newest(audit_shard *shards, unsigned n)
{
    audit_shard *newest = &shards[0];

    for (unsigned s = 1; s < n; s++)
        if (shards[s].at_ms > newest->at_ms)
            newest = &shards[s];
    return newest->at_ms < 0 ? NULL : newest;
}

static void put_audit(audit_shard *shards, unsigned n, dureq_str wanted, int limit, dq_buf *ret)
{
    dq_json_writer w = dq_json_writer_of(ret);

    dq_json_begin_array(&w);
    for (int i = 0; i < limit; i++) {
        audit_shard *newest = audit_newest(shards, n);

        if (!newest)
            break;
        put_audit_entry(&w, newest->fields, newest->target);
        audit_step(newest, wanted);
    }
    dq_json_end_array(&w);
}

int dq_client_audit(dureq_client *c, dureq_str target, int limit, dq_buf *ret, dureq_error *err)
{
    unsigned char packed[DQ_ID_BYTES];
    dureq_str wanted = packed_target(target, packed);
    unsigned n = 0;
    int rc = 0;

    dq_client_enter(c);
    unsigned n_shards = dq_client_keys(c)->n_shards;
    audit_shard *shards = dq_calloc(n_shards, sizeof *shards);
    if (!shards)
        rc = dq_fail_nomem(err);
    while (rc == 0 && n < n_shards) {
        rc = audit_read(c, n, wanted, limit, &shards[n], err);
        n += rc == 0;
    }
    dq_client_leave(c);
    if (rc == 0)
        put_audit(shards, n_shards, wanted, limit, ret);
    for (unsigned s = 0; s < n; s++)
        dq_owned_reply_deinit(&shards[s].reply);
    dq_free(shards);
    return rc < 0 ? rc : dq_buf_finish(ret, err);
}

/* ---- events ---- */

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

static const char *event_of(dureq_str e, const dq_id *id, const unsigned char packed[DQ_ID_BYTES])
{
    size_t head;

    if (e.len < 7)
        return NULL;
    switch (e.ptr[0]) {
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
    dq_json_key(w, "at");
    dq_json_put_rfc3339(w, (int64_t)dq_read_be(&r, 6));
    dq_json_key(w, "type");
    dq_json_put_text(w, name);
    dq_json_end_object(w);
}

/* The stream's entries come newest first. */
static int put_events(dq_reply entries, const dq_id *id, const unsigned char *packed, dq_buf *ret, dureq_error *err)
{
    size_t n = dq_reply_len(entries), n_kept = 0;
    dureq_str *kept = dq_calloc(n + 1, sizeof *kept);
    dq_json_writer w = dq_json_writer_of(ret);
    dq_reply entry = dq_reply_first(entries);

    if (!kept)
        return dq_fail_nomem(err);
    for (size_t i = 0; i < n; i++) {
        dureq_str e = dq_reply_str(dq_reply_at(dq_reply_at(entry, 1), 1));

        if (event_of(e, id, packed))
            kept[n_kept++] = e;
        if (i + 1 < n)
            entry = dq_reply_next(entry);
    }
    dq_json_begin_array(&w);
    while (n_kept-- > 0)
        put_event(&w, kept[n_kept], event_of(kept[n_kept], id, packed));
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
    rc = read_stream(c, id.shard, "ev", scan, &reply, err);
    dq_client_leave(c);
    if (rc < 0)
        return rc;
    rc = put_events(reply.reply, &id, packed, ret, err);
    dq_owned_reply_deinit(&reply);
    return rc;
}
