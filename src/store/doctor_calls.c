/* SPDX-License-Identifier: Apache-2.0 */
#include "store/doctor_calls.h"

#include <stdio.h>

#include "model/place.h"
#include "store/core.h"

static const struct {
    const char *text, *meaning;
} kinds[] = {
#define X(name, text, meaning) [DQ_FAULT_##name] = {text, meaning},
    DQ_FAULT_MAP(X)
#undef X
};

const char *dq_fault_kind_to_str(dq_fault_kind kind)
{
    return (size_t)kind < DQ_ARRAY_LEN(kinds) ? kinds[kind].text : "?";
}

const char *dq_fault_kind_meaning(dq_fault_kind kind)
{
    return (size_t)kind < DQ_ARRAY_LEN(kinds) ? kinds[kind].meaning : "?";
}

int dq_fault_kind_parse(dureq_str text, dq_fault_kind *ret)
{
    for (size_t i = 0; i < DQ_ARRAY_LEN(kinds); i++)
        if (dq_str_eq_text(text, kinds[i].text)) {
            *ret = (dq_fault_kind)i;
            return 0;
        }
    return DUREQ_EINVAL;
}

/* ---- answers ---- */

static int add_tallies(dq_reply list, dq_tally *tally)
{
    static const struct {
        const char *text;
        size_t offset;
    } members[] = {
#define X(member, text) {text, offsetof(dq_tally, member)},
        DQ_TALLY_MAP(X)
#undef X
    };
    size_t n = dq_reply_len(list);
    dq_reply at;

    if (dq_reply_type(list) != DQ_RESP_ARRAY || n % 2 != 0)
        return DUREQ_EPROTO;
    at = n ? dq_reply_first(list) : list;
    for (size_t i = 0; i < n && tally; i += 2) {
        dq_reply value = dq_reply_next(at);

        for (size_t m = 0; m < DQ_ARRAY_LEN(members); m++)
            if (dq_str_eq_text(dq_reply_str(at), members[m].text))
                dq_reply_add(value, (int64_t *)((char *)tally + members[m].offset));
        at = i + 2 < n ? dq_reply_next(value) : value;
    }
    return 0;
}

int dq_doctor_step_decode(dq_reply r, dq_doctor_step *ret, dq_tally *tally)
{
    if (dq_reply_type(r) != DQ_RESP_ARRAY || dq_reply_len(r) != 4)
        return DUREQ_EPROTO;
    dq_reply cursor = dq_reply_first(r), counts = dq_reply_next(cursor);
    int rc = add_tallies(counts, tally);

    if (rc < 0)
        return rc;
    ret->cursor = dq_reply_str(cursor);
    ret->faults = dq_reply_next(counts);
    ret->more = dq_reply_next(ret->faults);
    if (dq_reply_type(ret->faults) != DQ_RESP_ARRAY || dq_reply_type(ret->more) != DQ_RESP_ARRAY)
        return DUREQ_EPROTO;
    ret->n_faults = dq_reply_len(ret->faults);
    ret->n_more = dq_reply_len(ret->more);
    return 0;
}

int dq_doctor_fault_decode(dq_reply fault, dq_fault_view *ret)
{
    dq_reply f[6];

    if (dq_reply_type(fault) != DQ_RESP_ARRAY || dq_reply_len(fault) != DQ_ARRAY_LEN(f))
        return DUREQ_EPROTO;
    f[0] = dq_reply_first(fault);
    for (size_t i = 1; i < DQ_ARRAY_LEN(f); i++)
        f[i] = dq_reply_next(f[i - 1]);
    if (dq_fault_kind_parse(dq_reply_str(f[0]), &ret->kind) < 0)
        return DUREQ_EPROTO;
    ret->key = dq_reply_str(f[1]);
    ret->id = dq_reply_str(f[2]);
    ret->text = dq_reply_str(f[3]);
    ret->repairable = dq_reply_int(f[4]) != 0;
    ret->repaired = dq_reply_int(f[5]) != 0;
    return 0;
}

