/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/handlers.h"

#include "model/job.h"

#define GRACE_DEFAULT_MS 5000

static void handler_free(dq_handler *h)
{
    if (!h)
        return;
    dq_buf_deinit(&h->retry_packed);
    dq_free(h->middleware);
    dq_free(h->pattern);
    dq_free(h);
}

void dq_handlers_deinit(dq_handlers *hs)
{
    for (size_t i = 0; i < hs->n; i++)
        handler_free(hs->items[i]);
    while (hs->gone) {
        dq_handler *h = hs->gone;

        hs->gone = h->older;
        handler_free(h);
    }
    dq_map_deinit(&hs->by_type);
    dq_free(hs->prefixes);
    dq_free(hs->items);
    dq_free(hs->global);
    *hs = (dq_handlers){0};
}

/* A name, or a name's beginning and '*', or '*'. */
static int pattern_check(const char *text, dureq_error *err)
{
    size_t len = text ? strlen(text) : 0;
    bool star = len > 0 && text[len - 1] == '*';

    if (star && len == 1)
        return 0;
    return dq_name_check("task_type", dureq_str_of(text, len - star), err);
}

static int take_options(dq_handler *h, const dureq_handler_options *given, dureq_error *err)
{
    dureq_handler_options o = dureq_handler_options_init();
    int rc;

    if (given) {
        rc = dq_options_adopt(&o, sizeof o, given, "handler options", err);
        if (rc < 0)
            return rc;
    }
    if (o.concurrency < 0)
        return dq_fail(err, DUREQ_EINVAL, "concurrency of handler '%s' takes 1 or more, or 0 for the node's", h->pattern);
    if (o.timeout_ms < 0 || o.grace_ms < 0)
        return dq_fail(err, DUREQ_EINVAL, "timeout_ms and grace_ms of handler '%s' take 0 or more", h->pattern);
    if (o.retry_policy) {
        rc = dq_retry_policy_check(o.retry_policy, err);
        if (rc < 0)
            return rc;
        dq_retry_pack(&h->retry_packed, o.retry_policy);
    }
    h->concurrency = o.concurrency;
    h->timeout_ms = o.timeout_ms;
    h->grace_ms = o.grace_ms ? o.grace_ms : GRACE_DEFAULT_MS;
    h->middleware = dq_calloc(o.n_middleware + 1, sizeof *h->middleware);
    if (!h->middleware || dq_buf_failed(&h->retry_packed))
        return dq_fail_nomem(err);
    if (o.n_middleware)
        memcpy(h->middleware, o.middleware, o.n_middleware * sizeof *h->middleware);
    h->n_middleware = o.n_middleware;
    return 0;
}

static dq_handler *find_prefix(const dq_handlers *hs, dureq_str text)
{
    for (size_t i = 0; i < hs->n_prefixes; i++)
        if (dq_str_eq(dureq_str_of(hs->prefixes[i]->pattern, hs->prefixes[i]->len), text))
            return hs->prefixes[i];
    return NULL;
}

static int grow(dq_handlers *hs)
{
    if (hs->n < hs->cap)
        return 0;
    size_t cap = hs->cap ? hs->cap * 2 : 8;
    dq_handler **items = dq_realloc(hs->items, cap * sizeof(dq_handler *));
    if (!items)
        return DUREQ_ENOMEM;
    hs->items = items;
    dq_handler **prefixes = dq_realloc(hs->prefixes, cap * sizeof(dq_handler *));
    if (!prefixes)
        return DUREQ_ENOMEM;
    hs->prefixes = prefixes;
    hs->cap = cap;
    return 0;
}

static int list(dq_handlers *hs, dq_handler *h, dureq_error *err)
{
    if (!h->is_prefix && dq_map_put(&hs->by_type, dureq_str_of(h->pattern, h->len), h) < 0)
        return dq_fail_nomem(err);
    if (h->is_prefix)
        hs->prefixes[hs->n_prefixes++] = h;
    h->no = hs->n; /* until it is to replace another set's */
    hs->items[hs->n++] = h;
    return 0;
}

int dq_handlers_add(dq_handlers *hs, const char *task_type, dureq_handler_fn fn, const dq_external_ops *ops, void *userdata,
                    const dureq_handler_options *opts, dureq_error *err)
{
    int rc;

    rc = pattern_check(task_type, err);
    if (rc < 0)
        return rc;
    size_t len = strlen(task_type);
    bool is_prefix = task_type[len - 1] == '*';
    len -= is_prefix;
    dureq_str pattern = dureq_str_of(task_type, len);
    if (is_prefix ? find_prefix(hs, pattern) != NULL : dq_map_get(&hs->by_type, pattern) != NULL)
        return dq_fail(err, DUREQ_EDUPLICATE, "a handler for '%s' is registered already", task_type);
    dq_handler *h = dq_calloc(1, sizeof *h);
    if (!h || grow(hs) < 0) {
        dq_free(h);
        return dq_fail_nomem(err);
    }
    h->pattern = dq_memdup(task_type, len);
    h->len = len;
    h->is_prefix = is_prefix;
    h->fn = fn;
    h->ops = ops;
    h->userdata = userdata;
    rc = h->pattern ? take_options(h, opts, err) : dq_fail_nomem(err);
    if (rc == 0)
        rc = list(hs, h, err);
    if (rc < 0)
        handler_free(h);
    return rc;
}

