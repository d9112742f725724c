/* SPDX-License-Identifier: Apache-2.0 */
#include "client/event_cursor.h"

#define TOKEN_VERSION 1

int dq_event_cursor_init(dq_event_cursor *c, unsigned n_shards)
{
    *c = (dq_event_cursor){.n_shards = n_shards, .at = dq_calloc(n_shards, sizeof *c->at)};
    return c->at ? 0 : DUREQ_ENOMEM;
}

int dq_event_cursor_dup(const dq_event_cursor *c, dq_event_cursor *ret)
{
    dq_event_place *at = dq_calloc(c->n_shards, sizeof *at);

    if (!at)
        return DUREQ_ENOMEM;
    memcpy(at, c->at, c->n_shards * sizeof *at);
    *ret = *c;
    ret->at = at;
    return 0;
}

void dq_event_cursor_deinit(dq_event_cursor *c)
{
    dq_free(c->at);
    *c = (dq_event_cursor){0};
}

int dq_event_place_cmp(dq_event_place a, dq_event_place b)
{
    if (a.ms != b.ms)
        return a.ms < b.ms ? -1 : 1;
    return a.seq == b.seq ? 0 : a.seq < b.seq ? -1 : 1;
}

bool dq_event_cursor_has(const dq_event_cursor *c, unsigned shard, dq_event_place entry, uint32_t index)
{
    if (dq_event_place_cmp(entry, c->at[shard]) <= 0)
        return true;
    return c->part > index && c->part_shard == shard && c->part_of.ms == entry.ms && c->part_of.seq == entry.seq;
}

/* ---- tokens: version u8, n of shards, the latest ms, then of each shard 0 or 1 + how many ms it is before that, and its sequence; then the entry
   that was read in part: 0, or how many events, its shard, ms and sequence. Varints. ---- */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void put_text(dq_buf *out, dureq_str bytes)
{
    uint32_t held = 0, n_bits = 0;

    for (size_t i = 0; i < bytes.len; i++) {
        held = (held & 0xff) << 8 | (unsigned char)bytes.ptr[i];
        for (n_bits += 8; n_bits >= 6; n_bits -= 6)
            dq_buf_append_char(out, digits[held >> (n_bits - 6) & 63]);
    }
    if (n_bits)
        dq_buf_append_char(out, digits[held << (6 - n_bits) & 63]);
}

static int get_bytes(dureq_str text, dq_buf *out)
{
    uint32_t held = 0, n_bits = 0;

    for (size_t i = 0; i < text.len; i++) {
        const char *at = text.ptr[i] ? strchr(digits, text.ptr[i]) : NULL;

        if (!at)
            return DUREQ_EINVAL;
        held = (held & 0xfff) << 6 | (uint32_t)(at - digits);
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            dq_buf_append_char(out, (char)(held >> n_bits));
        }
    }
    return n_bits < 6 && (held & ((1u << n_bits) - 1)) == 0 ? 0 : DUREQ_EINVAL;
}

void dq_event_token_put(dq_buf *out, const dq_event_cursor *c)
{
    DQ_BUF_AUTO bytes = {0};
    uint64_t latest = 0;

    for (unsigned s = 0; s < c->n_shards; s++)
        latest = DQ_MAX(latest, c->at[s].ms);
    dq_buf_append_char(&bytes, TOKEN_VERSION);
    dq_buf_append_varint(&bytes, c->n_shards);
    dq_buf_append_varint(&bytes, latest);
    for (unsigned s = 0; s < c->n_shards; s++) {
        bool is_some = c->at[s].ms != 0;

        dq_buf_append_varint(&bytes, is_some ? 1 + latest - c->at[s].ms : 0);
        if (is_some)
            dq_buf_append_varint(&bytes, c->at[s].seq);
    }
    dq_buf_append_varint(&bytes, c->part);
    if (c->part) {
        dq_buf_append_varint(&bytes, c->part_shard);
        dq_buf_append_varint(&bytes, c->part_of.ms);
        dq_buf_append_varint(&bytes, c->part_of.seq);
    }
    put_text(out, dq_buf_str(&bytes));
    if (dq_buf_failed(&bytes))
        out->failed = true;
}

static bool read_places(dq_reader *r, dq_event_cursor *c)
{
    uint64_t latest = dq_read_varint(r), part, shard = 0;

    for (unsigned s = 0; s < c->n_shards; s++) {
        uint64_t before = dq_read_varint(r);

        if (before > latest)
            return false;
        if (before > 0)
            c->at[s] = (dq_event_place){.ms = latest - (before - 1), .seq = dq_read_varint(r)};
    }
    part = dq_read_varint(r);
    if (part) {
        shard = dq_read_varint(r);
        c->part_of.ms = dq_read_varint(r);
        c->part_of.seq = dq_read_varint(r);
    }
    c->part = (uint32_t)part;
    c->part_shard = (unsigned)shard;
    return !r->bad && r->p == r->end && part <= UINT32_MAX && shard < c->n_shards;
}

int dq_event_token_parse(dureq_str text, dq_event_cursor *ret, dureq_error *err)
{
    DQ_BUF_AUTO bytes = {0};
    bool is_good = text.len <= DQ_EVENT_TOKEN_MAX && get_bytes(text, &bytes) == 0;
    dq_reader r = dq_reader_of(dq_buf_str(&bytes));

    if (dq_buf_failed(&bytes))
        return dq_fail_nomem(err);
    is_good = is_good && dq_read_u8(&r) == TOKEN_VERSION && dq_read_varint(&r) == ret->n_shards && read_places(&r, ret);
    if (!is_good)
        return dq_fail(err, DUREQ_EINVAL, "this is no position that the event stream of this deployment gave");
    return 0;
}
