/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule_list.h"

#include "base/clock.h"
#include "base/map.h"
#include "client/schedule.h"
#include "json/json.h"
#include "model/job.h"
#include "model/job_json.h"
#include "model/schedule.h"

/* ---- a tree as JSON ---- */

/* A plain scalar that JSON would take for a number, true or false is that. */
static bool is_bare(const dq_yaml_node *n)
{
    if (!n->is_plain || n->text.len == 0)
        return false;
    return dq_str_eq_text(n->text, "true") || dq_str_eq_text(n->text, "false") ||
           (strchr("-0123456789", n->text.ptr[0]) && dq_json_valid(n->text));
}

static void put_node(dq_json_writer *w, const dq_yaml_node *n, const char *but);

static void put_children(dq_json_writer *w, const dq_yaml_node *n, const char *but)
{
    for (const dq_yaml_node *c = n->first; c; c = c->next) {
        if (but && dq_str_eq_text(c->key, but))
            continue;
        if (n->kind == DQ_YAML_MAPPING)
            dq_json_key(w, c->key.ptr);
        put_node(w, c, NULL);
    }
}

/* but: a member that is left out; NULL: none. The depth is bounded by the parser. */
static void put_node(dq_json_writer *w, const dq_yaml_node *n, const char *but)
{
    switch (n->kind) {
    case DQ_YAML_SCALAR:
        if (n->is_null)
            dq_json_put_null(w);
        else if (is_bare(n))
            dq_json_put_raw(w, n->text);
        else
            dq_json_put_str(w, n->text);
        break;
    case DQ_YAML_SEQUENCE:
        dq_json_begin_array(w);
        put_children(w, n, but);
        dq_json_end_array(w);
        break;
    case DQ_YAML_MAPPING:
        dq_json_begin_object(w);
        put_children(w, n, but);
        dq_json_end_object(w);
        break;
    }
}

/* ---- what can be wrong ---- */

/* A list being read: what its items share. */
typedef struct list_reading {
    dq_arena *arena;
    const char *name;
    dq_zones *zones; /* each file is read once */
    dq_map by_key;
} list_reading;

static void list_reading_deinit(list_reading *l)
{
    dq_zones_destroy(l->zones);
    dq_map_deinit(&l->by_key);
}

/* Its zone, its cron expression, and that it comes round yet. */
static int check_times(const dureq_schedule *s, dq_zones *zones, dureq_error *err)
{
    dq_calendar c;
    int rc;

    if (!dq_schedule_is_recurring(s->type))
        return dq_fail(err, DUREQ_EINVAL, "type %s is one job, which nobody declares", dureq_schedule_type_to_str(s->type));
    rc = dq_schedule_open(&c, s, dq_wall_ms(), zones, err);
    if (rc < 0)
        return rc;
    rc = dq_calendar_check_fires(&c, dq_wall_ms() / 1000, err);
    dq_calendar_deinit(&c);
    return rc;
}

