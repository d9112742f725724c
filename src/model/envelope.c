/* SPDX-License-Identifier: Apache-2.0 */
/* The envelope `j`: what the producer said of a job, as docs/redis-keys.md draws it. */

#include "json/json.h"
#include "model/job.h"

#define VERSION     1
#define FLAGS_KNOWN ((1u << 17) - 1)
#define TRACE_BYTES 25

static const dureq_str type_json = {"application/json", 16};
static const dureq_str type_text = {"text/plain", 10};
static const dureq_str type_bytes = {"application/octet-stream", 24};

/* The flag for a content type, 0 for plain bytes. */
static uint32_t content_flag(const char *content_type, dureq_str payload)
{
    if (!content_type)
        return payload.len > 0 && dq_json_valid(payload) ? DQ_J_JSON : 0;
    dureq_str t = dureq_str_from(content_type);
    if (dq_str_eq(t, type_json))
        return DQ_J_JSON;
    if (dq_str_eq(t, type_text))
        return DQ_J_TEXT;
    return dq_str_eq(t, type_bytes) ? 0 : DQ_J_CTYPE;
}

static uint32_t flags_of(const dureq_job_spec *spec, const dureq_job_options *o)
{
    uint32_t f = content_flag(o->content_type, spec->payload);

    f |= o->priority ? DQ_J_PRIORITY : 0;
    f |= o->timeout_ms ? DQ_J_TIMEOUT : 0;
    f |= o->schedule_to_start_timeout_ms ? DQ_J_S2S : 0;
    f |= o->heartbeat_timeout_ms ? DQ_J_HEARTBEAT : 0;
    f |= o->dlq_after ? DQ_J_DLQ_AFTER : 0;
    f |= o->retention_ms ? DQ_J_RETENTION : 0;
    f |= o->retry_policy ? DQ_J_RETRY : 0;
    f |= o->unique_key.len ? DQ_J_UNIQUE : 0;
    f |= o->request_id.len ? DQ_J_REQUEST : 0;
    f |= o->n_headers ? DQ_J_HEADERS : 0;
    f |= o->n_tags ? DQ_J_TAGS : 0;
    f |= spec->payload.len > DQ_PAYLOAD_INLINE_MAX ? DQ_J_BLOB : 0;
    return f;
}

static void pack_lists(dq_buf *out, const dureq_job_options *o)
{
    if (o->n_headers) {
        dq_buf_append_varint(out, o->n_headers);
        for (size_t i = 0; i < o->n_headers; i++) {
            dq_buf_append_lstr(out, dureq_str_from(o->headers[i].name));
            dq_buf_append_lstr(out, o->headers[i].value);
        }
    }
    if (o->n_tags) {
        dq_buf_append_varint(out, o->n_tags);
        for (size_t i = 0; i < o->n_tags; i++)
            dq_buf_append_lstr(out, dureq_str_from(o->tags[i]));
    }
}

static void pack_keys(dq_buf *out, const dureq_job_options *o, int unique_shard)
{
    if (o->unique_key.len) {
        unsigned home = (unsigned)(unique_shard + 1);

        dq_buf_append_lstr(out, o->unique_key);
        dq_buf_append_varint(out, (uint64_t)o->unique_for_ms);
        dq_buf_append_char(out, (char)(home >> 8));
        dq_buf_append_char(out, (char)home);
    }
    if (o->request_id.len)
        dq_buf_append_lstr(out, o->request_id);
}

static void pack_limits(dq_buf *out, const dureq_job_options *o)
{
    if (o->priority)
        dq_buf_append_char(out, (char)o->priority);
    if (o->timeout_ms)
        dq_buf_append_varint(out, (uint64_t)o->timeout_ms);
    if (o->schedule_to_start_timeout_ms)
        dq_buf_append_varint(out, (uint64_t)o->schedule_to_start_timeout_ms);
    if (o->heartbeat_timeout_ms)
        dq_buf_append_varint(out, (uint64_t)o->heartbeat_timeout_ms);
    if (o->dlq_after)
        dq_buf_append_varint(out, (uint64_t)o->dlq_after);
    if (o->retention_ms)
        dq_buf_append_varint(out, (uint64_t)dq_retention_class(o->retention_ms));
}

static void pack_retry(dq_buf *out, const dureq_retry_policy *given)
{
    DQ_BUF_AUTO packed = {0};

    dq_retry_pack(&packed, given);
    dq_buf_append_lstr(out, dq_buf_str(&packed));
    out->failed = out->failed || packed.failed;
    if (dq_buf_failed(&packed))
        out->failed = true;
}

#define LATER SIZE_MAX

