/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens as resources: an admin makes, lists and revokes them. */
#include "api/pass_list.h"
#include "api/request.h"
#include "api/tokens.h"
#include "base/clock.h"
#include "client/tokens.h"
#include "model/job.h"

#define NAMES_MAX 100 /* queues, or types, that a token is limited to */

static int list_tokens(dq_api_ctx *c, dureq_error *err)
{
    dq_pass_list list;
    int rc = dq_pass_list_read_tokens(c->client, &list, err);

    if (rc < 0)
        return rc;
    dq_json_begin_array(&c->w);
    for (size_t i = 0; i < list.n_tokens; i++)
        dq_token_to_json(&c->w, &list.tokens[i]);
    dq_json_end_array(&c->w);
    dq_pass_list_deinit(&list);
    return 0;
}

/* ---- what the body says ---- */

static int read_name(const dq_json *doc, dq_token *t, dureq_error *err)
{
    dq_json_ref v = dq_json_member(doc, 0, "name");
    DQ_BUF_AUTO text = {0};
    bool good = v != DQ_JSON_NONE && dq_json_string(doc, v, &text) == 0 && text.len > 0 && text.len < sizeof t->name;

    for (size_t i = 0; good && i < text.len; i++)
        good = text.ptr[i] > ' ' && text.ptr[i] < 0x7f;
    if (!good)
        return dq_fail(err, DUREQ_EINVAL, "field 'name' takes 1 to %zu visible ASCII characters", sizeof t->name - 1);
    memcpy(t->name, text.ptr, text.len + 1);
    return 0;
}

static int read_role(const dq_json *doc, dq_token *t, dureq_error *err)
{
    dq_json_ref v = dq_json_member(doc, 0, "role");
    DQ_BUF_AUTO text = {0};

    if (v != DQ_JSON_NONE && dq_json_string(doc, v, &text) == 0)
        t->role = dq_role_of(dq_buf_str(&text));
    return t->role ? 0 : dq_fail(err, DUREQ_EINVAL, "field 'role' takes viewer, operator or admin");
}

static int read_expiry(const dq_json *doc, dq_token *t, dureq_error *err)
{
    dq_json_ref v = dq_json_member(doc, 0, "expires_in");
    DQ_BUF_AUTO text = {0};
    int64_t ms;

    if (v == DQ_JSON_NONE)
        return 0;
    if (dq_json_string(doc, v, &text) < 0 || dq_parse_duration_ms(dq_buf_str(&text), &ms) < 0 || ms <= 0)
        return dq_fail(err, DUREQ_EINVAL, "field 'expires_in' takes a duration such as \"720h\"");
    t->expires_at_ms = dq_add_sat(t->created_at_ms, ms);
    return 0;
}

static int add_name(const dq_json *doc, dq_json_ref v, const char *field, dq_buf *list, dureq_error *err)
{
    DQ_BUF_AUTO text = {0};
    dureq_str name;

    if (dq_json_string(doc, v, &text) < 0 || dq_buf_failed(&text))
        return dq_fail(err, DUREQ_EINVAL, "field '%s' takes an array of names", field);
    name = dq_buf_str(&text);
    if (name.len && name.ptr[name.len - 1] == '*')
        name.len--;
    if (dq_name_check(field, name, NULL) < 0)
        return dq_fail(err, DUREQ_EINVAL, "field '%s' takes names of 1 to %d of [A-Za-z0-9_.:-], each of which may end in *",
                       field, DUREQ_NAME_MAX);
    if (list->len)
        dq_buf_append_char(list, ',');
    dq_buf_append_buf(list, &text);
    return 0;
}

/* A list of names, as text with commas; absent leaves NULL. */
static int read_names(const dq_json *doc, const char *field, char **ret, dureq_error *err)
{
    dq_json_ref v = dq_json_member(doc, 0, field);
    DQ_BUF_AUTO list = {0};
    int rc = 0;

    if (v == DQ_JSON_NONE)
        return 0;
    if (dq_json_type_of(doc, v) != DQ_JSON_ARRAY || doc->nodes[v].n == 0 || doc->nodes[v].n > NAMES_MAX)
        return dq_fail(err, DUREQ_EINVAL, "field '%s' takes an array of 1 to %d names, each of which may end in *", field,
                       NAMES_MAX);
    for (dq_json_ref e = dq_json_first(doc, v); rc == 0 && e != DQ_JSON_NONE; e = dq_json_next(doc, v, e))
        rc = add_name(doc, e, field, &list, err);
    if (rc < 0)
        return rc;
    *ret = dq_buf_take(&list);
    return *ret ? 0 : dq_fail_nomem(err);
}

static int read_scope(const dq_json *doc, dq_token *t, dureq_error *err)
{
    int rc = read_names(doc, "queues", &t->scope.queues, err);

    if (rc == 0)
        rc = read_names(doc, "task_types", &t->scope.types, err);
    if (rc == 0 && t->role == DQ_API_ADMIN && !dq_scope_is_open(&t->scope))
        rc = dq_fail(err, DUREQ_EINVAL,
                     "an admin cannot be limited to queues or task types: it could make a token without limits");
    return rc;
}

