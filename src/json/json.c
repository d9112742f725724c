/* SPDX-License-Identifier: Apache-2.0 */
/* The parser: one pass, no recursion; open containers are kept on a small stack of tape indices. */
#include "json/json.h"

#include "json/scan.h"

#define DEPTH_MAX 128
#define FRAME_MAX 8 /* levels around a value of full depth */
#define TEXT_MAX  (64u * 1024 * 1024)
#define NODES_MAX (16u * 1024 * 1024)

typedef struct parser {
    const char *text, *p, *end;
    dq_json *doc; /* NULL: only checking */
    uint32_t n;   /* nodes so far, also when only checking */
    uint32_t stack[DEPTH_MAX + FRAME_MAX];
    bool is_object[DEPTH_MAX + FRAME_MAX];
    uint32_t counts[DEPTH_MAX + FRAME_MAX];
    int depth, depth_max;
    const char *what; /* what is wrong, at p */
    int rc;
} parser;

static bool fail(parser *s, int rc, const char *what)
{
    s->rc = rc;
    s->what = what;
    return false;
}

static void skip_blanks(parser *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t'))
        s->p++;
}

static bool add_node(parser *s, uint32_t type, const char *start)
{
    dq_json *doc = s->doc;
    uint32_t at = s->n++;

    if (s->depth)
        s->counts[s->depth - 1]++;
    if (at >= NODES_MAX)
        return fail(s, DUREQ_ETOOLARGE, "too many values");
    if (!doc)
        return true;
    if (at == doc->cap) {
        size_t cap = doc->cap ? doc->cap * 2 : 16;
        dq_json_node *nodes = dq_realloc(doc->nodes, cap * sizeof *nodes);

        if (!nodes)
            return fail(s, DUREQ_ENOMEM, "out of memory");
        doc->nodes = nodes;
        doc->cap = cap;
    }
    doc->nodes[at] =
        (dq_json_node){.type = type, .start = (uint32_t)(start - s->text), .len = (uint32_t)(s->p - start), .end = at + 1};
    return true;
}

static bool parse_string(parser *s)
{
    const char *start = s->p;
    bool escapes = false;
    const char *what = NULL;
    const char *end = dq_json_scan_string(s->p, s->end, &escapes, &what);

    if (what) {
        s->p = end;
        return fail(s, DUREQ_EPARSE, what);
    }
    s->p = end;
    return add_node(s, DQ_JSON_STRING | (escapes ? 256u : 0), start);
}

static bool parse_number(parser *s)
{
    const char *start = s->p, *what = NULL;

    s->p = dq_json_scan_number(s->p, s->end, &what);
    return what ? fail(s, DUREQ_EPARSE, what) : add_node(s, DQ_JSON_NUMBER, start);
}

static bool parse_word(parser *s, const char *word, dq_json_type type)
{
    size_t len = strlen(word);
    const char *start = s->p;

    if ((size_t)(s->end - s->p) < len || memcmp(s->p, word, len) != 0)
        return fail(s, DUREQ_EPARSE, "not a JSON value");
    s->p += len;
    return add_node(s, type, start);
}

static bool open_container(parser *s, bool object)
{
    const char *start = s->p++;

    if (s->depth == s->depth_max)
        return fail(s, DUREQ_ETOOLARGE, "nested too deep");
    if (!add_node(s, object ? DQ_JSON_OBJECT : DQ_JSON_ARRAY, start))
        return false;
    s->stack[s->depth] = s->n - 1;
    s->is_object[s->depth] = object;
    s->counts[s->depth] = 0;
    s->depth++;
    return true;
}

static void close_container(parser *s)
{
    bool object = s->is_object[--s->depth];

    s->p++;
    if (s->doc) {
        dq_json_node *node = &s->doc->nodes[s->stack[s->depth]];

        node->len = (uint32_t)(s->p - s->text) - node->start;
        node->end = s->n;
        node->n = object ? s->counts[s->depth] / 2 : s->counts[s->depth];
    }
}

