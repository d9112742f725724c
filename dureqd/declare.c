/* SPDX-License-Identifier: Apache-2.0 */
#include "declare.h"

#include "api/api.h"

#include <stdlib.h>

static void append_key(dq_buf *query, const char *key)
{
    dq_buf_append_text(query, "key=");
    for (const char *p = key; *p; p++)
        dq_buf_append_fmt(query, "%%%02X", (unsigned char)*p);
}

static void say_refused(const dq_declaring *d, const dq_schedule_spec *s, const char *answer)
{
    DQ_LOG(d->log, DUREQ_LOG_ERROR, "schedule.refused", "key=%s said at " DQ_STR_FMT " answer=%s", s->key, DQ_STR_ARG(s->origin),
           answer);
}

/* 1: a node that is too old is alive, which was logged. */
static int declare(const dq_declaring *d, const dq_schedule_spec *s, dureq_error *err)
{
    DQ_BUF_AUTO query = {0};
    dq_api_response res;
    const char *answer;
    int rc;

    append_key(&query, s->key);
    if (dq_buf_failed(&query))
        return dq_fail_nomem(err);
    dq_api_request req = {.method = "PUT", .path = "/api/schedules", .query = query.ptr, .body = s->body, .actor = "dureqd"};
    dq_api_handle(d->client, &req, &res);
    rc = DQ_MIN(res.code, 0);
    answer = res.body.ptr ? res.body.ptr : "";
    if (rc == DUREQ_ECONFLICT)
        say_refused(d, s, answer);
    else if (rc < 0)
        (void)dq_fail(err, rc, DQ_STR_FMT ": schedule '%.60s': %.160s", DQ_STR_ARG(s->origin), s->key, answer);
    dq_api_response_deinit(&res);
    return rc == DUREQ_ECONFLICT ? 1 : rc;
}

int dq_schedules_declare(const dq_declaring *d, const dq_config *cfg, dureq_error *err)
{
    int rc = 0, some = 0;

    for (size_t i = 0; rc >= 0 && i < cfg->n_schedules && !atomic_load(d->is_over); i++) {
        rc = declare(d, &cfg->schedules[i], err);
        some |= rc == 1;
    }
    return rc < 0 ? rc : some;
}

/* ---- what differs ---- */

static int compare_keys(const void *a, const void *b)
{
    return strcmp((*(const dq_schedule_spec *const *)a)->key, (*(const dq_schedule_spec *const *)b)->key);
}

/* By key; NULL: no memory. */
static const dq_schedule_spec **sorted(const dq_config *cfg)
{
    const dq_schedule_spec **list = dq_calloc(cfg->n_schedules + 1, sizeof *list);

    for (size_t i = 0; list && i < cfg->n_schedules; i++)
        list[i] = &cfg->schedules[i];
    if (list)
        qsort(list, cfg->n_schedules, sizeof(*list), compare_keys);
    return list;
}

/* a: of now, NULL when it is new; b: of next, NULL when it is gone. */
typedef void (*differs_fn)(void *userdata, const dq_schedule_spec *a, const dq_schedule_spec *b);

static bool each_difference(const dq_config *now, const dq_config *next, differs_fn fn, void *userdata)
{
    const dq_schedule_spec **a = sorted(now), **b = sorted(next);
    bool has_memory = a && b;
    size_t i = 0, k = 0;

    while (has_memory && (i < now->n_schedules || k < next->n_schedules)) {
        int order = i == now->n_schedules ? 1 : k == next->n_schedules ? -1 : strcmp(a[i]->key, b[k]->key);

        if (order != 0 || !dq_str_eq(a[i]->body, b[k]->body))
            fn(userdata, order <= 0 ? a[i] : NULL, order >= 0 ? b[k] : NULL);
        i += order <= 0;
        k += order >= 0;
    }
    dq_free((void *)a);
    dq_free((void *)b);
    return has_memory;
}

static void count_one(void *userdata, const dq_schedule_spec *a, const dq_schedule_spec *b)
{
    (void)a;
    (void)b;
    ++*(int *)userdata;
}

bool dq_schedules_differ(const dq_config *now, const dq_config *next)
{
    int n = 0;

    return !each_difference(now, next, count_one, &n) || n > 0; /* without memory: they may */
}

typedef struct again {
    const dq_declaring *d;
    dq_declared sum;
} again;

static void put_one(void *userdata, const dq_schedule_spec *a, const dq_schedule_spec *b)
{
    again *g = userdata;
    dureq_error err = {0};
    int rc;

    if (atomic_load(g->d->is_over))
        return;
    if (!b) {
        if (a)
            DQ_LOG(g->d->log, DUREQ_LOG_INFO, "schedule.kept",
                   "key=%s it is not declared any more, and goes on: dureqctl schedule delete", a->key);
        return;
    }
    rc = declare(g->d, b, &err);
    if (rc < 0)
        say_refused(g->d, b, err.msg);
    g->sum.n += rc == 0;
    g->sum.n_refused += rc != 0;
}

dq_declared dq_schedules_declare_again(const dq_declaring *d, const dq_config *now, const dq_config *next)
{
    static const dq_config none;
    again g = {.d = d};

    if (!each_difference(now ? now : &none, next, put_one, &g)) {
        DQ_LOG(d->log, DUREQ_LOG_ERROR, "schedule.refused", "all that changed: out of memory");
        g.sum.n_refused++;
    }
    return g.sum;
}