/* How the elements of each kind go on after the letter: s text, n number. */
static const char *shape_of(dq_doctor_more_kind kind)
{
    switch (kind) {
    case DQ_MORE_WALK:
    case DQ_MORE_PART:
    case DQ_MORE_UNLISTED: return "s";
    case DQ_MORE_FOREIGN: return "sns";
    case DQ_MORE_LOST: return "ssn";
    case DQ_MORE_RELEASE:
    case DQ_MORE_HOME: return "ss";
    case DQ_MORE_LANES: return "n";
    case DQ_MORE_BUCKET: return "sn";
    case DQ_MORE_NUMBERS: return "nnn";
    case DQ_MORE_ROWS: return "snnn";
    case DQ_MORE_ORDER: return "sn";
    case DQ_MORE_YES: return "";
    }
    return NULL;
}

int dq_doctor_more_decode(dq_reply r, dq_doctor_more *ret)
{
    dq_reply at;
    dureq_str letter;
    const char *shape;
    size_t n_texts = 0, n_numbers = 0;

    *ret = (dq_doctor_more){0};
    if (dq_reply_type(r) != DQ_RESP_ARRAY || dq_reply_len(r) == 0)
        return DUREQ_EPROTO;
    at = dq_reply_first(r);
    letter = dq_reply_str(at);
    ret->kind = letter.len == 1 ? (dq_doctor_more_kind)letter.ptr[0] : DQ_MORE_YES;
    shape = letter.len == 1 ? shape_of(ret->kind) : NULL;
    if (!shape || dq_reply_len(r) != 1 + strlen(shape))
        return DUREQ_EPROTO;
    for (; *shape; shape++) {
        at = dq_reply_next(at);
        if (*shape == 'n')
            ret->n[n_numbers++] = dq_reply_int(at);
        else
            *(n_texts++ ? &ret->b : &ret->a) = dq_reply_str(at);
    }
    return 0;
}

/* ---- calls ---- */

/* Its first arguments are shard and repair. */
static dq_call begin(dq_buf *out, dq_doctor_at at, int script)
{
    dq_call c = dq_call_begin(out, at.keys, at.shard, script);

    dq_call_arg_i64(&c, at.shard);
    dq_call_arg_flag(&c, at.repair);
    return c;
}

void dq_call_doctor_keys(dq_buf *out, dq_doctor_at at, dureq_str cursor)
{
    dq_call c = begin(out, at, DQ_SCRIPT_DOCTOR_KEYS);

    dq_call_arg_text(&c, at.keys->prefix);
    dq_call_arg_i64(&c, at.keys->n_shards);
    dq_call_arg(&c, cursor.len ? cursor : DQ_STR_LIT("0"));
    dq_call_arg_i64(&c, DQ_DOCTOR_KEYS_STEP);
    dq_call_end(&c);
}

void dq_call_doctor_set(dq_buf *out, dq_doctor_at at, dureq_str structure, dureq_str cursor)
{
    bool is_flow = dq_str_starts_with(structure, DQ_STR_LIT("ws:"));
    bool is_schedule = dq_str_starts_with(structure, DQ_STR_LIT("sch")) || dq_str_starts_with(structure, DQ_STR_LIT("sa:"));
    bool is_batch = dq_str_starts_with(structure, DQ_STR_LIT("bs:"));
    dq_call c = begin(out, at,
                      is_flow       ? DQ_SCRIPT_DOCTOR_FLOW
                      : is_batch    ? DQ_SCRIPT_DOCTOR_BATCH
                      : is_schedule ? DQ_SCRIPT_DOCTOR_SCHEDULES
                                    : DQ_SCRIPT_DOCTOR_SETS);

    dq_call_arg(&c, structure);
    dq_call_arg(&c, cursor);
    dq_call_arg_i64(&c, DQ_DOCTOR_JOBS_STEP);
    dq_call_end(&c);
}

