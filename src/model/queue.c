/* SPDX-License-Identifier: Apache-2.0 */
/* Queue definitions. Pure. */

#include "model/queue.h"

#include <inttypes.h>
#include <stdlib.h>

#include "model/job.h"
#include "model/job_json.h"

#define WEIGHT_MAX       1000
#define PRIORITIES       10
#define MAX_LEN_MAX      ((INT64_C(1) << 48) - 1)            /* six bytes in `K q` */
#define RETENTION_MS_MAX (INT64_C(100) * 366 * 24 * 3600000) /* a hundred years: whoever says more mixed up units */

const dureq_queue_options dq_queue_defaults[3] = {
    {.struct_size = sizeof(dureq_queue_options), .weight = 6, .priority_min = 8, .priority_max = 10},
    {.struct_size = sizeof(dureq_queue_options), .weight = 3, .priority_min = 4, .priority_max = 7},
    {.struct_size = sizeof(dureq_queue_options), .weight = 1, .priority_min = 1, .priority_max = 3},
};

const char *const dq_queue_default_names[3] = {"high", "normal", "low"};

int dq_queue_options_check(const char *name, const dureq_queue_options *given, dureq_error *err)
{
    dureq_queue_options o;
    int rc;

    rc = dq_name_check("a queue's name", dureq_str_from(name), err);
    if (rc < 0)
        return rc;
    rc = dq_options_adopt(&o, sizeof o, given, "queue options", err);
    if (rc < 0)
        return rc;

    if (o.weight < 0 || o.weight > WEIGHT_MAX)
        return dq_fail(err, DUREQ_EINVAL, "weight takes 1 to %d, or 0 for 1, not %d", WEIGHT_MAX, (int)o.weight);
    if ((o.priority_min != 0 || o.priority_max != 0) &&
        (o.priority_min < 1 || o.priority_max > PRIORITIES || o.priority_min > o.priority_max))
        return dq_fail(err, DUREQ_EINVAL, "priority_min and priority_max take 1 to %d, the lower first, or both 0; not %d, %d",
                       PRIORITIES, (int)o.priority_min, (int)o.priority_max);
    if (o.max_len < 0 || o.max_len > MAX_LEN_MAX)
        return dq_fail(err, DUREQ_EINVAL, "max_len takes 0 (no limit) to %" PRId64 ", not %" PRId64, MAX_LEN_MAX, o.max_len);
    if (o.retention_ms < -1 || o.retention_ms > RETENTION_MS_MAX)
        return dq_fail(err, DUREQ_EINVAL, "retention_ms takes -1 (none), 0 (the default) or up to 100 years, not %" PRId64,
                       o.retention_ms);
    return o.retry_policy ? dq_retry_policy_check(o.retry_policy, err) : 0;
}

/* ---- JSON ---- */

static void put_i64(dq_json_writer *w, const char *name, int64_t v)
{
    dq_json_set_i64(w, name, v);
}

void dq_queue_to_json(const dq_queue *q, dq_buf *out)
{
    dq_json_writer w = dq_json_writer_of(out);

    dq_json_begin_object(&w);
    put_i64(&w, "weight", DQ_MAX(q->weight, 1));
    put_i64(&w, "priority_min", q->priority_min);
    put_i64(&w, "priority_max", q->priority_max);
    put_i64(&w, "max_len", q->max_len);
    put_i64(&w, "retention_ms", q->retention_ms);
    if (q->retry_policy) {
        dq_json_key(&w, "retry_policy");
        dq_retry_policy_to_json(q->retry_policy, &w);
    }
    dq_json_set_bool(&w, "paused", q->paused);
    dq_json_end_object(&w);
}

/* A member that is absent leaves *ret as it is. */
static bool read_i64(const dq_json *doc, const char *name, int64_t *ret)
{
    dq_json_ref v = dq_json_member(doc, 0, name);

    return v == DQ_JSON_NONE || dq_json_i64(doc, v, ret) == 0;
}

static bool read_i32(const dq_json *doc, const char *name, int32_t *ret)
{
    int64_t v = *ret;

    if (!read_i64(doc, name, &v) || v < INT32_MIN || v > INT32_MAX)
        return false;
    *ret = (int32_t)v;
    return true;
}

static bool read_bool(const dq_json *doc, const char *name, bool *ret)
{
    dq_json_ref v = dq_json_member(doc, 0, name);
    dq_json_type type = dq_json_type_of(doc, v);

    if (v == DQ_JSON_NONE)
        return true;
    if (type != DQ_JSON_TRUE && type != DQ_JSON_FALSE)
        return false;
    *ret = type == DQ_JSON_TRUE;
    return true;
}

static int read_policy(const dq_json *doc, dq_arena *a, dureq_retry_policy **ret, dureq_error *err)
{
    dq_json_ref v = dq_json_member(doc, 0, "retry_policy");
    dureq_retry_policy *p;
    int rc;

    *ret = NULL;
    if (v == DQ_JSON_NONE || dq_json_type_of(doc, v) == DQ_JSON_NULL)
        return 0;
    p = dq_arena_alloc(a, sizeof *p);
    if (!p)
        return dq_fail_nomem(err);
    rc = dq_retry_policy_from_json(doc, v, a, p, err);
    if (rc < 0)
        return rc;
    *ret = p;
    return 0;
}

