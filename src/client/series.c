/* SPDX-License-Identifier: Apache-2.0 */
#include "client/series.h"

#include "base/clock.h"
#include "client/meter.h"
#include "client/scan.h"
#include "client/walk.h"
#include "model/job.h"
#include "store/job_calls.h"
#include "store/plain_calls.h"

#define PLAIN     5
#define FIELDS    (PLAIN + 2 * DQ_SERIES_BUCKETS)
#define SCANNED   5000 /* fields of a hash that are read at once: some 2 ms */
#define LANES_MAX (1u << 18)

static const int64_t unit_ms[] = {[DQ_SERIES_MINUTE] = 60000, [DQ_SERIES_HOUR] = 3600000, [DQ_SERIES_DAY] = 86400000};

/* Reading one shard. */
typedef struct reader {
    dureq_client *c;
    unsigned shard;
    dq_stats_series *what;
    bool has_scanned;

    /* Of hashes that are scanned: */
    bool knows_lanes;
    unsigned char *wanted; /* by lane, from 1; NULL: all are */
    uint64_t *seen;        /* by lane: which fields of the present hash were counted */
    dq_series_row *row;
} reader;

static int64_t *field_of(dq_series_row *row, size_t i)
{
    int64_t *const plain[PLAIN] = {&row->enqueued, &row->completed, &row->failed, &row->dead, &row->cancelled};

    if (i < PLAIN)
        return plain[i];
    return i < PLAIN + DQ_SERIES_BUCKETS ? &row->waited[i - PLAIN] : &row->ran[i - PLAIN - DQ_SERIES_BUCKETS];
}

/* ---- hashes that are too large for a step of the server ---- */

static bool type_fits(dureq_str wanted, dureq_str type)
{
    if (wanted.len && wanted.ptr[wanted.len - 1] == '*')
        return dq_str_starts_with(type, dureq_str_of(wanted.ptr, wanted.len - 1));
    return wanted.len == 0 || dq_str_eq(wanted, type);
}

static void note_lane(void *userdata, unsigned shard, uint32_t lane, dureq_str queue, dureq_str type)
{
    reader *r = userdata;

    if (shard == r->shard && lane < LANES_MAX)
        r->wanted[lane] = (r->what->queue.len == 0 || dq_str_eq(r->what->queue, queue)) && type_fits(r->what->type, type);
}

static int learn_lanes(reader *r, dureq_error *err)
{
    uint32_t known = 0;

    if (r->knows_lanes || (r->what->queue.len == 0 && r->what->type.len == 0))
        return 0;
    r->wanted = dq_calloc(LANES_MAX, 1);
    r->knows_lanes = true;
    return r->wanted ? dq_client_new_lanes_of(r->c, r->shard, &known, note_lane, r, err) : dq_fail_nomem(err);
}

/* "<lane>:<kind><bucket>" as the number of a field; FIELDS: it is none. */
static size_t parse_field(dureq_str text, int64_t *ret_lane)
{
    static const char kinds[] = "ecfdxwr";
    dureq_str rest = text, lane = dq_str_cut(&rest, ':');
    const char *kind = rest.len ? strchr(kinds, rest.ptr[0]) : NULL;
    int64_t bucket = 0;

    if (!kind || !*kind || dq_parse_i64(lane, 1, LANES_MAX - 1, ret_lane) < 0)
        return FIELDS;
    if (kind - kinds < PLAIN)
        return rest.len == 1 ? (size_t)(kind - kinds) : FIELDS;
    if (dq_parse_i64(dureq_str_of(rest.ptr + 1, rest.len - 1), 0, DQ_SERIES_BUCKETS - 1, &bucket) < 0)
        return FIELDS;
    return PLAIN + (*kind == 'r' ? DQ_SERIES_BUCKETS : 0) + (size_t)bucket;
}

static void take_field(void *userdata, dureq_str text, dureq_str value)
{
    reader *r = userdata;
    int64_t lane, n;
    size_t field = parse_field(text, &lane);
    int64_t *sum;

    if (field == FIELDS || dq_parse_i64(value, 0, INT64_MAX, &n) < 0 || (r->wanted && !r->wanted[lane]))
        return;
    if (r->seen[lane] >> field & 1)
        return;
    r->seen[lane] |= UINT64_C(1) << field;
    sum = field_of(r->row, field);
    *sum = dq_add_sat(*sum, n);
}
_Static_assert(FIELDS <= 64, "which fields of a lane were seen is the bits of a number");