/* Those of the places first, each with its records. */
const char *dq_doctor_set_name(size_t i)
{
    static const char *const others[] = {"loc",   "pg",  "wt",    "s2s",   "ob",    "uh",    "uf",    "lease",
                                         "aside", "sch", "sch:s", "sch:d", "sch:e", "sch:k", "sch:l", "sch:r"};

    for (size_t p = 0; p < DQ_N_PLACES; p++) {
        if (!dq_places[p].records)
            continue;
        if (i < 2)
            return i == 0 ? dq_places[p].name : dq_places[p].records;
        i -= 2;
    }
    return i < DQ_ARRAY_LEN(others) ? others[i] : NULL;
}

void dq_call_doctor_stream(dq_buf *out, dq_doctor_at at, dq_doctor_stream which, uint32_t lane, bool pending, dureq_str cursor)
{
    char name[16];

    (void)snprintf(name, sizeof name, "%s:%u", which == DQ_STREAM_FRONT ? "f" : "l", (unsigned)lane);

    dq_call c = begin(out, at, DQ_SCRIPT_DOCTOR_STREAMS);

    dq_call_arg_text(&c, name);
    dq_call_arg_flag(&c, pending);
    dq_call_arg(&c, cursor);
    dq_call_arg_i64(&c, DQ_DOCTOR_JOBS_STEP);
    dq_call_end(&c);
}

void dq_call_doctor_small(dq_buf *out, dq_doctor_at at)
{
    dq_call c = begin(out, at, DQ_SCRIPT_DOCTOR_QUEUES);

    dq_call_arg_text(&c, "small");
    dq_call_end(&c);
}

void dq_call_doctor_lanes(dq_buf *out, dq_doctor_at at, dureq_str cursor)
{
    dq_call c = begin(out, at, DQ_SCRIPT_DOCTOR_QUEUES);

    dq_call_arg_text(&c, "lanes");
    dq_call_arg(&c, cursor.len ? cursor : DQ_STR_LIT("1"));
    dq_call_arg_i64(&c, DQ_DOCTOR_LANES_STEP);
    dq_call_end(&c);
}

void dq_call_doctor_queue_rows(dq_buf *out, dq_doctor_at at, const dq_queue *queues, size_t n)
{
    dq_call c = begin(out, at, DQ_SCRIPT_DOCTOR_QUEUES);

    dq_call_arg_text(&c, "rows");
    for (size_t i = 0; i < n; i++) {
        unsigned char row[DQ_QUEUE_ROW_BYTES];

        dq_queue_row(&queues[i], row);
        dq_call_arg(&c, queues[i].name);
        dq_call_arg(&c, dureq_str_of(row, sizeof row));
        dq_call_arg_flag(&c, queues[i].paused);
    }
    dq_call_end(&c);
}

static dq_call begin_history(dq_buf *out, dq_doctor_at at, const char *what, dureq_str bucket)
{
    dq_call c = begin(out, at, DQ_SCRIPT_DOCTOR_HISTORY);

    dq_call_arg_text(&c, what);
    dq_call_arg(&c, bucket);
    return c;
}

void dq_call_doctor_buckets(dq_buf *out, dq_doctor_at at)
{
    dq_call c = begin_history(out, at, "buckets", (dureq_str){0});
    dq_call_end(&c);
}

void dq_call_doctor_bucket(dq_buf *out, dq_doctor_at at, dureq_str bucket)
{
    dq_call c = begin_history(out, at, "bucket", bucket);
    dq_call_end(&c);
}

void dq_call_doctor_part(dq_buf *out, dq_doctor_at at, dureq_str bucket, dureq_str part, dureq_str cursor)
{
    dq_call c = begin_history(out, at, "part", bucket);

    dq_call_arg(&c, part);
    dq_call_arg(&c, cursor);
    dq_call_arg_i64(&c, DQ_DOCTOR_ROWS_STEP);
    dq_call_end(&c);
}

