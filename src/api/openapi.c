/* SPDX-License-Identifier: Apache-2.0 */
/* The OpenAPI document, from the same rows that requests are answered by. */
#include <dureq/dureq.h>

#include "api/describe.h"
#include "api/passes.h"

/* ---- types ---- */

static void put_type(dq_json_writer *w, dureq_str type);

static void put_text(dq_json_writer *w, const char *name, const char *text)
{
    dq_json_key(w, name);
    dq_json_put_text(w, text);
}

static void put_words(dq_json_writer *w, dureq_str words, char between)
{
    dq_json_key(w, "enum");
    dq_json_begin_array(w);
    while (words.len)
        dq_json_put_str(w, dq_str_cut(&words, between));
    dq_json_end_array(w);
}

static void put_simple(dq_json_writer *w, const char *type, const char *format)
{
    dq_json_begin_object(w);
    put_text(w, "type", type);
    if (format)
        put_text(w, "format", format);
    dq_json_end_object(w);
}

static void put_ref(dq_json_writer *w, dureq_str name)
{
    DQ_BUF_AUTO path = {0};

    dq_buf_append_fmt(&path, "#/components/schemas/" DQ_STR_FMT, DQ_STR_ARG(name));
    dq_json_begin_object(w);
    dq_json_key(w, "$ref");
    dq_json_put_str(w, dq_buf_str(&path));
    dq_json_end_object(w);
}

static void put_list(dq_json_writer *w, dureq_str of)
{
    dq_json_begin_object(w);
    put_text(w, "type", "array");
    dq_json_key(w, "items");
    put_type(w, of);
    dq_json_end_object(w);
}

static void put_map(dq_json_writer *w, dureq_str of)
{
    dq_json_begin_object(w);
    put_text(w, "type", "object");
    dq_json_key(w, "additionalProperties");
    put_type(w, of);
    dq_json_end_object(w);
}

static void put_one_of(dq_json_writer *w, const char *word, dureq_str types)
{
    dq_json_begin_object(w);
    dq_json_key(w, word);
    dq_json_begin_array(w);
    while (types.len)
        put_type(w, dq_str_cut(&types, '|'));
    dq_json_end_array(w);
    dq_json_end_object(w);
}

static void put_nullable(dq_json_writer *w, dureq_str type)
{
    dq_json_begin_object(w);
    dq_json_key(w, "anyOf");
    dq_json_begin_array(w);
    put_type(w, type);
    put_simple(w, "null", NULL);
    dq_json_end_array(w);
    dq_json_end_object(w);
}

static void put_letter(dq_json_writer *w, char letter)
{
    switch (letter) {
    case 's': put_simple(w, "string", NULL); break;
    case 'i': put_simple(w, "integer", NULL); break;
    case 'n': put_simple(w, "number", NULL); break;
    case 'b': put_simple(w, "boolean", NULL); break;
    case 't': put_simple(w, "string", "date-time"); break;
    default: put_simple(w, "string", "duration-text"); break;
    }
}

static void put_type(dq_json_writer *w, dureq_str t)
{
    dureq_str inner = t.len > 1 ? dureq_str_of(t.ptr + 1, t.len - 2) : t, rest = t.len ? dureq_str_of(t.ptr + 1, t.len - 1) : t;

    if (t.len && t.ptr[t.len - 1] == '~') {
        put_nullable(w, dureq_str_of(t.ptr, t.len - 1));
    } else if (t.len && t.ptr[0] == '[') {
        put_list(w, inner);
    } else if (t.len && t.ptr[0] == '{') {
        put_map(w, inner);
    } else if (t.len && t.ptr[0] == '@') {
        put_one_of(w, "oneOf", rest);
    } else if (t.len && t.ptr[0] == '=') {
        dq_json_begin_object(w);
        put_text(w, "type", "string");
        put_words(w, rest, '|');
        dq_json_end_object(w);
    } else if (dq_str_eq_text(t, "any")) {
        dq_json_begin_object(w);
        dq_json_end_object(w);
    } else if (t.len == 1) {
        put_letter(w, t.ptr[0]);
    } else {
        put_ref(w, t);
    }
}

/* ---- schemas ---- */

static bool is_optional(dureq_str *name)
{
    bool is = name->len && name->ptr[name->len - 1] == '?';

    name->len -= is;
    return is;
}

static void put_members(dq_json_writer *w, dureq_str text)
{
    dureq_str rest = text;

    dq_json_key(w, "properties");
    dq_json_begin_object(w);
    while (rest.len) {
        dureq_str type = dq_str_cut(&rest, ' '), name = dq_str_cut(&type, ':');

        (void)is_optional(&name);
        dq_json_key_str(w, name);
        put_type(w, type);
    }
    dq_json_end_object(w);
    dq_json_key(w, "required");
    dq_json_begin_array(w);
    for (rest = text; rest.len;) {
        dureq_str type = dq_str_cut(&rest, ' '), name = dq_str_cut(&type, ':');

        if (!is_optional(&name))
            dq_json_put_str(w, name);
    }
    dq_json_end_array(w);
}

