/* SPDX-License-Identifier: Apache-2.0 */
/* Signing in: a browser that shows its token once gets a cookie that stands for it, which no script can read. Redis has a record of each session, so
   that signing out ends it, as revoking its token does. */
#include <stdio.h>
#include <stdlib.h>

#include "api/pass_list.h"
#include "api/request.h"
#include "api/tokens.h"
#include "base/clock.h"
#include "client/tokens.h"

#define SESSION_MS   (INT64_C(12) * 3600 * 1000)
#define SESSIONS_MAX 64 /* of a token: one more ends the oldest */

/* ---- cookies ---- */

#define COOKIE_NAME_MAX 32
#define PORT_DIGITS     5

dureq_str dq_api_port_in(dureq_str authority)
{
    size_t at = authority.len;

    while (at > 0 && authority.ptr[at - 1] >= '0' && authority.ptr[at - 1] <= '9')
        at--;
    if (at == 0 || authority.ptr[at - 1] != ':' || at == authority.len || authority.len - at > PORT_DIGITS)
        return (dureq_str){0};
    return dureq_str_of(authority.ptr + at, authority.len - at);
}

/* What the prefixes promise is checked by browsers: nobody could set such a cookie without TLS, or from another host or path. A cookie goes to all ports of
   a host, so the port is in its name: two servers on one host take nothing from each other. It is the port that the browser knows, and so the same for all
   servers to which a proxy gives the requests. */
static void put_name(char out[COOKIE_NAME_MAX], bool is_secure, const char *base_path, dureq_str port)
{
    bool is_root = !base_path || !*base_path;

    (void)snprintf(out, COOKIE_NAME_MAX, "%s%s%.*s",
                   !is_secure ? "dureq"
                   : is_root  ? "__Host-dureq"
                              : "__Secure-dureq",
                   port.len ? "-" : "", (int)port.len, port.len ? port.ptr : "");
}

static dureq_str find_cookie(dureq_str cookies, const char *name)
{
    while (cookies.len) {
        dureq_str value = dq_str_cut(&cookies, ';'), key = dq_str_trim(dq_str_cut(&value, '='));

        if (value.ptr && dq_str_eq_text(key, name))
            return dq_str_trim(value);
    }
    return (dureq_str){0};
}

/* One without a port is of a version that named it so, or of a server that is asked by none. */
dureq_str dq_api_session_in(dureq_str cookies, bool is_secure, const char *base_path, dureq_str port)
{
    char name[COOKIE_NAME_MAX];
    dureq_str found;

    put_name(name, is_secure, base_path, port);
    found = find_cookie(cookies, name);
    if (found.ptr || port.len == 0)
        return found;
    put_name(name, is_secure, base_path, (dureq_str){0});
    return find_cookie(cookies, name);
}

static void put_cookie(dq_api_ctx *c, const char *value, int64_t seconds)
{
    const char *base = c->req->base_path ? c->req->base_path : "";
    char name[COOKIE_NAME_MAX];

    put_name(name, c->req->is_secure, base, dureq_str_from(c->req->port));
    (void)snprintf(c->res->cookie, sizeof c->res->cookie, "%s=%s; Path=%s/; Max-Age=%lld; HttpOnly; SameSite=Strict%s", name,
                   value, base, (long long)seconds, c->req->is_secure ? "; Secure" : "");
}

/* ---- who is it ---- */

static const char *let_in_by(const dq_api_ctx *c, const dq_api_who *who)
{
    if (who)
        return who->session[0] ? "session" : "token";
    return c->req->user ? "proxy" : "connection";
}

static const char *name_of(const dq_api_ctx *c, const dq_api_who *who)
{
    if (who)
        return who->name;
    if (c->req->user)
        return c->req->user;
    return c->req->actor ? c->req->actor : "";
}

static int write_me(dq_api_ctx *c, const dq_api_who *who)
{
    dq_json_writer *w = &c->w;

    dq_json_begin_object(w);
    dq_json_set_text(w, "name", name_of(c, who));
    dq_json_set_text(w, "role", dq_role_word(who ? who->role : c->req->role ? c->req->role : DQ_API_ADMIN));
    dq_json_set_bool(w, "payload", who ? !who->hides_payload : !c->req->hides_payload);
    dq_json_set_text(w, "by", let_in_by(c, who));
    if (who)
        dq_scope_to_json(w, &who->scope);
    if (who && who->expires_at_ms)
        dq_json_set_rfc3339(w, "expires_at", who->expires_at_ms);
    dq_json_end_object(w);
    return 0;
}

static int get_me(dq_api_ctx *c, dureq_error *err)
{
    (void)err;
    return write_me(c, c->req->who);
}

/* ---- signing in ---- */

/* The caller's to deinit. DUREQ_EAUTH: it is no token. */
static int check_token(dq_api_ctx *c, dureq_str token, dq_api_who *ret, dureq_error *err)
{
    dq_api_found found;
    int rc = dq_api_tokens_look_up(c->req->tokens, c->client, (dq_api_pass){.text = token}, dq_mono_us(), &found, ret, err);

    if (rc == 0 && found != DQ_API_KNOWN)
        rc = dq_fail(err, DUREQ_EAUTH, "this is no token, or its time is over");
    return rc;
}

static int newest_first(const void *a, const void *b)
{
    const dq_session *x = a, *y = b;

    return (x->created_at_ms < y->created_at_ms) - (x->created_at_ms > y->created_at_ms);
}

static bool has_token(const dq_pass_list *list, const char *token)
{
    for (size_t i = 0; i < list->n_tokens; i++)
        if (strcmp(list->tokens[i].id, token) == 0)
            return true;
    return false;
}