void dq_call_doctor_order(dq_buf *out, dq_doctor_at at, dureq_str bucket, int64_t from)
{
    dq_call c = begin_history(out, at, "order", bucket);

    dq_call_arg_i64(&c, from);
    dq_call_arg_i64(&c, DQ_DOCTOR_ORDER_STEP);
    dq_call_end(&c);
}

void dq_call_doctor_unlisted(dq_buf *out, dq_doctor_at at, dureq_str bucket, dureq_str id)
{
    dq_call c = begin_history(out, at, "unlisted", bucket);

    dq_call_arg(&c, id);
    dq_call_end(&c);
}

void dq_call_doctor_sum(dq_buf *out, dq_doctor_at at, dureq_str bucket, bool bytes, int64_t by)
{
    dq_call c = begin_history(out, at, "sum", bucket);

    dq_call_arg_text(&c, bytes ? "hz" : "hn");
    dq_call_arg_i64(&c, by);
    dq_call_end(&c);
}

static dq_call begin_look(dq_buf *out, dq_doctor_at at, const char *what, dureq_str ukey)
{
    dq_call c = begin(out, at, DQ_SCRIPT_DOCTOR_LOOK);

    dq_call_arg_text(&c, what);
    dq_call_arg(&c, ukey);
    return c;
}

void dq_call_doctor_holder(dq_buf *out, dq_doctor_at at, dureq_str ukey, dureq_str id, unsigned home)
{
    dq_call c = begin_look(out, at, "holder", ukey);

    dq_call_arg(&c, id);
    dq_call_arg_i64(&c, home);
    dq_call_end(&c);
}

void dq_call_doctor_held(dq_buf *out, dq_doctor_at at, dureq_str ukey, unsigned job_shard, dureq_str id)
{
    dq_call c = begin_look(out, at, "held", ukey);

    dq_call_arg_i64(&c, job_shard);
    dq_call_arg(&c, id);
    dq_call_end(&c);
}

void dq_call_doctor_lost(dq_buf *out, dq_doctor_at at, dureq_str ukey, unsigned job_shard, dureq_str id_and_token, bool report)
{
    size_t id_len = DQ_MIN(id_and_token.len, (size_t)DQ_ID_BYTES);

    dq_call c = begin_look(out, at, "lost", ukey);

    dq_call_arg_i64(&c, job_shard);
    dq_call_arg(&c, dureq_str_of(id_and_token.ptr, id_len));
    dq_call_arg(&c, dureq_str_of(id_and_token.ptr + id_len, id_and_token.len - id_len));
    dq_call_arg_flag(&c, report);
    dq_call_end(&c);
}

void dq_call_doctor_lives(dq_buf *out, dq_doctor_at at, dureq_str ukey, dureq_str id)
{
    dq_call c = begin_look(out, at, "lives", ukey);

    dq_call_arg(&c, id);
    dq_call_end(&c);
}

void dq_call_doctor_release(dq_buf *out, dq_doctor_at at, dureq_str ukey, dureq_str id, bool report)
{
    dq_call c = begin_look(out, at, "release", ukey);

    dq_call_arg(&c, id);
    dq_call_arg_flag(&c, report);
    dq_call_end(&c);
}

static void call_read(dq_buf *out, const dq_keys *k, const char *name)
{
    DQ_BUF_AUTO key = {0};

    dq_buf_append_fmt(&key, "%s:%s", k->prefix, name);
    out->failed = out->failed || dq_buf_failed(&key);
    dq_call c = dq_call_begin_lone(out, dq_buf_str(&key), &(dq_call_form){.script = DQ_SCRIPT_DOCTOR_READ});
    dq_call_end(&c);
}

void dq_call_doctor_meta(dq_buf *out, const dq_keys *k)
{
    call_read(out, k, "meta");
}

void dq_call_doctor_definitions(dq_buf *out, const dq_keys *k)
{
    call_read(out, k, "config:queues");
}