static void put_schema(dq_json_writer *w, const char *text)
{
    if (!strchr(text, ':')) {
        put_type(w, dureq_str_from(text));
        return;
    }
    dq_json_begin_object(w);
    put_text(w, "type", "object");
    put_members(w, dureq_str_from(text));
    dq_json_key(w, "additionalProperties");
    dq_json_put_bool(w, false);
    dq_json_end_object(w);
}

static void put_code_words(dq_json_writer *w)
{
    dq_json_key(w, "ErrorCode");
    dq_json_begin_object(w);
    put_text(w, "type", "string");
    dq_json_key(w, "enum");
    dq_json_begin_array(w);
    for (size_t i = 0; dq_api_word_at(i); i++)
        dq_json_put_text(w, dq_api_word_at(i));
    dq_json_end_array(w);
    dq_json_end_object(w);
}

static void put_schemas(dq_json_writer *w)
{
    dq_json_key(w, "schemas");
    dq_json_begin_object(w);
    put_code_words(w);
    for (const dq_api_schema *s = dq_api_schemas; s->name; s++) {
        dq_json_key(w, s->name);
        put_schema(w, s->text);
    }
    dq_json_end_object(w);
}

/* ---- parameters ---- */

static void put_param_type(dq_json_writer *w, const dq_api_param *p)
{
    dq_json_begin_object(w);
    switch (p ? p->type : DQ_API_TEXT) {
    case DQ_API_NUMBER:
        put_text(w, "type", "integer");
        dq_json_key(w, "minimum");
        dq_json_put_i64(w, p->min);
        dq_json_key(w, "maximum");
        dq_json_put_i64(w, p->max);
        break;
    case DQ_API_BOOL:
        put_text(w, "type", "string");
        put_words(w, DQ_STR_LIT("1 0 true false"), ' ');
        break;
    case DQ_API_WORD:
        put_text(w, "type", "string");
        put_words(w, dureq_str_from(p->words), ' ');
        break;
    case DQ_API_WORDS:
        put_text(w, "type", "array");
        dq_json_key(w, "items");
        dq_json_begin_object(w);
        put_text(w, "type", "string");
        put_words(w, dureq_str_from(p->words), ' ');
        dq_json_end_object(w);
        break;
    case DQ_API_TIME:
        put_text(w, "type", "string");
        put_text(w, "format", "date-time");
        break;
    case DQ_API_DURATION:
        put_text(w, "type", "string");
        put_text(w, "format", "duration-text");
        break;
    case DQ_API_TEXT: put_text(w, "type", "string"); break;
    }
    dq_json_end_object(w);
}

static void put_param(dq_json_writer *w, const dq_api_route *r, dureq_str name, const char *in)
{
    bool in_path = strcmp(in, "path") == 0;
    const dq_api_param *p = in_path ? NULL : dq_api_param_of(r->pattern, name);

    dq_json_begin_object(w);
    dq_json_key(w, "name");
    dq_json_put_str(w, name);
    put_text(w, "in", in);
    dq_json_key(w, "required");
    dq_json_put_bool(w, in_path);
    if (p)
        put_text(w, "description", p->text);
    if (p && p->type == DQ_API_WORDS) { /* as a comma list */
        put_text(w, "style", "form");
        dq_json_key(w, "explode");
        dq_json_put_bool(w, false);
    }
    dq_json_key(w, "schema");
    put_param_type(w, p);
    dq_json_end_object(w);
}

static void put_params(dq_json_writer *w, const dq_api_route *r)
{
    dureq_str path = dureq_str_from(r->pattern), names = dureq_str_from(r->params);

    dq_json_key(w, "parameters");
    dq_json_begin_array(w);
    while (path.len) {
        dureq_str part = dq_str_cut(&path, '/');

        if (part.len && part.ptr[0] == '{')
            put_param(w, r, dureq_str_of(part.ptr + 1, part.len - 2), "path");
    }
    while (names.len) {
        dureq_str name = dq_str_cut(&names, ' ');

        if (name.len)
            put_param(w, r, name, "query");
    }
    dq_json_end_array(w);
}

/* ---- operations ---- */

static void put_content(dq_json_writer *w, const char *schema)
{
    dq_json_key(w, "content");
    dq_json_begin_object(w);
    dq_json_key(w, strcmp(schema, "Metrics") == 0 ? "text/plain" : "application/json");
    dq_json_begin_object(w);
    dq_json_key(w, "schema");
    put_ref(w, dureq_str_from(schema));
    dq_json_end_object(w);
    if (strcmp(schema, "JobSpecs") == 0 || strcmp(schema, "Enqueued") == 0) {
        dq_json_key(w, "application/x-ndjson");
        dq_json_begin_object(w);
        dq_json_key(w, "schema");
        put_ref(w, dureq_str_from(*schema == 'J' ? "JobSpec" : "EnqueuedItem"));
        dq_json_end_object(w);
    }
    dq_json_end_object(w);
}

