/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule_list.h"

#include "base/clock.h"
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

/* Its zone, its cron expression, and that it comes round yet. */
static int check_times(const dureq_schedule *s, dureq_error *err)
{
    dq_calendar c;
    int rc;

    if (!dq_schedule_is_recurring(s->type))
        return dq_fail(err, DUREQ_EINVAL, "type %s is one job, which nobody declares", dureq_schedule_type_to_str(s->type));
    rc = dq_schedule_open(&c, s, dq_wall_ms(), NULL, err);
    if (rc < 0)
        return rc;
    rc = dq_calendar_check_fires(&c, dq_wall_ms() / 1000, err);
    dq_calendar_deinit(&c);
    return rc;
}

static int check_members(const dq_json *doc, dq_arena *a, dq_spec_reading *s, bool *ret_has_schedule, dureq_error *err)
{
    for (dq_json_ref k = dq_json_first(doc, 0); k != DQ_JSON_NONE; k = dq_json_next(doc, 0, k)) {
        dureq_str name = dq_json_raw(doc, k);
        dureq_schedule schedule;
        int rc;

        if (dq_str_eq_text(name, "\"schedule\"")) {
            rc = dq_schedule_from_json(doc, k + 1, a, &schedule, err);
            if (rc == 0)
                rc = check_times(&schedule, err);
            *ret_has_schedule = true;
        } else {
            rc = dq_spec_read_member(doc, k, a, s, err);
            if (rc == DUREQ_ENOTFOUND)
                rc = dq_fail(err, DUREQ_EINVAL, "unknown field " DQ_STR_FMT, DQ_STR_ARG(name));
        }
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int check_body(dureq_str body, dq_arena *a, dureq_error *err)
{
    dq_spec_reading s = dq_spec_reading_of();
    dureq_job_options o = dureq_job_options_init();
    dureq_job_spec spec;
    bool has_schedule = false;
    dq_json doc = {0};
    int rc = dq_json_parse(body, &doc, err);

    if (rc < 0)
        return rc;
    rc = check_members(&doc, a, &s, &has_schedule, err);
    if (rc == 0)
        rc = dq_spec_read_end(&doc, a, &s, &spec, &o, err);
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

static int read_one(dq_arena *arena, const char *name, const dq_yaml_node *n, dq_schedule_spec *ret, dureq_error *err)
{
    const dq_yaml_node *key = n->kind == DQ_YAML_MAPPING ? member(n, "key") : NULL;
    DQ_BUF_AUTO body = {0};
    DQ_BUF_AUTO origin = {0};
    dq_json_writer w = dq_json_writer_of(&body);
    dureq_error inner = {0};
    int rc;

    if (n->kind != DQ_YAML_MAPPING)
        return fail_at(name, n, DUREQ_EINVAL, "a schedule is a mapping", err);
    if (!key || key->kind != DQ_YAML_SCALAR || key->is_null)
        return fail_at(name, n, DUREQ_EINVAL, "a schedule needs a key, by which it is known", err);
    rc = dq_key_check("key", key->text, &inner);
    put_node(&w, n, "key");
    dq_buf_append_fmt(&origin, "%s:%d:%d", name, n->line, n->column);
    if (dq_buf_failed(&body) || dq_buf_failed(&origin))
        return dq_fail_nomem(err);
    if (rc == 0)
        rc = check_body(dq_buf_str(&body), arena, &inner);
    if (rc < 0)
        return fail_at(name, n, rc, inner.msg, err);
    ret->key = dq_arena_dup(arena, key->text);
    ret->body = dq_arena_dup_str(arena, dq_buf_str(&body));
    ret->origin = dq_arena_dup_str(arena, dq_buf_str(&origin));
    return ret->key && ret->body.ptr && ret->origin.ptr ? 0 : dq_fail_nomem(err);
}

/* Quadratic, in a list that its file keeps small. */
static int check_new(const dq_schedule_spec *items, size_t n, dureq_error *err)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(items[i].key, items[n].key) == 0)
            return dq_fail(err, DUREQ_EINVAL, DQ_STR_FMT ": key '%.80s' is said twice, first at " DQ_STR_FMT,
                           DQ_STR_ARG(items[n].origin), items[n].key, DQ_STR_ARG(items[i].origin));
    return 0;
}

int dq_schedule_list_read(dq_arena *arena, const char *name, const dq_yaml_node *list, dq_schedule_spec **ret, size_t *ret_n,
                          dureq_error *err)
{
    dq_schedule_spec *items;
    size_t n = 0;

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
    for (const dq_yaml_node *c = list->first; c; c = c->next) {
        int rc = read_one(arena, name, c, &items[n], err);

        if (rc == 0)
            rc = check_new(items, n, err);
        if (rc < 0)
            return rc;
        n++;
    }
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