static int check_members(list_reading *l, const dq_json *doc, dq_spec_reading *s, bool *ret_has_schedule, dureq_error *err)
{
    for (dq_json_ref k = dq_json_first(doc, 0); k != DQ_JSON_NONE; k = dq_json_next(doc, 0, k)) {
        dureq_str name = dq_json_raw(doc, k);
        dureq_schedule schedule;
        int rc;

        if (dq_str_eq_text(name, "\"schedule\"")) {
            rc = dq_schedule_from_json(doc, k + 1, l->arena, &schedule, err);
            if (rc == 0)
                rc = check_times(&schedule, l->zones, err);
            *ret_has_schedule = true;
        } else {
            rc = dq_spec_read_member(doc, k, l->arena, s, err);
            if (rc == DUREQ_ENOTFOUND)
                rc = dq_fail(err, DUREQ_EINVAL, "unknown field " DQ_STR_FMT, DQ_STR_ARG(name));
        }
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int check_body(list_reading *l, dureq_str body, dureq_error *err)
{
    dq_spec_reading s = dq_spec_reading_of();
    dureq_job_options o = dureq_job_options_init();
    dureq_job_spec spec;
    bool has_schedule = false;
    dq_json doc = {0};
    int rc = dq_json_parse(body, &doc, err);

    if (rc < 0)
        return rc;
    rc = check_members(l, &doc, &s, &has_schedule, err);
    if (rc == 0)
        rc = dq_spec_read_end(&doc, l->arena, &s, &spec, &o, err);
    dq_json_deinit(&doc);
    if (rc == 0 && !has_schedule)
        rc = dq_fail(err, DUREQ_EINVAL, "field 'schedule' is missing");
    return rc;
}

/* ---- the list ---- */

static const dq_yaml_node *member(const dq_yaml_node *map, const char *name)
{
    for (const dq_yaml_node *c = map->first; c; c = c->next)
        if (dq_str_eq_text(c->key, name))
            return c;
    return NULL;
}

static int fail_at(const char *name, const dq_yaml_node *n, int code, const char *what, dureq_error *err)
{
    return dq_fail(err, code, "%s:%d:%d: %s", name, n->line, n->column, what);
}

static int read_one(list_reading *l, const dq_yaml_node *n, dq_schedule_spec *ret, dureq_error *err)
{
    const dq_yaml_node *key = n->kind == DQ_YAML_MAPPING ? member(n, "key") : NULL;
    DQ_BUF_AUTO body = {0};
    DQ_BUF_AUTO origin = {0};
    dq_json_writer w = dq_json_writer_of(&body);
    dureq_error inner = {0};
    int rc;

    if (n->kind != DQ_YAML_MAPPING)
        return fail_at(l->name, n, DUREQ_EINVAL, "a schedule is a mapping", err);
    if (!key || key->kind != DQ_YAML_SCALAR || key->is_null)
        return fail_at(l->name, n, DUREQ_EINVAL, "a schedule needs a key, by which it is known", err);
    rc = dq_key_check("key", key->text, &inner);
    put_node(&w, n, "key");
    dq_buf_append_fmt(&origin, "%s:%d:%d", l->name, n->line, n->column);
    if (dq_buf_failed(&body) || dq_buf_failed(&origin))
        return dq_fail_nomem(err);
    if (rc == 0)
        rc = check_body(l, dq_buf_str(&body), &inner);
    if (rc < 0)
        return fail_at(l->name, n, rc, inner.msg, err);
    ret->key = dq_arena_dup(l->arena, key->text);
    ret->body = dq_arena_dup_str(l->arena, dq_buf_str(&body));
    ret->origin = dq_arena_dup_str(l->arena, dq_buf_str(&origin));
    return ret->key && ret->body.ptr && ret->origin.ptr ? 0 : dq_fail_nomem(err);
}

static int keep_new(list_reading *l, dq_schedule_spec *s, dureq_error *err)
{
    const dq_schedule_spec *first = dq_map_get(&l->by_key, dureq_str_from(s->key));

    if (first)
        return dq_fail(err, DUREQ_EINVAL, DQ_STR_FMT ": key '%.80s' is said twice, first at " DQ_STR_FMT, DQ_STR_ARG(s->origin),
                       s->key, DQ_STR_ARG(first->origin));
    return dq_map_put(&l->by_key, dureq_str_from(s->key), s) < 0 ? dq_fail_nomem(err) : 0;
}

int dq_schedule_list_read(dq_arena *arena, const char *name, const dq_yaml_node *list, dq_schedule_spec **ret, size_t *ret_n,
                          dureq_error *err)
{
    DQ_CLEANUP(list_reading_deinit) list_reading l = {.arena = arena, .name = name};
    dq_schedule_spec *items;
    size_t n = 0;
    int rc;

    if (list->kind == DQ_YAML_SCALAR && list->is_null) {
        *ret_n = 0;
        return 0;
    }
    if (list->kind != DQ_YAML_SEQUENCE)
        return fail_at(name, list, DUREQ_EINVAL, "schedules takes a list", err);
    if (list->n > DQ_SCHEDULES_MAX)
        return fail_at(name, list, DUREQ_ETOOLARGE, "more than 10000 schedules", err);
    items = dq_arena_alloc(arena, (list->n + 1) * sizeof *items);
    if (!items)
        return dq_fail_nomem(err);
    rc = dq_zones_create(NULL, &l.zones, err);
    for (const dq_yaml_node *c = list->first; c && rc == 0; c = c->next) {
        rc = read_one(&l, c, &items[n], err);
        if (rc == 0)
            rc = keep_new(&l, &items[n], err);
        n++;
    }
    if (rc < 0)
        return rc;
    *ret = items;
    *ret_n = n;
    return 0;
}

int dq_schedule_list_parse(dq_arena *arena, const char *name, dureq_str text, dq_schedule_spec **ret, size_t *ret_n,
                           dureq_error *err)
{
    const dq_yaml_node *list;
    dq_yaml_node *root = NULL;
    int rc = dq_yaml_parse(arena, name, text, &root, err);

    if (rc < 0)
        return rc;
    list = root->kind == DQ_YAML_MAPPING ? member(root, "schedules") : root;
    if (!list)
        return dq_fail(err, DUREQ_EINVAL, "%s: takes a list of schedules, or a mapping with it as 'schedules'", name);
    return dq_schedule_list_read(arena, name, list, ret, ret_n, err);
}