int dq_handlers_use(dq_handlers *hs, dureq_middleware_fn fn, void *userdata, dureq_error *err)
{
    dureq_middleware *more = dq_realloc(hs->global, (hs->n_global + 1) * sizeof *more);

    if (!more)
        return dq_fail_nomem(err);
    hs->global = more;
    hs->global[hs->n_global++] = (dureq_middleware){.fn = fn, .userdata = userdata};
    return 0;
}

dq_handler *dq_handlers_find(const dq_handlers *hs, dureq_str task_type)
{
    dq_handler *best = dq_map_get(&hs->by_type, task_type);

    if (best)
        return best;
    for (size_t i = 0; i < hs->n_prefixes; i++) {
        dq_handler *h = hs->prefixes[i];

        if (dq_str_starts_with(task_type, dureq_str_of(h->pattern, h->len)) && (!best || h->len > best->len))
            best = h;
    }
    return best;
}

int32_t dq_handler_free(const dq_handler *h)
{
    return h->concurrency ? h->concurrency - h->running - h->carried - h->planned : INT32_MAX;
}

void dq_handlers_names(const dq_handlers *hs, dq_buf *out)
{
    for (size_t i = 0; i < hs->n; i++) {
        if (i > 0)
            dq_buf_append_char(out, ',');
        dq_buf_append_text(out, hs->items[i]->pattern);
        if (hs->items[i]->is_prefix)
            dq_buf_append_char(out, '*');
    }
}

/* ---- replaced while the node runs ---- */

static dq_handler *of_pattern(const dq_handlers *hs, const dq_handler *like)
{
    dureq_str pattern = dureq_str_of(like->pattern, like->len);

    return like->is_prefix ? find_prefix(hs, pattern) : dq_map_get(&hs->by_type, pattern);
}

static size_t numbers_of(const dq_handlers *hs)
{
    size_t n = 0;

    for (size_t i = 0; i < hs->n; i++)
        n = DQ_MAX(n, hs->items[i]->no + 1);
    return n;
}

int dq_handlers_number(dq_handlers *next, const dq_handlers *now, dureq_error *err)
{
    size_t n = numbers_of(now) + next->n, free_no = 0;
    bool *taken = dq_calloc(n + 1, sizeof *taken);

    if (!taken)
        return dq_fail_nomem(err);
    for (size_t i = 0; i < next->n; i++) {
        const dq_handler *old = of_pattern(now, next->items[i]);

        next->items[i]->no = old ? old->no : n;
        taken[next->items[i]->no] = true;
    }
    for (size_t i = 0; i < next->n; i++) {
        if (next->items[i]->no < n)
            continue;
        while (taken[free_no])
            free_no++;
        next->items[i]->no = free_no;
        taken[free_no] = true;
    }
    dq_free(taken);
    return 0;
}

static void release(dq_handler *h)
{
    if (h->ops && h->ops->released)
        h->ops->released(h->userdata);
    handler_free(h);
}

static void free_unused(dq_handlers *hs)
{
    for (dq_handler **at = &hs->gone; *at;) {
        dq_handler *h = *at;

        if (h->n_claims > 0) {
            at = &h->older;
            continue;
        }
        *at = h->older;
        release(h);
    }
}

void dq_handlers_replace(dq_handlers *hs, dq_handlers *next)
{
    dq_handler *gone = hs->gone;

    for (size_t i = 0; i < hs->n; i++) {
        hs->items[i]->is_gone = true;
        hs->items[i]->older = gone;
        gone = hs->items[i];
    }
    dq_map_deinit(&hs->by_type);
    dq_free(hs->prefixes);
    dq_free(hs->items);
    hs->items = next->items;
    hs->n = next->n;
    hs->cap = next->cap;
    hs->by_type = next->by_type;
    hs->prefixes = next->prefixes;
    hs->n_prefixes = next->n_prefixes;
    hs->gone = gone;
    *next = (dq_handlers){0};
    for (dq_handler *h = gone; h; h = h->older) {
        h->heir = of_pattern(hs, h);
        if (h->heir)
            h->heir->carried += h->running;
    }
    free_unused(hs);
}

void dq_handlers_drop(dq_handlers *next)
{
    for (size_t i = 0; i < next->n; i++)
        release(next->items[i]);
    next->n = 0;
    dq_handlers_deinit(next);
}

void dq_handler_hold(dq_handler *h)
{
    h->n_claims++;
}

void dq_handlers_let_go(dq_handlers *hs, dq_handler *h)
{
    if (--h->n_claims == 0 && h->is_gone)
        free_unused(hs);
}

void dq_handler_began(dq_handler *h)
{
    h->running++;
    if (h->heir)
        h->heir->carried++;
}

void dq_handler_ended(dq_handler *h)
{
    h->running--;
    if (h->heir)
        h->heir->carried--;
}