/* Members that this version does not know are passed over: a newer program may have written them. */
static int read_document(dureq_str name, const dq_json *doc, dq_arena *a, dq_queue *ret, dureq_error *err)
{
    dureq_queue_options o = dureq_queue_options_init();
    dq_queue q = {.name = name};
    char name_text[DUREQ_NAME_MAX + 1] = "";
    int rc;

    if (dq_json_type_of(doc, 0) != DQ_JSON_OBJECT || !read_i32(doc, "weight", &o.weight) ||
        !read_i32(doc, "priority_min", &o.priority_min) || !read_i32(doc, "priority_max", &o.priority_max) ||
        !read_i64(doc, "max_len", &o.max_len) || !read_i64(doc, "retention_ms", &o.retention_ms) ||
        !read_bool(doc, "paused", &q.paused))
        return dq_fail(err, DUREQ_EPROTO, "not an object of whole numbers");
    rc = read_policy(doc, a, &q.retry_policy, err);
    if (rc < 0)
        return rc;
    if (name.len >= sizeof name_text)
        return dq_fail(err, DUREQ_EPROTO, "a name of %zu bytes", name.len);
    memcpy(name_text, name.len ? name.ptr : "", name.len);
    rc = dq_queue_options_check(name_text, &o, err);
    if (rc < 0)
        return rc;

    q.weight = DQ_MAX(o.weight, 1);
    q.priority_min = o.priority_min;
    q.priority_max = o.priority_max;
    q.max_len = o.max_len;
    q.retention_ms = o.retention_ms;
    *ret = q;
    return 0;
}

int dq_queue_from_json(dureq_str name, dureq_str json, dq_arena *a, dq_queue *ret, dureq_error *err)
{
    dureq_error why = {0};
    dq_json doc = {0};
    int rc;

    rc = dq_json_parse(json, &doc, &why);
    if (rc == 0)
        rc = read_document(name, &doc, a, ret, &why);
    dq_json_deinit(&doc);
    if (rc == DUREQ_ENOMEM)
        return dq_fail_nomem(err);
    if (rc < 0)
        return dq_fail(err, DUREQ_EPROTO, "the stored definition of queue '%.*s' is damaged: %.120s",
                       (int)DQ_MIN(name.len, (size_t)60), name.len ? name.ptr : "", why.msg);
    return 0;
}

/* ---- comparing ---- */

static int64_t or_default(int64_t v, int64_t if_zero)
{
    return v ? v : if_zero;
}

static bool same_texts(const dureq_retry_policy *a, const dureq_retry_policy *b)
{
    if (a->n_non_retryable_errors != b->n_non_retryable_errors)
        return false;
    for (size_t i = 0; i < a->n_non_retryable_errors; i++)
        if (strcmp(a->non_retryable_errors[i], b->non_retryable_errors[i]) != 0)
            return false;
    return true;
}

/* A default that is named is the same as one that is left out. */
static bool same_policy(const dureq_retry_policy *a, const dureq_retry_policy *b)
{
    const dq_retry *d = &dq_retry_default;

    if (!a || !b)
        return a == b;
    return or_default(a->max_attempts, d->max_attempts) == or_default(b->max_attempts, d->max_attempts) &&
           or_default(a->initial_delay_ms, d->initial_ms) == or_default(b->initial_delay_ms, d->initial_ms) &&
           or_default(a->max_delay_ms, d->max_ms) == or_default(b->max_delay_ms, d->max_ms) &&
           (a->multiplier ? a->multiplier : d->factor) == (b->multiplier ? b->multiplier : d->factor) &&
           (a->jitter ? a->jitter : d->jitter) == (b->jitter ? b->jitter : d->jitter) &&
           a->pause_after_err_count == b->pause_after_err_count && a->pause_retry_delay_ms == b->pause_retry_delay_ms &&
           same_texts(a, b);
}

bool dq_queue_same(const dq_queue *a, const dq_queue *b)
{
    return dq_str_eq(a->name, b->name) && DQ_MAX(a->weight, 1) == DQ_MAX(b->weight, 1) && a->priority_min == b->priority_min &&
           a->priority_max == b->priority_max && a->max_len == b->max_len &&
           or_default(a->retention_ms, DQ_RETENTION_DEFAULT_MS) == or_default(b->retention_ms, DQ_RETENTION_DEFAULT_MS) &&
           same_policy(a->retry_policy, b->retry_policy);
}

/* ---- the set ---- */

static int heavier_first(const void *left, const void *right)
{
    const dq_queue *a = left, *b = right;

    if (a->weight != b->weight)
        return a->weight > b->weight ? -1 : 1;
    return dq_str_cmp(a->name, b->name);
}

static bool has_range(const dq_queue *q)
{
    return q->priority_min > 0;
}

