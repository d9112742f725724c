/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "api/scope.h"
#include "client/call.h"
#include "client/client.h"

static const dq_api_route *const tables[] = {
    dq_api_bulk_routes,      dq_api_group_routes,   dq_api_job_routes,   dq_api_queue_routes,
    dq_api_node_routes,      dq_api_stat_routes,    dq_api_info_routes,  dq_api_schedule_routes,
    dq_api_workflow_routes,  dq_api_batch_routes,   dq_api_token_routes, dq_api_sign_in_routes,
    dq_api_operation_routes, dq_api_history_routes, dq_api_event_routes, dq_api_metric_routes};

/* X(code, HTTP status, word) */
static const struct code_row {
    int code, status;
    const char *word;
} code_rows[] = {
    {DUREQ_EINVAL, 400, "invalid"},
    {DUREQ_EPARSE, 400, "invalid"},
    {DUREQ_EUNSUPPORTED, 400, "unsupported"},
    {DUREQ_EAUTH, 503, "server_auth"},
    {DUREQ_EPERM, 403, "not_allowed"},
    {DUREQ_ENOTFOUND, 404, "not_found"},
    {DUREQ_ECONFLICT, 409, "wrong_state"},
    {DUREQ_EDUPLICATE, 409, "duplicate"},
    {DUREQ_EPAUSED, 409, "paused"},
    {DUREQ_ETOOLARGE, 413, "too_large"},
    {DUREQ_ELIMIT, 429, "limit"},
    {DUREQ_ETIMEOUT, 503, "timeout"},
    {DUREQ_EUNAVAILABLE, 503, "server_away"},
    {DUREQ_ELOADING, 503, "server_loading"},
    {DUREQ_EREADONLY, 503, "server_readonly"},
    {DUREQ_EBUSY, 503, "server_busy"},
    {DUREQ_EREDISOOM, 503, "server_out_of_memory"},
    {DUREQ_ENOWRITE, 503, "server_takes_no_writes"},
    {DUREQ_EUNKNOWN, 503, "outcome_unknown"},
    {DUREQ_ECLOSED, 503, "stopping"},
    {DUREQ_ECANCELLED, 503, "stopped"},
    {DUREQ_ENOMEM, 500, "out_of_memory"},
};

static const struct code_row *row_of(int code)
{
    for (size_t i = 0; i < DQ_ARRAY_LEN(code_rows); i++)
        if (code_rows[i].code == code)
            return &code_rows[i];
    return NULL;
}

int dq_api_status_of(int code)
{
    const struct code_row *row = row_of(code);

    if (code == 0)
        return 200;
    return row ? row->status : 500;
}

const char *dq_api_code_word(int code)
{
    const struct code_row *row = row_of(code);

    return row ? row->word : "internal";
}

int dq_api_code_of_word(dureq_str word)
{
    for (size_t i = 0; i < DQ_ARRAY_LEN(code_rows); i++)
        if (dq_str_eq_text(word, code_rows[i].word))
            return code_rows[i].code;
    return 0;
}

