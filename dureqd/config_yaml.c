/* SPDX-License-Identifier: Apache-2.0 */
#include "config_yaml.h"

#include <yaml.h>

typedef struct reader {
    yaml_parser_t parser;
    yaml_event_t event;
    bool has_event;
    dq_arena *arena;
    const char *name;
    dureq_error *err;
} reader;

const char *dq_yaml_kind_text(const dq_yaml_node *node)
{
    switch (node->kind) {
    case DQ_YAML_SCALAR: return node->is_null ? "nothing" : "a single value";
    case DQ_YAML_SEQUENCE: return "a list";
    case DQ_YAML_MAPPING: return "a mapping";
    }
    return "?";
}

static int fail_at(reader *r, int code, yaml_mark_t mark, const char *what)
{
    return dq_fail(r->err, code, "%s:%zu:%zu: %s", r->name, mark.line + 1, mark.column + 1, what);
}

static int fail_syntax(reader *r)
{
    yaml_mark_t mark = r->parser.problem_mark;
    const char *what = r->parser.problem ? r->parser.problem : "not YAML";

    if (r->parser.error == YAML_MEMORY_ERROR)
        return dq_fail_nomem(r->err);
    if (r->parser.error == YAML_READER_ERROR)
        return dq_fail(r->err, DUREQ_EPARSE, "%s: byte %zu: %s", r->name, r->parser.problem_offset + 1, what);
    return fail_at(r, DUREQ_EPARSE, mark, what);
}

static int next_event(reader *r)
{
    if (r->has_event)
        yaml_event_delete(&r->event);
    r->has_event = yaml_parser_parse(&r->parser, &r->event) == 1;
    return r->has_event ? 0 : fail_syntax(r);
}

static bool is_null_text(dureq_str s)
{
    return s.len == 0 || dq_str_eq_text(s, "~") || dq_str_eq_text(s, "null");
}

/* Refuses what has an anchor or a tag of its own ("!!str" is harmless, but nobody needs it here). */
static int check_plain(reader *r, const void *anchor, const void *tag)
{
    if (anchor)
        return fail_at(r, DUREQ_EPARSE, r->event.start_mark, "anchors are not supported here");
    if (tag)
        return fail_at(r, DUREQ_EPARSE, r->event.start_mark, "tags are not supported here");
    return 0;
}

static dq_yaml_node *node_create(reader *r, dq_yaml_kind kind)
{
    dq_yaml_node *node = dq_arena_alloc(r->arena, sizeof *node);

    if (!node) {
        dq_fail_nomem(r->err);
        return NULL;
    }
    node->kind = kind;
    node->line = (int)r->event.start_mark.line + 1;
    node->column = (int)r->event.start_mark.column + 1;
    return node;
}

static int scalar_text(reader *r, dureq_str *ret, bool *ret_null)
{
    dureq_str s = dureq_str_of(r->event.data.scalar.value, r->event.data.scalar.length);
    int rc = check_plain(r, r->event.data.scalar.anchor, r->event.data.scalar.tag);

    if (rc < 0)
        return rc;
    if (memchr(s.len ? s.ptr : "", '\0', s.len))
        return fail_at(r, DUREQ_EPARSE, r->event.start_mark, "a NUL byte");

    *ret_null = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE && is_null_text(s);
    *ret = dureq_str_of(dq_arena_dup(r->arena, s), s.len);
    return ret->ptr ? 0 : dq_fail_nomem(r->err);
}

static void node_append(dq_yaml_node *parent, dq_yaml_node *child)
{
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
    parent->n++;
}

static int read_node(reader *r, int depth, dq_yaml_node **ret);

static int read_sequence(reader *r, int depth, dq_yaml_node *seq)
{
    for (;;) {
        dq_yaml_node *item = NULL;
        int rc = next_event(r);

        if (rc < 0)
            return rc;
        if (r->event.type == YAML_SEQUENCE_END_EVENT)
            return 0;
        rc = read_node(r, depth, &item);
        if (rc < 0)
            return rc;
        node_append(seq, item);
    }
}

int dq_yaml_key_shown(const char *key)
{
    return (int)DQ_MIN(strcspn(key, "="), 80);
}