/* more: of so many bytes, of which the place is returned; 0: none; LATER: it is put in, with its length before it, at the place that is returned. */
static size_t pack(dq_buf *out, const dureq_job_spec *spec, int unique_shard, size_t more)
{
    dureq_job_options o = {0};
    size_t begin = out->len, more_at;

    if (spec->options)
        memcpy(&o, spec->options, DQ_MIN(spec->options->struct_size, sizeof o));
    uint32_t flags = flags_of(spec, &o) | (more ? DQ_J_MORE : 0);

    dq_buf_append_char(out, VERSION);
    dq_buf_append_varint(out, flags);
    if (flags & DQ_J_CTYPE)
        dq_buf_append_lstr(out, dureq_str_from(o.content_type));
    pack_limits(out, &o);
    if (o.retry_policy)
        pack_retry(out, o.retry_policy);
    pack_keys(out, &o, unique_shard);
    pack_lists(out, &o);
    if (more && more != LATER)
        dq_buf_append_varint(out, more);
    more_at = out->len - begin;
    for (size_t i = 0; i < more && more != LATER; i++)
        dq_buf_append_char(out, 0);
    if (flags & DQ_J_BLOB)
        dq_buf_append_varint(out, spec->payload.len);
    else
        dq_buf_append_str(out, spec->payload);
    return more_at;
}

void dq_envelope_pack(dq_buf *out, const dureq_job_spec *spec, int unique_shard)
{
    (void)pack(out, spec, unique_shard, 0);
}

size_t dq_envelope_pack_template(dq_buf *out, const dureq_job_spec *spec)
{
    return pack(out, spec, -1, DQ_MORE_SCHEDULE_BYTES);
}

size_t dq_envelope_pack_task(dq_buf *out, const dureq_job_spec *spec)
{
    return pack(out, spec, -1, LATER);
}

uint32_t dq_envelope_flags(dureq_str packed)
{
    dq_reader r = dq_reader_of(packed);

    (void)dq_read_u8(&r); /* the version */
    uint64_t flags = dq_read_varint(&r);
    return r.bad ? 0 : (uint32_t)flags;
}

/* A packed list as a view of its strings, `width` an item; the count before them is checked and left out. */
static dureq_str read_list(dq_reader *r, int width)
{
    uint64_t n = dq_read_varint(r);
    const unsigned char *start = r->p;

    for (uint64_t i = 0; i < n && !r->bad; i++)
        for (int w = 0; w < width; w++)
            (void)dq_read_lstr(r);
    return r->bad ? (dureq_str){0} : dureq_str_of(start, (size_t)(r->p - start));
}

static void read_limits(dq_reader *r, dq_envelope *e)
{
    if (e->flags & DQ_J_CTYPE)
        e->content_type = dq_read_lstr(r);
    if (e->flags & DQ_J_PRIORITY)
        e->priority = dq_read_u8(r);
    if (e->flags & DQ_J_TIMEOUT)
        e->timeout_ms = (int64_t)dq_read_varint(r);
    if (e->flags & DQ_J_S2S)
        e->s2s_ms = (int64_t)dq_read_varint(r);
    if (e->flags & DQ_J_HEARTBEAT)
        e->heartbeat_ms = (int64_t)dq_read_varint(r);
    if (e->flags & DQ_J_DLQ_AFTER)
        e->dlq_after = (int32_t)dq_read_varint(r);
    if (e->flags & DQ_J_RETENTION)
        e->retention_ms = (int64_t)dq_read_varint(r);
}

static void read_more(dq_envelope *e)
{
    dq_reader r = dq_reader_of(e->more);
    uint8_t kind = dq_read_u8(&r);

    if (kind == DQ_MORE_SCHEDULE && e->more.len == DQ_MORE_SCHEDULE_BYTES) {
        e->schedule_id = dq_read_bytes(&r, DQ_ID_BYTES);
        e->scheduled_at = (int64_t)dq_read_be(&r, 6);
        e->flags |= dq_read_u8(&r) & 1 ? DQ_J_TRACKED : 0;
    } else if (kind == DQ_MORE_TASK && e->more.len >= DQ_MORE_TASK_BYTES) {
        e->workflow_id = dq_read_bytes(&r, DQ_ID_BYTES);
        (void)dq_read_be(&r, 2); /* its incarnation */
        e->workflow_task = (uint32_t)dq_read_be(&r, 3);
        e->result_is_wanted = dq_read_u8(&r) & DQ_MORE_TASK_WANTED;
        e->flags |= DQ_J_TASK;
    } else if (kind == DQ_MORE_ITEM && e->more.len >= DQ_MORE_ITEM_BYTES) {
        e->batch_id = dq_read_bytes(&r, DQ_ID_BYTES);
        (void)dq_read_be(&r, 6); /* epoch, number */
        e->batch_item = dq_read_rest(&r);
        e->result_is_wanted = true;
        e->flags |= DQ_J_ITEM;
    }
}