static int read_spec(const dq_json *doc, dq_token *t, dureq_error *err)
{
    dq_json_ref payload = dq_json_member(doc, 0, "payload");
    int rc = dq_api_body_names(doc, "name role expires_in payload queues task_types", err);

    t->created_at_ms = dq_wall_ms();
    if (payload != DQ_JSON_NONE && dq_json_type_of(doc, payload) != DQ_JSON_TRUE &&
        dq_json_type_of(doc, payload) != DQ_JSON_FALSE)
        rc = dq_fail(err, DUREQ_EINVAL, "field 'payload' takes true or false");
    if (rc == 0)
        rc = read_name(doc, t, err);
    if (rc == 0)
        rc = read_role(doc, t, err);
    if (rc == 0)
        rc = read_expiry(doc, t, err);
    if (rc == 0)
        rc = read_scope(doc, t, err);
    t->hides_payload = t->role == DQ_API_VIEWER && (payload == DQ_JSON_NONE || dq_json_type_of(doc, payload) != DQ_JSON_TRUE);
    return rc;
}

/* ---- making and revoking ---- */

/* "ci operator queues=a,b": what the audit says of one. */
static int audit_made(dq_api_ctx *c, const dq_token *t, dureq_error *err)
{
    DQ_BUF_AUTO detail = {0};
    int rc;

    dq_buf_append_fmt(&detail, "%s %s", t->name, dq_role_word(t->role));
    if (t->scope.queues)
        dq_buf_append_fmt(&detail, " queues=%s", t->scope.queues);
    if (t->scope.types)
        dq_buf_append_fmt(&detail, " task_types=%s", t->scope.types);
    rc = dq_buf_finish(&detail, err);
    return rc < 0 ? rc : dq_client_audit_note(c->client, "token.create", t->id, dq_buf_str(&detail), err);
}

/* The audit comes first: no token is in use that nobody reads of. */
static int store(dq_api_ctx *c, const dq_token *t, dureq_error *err)
{
    DQ_BUF_AUTO text = {0};
    dq_json_writer w = dq_json_writer_of(&text);
    int rc;

    dq_token_store(&w, t);
    rc = dq_buf_finish(&text, err);
    if (rc == 0)
        rc = audit_made(c, t, err);
    if (rc == 0)
        rc = dq_client_pass_put(c->client, DQ_PASS_TOKEN, t->id, dq_buf_str(&text), err);
    return rc;
}

static int make(dq_api_ctx *c, dq_token *t, dureq_error *err)
{
    char text[DQ_PASS_TEXT_MAX];
    int rc = dq_pass_make("dq", t->id, t->hash, text, err);

    if (rc == 0)
        rc = store(c, t, err);
    if (rc < 0)
        return rc;
    c->res->status = 201;
    dq_token_to_json(&c->w, t);
    c->res->body.len -= c->res->body.len > 0; /* the brace */
    dq_buf_append_fmt(&c->res->body, ",\"token\":\"%s\"}", text);
    return 0;
}

static int create_token(dq_api_ctx *c, dureq_error *err)
{
    dq_token t = {0};
    dq_json doc = {0};
    int rc = dq_api_body_object(c, &doc, err);

    if (rc < 0)
        return rc;
    rc = read_spec(&doc, &t, err);
    dq_json_deinit(&doc);
    if (rc == 0)
        rc = make(c, &t, err);
    dq_token_deinit(&t);
    return rc;
}

/* They are worth nothing without it: what stays here goes with the next sign-in. */
static int end_sessions(dq_api_ctx *c, const char *token, dureq_error *err)
{
    dq_pass_list list;
    dureq_str *ids;
    size_t n = 0;
    int64_t n_deleted;
    int rc = dq_pass_list_read(c->client, &list, err);

    if (rc < 0)
        return rc;
    ids = dq_arena_alloc(&c->arena, (list.n_sessions + 1) * sizeof *ids);
    for (size_t i = 0; ids && i < list.n_sessions; i++)
        if (strcmp(list.sessions[i].token, token) == 0)
            ids[n++] = dureq_str_from(list.sessions[i].id);
    rc = ids ? dq_client_pass_delete(c->client, DQ_PASS_SESSION, ids, n, &n_deleted, err) : dq_fail_nomem(err);
    dq_pass_list_deinit(&list);
    return rc;
}

static int revoke_token(dq_api_ctx *c, dureq_error *err)
{
    dureq_str id = dureq_str_from(c->vars[0]);
    int64_t n;
    int rc = dq_client_pass_delete(c->client, DQ_PASS_TOKEN, &id, 1, &n, err);

    if (c->req->tokens)
        dq_api_tokens_forget(c->req->tokens);
    if (rc == 0 && n == 0)
        rc = dq_fail(err, DUREQ_ENOTFOUND, "no token '%.64s'", c->vars[0]);
    if (rc == 0)
        rc = dq_client_audit_note(c->client, "token.revoke", c->vars[0], (dureq_str){0}, err);
    if (rc == 0)
        (void)end_sessions(c, c->vars[0], NULL);
    return rc < 0 ? rc : dq_api_reply_status(c, "revoked", "id", c->vars[0]);
}

const dq_api_route dq_api_token_routes[] = {
    {"GET", "/api/tokens", list_tokens, NULL, .role = DQ_API_ADMIN, .answer = "Tokens",
     .text = "The tokens, without their secrets."},
    {"POST", "/api/tokens", create_token, NULL, .role = DQ_API_ADMIN, .creates = true, .body = "TokenIn", .answer = "TokenMade",
     .text = "Makes a token; it is shown this once."},
    {"DELETE", "/api/tokens/{id}", revoke_token, NULL, .role = DQ_API_ADMIN, .answer = "TokenDone", .text = "Revokes a token."},
    {NULL, NULL, NULL, NULL},
};