/* Sessions that are over, or whose token is gone; and of this token all but the newest, so that there is room for one more: many may have come at once. */
static int clear_sessions(dq_api_ctx *c, const char *token, int64_t now_ms, dureq_error *err)
{
    dq_pass_list list;
    dureq_str *ids;
    size_t n = 0, n_own = 0;
    int64_t n_deleted;
    int rc = dq_pass_list_read(c->client, &list, err);

    if (rc < 0)
        return rc;
    ids = dq_arena_alloc(&c->arena, (list.n_sessions + 1) * sizeof *ids);
    if (list.n_sessions)
        qsort(list.sessions, list.n_sessions, sizeof *list.sessions, newest_first);
    for (size_t i = 0; ids && i < list.n_sessions; i++) {
        const dq_session *s = &list.sessions[i];

        if (s->expires_at_ms <= now_ms || !has_token(&list, s->token) ||
            (strcmp(s->token, token) == 0 && ++n_own >= SESSIONS_MAX))
            ids[n++] = dureq_str_from(s->id);
    }
    rc = ids ? dq_client_pass_delete(c->client, DQ_PASS_SESSION, ids, n, &n_deleted, err) : dq_fail_nomem(err);
    if (n)
        dq_api_tokens_forget(c->req->tokens);
    dq_pass_list_deinit(&list);
    return rc;
}

static int store_session(dq_api_ctx *c, const dq_session *s, dureq_error *err)
{
    DQ_BUF_AUTO text = {0};
    dq_json_writer w = dq_json_writer_of(&text);
    int rc;

    dq_session_store(&w, s);
    rc = dq_buf_finish(&text, err);
    if (rc == 0)
        rc = dq_client_pass_put(c->client, DQ_PASS_SESSION, s->id, dq_buf_str(&text), err);
    return rc;
}

/* A session for who showed a token; who gets its end. */
static int open_session(dq_api_ctx *c, dq_api_who *who, dureq_error *err)
{
    char text[DQ_PASS_TEXT_MAX];
    int64_t now_ms = dq_wall_ms();
    dq_session s = {.created_at_ms = now_ms, .expires_at_ms = now_ms + SESSION_MS};
    int rc = clear_sessions(c, who->token, now_ms, err);

    if (who->expires_at_ms)
        s.expires_at_ms = DQ_MIN(s.expires_at_ms, who->expires_at_ms);
    memcpy(s.token, who->token, sizeof s.token);
    if (rc == 0)
        rc = dq_pass_make("dqs", s.id, s.hash, text, err);
    if (rc == 0)
        rc = store_session(c, &s, err);
    if (rc < 0)
        return rc;
    memcpy(who->session, s.id, sizeof s.id);
    who->expires_at_ms = s.expires_at_ms;
    put_cookie(c, text, DQ_MAX((s.expires_at_ms - now_ms) / 1000, 1));
    return 0;
}

static int read_token(dq_api_ctx *c, dq_buf *ret, dureq_error *err)
{
    dq_json doc = {0};
    dq_json_ref v;
    int rc = dq_api_body_object(c, &doc, err);

    if (rc < 0)
        return rc;
    rc = dq_api_body_names(&doc, "token", err);
    v = dq_json_member(&doc, 0, "token");
    if (rc == 0 && (v == DQ_JSON_NONE || dq_json_string(&doc, v, ret) < 0))
        rc = dq_fail(err, DUREQ_EINVAL, "field 'token' takes a token, as dureqctl token create printed it");
    dq_json_deinit(&doc);
    return rc < 0 ? rc : dq_buf_finish(ret, err);
}

static int sign_in(dq_api_ctx *c, dureq_error *err)
{
    DQ_BUF_AUTO token = {0};
    dq_api_who who = {0};
    int rc = read_token(c, &token, err);

    if (rc == 0 && !c->req->tokens)
        rc = dq_fail(err, DUREQ_EUNSUPPORTED, "there is nothing to sign in to without a server");
    if (rc == 0)
        rc = check_token(c, dq_str_trim(dq_buf_str(&token)), &who, err);
    if (rc == DUREQ_EAUTH) {
        dq_api_write_no_token(c, err->msg);
        return 0;
    }
    if (rc == 0)
        rc = open_session(c, &who, err);
    if (rc == 0)
        rc = write_me(c, &who);
    dq_api_who_deinit(&who);
    return rc;
}

/* Also when there was no session, or none any more: the cookie is taken back. */
static int sign_out(dq_api_ctx *c, dureq_error *err)
{
    const dq_api_who *who = c->req->who;
    int64_t n;
    int rc = 0;

    if (who && who->session[0]) {
        dureq_str id = dureq_str_from(who->session);

        rc = dq_client_pass_delete(c->client, DQ_PASS_SESSION, &id, 1, &n, err);
        dq_api_tokens_forget(c->req->tokens);
    }
    if (rc < 0)
        return rc;
    put_cookie(c, "", 0);
    dq_json_begin_object(&c->w);
    dq_json_set_text(&c->w, "status", "signed_out");
    dq_json_end_object(&c->w);
    return 0;
}

const dq_api_route dq_api_sign_in_routes[] = {
    {"POST", "/api/login", sign_in, NULL, .role = DQ_API_ANYONE, .scope = DQ_API_SCOPE_OPEN, .body = "SignIn", .answer = "Me",
     .text = "Signs in by a token: the answer sets a cookie that stands for it, for 12 hours at most."},
    {"POST", "/api/logout", sign_out, NULL, .role = DQ_API_ANYONE, .scope = DQ_API_SCOPE_OPEN, .answer = "SignedOut",
     .text = "Ends the session of the cookie, and takes it back."},
    {"GET", "/api/me", get_me, NULL, .scope = DQ_API_SCOPE_OPEN, .answer = "Me", .text = "Who asks, and what that may do."},
    {NULL, NULL, NULL, NULL},
};
