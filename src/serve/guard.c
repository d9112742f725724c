/* SPDX-License-Identifier: Apache-2.0 */
/* Who may ask at all, before anybody is known by name. A page elsewhere can make a browser send requests to a daemon on loopback: by the page's own
   name, turned to 127.0.0.1 (the name is then in Host), or as a form (then Origin or Sec-Fetch-Site tell, and its body is no JSON). */
#include "serve/serve_internal.h"

#include <arpa/inet.h>
#include <stdio.h>

static bool refuse(dq_http_fault *fault, int status, const char *text)
{
    *fault = (dq_http_fault){.status = status, .text = text};
    return false;
}

/* Without the port and the brackets. */
static dureq_str host_of(dureq_str authority)
{
    const char *end;

    if (authority.len && authority.ptr[0] == '[') {
        end = memchr(authority.ptr, ']', authority.len);
        return end ? dureq_str_of(authority.ptr + 1, (size_t)(end - authority.ptr) - 1) : authority;
    }
    end = memchr(authority.ptr, ':', authority.len);
    return end ? dureq_str_of(authority.ptr, (size_t)(end - authority.ptr)) : authority;
}

static bool is_number(dureq_str host)
{
    char text[INET6_ADDRSTRLEN];
    unsigned char bytes[16];

    if (host.len == 0 || host.len >= sizeof text)
        return false;
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

static bool eq_nocase(dureq_str a, dureq_str b)
{
    return a.len == b.len && strncasecmp(a.ptr, b.ptr, a.len) == 0;
}

static bool is_listed(const char *list, dureq_str word)
{
    dureq_str rest = dureq_str_from(list);

    while (rest.len)
        if (eq_nocase(dq_str_trim(dq_str_cut(&rest, ',')), word))
            return true;
    return false;
}

static bool host_is_known(const dq_server *s, dureq_str authority)
{
    dureq_str host;

    if (authority.len == 0)
        return true; /* HTTP/1.0: no browser */
    host = host_of(authority);
    return is_number(host) || is_listed("localhost,ip6-localhost,ip6-loopback", host) || is_listed(s->hosts, host);
}

/* Monitors ask by whatever name. */
static bool is_health(dureq_str path)
{
    return dq_str_eq_text(path, "/livez") || dq_str_eq_text(path, "/readyz") || dq_str_eq_text(path, "/healthz");
}

static bool is_unsafe(dureq_str method)
{
    return !dq_str_eq_text(method, "GET") && !dq_str_eq_text(method, "HEAD") && !dq_str_eq_text(method, "OPTIONS");
}

/* "http://" or "https://" and the name that the request was sent to. */
static bool is_same_origin(dureq_str origin, dureq_str authority)
{
    static const dureq_str schemes[] = {{"http://", 7}, {"https://", 8}};

    for (size_t i = 0; i < DQ_ARRAY_LEN(schemes); i++)
        if (dq_str_starts_with(origin, schemes[i]))
            return eq_nocase(dureq_str_of(origin.ptr + schemes[i].len, origin.len - schemes[i].len), authority);
    return false;
}

static bool is_json(dureq_str type)
{
    dureq_str name = dq_str_trim(dq_str_cut(&type, ';'));

    return dq_http_eq_nocase(name, "application/json") || dq_http_eq_nocase(name, "application/x-ndjson") ||
           dq_http_eq_nocase(name, "application/ndjson");
}

static bool change_passes(const dq_server *s, const dq_caller *caller, const dq_http_head *head, dq_http_fault *fault)
{
    dureq_str site = dq_http_field_get(head, "sec-fetch-site"), origin = dq_http_field_get(head, "origin");

    if (origin.ptr && is_listed(s->origins, origin))
        return true;
    if (site.ptr && !dq_http_eq_nocase(site, "same-origin"))
        return refuse(fault, 403, "a page of another site may not send this");
    if (origin.ptr && !is_same_origin(origin, head->authority))
        return refuse(fault, 403, "a page of another origin may not send this");
    if (caller->session.ptr && !site.ptr && !origin.ptr) /* no browser: whoever has the cookie has it from one */
        return refuse(fault, 403,
                      "a cookie is for pages of this server, which send Origin or Sec-Fetch-Site: send a token instead");
    return true;
}

static bool is_sign_in(dureq_str path)
{
    return dq_str_eq_text(path, "/api/login") || dq_str_eq_text(path, "/api/logout");
}

/* Before its body is read. */
static bool body_passes(const dq_conn *c, const dq_caller *caller, const dq_http_head *head, dq_http_fault *fault)
{
    bool signs_in = is_sign_in(head->path);

    if (signs_in && (head->is_chunked || head->length > DQ_SERVE_BRIEF_MAX))
        return refuse(fault, 413, "a sign-in is short, and says how long it is");
    if (c->server->needs_token && !caller->is_local && !signs_in && !caller->session.ptr && !caller->user.name.ptr &&
        !dq_http_field_get(head, "authorization").ptr)
        return refuse(fault, 401, "this takes a token: send it as Authorization: Bearer TOKEN");
    if ((head->is_chunked || head->length > 0) && !is_json(dq_http_field_get(head, "content-type")))
        return refuse(fault, 415,
                      "the body must be JSON: send Content-Type: application/json, or application/x-ndjson for one job a line");
    return true;
}

bool dq_guard_passes(const dq_conn *c, const dq_caller *caller, const dq_http_head *head, dq_http_fault *fault)
{
    if (!c->is_local && !host_is_known(c->server, head->authority) && !is_health(head->path))
        return refuse(
            fault, 421,
            "this server is not known by that name: use an address or localhost, or allow the name by the setting allowHosts");
    if (!is_unsafe(head->method)) /* a page may open a WebSocket to anywhere, and would read what comes */
        return !dq_http_field_get(head, "upgrade").ptr || change_passes(c->server, caller, head, fault);
    return change_passes(c->server, caller, head, fault) && body_passes(c, caller, head, fault);
}

/* ---- who it is, as far as the connection tells ---- */

/* Where proxies name users, the Unix socket is a proxy's: one that names nobody lets nobody in. */
bool dq_guard_caller(const dq_conn *c, const dq_http_head *head, dq_caller *ret, dq_http_fault *fault)
{
    const dq_server *s = c->server;
    char client[DQ_PROXY_TEXT_MAX];

    *ret = (dq_caller){.is_local = c->is_local && !s->users && !dq_proxies_passed_on(head),
                       .is_secure = c->tls || (c->is_proxy && dq_proxies_says_tls(head))};
    memcpy(ret->name, c->name, sizeof ret->name);
    if (c->is_proxy && dq_proxies_client(s->proxies, head, client))
        (void)snprintf(ret->name, sizeof ret->name, "http:%s", client);
    ret->port = dq_api_port_in(head->authority);
    if (!dq_users_read(s->users, head, c->is_local, &ret->user, fault))
        return false;
    if (!ret->user.name.ptr && !dq_http_field_get(head, "authorization").ptr)
        ret->session = dq_api_session_in(dq_http_field_get(head, "cookie"), ret->is_secure, s->base_path, ret->port);
    return true;
}
