/* SPDX-License-Identifier: Apache-2.0 */
/* The doctor's look at one shard's history. A bucket's sums (bytes, cancelled rows) and its order list take many steps to put together,
   while rows come and go. So a sum counts only when the bucket's counters are the same before and after it and every row was seen once;
   and it is a fault only when two such sums in a row differ from the counter by the same. */

#include <inttypes.h>
#include <stdlib.h>

#include "doctor/doctor_internal.h"

#define PASSES_MAX 6

typedef struct bucket_look {
    dq_doctor *d;
    unsigned shard;
    dureq_str bucket;
    dq_buf order;                   /* ids of the order list, sorted */
    int64_t n_elements;             /* of the list, read so far */
    dq_buf missing;                 /* ids of rows that `order` lacks */
    bool first;                     /* this pass reports what the rows are like */
    int64_t rows, bytes, cancelled; /* seen in this pass */
} bucket_look;

typedef struct bucket_numbers {
    bool there;
    int64_t rows, bytes, cancelled;
    dq_buf parts; /* each an lstr */
} bucket_numbers;

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, DQ_ID_BYTES);
}

static dq_doctor_at at_of(const bucket_look *b)
{
    return dq_doctor_at_shard(b->d, b->shard);
}

/* ---- order list ---- */

/* Reads on to the list's end. */
static int read_order(bucket_look *b, dq_buf *ids, dureq_error *err)
{
    int64_t n = DQ_DOCTOR_ORDER_STEP;

    while (n == DQ_DOCTOR_ORDER_STEP) {
        dq_buf bytes = {0};
        dq_owned_reply reply;
        dq_doctor_step step;
        dq_doctor_more m = {0};
        dq_reply at;
        int rc;

        dq_call_doctor_order(&bytes, at_of(b), b->bucket, b->n_elements);
        rc = dq_doctor_step_run(b->d, b->shard, &bytes, /*quiet=*/false, &reply, &step, err);
        if (rc < 0)
            return rc == DUREQ_EWRONGTYPE ? 0 : rc;
        if (step.n_more)
            rc = dq_doctor_next_more(&step, 0, &at, &m, err);
        dq_buf_append_str(ids, m.a);
        n = m.n[0];
        b->n_elements += n;
        dq_owned_reply_deinit(&reply);
        if (rc < 0)
            return rc;
    }
    if (dq_buf_failed(ids))
        return dq_fail_nomem(err);
    if (ids->len)
        qsort(ids->ptr, ids->len / DQ_ID_BYTES, DQ_ID_BYTES, by_bytes);
    return 0;
}

static bool is_in(const dq_buf *ids, const char *id)
{
    return ids->len && bsearch(id, ids->ptr, ids->len / DQ_ID_BYTES, DQ_ID_BYTES, by_bytes) != NULL;
}

/* A row and its place in the list come in one step, so what the list still lacks when it is read after the rows was never there. */
static int look_missing(bucket_look *b, dureq_error *err)
{
    DQ_BUF_AUTO since = {0};
    int rc = b->missing.len ? read_order(b, &since, err) : 0;

    for (size_t i = 0; i < b->missing.len && rc == 0; i += DQ_ID_BYTES) {
        dq_buf bytes = {0};

        if (is_in(&since, b->missing.ptr + i))
            continue;
        dq_call_doctor_unlisted(&bytes, at_of(b), b->bucket, dureq_str_of(b->missing.ptr + i, DQ_ID_BYTES));
        rc = dq_doctor_tell(b->d, b->shard, &bytes, err);
    }
    return rc;
}

/* ---- sums ---- */

static int read_numbers(bucket_look *b, bool quiet, bucket_numbers *ret, dureq_error *err)
{
    dq_doctor_at here = at_of(b);
    dq_buf bytes = {0};
    dq_owned_reply reply;
    dq_doctor_step step;
    dq_reply at;
    int rc;

    *ret = (bucket_numbers){0};
    here.repair = here.repair && !quiet;
    dq_call_doctor_bucket(&bytes, here, b->bucket);
    rc = dq_doctor_step_run(b->d, b->shard, &bytes, quiet, &reply, &step, err);
    if (rc < 0)
        return rc == DUREQ_EWRONGTYPE ? 0 : rc;
    for (size_t i = 0; i < step.n_more && rc == 0; i++) {
        dq_doctor_more m;

        rc = dq_doctor_next_more(&step, i, &at, &m, err);
        if (rc == 0 && m.kind == DQ_MORE_NUMBERS) {
            ret->there = true;
            ret->rows = m.n[0];
            ret->bytes = m.n[1];
            ret->cancelled = m.n[2];
        } else if (rc == 0) {
            dq_buf_append_lstr(&ret->parts, m.a);
        }
    }
    dq_owned_reply_deinit(&reply);
    if (rc == 0)
        rc = dq_buf_finish(&ret->parts, err);
    if (rc < 0)
        dq_buf_deinit(&ret->parts);
    return rc;
}

static void take_rows(bucket_look *b, const dq_doctor_more *m)
{
    b->rows += (int64_t)(m->a.len / DQ_ID_BYTES);
    b->bytes += m->n[0];
    b->cancelled += m->n[1];
    for (size_t i = 0; b->first && i + DQ_ID_BYTES <= m->a.len; i += DQ_ID_BYTES)
        if (!is_in(&b->order, m->a.ptr + i))
            dq_buf_append(&b->missing, m->a.ptr + i, DQ_ID_BYTES);
}