static void put_answer(dq_json_writer *w, const char *status, const char *text, const char *schema)
{
    dq_json_key(w, status);
    dq_json_begin_object(w);
    put_text(w, "description", text);
    put_content(w, schema);
    dq_json_end_object(w);
}

/* Messages without an end: `data` of server-sent events, or lines. */
static void put_stream(dq_json_writer *w, const char *schema)
{
    static const char *const types[] = {"text/event-stream", "application/x-ndjson"};

    dq_json_key(w, "200");
    dq_json_begin_object(w);
    put_text(w, "description", "messages, until the connection ends");
    dq_json_key(w, "content");
    dq_json_begin_object(w);
    for (size_t i = 0; i < DQ_ARRAY_LEN(types); i++) {
        dq_json_key(w, types[i]);
        dq_json_begin_object(w);
        dq_json_key(w, "schema");
        put_ref(w, dureq_str_from(schema));
        dq_json_end_object(w);
    }
    dq_json_end_object(w);
    dq_json_end_object(w);
}

/* "GET /api/jobs/{id}/runs": "get_jobs_id_runs". */
static void put_id(dq_json_writer *w, const dq_api_route *r)
{
    DQ_BUF_AUTO id = {0};

    for (const char *p = r->method; *p; p++)
        dq_buf_append_char(&id, (char)(*p | 0x20));
    for (const char *p = strncmp(r->pattern, "/api/", 5) == 0 ? r->pattern + 4 : r->pattern; *p; p++)
        if (*p != '{' && *p != '}')
            dq_buf_append_char(&id, *p == '/' || *p == '-' || *p == '.' ? '_' : *p);
    dq_json_key(w, "operationId");
    dq_json_put_str(w, dq_buf_str(&id));
}

/* What a token that is limited to queues or task types may do with it. */
static const char *scope_word(dq_api_scope_rule rule)
{
    return rule == DQ_API_SCOPE_NONE ? "refused" : rule == DQ_API_SCOPE_OPEN ? "all" : "its own";
}

static void put_operation(dq_json_writer *w, const dq_api_route *r)
{
    char *method = dq_strdup(r->method);

    for (char *p = method; p && *p; p++)
        *p = (char)(*p | 0x20);
    dq_json_key(w, method ? method : "");
    dq_free(method);
    dq_json_begin_object(w);
    put_id(w, r);
    put_text(w, "summary", r->text ? r->text : "");
    put_text(w, "x-role", dq_role_word(dq_api_role_of(r)));
    put_text(w, "x-limited", scope_word(r->scope));
    put_params(w, r);
    if (r->body) {
        dq_json_key(w, "requestBody");
        dq_json_begin_object(w);
        put_content(w, r->body);
        dq_json_end_object(w);
    }
    dq_json_key(w, "responses");
    dq_json_begin_object(w);
    if (r->streams)
        put_stream(w, r->answer);
    else
        put_answer(w, "200", "done", r->answer ? r->answer : "Any");
    if (r->creates)
        put_answer(w, "201", "created; Location says where it is", r->answer ? r->answer : "Any");
    if (r->starts)
        put_answer(w, "202", "started; Location says where its progress is", "Operation");
    put_answer(w, "default", "refused, or not possible", "Error");
    dq_json_end_object(w);
    dq_json_end_object(w);
}

static bool is_first_of_path(size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (strcmp(dq_api_route_at(k)->pattern, dq_api_route_at(i)->pattern) == 0)
            return false;
    return true;
}

static void put_paths(dq_json_writer *w)
{
    dq_json_key(w, "paths");
    dq_json_begin_object(w);
    for (size_t i = 0; dq_api_route_at(i); i++) {
        const char *pattern = dq_api_route_at(i)->pattern;

        if (!is_first_of_path(i))
            continue;
        dq_json_key(w, pattern);
        dq_json_begin_object(w);
        for (size_t k = i; dq_api_route_at(k); k++)
            if (strcmp(dq_api_route_at(k)->pattern, pattern) == 0)
                put_operation(w, dq_api_route_at(k));
        dq_json_end_object(w);
    }
    dq_json_end_object(w);
}

void dq_api_write_openapi(dq_json_writer *w)
{
    dq_json_begin_object(w);
    put_text(w, "openapi", "3.1.0");
    dq_json_key(w, "info");
    dq_json_begin_object(w);
    put_text(w, "title", "dureq");
    put_text(w, "version", dureq_version());
    put_text(w, "description",
             "A durable execution queue on Redis. Times are RFC 3339 in UTC; a duration is a text such as 30s or 1h30m.");
    dq_json_end_object(w);
    put_paths(w);
    dq_json_key(w, "components");
    dq_json_begin_object(w);
    put_schemas(w);
    dq_json_end_object(w);
    dq_json_end_object(w);
}