static int scan(reader *r, dureq_str name, dq_series_row *row, dureq_error *err)
{
    DQ_BUF_AUTO cursor = {0};
    size_t n_read = 0;
    int rc = learn_lanes(r, err);

    r->row = row;
    r->has_scanned = true;
    if (!r->seen)
        r->seen = dq_calloc(LANES_MAX, sizeof *r->seen);
    else
        memset(r->seen, 0, LANES_MAX * sizeof *r->seen);
    if (rc == 0 && !r->seen)
        rc = dq_fail_nomem(err);
    dq_buf_append_text(&cursor, "0");
    while (rc == 0) {
        dq_buf bytes = {0};

        dq_plain_scan(&bytes, dq_client_keys(r->c), r->shard, "", name, dq_buf_str(&cursor), SCANNED);
        rc = dq_scan_page(r->c, &bytes, &cursor, take_field, r, &n_read, err);
        if (rc == 0 && dq_scan_is_over(&cursor))
            break;
    }
    return rc;
}

/* ---- answers of the script ---- */

/* 53 numbers, and the names of hashes. */
static int add_row(reader *r, dq_series_row *row, dq_reply numbers, dureq_error *err)
{
    dq_reply_items items = dq_reply_items_of(numbers);
    dq_reply at;
    int rc = 0;

    for (size_t i = 0; rc == 0 && dq_reply_items_next(&items, &at); i++) {
        if (i < FIELDS)
            dq_reply_add(at, field_of(row, i));
        else
            rc = scan(r, dq_reply_str(at), row, err);
    }
    return rc;
}

/* Rows that one answer holds; negative when it is none. */
static int add_rows(reader *r, dq_series_row *rows, int n, dq_reply answer, dureq_error *err)
{
    size_t len = dq_reply_type(answer) == DQ_RESP_ARRAY ? dq_reply_len(answer) : 0;
    dq_reply_items items = dq_reply_items_of(answer);
    dq_reply at;
    int rc = 0;

    if (len == 0 || len > (size_t)n)
        return dq_fail(err, DUREQ_EPROTO, "the answer of stats_series cannot be read");
    for (size_t i = 0; rc == 0 && dq_reply_items_next(&items, &at); i++) {
        if (dq_reply_type(at) != DQ_RESP_ARRAY || dq_reply_len(at) < FIELDS)
            return dq_fail(err, DUREQ_EPROTO, "the answer of stats_series cannot be read");
        rc = add_row(r, &rows[i], at, err);
    }
    return rc < 0 ? rc : (int)len;
}

static int add_shard(reader *r, dq_series_row *rows, dureq_error *err)
{
    int64_t first = r->what->first;
    int n = r->what->n, done = 0, rc = 0;

    while (rc >= 0 && done < n) {
        dq_owned_reply reply;
        dq_buf call = {0};

        r->what->first = first + done;
        r->what->n = n - done;
        dq_call_stats_series(&call, dq_client_keys(r->c), r->shard, r->what);
        rc = dq_client_call(r->c, r->shard, DQ_CALL_REPEAT, &call, &reply, err);
        if (rc < 0)
            break;
        rc = add_rows(r, rows + done, n - done, reply.reply, err);
        dq_owned_reply_deinit(&reply);
        done += DQ_MAX(rc, 0);
    }
    r->what->first = first;
    r->what->n = n;
    return DQ_MIN(rc, 0);
}

/* Rows are zeroed, with their times. */
static int read_shards(dureq_client *c, dq_stats_series *what, dq_series_row *rows, bool *ret_scanned, dureq_error *err)
{
    int rc = 0;

    dq_client_enter(c);
    for (unsigned s = 0; rc == 0 && s < dq_client_keys(c)->n_shards; s++) {
        reader r = {.c = c, .shard = s, .what = what};

        rc = add_shard(&r, rows, err);
        *ret_scanned = *ret_scanned || r.has_scanned;
        dq_free(r.wanted);
        dq_free(r.seen);
    }
    dq_client_leave(c);
    return rc;
}

static void clear_rows(dq_series_row *rows, dq_series_unit unit, int64_t first, int n)
{
    int64_t now_ms = dq_wall_ms();

    memset(rows, 0, (size_t)n * sizeof *rows);
    for (int i = 0; i < n; i++) {
        rows[i].at_ms = (first + i) * unit_ms[unit];
        rows[i].length_ms = DQ_MIN(DQ_MAX(now_ms - rows[i].at_ms, 0), unit_ms[unit]);
    }
}