static void read_parts(dq_reader *r, dq_envelope *e)
{
    if (e->flags & DQ_J_RETRY)
        e->retry = dq_read_lstr(r);
    if (e->flags & DQ_J_UNIQUE) {
        unsigned home;

        e->unique_key = dq_read_lstr(r);
        e->unique_for_ms = (int64_t)dq_read_varint(r);
        home = (unsigned)dq_read_u8(r) << 8;
        home |= dq_read_u8(r);
        e->unique_shard = (int)home - 1;
    }
    if (e->flags & DQ_J_REQUEST)
        e->request_id = dq_read_lstr(r);
    if (e->flags & DQ_J_HEADERS)
        e->headers = read_list(r, 2);
    if (e->flags & DQ_J_TAGS)
        e->tags = read_list(r, 1);
    if (e->flags & DQ_J_TRACE)
        e->trace = dq_read_bytes(r, TRACE_BYTES);
    if (e->flags & DQ_J_MORE)
        e->more = dq_read_lstr(r);
    if (e->flags & DQ_J_BLOB)
        e->blob_len = dq_read_varint(r);
}

int dq_envelope_unpack(dureq_str j, dq_envelope *ret)
{
    dq_reader r = dq_reader_of(j);

    if (j.len > 0 && j.ptr[0] != VERSION)
        return DUREQ_ESCHEMA;
    (void)dq_read_u8(&r);
    memset(ret, 0, sizeof *ret);
    ret->unique_shard = -1;
    uint64_t flags = dq_read_varint(&r);
    if (flags & ~(uint64_t)FLAGS_KNOWN)
        return DUREQ_ESCHEMA;
    ret->flags = (uint32_t)flags;
    ret->content_type = flags & DQ_J_JSON ? type_json : flags & DQ_J_TEXT ? type_text : type_bytes;
    if (flags & ~(uint64_t)(DQ_J_JSON | DQ_J_TEXT)) {
        read_limits(&r, ret);
        read_parts(&r, ret);
        read_more(ret);
    }
    if (r.bad || ret->timeout_ms < 0 || ret->s2s_ms < 0 || ret->heartbeat_ms < 0 || ret->retention_ms < 0 ||
        ret->unique_for_ms < 0 || ret->dlq_after < 0)
        return DUREQ_EPROTO;
    ret->payload = dq_read_rest(&r);
    return 0;
}

int dq_envelope_repack(dq_buf *out, dureq_str j, dureq_str payload, const char *content_type)
{
    const uint32_t replaced = DQ_J_JSON | DQ_J_TEXT | DQ_J_CTYPE | DQ_J_BLOB;
    dq_reader r = dq_reader_of(j);
    dq_envelope e;
    int rc;

    rc = dq_envelope_unpack(j, &e);
    if (rc < 0)
        return rc;
    bool blob = payload.len > DQ_PAYLOAD_INLINE_MAX;
    uint32_t flags = (e.flags & ~(replaced | DQ_J_TRACKED | DQ_J_TASK | DQ_J_ITEM)) | content_flag(content_type, payload) |
                     (blob ? DQ_J_BLOB : 0);

    /* What lies between content type and payload is copied as it is. */
    (void)dq_read_u8(&r);
    (void)dq_read_varint(&r);
    if (e.flags & DQ_J_CTYPE)
        (void)dq_read_lstr(&r);
    const unsigned char *from = r.p;
    e.flags &= ~(uint32_t)DQ_J_CTYPE;
    read_limits(&r, &e);
    e.flags &= ~(uint32_t)DQ_J_BLOB;
    read_parts(&r, &e);

    dq_buf_append_char(out, VERSION);
    dq_buf_append_varint(out, flags);
    if (flags & DQ_J_CTYPE)
        dq_buf_append_lstr(out, dureq_str_from(content_type));
    dq_buf_append(out, from, (size_t)(r.p - from));
    if (blob)
        dq_buf_append_varint(out, payload.len);
    else
        dq_buf_append_str(out, payload);
    return dq_buf_failed(out) ? DUREQ_ENOMEM : 0;
}

static bool next_lstr(dureq_str *rest, dureq_str *ret)
{
    dq_reader r = dq_reader_of(*rest);

    if (rest->len == 0)
        return false;
    *ret = dq_read_lstr(&r);
    if (r.bad)
        return false;
    *rest = dq_read_rest(&r);
    return true;
}

bool dq_headers_next(dureq_str *rest, dureq_str *ret_name, dureq_str *ret_value)
{
    return next_lstr(rest, ret_name) && next_lstr(rest, ret_value);
}

bool dq_tags_next(dureq_str *rest, dureq_str *ret_tag)
{
    return next_lstr(rest, ret_tag);
}