static int walk_part(bucket_look *b, dureq_str part, dureq_error *err)
{
    DQ_BUF_AUTO cursor = {0};

    do {
        dq_buf bytes = {0};
        dq_owned_reply reply;
        dq_doctor_step step;
        dq_doctor_more m = {0};
        dq_reply at;
        int rc;

        dq_call_doctor_part(&bytes, at_of(b), b->bucket, part, dq_buf_str(&cursor));
        rc = dq_doctor_step_run(b->d, b->shard, &bytes, !b->first, &reply, &step, err);
        if (rc < 0)
            return rc == DUREQ_EWRONGTYPE ? 0 : rc;
        if (step.n_more)
            rc = dq_doctor_next_more(&step, 0, &at, &m, err);
        take_rows(b, &m);
        rc = dq_doctor_go_on(&cursor, &step, &reply, rc, err);
        if (rc < 0)
            return rc;
    } while (cursor.len);
    return dq_buf_failed(&b->missing) ? dq_fail_nomem(err) : 0;
}

typedef enum pass_end {
    PASS_GONE, /* the bucket is not there any more */
    PASS_MOVED,
    PASS_SETTLED,
} pass_end;

/* All rows once. *ret_bytes_by and *ret_cancelled_by: by how much the counters are above what was seen. */
static int pass(bucket_look *b, bool quiet, pass_end *ret_end, int64_t *ret_bytes_by, int64_t *ret_cancelled_by, dureq_error *err)
{
    bucket_numbers before, after = {0};
    int rc = read_numbers(b, quiet, &before, err);

    if (rc < 0)
        return rc;
    b->rows = b->bytes = b->cancelled = 0;
    dq_reader parts = dq_reader_of(dq_buf_str(&before.parts));
    while (parts.p < parts.end && rc == 0)
        rc = walk_part(b, dq_read_lstr(&parts), err);
    if (rc == 0)
        rc = read_numbers(b, /*quiet=*/true, &after, err);
    dq_buf_deinit(&before.parts);
    dq_buf_deinit(&after.parts);
    if (rc < 0)
        return rc;

    bool same = before.rows == after.rows && before.bytes == after.bytes && before.cancelled == after.cancelled;
    *ret_end = !before.there || !after.there ? PASS_GONE : same && b->rows == after.rows ? PASS_SETTLED : PASS_MOVED;
    *ret_bytes_by = after.bytes - b->bytes;
    *ret_cancelled_by = after.cancelled - b->cancelled;
    return 0;
}

static int tell_sum(bucket_look *b, bool is_bytes, int64_t by, dureq_error *err)
{
    dq_buf bytes = {0};

    if (by == 0)
        return 0;
    dq_call_doctor_sum(&bytes, at_of(b), b->bucket, is_bytes, by);
    return dq_doctor_tell(b->d, b->shard, &bytes, err);
}

/* skip_sums: rows are looked at, but they are not all. */
static int look_rows(bucket_look *b, bool skip_sums, dureq_error *err)
{
    int64_t bytes_by, cancelled_by, bytes_last = 0, cancelled_last = 0;

    b->first = true;
    for (int i = 0; i < PASSES_MAX; i++) {
        pass_end end = PASS_GONE;
        int rc = pass(b, /*quiet=*/i > 0 || skip_sums, &end, &bytes_by, &cancelled_by, err);

        b->first = false;
        if (rc < 0 || end == PASS_GONE || skip_sums)
            return rc;
        if (end == PASS_MOVED)
            continue;
        if (bytes_by == 0 && cancelled_by == 0)
            return 0;
        if (bytes_by == bytes_last && cancelled_by == cancelled_last) {
            rc = tell_sum(b, /*is_bytes=*/true, bytes_by, err);
            return rc < 0 ? rc : tell_sum(b, /*is_bytes=*/false, cancelled_by, err);
        }
        bytes_last = bytes_by;
        cancelled_last = cancelled_by;
    }
    b->d->report->n_unsettled++;
    return 0;
}

static bool lacks_part(const dq_doctor *d, dureq_str bucket)
{
    dq_reader r = dq_reader_of(dq_buf_str(&d->unlisted));

    while (r.p < r.end)
        if (dq_str_eq(dq_read_lstr(&r), bucket))
            return true;
    return false;
}

static int look_bucket(dq_doctor *d, unsigned shard, dureq_str bucket, dureq_error *err)
{
    bucket_look b = {.d = d, .shard = shard, .bucket = bucket};
    int rc = read_order(&b, &b.order, err);

    if (rc == 0)
        rc = look_rows(&b, lacks_part(d, bucket), err);
    if (rc == 0)
        rc = look_missing(&b, err);
    dq_buf_deinit(&b.order);
    dq_buf_deinit(&b.missing);
    return rc;
}

int dq_doctor_history(dq_doctor *d, unsigned shard, dureq_error *err)
{
    dq_buf bytes = {0};
    dq_owned_reply reply;
    dq_doctor_step step;
    dq_reply at;
    int rc;

    dq_call_doctor_buckets(&bytes, dq_doctor_at_shard(d, shard));
    rc = dq_doctor_step_run(d, shard, &bytes, /*quiet=*/false, &reply, &step, err);
    if (rc < 0)
        return rc == DUREQ_EWRONGTYPE ? 0 : rc;
    for (size_t i = 0; i < step.n_more && rc == 0; i++) {
        dq_doctor_more m;

        rc = dq_doctor_next_more(&step, i, &at, &m, err);
        if (rc == 0)
            rc = look_bucket(d, shard, m.a, err);
    }
    dq_owned_reply_deinit(&reply);
    return rc;
}