int dq_client_series_from(dureq_client *c, dq_series_unit unit, int64_t first, int n, const char *queue, const char *type,
                          dq_series_row *ret, dureq_error *err)
{
    static const char letters[] = "mhd";
    dq_stats_series what = {
        .unit = letters[unit], .first = first, .n = n, .queue = dureq_str_from(queue), .type = dureq_str_from(type)};
    bool has_scanned = false;
    int rc = dq_type_filter_check(type, err);

    clear_rows(ret, unit, first, n);
    return rc < 0 ? rc : read_shards(c, &what, ret, &has_scanned, err);
}

int dq_client_series(dureq_client *c, dq_series_unit unit, int n, const char *queue, const char *type, dq_series_row *ret,
                     dureq_error *err)
{
    return dq_client_series_from(c, unit, dq_wall_ms() / unit_ms[unit] - n + 1, n, queue, type, ret, err);
}

/* ---- the last minutes, for many ---- */

static int walk_pulse(dureq_client *c, dq_walked *w, dureq_error *err)
{
    dq_stats_series what = {
        .unit = 'm', .first = dq_wall_ms() / unit_ms[DQ_SERIES_MINUTE] - DQ_SERIES_PULSE + 1, .n = DQ_SERIES_PULSE};
    dq_series_row *rows = (dq_series_row *)(void *)dq_buf_reserve(&w->rows, DQ_SERIES_PULSE * sizeof *rows);

    if (!rows)
        return dq_fail_nomem(err);
    w->rows.len = DQ_SERIES_PULSE * sizeof *rows;
    clear_rows(rows, DQ_SERIES_MINUTE, what.first, DQ_SERIES_PULSE);
    return read_shards(c, &what, rows, &w->is_wide, err);
}

int dq_client_pulse(dureq_client *c, dq_series_row ret[DQ_SERIES_PULSE], dureq_error *err)
{
    dq_walked *w;
    int rc;

    dq_client_enter(c);
    rc = dq_walk_read(c, DQ_WALK_PULSE, walk_pulse, &w, err);
    if (rc == 0) {
        memcpy(ret, w->rows.ptr, DQ_SERIES_PULSE * sizeof *ret);
        dq_walk_release(c, w);
    }
    dq_client_leave(c);
    return rc;
}

/* ---- figures of a row ---- */

void dq_series_add(dq_series_row *sum, const dq_series_row *next)
{
    sum->length_ms += next->length_ms;
    sum->enqueued = dq_add_sat(sum->enqueued, next->enqueued);
    sum->completed = dq_add_sat(sum->completed, next->completed);
    sum->failed = dq_add_sat(sum->failed, next->failed);
    sum->dead = dq_add_sat(sum->dead, next->dead);
    sum->cancelled = dq_add_sat(sum->cancelled, next->cancelled);
    for (size_t i = 0; i < DQ_SERIES_BUCKETS; i++) {
        sum->waited[i] = dq_add_sat(sum->waited[i], next->waited[i]);
        sum->ran[i] = dq_add_sat(sum->ran[i], next->ran[i]);
    }
}

static double rounded(double v)
{
    return (double)(int64_t)(v * 1000 + 0.5) / 1000;
}

double dq_series_per_second(const dq_series_row *row)
{
    return rounded((double)row->completed * 1000 / (double)DQ_MAX(row->length_ms, 1000));
}

double dq_series_failure_ratio(const dq_series_row *row)
{
    double ended = (double)row->completed + (double)row->failed;

    return rounded((double)row->failed / DQ_MAX(ended, 1));
}

int64_t dq_series_percentile(const int64_t buckets[DQ_SERIES_BUCKETS], double q)
{
    double total = 0, before = 0;

    for (int i = 0; i < DQ_SERIES_BUCKETS; i++)
        total += (double)buckets[i];
    if (total <= 0)
        return -1;
    for (int i = 0; i < DQ_SERIES_BUCKETS; i++) {
        double low = i ? (double)(INT64_C(1) << (i - 1)) : 0, high = (double)(INT64_C(1) << i), n = (double)buckets[i];

        if (n > 0 && before + n >= q * total)
            return (int64_t)(low + (high - low) * DQ_MAX(q * total - before, 0) / n);
        before += n;
    }
    return INT64_C(1) << (DQ_SERIES_BUCKETS - 1);
}
