/* SPDX-License-Identifier: Apache-2.0 */
/* Types that no live node handles: of one job, and of all that wait. */
#include "api/unhandled.h"

#include <stdlib.h>

#include "client/lanes.h"

bool dq_api_pattern_fits(dureq_str pattern, dureq_str type)
{
    if (pattern.len && pattern.ptr[pattern.len - 1] == '*')
        return type.len >= pattern.len - 1 && memcmp(type.ptr, pattern.ptr, pattern.len - 1) == 0;
    return dq_str_eq(pattern, type);
}

bool dq_api_is_handled(const dureq_node_list *list, dureq_str type)
{
    for (size_t i = 0; i < list->n; i++) {
        dureq_str rest = list->items[i].task_types;

        while (rest.len)
            if (dq_api_pattern_fits(dq_str_trim(dq_str_cut(&rest, ',')), type))
                return true;
    }
    return false;
}

/* ---- of all that wait ---- */

/* What is found of a queue while lanes are walked; `told` is what it becomes. */
typedef struct found {
    dq_map types; /* name -> dq_unhandled_type */
    dq_unhandled_queue told;
} found;

typedef struct search {
    dq_arena *arena;
    const dureq_node_list *nodes;
    dq_map *queues;
    dureq_error *err;
} search;

/* The value of a key, made of zeros when there is none yet. */
static void *get_or_add(dq_arena *arena, dq_map *map, dureq_str key, size_t size)
{
    void *value = dq_map_get(map, key);
    dureq_str kept;

    if (value)
        return value;
    value = dq_arena_alloc(arena, size);
    kept = dq_arena_dup_str(arena, key);
    return value && (kept.ptr || !key.len) && dq_map_put(map, kept, value) == 0 ? value : NULL;
}

static int add_lane(dureq_str queue, dureq_str type, int64_t n, void *userdata)
{
    search *s = userdata;
    dq_unhandled_type *t;
    found *f;

    if (dq_api_is_handled(s->nodes, type))
        return 0;
    f = get_or_add(s->arena, s->queues, queue, sizeof *f);
    t = f ? get_or_add(s->arena, &f->types, type, sizeof *t) : NULL;
    if (!t)
        return dq_fail_nomem(s->err);
    if (!t->n) {
        t->task_type = dq_arena_dup_str(s->arena, type);
        f->told.n_types++;
    }
    t->n += n;
    f->told.n += n;
    return 0;
}

static int most_first(const void *a, const void *b)
{
    const dq_unhandled_type *x = *(dq_unhandled_type *const *)a, *y = *(dq_unhandled_type *const *)b;
    size_t len = DQ_MIN(x->task_type.len, y->task_type.len);
    int order;

    if (x->n != y->n)
        return x->n > y->n ? -1 : 1;
    order = len ? memcmp(x->task_type.ptr, y->task_type.ptr, len) : 0;
    return order ? order : (x->task_type.len > y->task_type.len) - (x->task_type.len < y->task_type.len);
}

static int sort_types(dq_arena *arena, found *f, dureq_error *err)
{
    dq_unhandled_type *t;
    size_t i = 0, n = 0;

    f->told.types = dq_arena_alloc(arena, f->told.n_types * sizeof(dq_unhandled_type *));
    if (!f->told.types)
        return dq_fail_nomem(err);
    for (t = dq_map_next(&f->types, &i); t; t = dq_map_next(&f->types, &i))
        f->told.types[n++] = t;
    qsort(f->told.types, n, sizeof(dq_unhandled_type *), most_first);
    return 0;
}

int dq_unhandled_find(dq_api_ctx *c, dq_unhandled *ret, dureq_error *err)
{
    search s = {.arena = &c->arena, .queues = &ret->queues, .err = err};
    dureq_node_list *nodes;
    size_t i = 0;
    found *f;
    int rc;

    *ret = (dq_unhandled){0};
    rc = dureq_client_list_nodes(c->client, &nodes, err);
    if (rc < 0)
        return rc;
    s.nodes = nodes;
    rc = dq_client_walk_waiting(c->client, add_lane, &s, err);
    dureq_node_list_destroy(nodes);
    for (f = dq_map_next(&ret->queues, &i); f && rc == 0; f = dq_map_next(&ret->queues, &i))
        rc = sort_types(&c->arena, f, err);
    if (rc < 0)
        dq_unhandled_deinit(ret);
    return rc;
}

void dq_unhandled_deinit(dq_unhandled *u)
{
    found *f;
    size_t i = 0;

    for (f = dq_map_next(&u->queues, &i); f; f = dq_map_next(&u->queues, &i))
        dq_map_deinit(&f->types);
    dq_map_deinit(&u->queues);
}

const dq_unhandled_queue *dq_unhandled_of(const dq_unhandled *u, dureq_str queue)
{
    const found *f = dq_map_get(&u->queues, queue);

    return f ? &f->told : NULL;
}