/* A value begins at p: scalars are eaten whole, containers are opened. */
static bool parse_value(parser *s)
{
    if (s->p == s->end)
        return fail(s, DUREQ_EPARSE, "the text ends too soon");
    switch (*s->p) {
    case '{': return open_container(s, true);
    case '[': return open_container(s, false);
    case '"': return parse_string(s);
    case 't': return parse_word(s, "true", DQ_JSON_TRUE);
    case 'f': return parse_word(s, "false", DQ_JSON_FALSE);
    case 'n': return parse_word(s, "null", DQ_JSON_NULL);
    default: return parse_number(s);
    }
}

/* "name" and ':' of a member. */
static bool parse_key(parser *s)
{
    skip_blanks(s);
    if (s->p == s->end || *s->p != '"')
        return fail(s, DUREQ_EPARSE, "a member name in quotes is expected");
    if (!parse_string(s))
        return false;
    skip_blanks(s);
    if (s->p == s->end || *s->p != ':')
        return fail(s, DUREQ_EPARSE, "':' is expected");
    s->p++;
    skip_blanks(s);
    return true;
}

/* After a value, in a container: closes what ends here; true with *ret_more when another value follows. */
static bool after_value(parser *s, bool *ret_more)
{
    *ret_more = false;
    while (s->depth) {
        bool object = s->is_object[s->depth - 1];

        skip_blanks(s);
        if (s->p == s->end)
            return fail(s, DUREQ_EPARSE, "the text ends too soon");
        if (*s->p == ',') {
            s->p++;
            *ret_more = true;
            skip_blanks(s);
            return object ? parse_key(s) : true;
        }
        if (*s->p != (object ? '}' : ']'))
            return fail(s, DUREQ_EPARSE, object ? "',' or '}' is expected" : "',' or ']' is expected");
        close_container(s);
    }
    return true;
}

static bool parse_all(parser *s)
{
    bool more = true;

    skip_blanks(s);
    while (more) {
        int depth = s->depth;

        if (!parse_value(s))
            return false;
        if (s->depth > depth) { /* a container was opened: empty, or its first value comes next */
            bool object = s->is_object[depth];

            skip_blanks(s);
            if (s->p < s->end && *s->p == (object ? '}' : ']'))
                close_container(s);
            else if (object && !parse_key(s))
                return false;
            else
                continue;
        }
        if (!after_value(s, &more))
            return false;
    }
    skip_blanks(s);
    return s->p == s->end || fail(s, DUREQ_EPARSE, "something follows the value");
}

static int report(const parser *s, dureq_error *err)
{
    unsigned line = 1;
    const char *start = s->text;

    for (const char *p = s->text; p < s->p; p++)
        if (*p == '\n') {
            line++;
            start = p + 1;
        }
    return dq_fail(err, s->rc, "line %u, column %u: %s", line, (unsigned)(s->p - start) + 1, s->what);
}

static int parse(dureq_str text, int depth_max, dq_json *doc, dureq_error *err)
{
    const char *ptr = text.len ? text.ptr : "";
    parser s = {.text = ptr, .p = ptr, .end = ptr + text.len, .doc = doc, .depth_max = depth_max};

    *doc = (dq_json){.text = dureq_str_of(ptr, text.len)};
    if (text.len > TEXT_MAX)
        return dq_fail(err, DUREQ_ETOOLARGE, "JSON text over %u bytes", TEXT_MAX);
    if (!parse_all(&s)) {
        dq_json_deinit(doc);
        return report(&s, err);
    }
    doc->n_nodes = s.n;
    return 0;
}

int dq_json_parse(dureq_str text, dq_json *doc, dureq_error *err)
{
    return parse(text, DEPTH_MAX, doc, err);
}

int dq_json_parse_frame(dureq_str text, dq_json *doc, dureq_error *err)
{
    return parse(text, DEPTH_MAX + FRAME_MAX, doc, err);
}

bool dq_json_valid(dureq_str text)
{
    const char *ptr = text.len ? text.ptr : "";
    parser s = {.text = ptr, .p = ptr, .end = ptr + text.len, .depth_max = DEPTH_MAX};

    return text.len <= TEXT_MAX && parse_all(&s);
}

void dq_json_deinit(dq_json *doc)
{
    dq_free(doc->nodes);
    *doc = (dq_json){0};
}