/* Quadratic in the number of keys, which a settings file keeps small; the cap keeps a hostile one small, too. */
static int check_new_key(reader *r, const dq_yaml_node *map, dureq_str key)
{
    char what[160];

    if (map->n >= DQ_CONFIG_HANDLERS_MAX)
        return fail_at(r, DUREQ_ETOOLARGE, r->event.start_mark, "too many keys in one mapping");
    for (const dq_yaml_node *c = map->first; c; c = c->next) {
        if (!dq_str_eq(c->key, key))
            continue;
        (void)snprintf(what, sizeof what, "key '%.*s' is said twice, first in line %d", dq_yaml_key_shown(c->key.ptr), c->key.ptr,
                       c->key_line);
        return fail_at(r, DUREQ_EPARSE, r->event.start_mark, what);
    }
    return 0;
}

static int read_mapping(reader *r, int depth, dq_yaml_node *map)
{
    for (;;) {
        dq_yaml_node *value = NULL;
        yaml_mark_t at;
        dureq_str key;
        bool null;
        int rc = next_event(r);

        if (rc < 0)
            return rc;
        if (r->event.type == YAML_MAPPING_END_EVENT)
            return 0;
        if (r->event.type != YAML_SCALAR_EVENT)
            return fail_at(r, DUREQ_EPARSE, r->event.start_mark, "a key is a single value");
        at = r->event.start_mark;
        rc = scalar_text(r, &key, &null);
        if (rc == 0)
            rc = check_new_key(r, map, key);
        if (rc == 0)
            rc = next_event(r);
        if (rc == 0)
            rc = read_node(r, depth, &value);
        if (rc < 0)
            return rc;

        value->key = key;
        value->key_line = (int)at.line + 1;
        value->key_column = (int)at.column + 1;
        node_append(map, value);
    }
}

/* The node that the current event begins. */
static int read_node(reader *r, int depth, dq_yaml_node **ret)
{
    const yaml_event_t *e = &r->event;
    bool is_map = e->type == YAML_MAPPING_START_EVENT;
    dq_yaml_node *node;
    int rc;

    if (depth >= DQ_CONFIG_DEPTH_MAX)
        return fail_at(r, DUREQ_ETOOLARGE, e->start_mark, "nested too deep");
    if (e->type == YAML_ALIAS_EVENT)
        return fail_at(r, DUREQ_EPARSE, e->start_mark, "aliases are not supported here");
    node = node_create(r, is_map ? DQ_YAML_MAPPING : e->type == YAML_SCALAR_EVENT ? DQ_YAML_SCALAR : DQ_YAML_SEQUENCE);
    if (!node)
        return DUREQ_ENOMEM;

    if (node->kind == DQ_YAML_SCALAR) {
        node->is_plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        rc = scalar_text(r, &node->text, &node->is_null);
    } else if (is_map) {
        rc = check_plain(r, e->data.mapping_start.anchor, e->data.mapping_start.tag);
        if (rc == 0)
            rc = read_mapping(r, depth + 1, node);
    } else {
        rc = check_plain(r, e->data.sequence_start.anchor, e->data.sequence_start.tag);
        if (rc == 0)
            rc = read_sequence(r, depth + 1, node);
    }
    if (rc == 0)
        *ret = node;
    return rc;
}

static int read_document(reader *r, dq_yaml_node **ret)
{
    int rc;

    do {
        rc = next_event(r);
        if (rc < 0)
            return rc;
    } while (r->event.type == YAML_STREAM_START_EVENT || r->event.type == YAML_DOCUMENT_START_EVENT);

    if (r->event.type == YAML_STREAM_END_EVENT) {
        *ret = node_create(r, DQ_YAML_MAPPING);
        return *ret ? 0 : DUREQ_ENOMEM;
    }
    rc = read_node(r, 0, ret);
    if (rc == 0)
        rc = next_event(r); /* the end of the document */
    if (rc == 0)
        rc = next_event(r);
    if (rc == 0 && r->event.type != YAML_STREAM_END_EVENT)
        return fail_at(r, DUREQ_EPARSE, r->event.start_mark, "a second document in the file");
    return rc;
}

int dq_yaml_parse(dq_arena *arena, const char *name, dureq_str text, dq_yaml_node **ret, dureq_error *err)
{
    reader r = {.arena = arena, .name = name, .err = err};
    dq_yaml_node *root = NULL;
    int rc;

    if (text.len > DQ_CONFIG_FILE_MAX)
        return dq_fail(err, DUREQ_ETOOLARGE, "%s: larger than %d bytes", name, DQ_CONFIG_FILE_MAX);
    if (!yaml_parser_initialize(&r.parser))
        return dq_fail_nomem(err);

    yaml_parser_set_input_string(&r.parser, (const unsigned char *)(text.len ? text.ptr : ""), text.len);
    rc = read_document(&r, &root);
    if (r.has_event)
        yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    if (rc < 0)
        return rc;

    *ret = root;
    return 0;
}