void dq_api_response_deinit(dq_api_response *r)
{
    dq_buf_deinit(&r->body);
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Percent-decoded and NUL-ended in the arena; NULL on a bad escape, a NUL in it, or no memory, which is noted in *c. */
static const char *decode(dq_api_ctx *c, dureq_str s, bool plus_is_blank)
{
    char *out = dq_arena_dup(&c->arena, s), *p = out;

    c->no_memory = c->no_memory || !out;
    for (size_t i = 0; out && i < s.len; i++) {
        if (s.ptr[i] == '%') {
            int high = i + 2 < s.len ? hex(s.ptr[i + 1]) : -1, low = i + 2 < s.len ? hex(s.ptr[i + 2]) : -1;

            if (high < 0 || low < 0 || high + low == 0)
                return NULL;
            *p++ = (char)(high * 16 + low);
            i += 2;
        } else {
            *p++ = plus_is_blank && s.ptr[i] == '+' ? ' ' : s.ptr[i];
        }
    }
    if (out)
        *p = '\0';
    return out;
}

static int parse_query(dq_api_ctx *c, dureq_error *err)
{
    dureq_str rest = dureq_str_from(c->req->query);

    while (rest.len) {
        dureq_str value = dq_str_cut(&rest, '&'), name;

        if (value.len == 0)
            continue;
        if (c->n_query == DQ_API_QUERY_MAX)
            return dq_fail(err, DUREQ_EINVAL, "more than %d query parameters", DQ_API_QUERY_MAX);
        name = dq_str_cut(&value, '=');
        c->query[c->n_query].name = decode(c, name, true);
        c->query[c->n_query].value = decode(c, value.ptr ? value : dureq_str_of("", 0), true);
        if (c->no_memory)
            return dq_fail_nomem(err);
        if (!c->query[c->n_query].name || !c->query[c->n_query].value)
            return dq_fail(err, DUREQ_EINVAL, "query parameter '" DQ_STR_FMT "' is badly encoded", DQ_STR_ARG(name));
        c->n_query++;
    }
    return 0;
}

/* Whether the path fits the pattern; variables go to c->vars. */
static bool match(dq_api_ctx *c, const char *pattern)
{
    dureq_str want = dureq_str_from(pattern), have = dureq_str_from(c->req->path);
    size_t n = 0;

    while (want.ptr && have.ptr) {
        dureq_str w = dq_str_cut(&want, '/'), h = dq_str_cut(&have, '/');

        if (w.len && w.ptr[0] == '{') {
            if (h.len == 0)
                return false;
            c->vars[n] = decode(c, h, false);
            if (!c->vars[n++])
                return false;
        } else if (!dq_str_eq(w, h)) {
            return false;
        }
    }
    return !want.ptr && !have.ptr;
}

/* NULL: none; then res->allow has the methods that the path takes, if there is such a path. */
static const dq_api_route *find(dq_api_ctx *c)
{
    char *allow = c->res->allow;

    *allow = '\0';
    for (size_t t = 0; t < DQ_ARRAY_LEN(tables); t++)
        for (const dq_api_route *r = tables[t]; r->method; r++) {
            size_t len = strlen(allow);

            if (!match(c, r->pattern))
                continue;
            if (strcmp(r->method, c->req->method) == 0) {
                *allow = '\0';
                return r;
            }
            if (!strstr(allow, r->method))
                (void)snprintf(allow + len, sizeof c->res->allow - len, "%s%s%s", len ? ", " : "", r->method,
                               strcmp(r->method, "GET") == 0 ? ", HEAD" : "");
        }
    return NULL;
}

static void write_error(dq_api_ctx *c, int status, int code, const char *word, const char *text)
{
    dq_buf_clear(&c->res->body);
    c->res->status = status;
    c->res->code = code;
    c->res->content_type = "application/json";
    c->w = dq_json_writer_of(&c->res->body);
    dq_json_begin_object(&c->w);
    dq_json_key(&c->w, "error");
    dq_json_put_text(&c->w, text);
    dq_json_key(&c->w, "code");
    dq_json_put_text(&c->w, word);
    dq_json_end_object(&c->w);
}

void dq_api_write_failure(dq_api_ctx *c, int code, const dureq_error *err)
{
    write_error(c, dq_api_status_of(code), code, dq_api_code_word(code), err->msg[0] ? err->msg : dureq_errcode_text(code));
}

void dq_api_write_no_token(dq_api_ctx *c, const char *text)
{
    write_error(c, 401, DUREQ_EPERM, "no_token", text);
}

/* Whether the name is one of those in the text, with blanks between. */
static bool is_among(dureq_str name, const char *names)
{
    dureq_str rest = dureq_str_from(names);

    while (rest.len)
        if (dq_str_eq(name, dq_str_cut(&rest, ' ')))
            return true;
    return false;
}

/* Words of the router's own and of the server's, beside those of codes. */
static const char *const other_words[] = {"method_not_allowed", "internal", "overloaded", "wrong_host", "no_token"};

static bool is_word_new(size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (strcmp(code_rows[k].word, code_rows[i].word) == 0)
            return false;
    return true;
}

const char *dq_api_word_at(size_t i)
{
    for (size_t k = 0; k < DQ_ARRAY_LEN(code_rows); k++)
        if (is_word_new(k) && i-- == 0)
            return code_rows[k].word;
    return i < DQ_ARRAY_LEN(other_words) ? other_words[i] : NULL;
}

static int check_query(const dq_api_ctx *c, const dq_api_route *route, dureq_error *err)
{
    for (size_t i = 0; i < c->n_query; i++) {
        const char *name = c->query[i].name;

        if (c->req->hides_payload && (strcmp(name, "text") == 0 || strcmp(name, "search") == 0))
            return dq_fail(err, DUREQ_EPERM, "parameter '%s' looks into payloads, which this token may not see", name);
        if (strcmp(name, "where") == 0)
            return dq_fail(err, DUREQ_EUNSUPPORTED, "parameter 'where' comes with a later version");
        if (!is_among(dureq_str_from(name), route->params))
            return dq_fail(err, DUREQ_EINVAL, "unknown parameter '%.64s' (takes %s)", name,
                           route->params ? route->params : "none");
        for (size_t k = 0; k < i; k++)
            if (strcmp(name, c->query[k].name) == 0)
                return dq_fail(err, DUREQ_EINVAL, "parameter '%s' is given twice", name);
    }
    return 0;
}

dq_api_role dq_api_role_of(const dq_api_route *route)
{
    if (route->role)
        return route->role;
    return strcmp(route->method, "GET") == 0 ? DQ_API_VIEWER : DQ_API_OPERATOR;
}

static int check_role(const dq_api_ctx *c, const dq_api_route *route, dureq_error *err)
{
    static const char *const words[] = {"anyone", "anyone", "a viewer", "an operator", "an admin"};
    dq_api_role has = c->req->role, needs = dq_api_role_of(route);

    if (has == DQ_API_ITSELF || has >= needs)
        return c->req->hides_payload && route->shows_payload
                   ? dq_fail(err, DUREQ_EPERM, "this takes a token with the right to see payloads")
                   : 0;
    if (has == DQ_API_ANYONE)
        return dq_fail(err, DUREQ_EAUTH, "this takes a token: send it as Authorization: Bearer TOKEN");
    return dq_fail(err, DUREQ_EPERM, "this takes the role of %s", words[needs]);
}

static void write_no_path(dq_api_ctx *c)
{
    DQ_BUF_AUTO text = {0};
    const char *near = dq_api_nearest(c->req->path);

    dq_buf_append_text(&text, "no such path");
    if (near)
        dq_buf_append_fmt(&text, ": is it %s?", near);
    write_error(c, 404, DUREQ_ENOTFOUND, "not_found", dq_buf_failed(&text) ? "no such path" : text.ptr);
}

const dq_api_route *dq_api_admit(dq_api_ctx *c)
{
    dureq_error err = {0};
    const dq_api_route *route = find(c);
    int rc;

    if (c->no_memory) { /* whatever the path looked like */
        write_error(c, 500, DUREQ_ENOMEM, dq_api_code_word(DUREQ_ENOMEM), dureq_errcode_text(DUREQ_ENOMEM));
        return NULL;
    }
    if (!route && *c->res->allow) {
        write_error(c, 405, DUREQ_EINVAL, "method_not_allowed", "this path does not take this method");
        return NULL;
    }
    if (!route) {
        write_no_path(c);
        return NULL;
    }
    rc = check_role(c, route, &err);
    if (rc == DUREQ_EAUTH) {
        dq_api_write_no_token(c, err.msg);
        return NULL;
    }
    if (rc == 0)
        rc = parse_query(c, &err);
    if (rc == 0)
        rc = check_query(c, route, &err);
    if (rc == 0)
        rc = dq_api_check_scope(c, route, &err);
    if (rc < 0)
        dq_api_write_failure(c, rc, &err);
    return rc < 0 ? NULL : route;
}

static void run(dq_api_ctx *c)
{
    dureq_error err = {0};
    const dq_api_route *route = dq_api_admit(c);
    int rc = route ? route->fn(c, &err) : 0;

    if (rc < 0)
        dq_api_write_failure(c, rc, &err);
}

/* As who asks, as far as the audit is concerned. */
static void answer(dq_api_ctx *c)
{
    dq_api_response *res = c->res;

    *res = (dq_api_response){.status = 200, .content_type = "application/json"};
    c->w = dq_json_writer_of(&res->body);
    dq_client_act_as(c->req->actor);
    run(c);
    dq_client_act_as(NULL);
    dq_arena_deinit(&c->arena);
    if (dq_buf_failed(&res->body)) {
        dq_buf_deinit(&res->body);
        res->status = 500;
        res->code = DUREQ_ENOMEM;
    }
}

void dq_api_handle(dureq_client *client, const dq_api_request *req, dq_api_response *ret)
{
    dq_api_ctx c = {.client = client, .req = req, .res = ret};

    answer(&c);
}

struct dq_loop *dq_api_loop(dureq_client *client)
{
    return dq_client_loop(client);
}

int dq_api_flush(dq_api_ctx *c, dureq_error *err)
{
    if (!c->sink || c->res->body.len == 0)
        return 0;
    if (c->sink->is_gone(c->sink))
        return dq_fail(err, DUREQ_ECANCELLED, "the caller went away");
    if (dq_buf_failed(&c->res->body))
        return dq_fail_nomem(err);
    if (!c->has_begun)
        c->sink->begin(c->sink, c->res, /*length=*/-1);
    c->has_begun = true;
    c->sink->write(c->sink, dq_buf_str(&c->res->body));
    dq_buf_clear(&c->res->body);
    return 0;
}

void dq_api_run(dureq_client *client, const dq_api_request *req, dq_api_sink *sink)
{
    dq_api_response res = {0};
    dq_api_ctx c = {.client = client, .req = req, .res = &res, .sink = sink};
    bool is_whole;

    answer(&c);
    is_whole = !c.has_begun || res.code == 0;
    if (!c.has_begun)
        sink->begin(sink, &res, (int64_t)res.body.len);
    if (is_whole && res.body.len)
        sink->write(sink, dq_buf_str(&res.body));
    sink->end(sink, is_whole);
    dq_api_response_deinit(&res);
}

const dq_api_route *dq_api_taken(dq_api_ctx *c)
{
    const dq_api_route *route = find(c);

    if (!route || check_role(c, route, NULL) < 0 || parse_query(c, NULL) < 0 || check_query(c, route, NULL) < 0)
        return NULL;
    return route;
}

bool dq_api_waits(dq_api_ctx *c)
{
    const dq_api_route *route = dq_api_taken(c);

    return route && route->waits;
}

dq_api_cost dq_api_cost_of(const char *method, const char *path)
{
    dq_api_request req = {.method = method, .path = path};
    dq_api_response res = {0};
    dq_api_ctx c = {.req = &req, .res = &res};
    const dq_api_route *route = find(&c);

    dq_arena_deinit(&c.arena);
    return route ? route->cost : DQ_API_SHORT;
}

const dq_api_route *dq_api_route_at(size_t i)
{
    for (size_t t = 0; t < DQ_ARRAY_LEN(tables); t++)
        for (const dq_api_route *r = tables[t]; r->method; r++)
            if (i-- == 0)
                return r;
    return NULL;
}

bool dq_api_route_text(size_t i, dq_buf *out)
{
    const dq_api_route *r = dq_api_route_at(i);

    if (r)
        dq_buf_append_fmt(out, "%s %s", r->method, r->pattern);
    return r != NULL;
}

const char *dq_api_query(const dq_api_ctx *c, const char *name)
{
    for (size_t i = 0; i < c->n_query; i++)
        if (strcmp(c->query[i].name, name) == 0)
            return c->query[i].value;
    return NULL;
}

int dq_api_query_i64(const dq_api_ctx *c, const char *name, int64_t min, int64_t max, int64_t *ret, dureq_error *err)
{
    const char *text = dq_api_query(c, name);

    if (text && dq_parse_i64(dureq_str_from(text), min, max, ret) < 0)
        return dq_fail(err, DUREQ_EINVAL, "parameter '%s' takes a whole number from %lld to %lld", name, (long long)min,
                       (long long)max);
    return 0;
}

int dq_api_query_time(const dq_api_ctx *c, const char *name, int64_t *ret_ms, dureq_error *err)
{
    const char *text = dq_api_query(c, name);

    if (text && dq_parse_rfc3339_ms(dureq_str_from(text), ret_ms) < 0)
        return dq_fail(err, DUREQ_EINVAL, "parameter '%s' takes an RFC 3339 time such as 2026-11-23T20:00:00Z", name);
    return 0;
}

int dq_api_query_bool(const dq_api_ctx *c, const char *name, bool *ret, dureq_error *err)
{
    const char *text = dq_api_query(c, name);
    bool yes = text && (strcmp(text, "1") == 0 || strcmp(text, "true") == 0);

    if (text && !yes && strcmp(text, "0") != 0 && strcmp(text, "false") != 0)
        return dq_fail(err, DUREQ_EINVAL, "parameter '%s' takes 1 or 0", name);
    *ret = yes;
    return 0;
}

int dq_api_body_names(const dq_json *doc, const char *names, dureq_error *err)
{
    for (dq_json_ref k = dq_json_first(doc, 0); k != DQ_JSON_NONE; k = dq_json_next(doc, 0, k)) {
        dureq_str name = dq_json_raw(doc, k);

        if (!is_among(dureq_str_of(name.ptr + 1, name.len - 2), names))
            return dq_fail(err, DUREQ_EINVAL, "unknown field '%.*s' (takes %s)", (int)DQ_MIN(name.len - 2, (size_t)60),
                           name.ptr + 1, names);
    }
    return 0;
}

int dq_api_body_object(dq_api_ctx *c, dq_json *doc, dureq_error *err)
{
    dureq_str body = c->req->body.len ? c->req->body : DQ_STR_LIT("{}");
    int rc = dq_json_parse_frame(body, doc, err);

    if (rc == DUREQ_EPARSE)
        return DUREQ_EINVAL;
    if (rc < 0)
        return rc;
    if (dq_json_type_of(doc, 0) != DQ_JSON_OBJECT) {
        dq_json_deinit(doc);
        return dq_fail(err, DUREQ_EINVAL, "the body must be a JSON object");
    }
    return 0;
}

int dq_api_reply_status(dq_api_ctx *c, const char *word, const char *name, const char *value)
{
    dq_json_begin_object(&c->w);
    dq_json_key(&c->w, "status");
    dq_json_put_text(&c->w, word);
    dq_json_key(&c->w, name);
    dq_json_put_text(&c->w, value);
    dq_json_end_object(&c->w);
    return 0;
}