/* The heaviest of the queues that name the priority. */
static const dq_queue *named_for(const dq_queue_set *s, int priority)
{
    for (size_t i = 0; i < s->n; i++)
        if (has_range(&s->items[i]) && s->items[i].priority_min <= priority && priority <= s->items[i].priority_max)
            return &s->items[i];
    return NULL;
}

/* For a priority that nobody takes: the queue whose range is nearest, the higher one when two are. */
static const dq_queue *nearest_to(const dq_queue_set *s, int priority)
{
    for (int distance = 1; distance < PRIORITIES; distance++)
        for (int side = 1; side >= -1; side -= 2) {
            const dq_queue *q = named_for(s, priority + side * distance);

            if (q)
                return q;
        }
    return NULL;
}

/* Shares n_free priorities out to the n_takers queues without a range. The k-th lowest goes to the taker so far from
   the lightest; when they do not divide, the lighter ones take more, as the Go version of dureq does. */
static const dq_queue *taker_of(const dq_queue_set *s, size_t n_takers, size_t k, size_t n_free)
{
    size_t shares = DQ_MIN(n_takers, n_free);
    size_t skip = shares - 1 - k * shares / n_free;

    for (size_t i = 0; i < s->n; i++) {
        if (has_range(&s->items[i]))
            continue;
        if (skip == 0)
            return &s->items[i];
        skip--;
    }
    return NULL;
}

/* All but the order. */
static void index_sorted(dq_queue_set *s)
{
    size_t n_takers = 0, n_free = 0, k = 0;

    dq_map_deinit(&s->by_name);
    for (size_t i = 0; i < s->n; i++)
        if (dq_map_put(&s->by_name, s->items[i].name, &s->items[i]) < 0)
            break;
    memset(s->by_priority, 0, sizeof s->by_priority);
    for (size_t i = 0; i < s->n; i++) {
        const dq_queue *q = &s->items[i];

        n_takers += !has_range(q);
        for (int p = q->priority_min; has_range(q) && p <= DQ_MIN(q->priority_max, PRIORITIES); p++)
            if (!s->by_priority[p])
                s->by_priority[p] = q;
    }
    for (int p = 1; p <= PRIORITIES; p++)
        n_free += !s->by_priority[p];
    for (int p = 1; p <= PRIORITIES; p++)
        if (!s->by_priority[p])
            s->by_priority[p] = n_takers ? taker_of(s, n_takers, k++, n_free) : nearest_to(s, p);
}

void dq_queue_set_index(dq_queue_set *s)
{
    if (s->n > 1)
        qsort(s->items, s->n, sizeof *s->items, heavier_first);
    index_sorted(s);
}

/* Where it belongs among the n that are in order. */
static size_t place_of(const dq_queue_set *s, size_t n, const dq_queue *q)
{
    size_t from = 0, to = n;

    while (from < to) {
        size_t mid = from + (to - from) / 2;

        if (heavier_first(&s->items[mid], q) < 0)
            from = mid + 1;
        else
            to = mid;
    }
    return from;
}

static int make_room(dq_queue_set *s)
{
    size_t cap = s->n + s->n / 2 + 8;

    if (s->n < s->cap)
        return 0;
    dq_queue *items = dq_arena_alloc(&s->arena, cap * sizeof *items);
    if (!items)
        return DUREQ_ENOMEM;
    if (s->n)
        memcpy(items, s->items, s->n * sizeof *items);
    s->items = items;
    s->cap = cap;
    return 0;
}

int dq_queue_set_put(dq_queue_set *s, dureq_str name, dureq_str json, dureq_error *err)
{
    dureq_str own = dq_arena_dup_str(&s->arena, name);
    dq_queue q;
    int r = own.ptr ? dq_queue_from_json(own, json, &s->arena, &q, err) : dq_fail_nomem(err);

    if (r < 0)
        return r;
    dq_queue *old = (dq_queue *)dq_queue_set_find(s, name);
    if (old && dq_queue_same(old, &q) && old->paused == q.paused)
        return 0;
    if (old && old->weight == q.weight && old->priority_min == q.priority_min && old->priority_max == q.priority_max) {
        q.name = old->name; /* the key in by_name */
        *old = q;
        return 1;
    }
    if (!old && make_room(s) < 0)
        return dq_fail_nomem(err);
    if (old) {
        s->n--;
        memmove(old, old + 1, (size_t)(&s->items[s->n] - old) * sizeof *old);
    }
    size_t at = place_of(s, s->n, &q);
    memmove(&s->items[at + 1], &s->items[at], (s->n - at) * sizeof q);
    s->items[at] = q;
    s->n++;
    index_sorted(s);
    return 1;
}

const dq_queue *dq_queue_set_find(const dq_queue_set *s, dureq_str name)
{
    if (s->by_name.n == s->n)
        return dq_map_get(&s->by_name, name);
    for (size_t i = 0; i < s->n; i++)
        if (dq_str_eq(s->items[i].name, name))
            return &s->items[i];
    return NULL;
}

void dq_queue_set_deinit(dq_queue_set *s)
{
    dq_map_deinit(&s->by_name);
    dq_arena_deinit(&s->arena);
    *s = (dq_queue_set){0};
}
