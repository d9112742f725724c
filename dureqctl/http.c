/* SPDX-License-Identifier: Apache-2.0 */
/* The API over HTTP: http://, https:// and http+unix:///path. One connection, kept; it is made again when it was not used for a while, since the
   other side may close it then. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl.h"
#include "serve/http1.h"

#define KEPT_US    INT64_C(20000000)
#define TIMEOUT_MS 10000
#define ANSWER_MAX (INT64_C(512) << 20)
#define FOLLOW_MS  40000 /* without a sign of life, which comes every 15 s */

struct ctl_http {
    char *host, *port, *base; /* base: of paths, without a slash at its end */
    char *socket_path;        /* NULL: TCP */
    char *name;               /* to people */
    const char *token;        /* NULL: none */
    bool has_tls;
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
    int64_t used_us, timeout_ms;
    dq_buf in;
};

bool ctl_is_http(const char *url)
{
    return strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0 || strncmp(url, "http+unix://", 12) == 0;
}

static void hang_up(ctl_http *h)
{
    SSL_free(h->ssl);
    h->ssl = NULL;
    if (h->fd >= 0)
        (void)close(h->fd);
    h->fd = -1;
    dq_buf_clear(&h->in);
}

void ctl_http_destroy(ctl_http *h)
{
    if (!h)
        return;
    hang_up(h);
    SSL_CTX_free(h->ctx);
    dq_buf_deinit(&h->in);
    dq_free(h->host);
    dq_free(h->port);
    dq_free(h->base);
    dq_free(h->socket_path);
    dq_free(h->name);
    dq_free(h);
}

/* ---- the address ---- */

static int take_tcp(ctl_http *h, dureq_str rest)
{
    dureq_str base = rest, authority = dq_str_cut(&base, '/'), port = authority, host;

    if (authority.len && authority.ptr[0] == '[') {
        port.ptr++;
        port.len--;
        host = dq_str_cut(&port, ']');
        (void)dq_str_cut(&port, ':');
    } else {
        host = dq_str_cut(&port, ':');
    }
    while (base.len && base.ptr[base.len - 1] == '/')
        base.len--;
    h->host = dq_memdup(host.ptr, host.len);
    h->port = port.len ? dq_memdup(port.ptr, port.len) : dq_strdup(h->has_tls ? "443" : "80");
    h->base = dq_calloc(1, base.len + 2);
    if (!h->host || !h->port || !h->base || !*h->host)
        return -1;
    if (base.len) {
        h->base[0] = '/';
        memcpy(h->base + 1, base.ptr, base.len);
    }
    return memchr(authority.ptr, '@', authority.len) ? -1 : 0;
}

static int take_url(ctl_http *h, const char *url)
{
    h->name = dq_strdup(url);
    h->has_tls = strncmp(url, "https://", 8) == 0;
    if (strncmp(url, "http+unix://", 12) != 0)
        return take_tcp(h, dureq_str_from(strstr(url, "://") + 3));
    h->socket_path = dq_strdup(url + 12);
    h->host = dq_strdup("localhost");
    h->base = dq_strdup("");
    return h->socket_path && *h->socket_path && h->host && h->base ? 0 : -1;
}

static int set_up_tls(ctl_http *h, const char *ca_file)
{
    h->ctx = SSL_CTX_new(TLS_client_method());
    if (!h->ctx)
        return -1;
    SSL_CTX_set_verify(h->ctx, SSL_VERIFY_PEER, NULL);
    (void)SSL_CTX_set_min_proto_version(h->ctx, TLS1_2_VERSION);
    if (ca_file)
        return SSL_CTX_load_verify_locations(h->ctx, ca_file, NULL) == 1 ? 0 : -1;
    return SSL_CTX_set_default_verify_paths(h->ctx) == 1 ? 0 : -1;
}

int ctl_http_create(const ctl *c, const char *url, ctl_http **ret)
{
    ctl_http *h = dq_calloc(1, sizeof *h);
    const char *ca_file = c->ca_file ? c->ca_file : getenv("DUREQ_CA_FILE");

    if (!h)
        return ctl_fail(CTL_FAILED, "out of memory");
    h->fd = -1;
    h->token = c->token;
    h->timeout_ms = c->timeout_ms ? c->timeout_ms : TIMEOUT_MS;
    if (take_url(h, url) < 0) {
        ctl_http_destroy(h);
        return ctl_usage(
            "--server takes http://HOST:PORT, https://HOST:PORT or http+unix:///PATH beside redis://, rediss:// and unix://");
    }
    if (h->has_tls && set_up_tls(h, ca_file) < 0) {
        ctl_http_destroy(h);
        return ctl_fail(CTL_FAILED, "cannot read the certificates of authorities%s%s", ca_file ? " in " : "",
                        ca_file ? ca_file : "");
    }
    *ret = h;
    return 0;
}

/* ---- the connection ---- */

static int away(ctl_http *h, const char *why)
{
    hang_up(h);
    return ctl_fail(CTL_SERVER_AWAY, "%s: %s", h->name, why);
}

static int dial_unix(ctl_http *h)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};

    if (strlen(h->socket_path) >= sizeof a.sun_path)
        return away(h, "the path of the socket is too long");
    memcpy(a.sun_path, h->socket_path, strlen(h->socket_path));
    h->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (h->fd < 0 || connect(h->fd, (struct sockaddr *)&a, sizeof a) < 0)
        return away(h, strerror(errno));
    return 0;
}

static int dial_tcp(ctl_http *h)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *all = NULL;
    int rc = getaddrinfo(h->host, h->port, &hints, &all), last = 0;
    const int on = 1;

    if (rc != 0)
        return away(h, gai_strerror(rc));
    for (const struct addrinfo *a = all; a && h->fd < 0; a = a->ai_next) {
        h->fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, 0);
        if (h->fd >= 0 && connect(h->fd, a->ai_addr, a->ai_addrlen) < 0) {
            last = errno;
            hang_up(h);
        }
    }
    freeaddrinfo(all);
    if (h->fd < 0)
        return away(h, strerror(last));
    (void)setsockopt(h->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return 0;
}

static int shake_hands(ctl_http *h)
{
    long verdict;

    h->ssl = SSL_new(h->ctx);
    if (!h->ssl || SSL_set_fd(h->ssl, h->fd) != 1 || SSL_set1_host(h->ssl, h->host) != 1)
        return away(h, "out of memory");
    (void)SSL_set_tlsext_host_name(h->ssl, h->host);
    if (SSL_connect(h->ssl) == 1)
        return 0;
    verdict = SSL_get_verify_result(h->ssl);
    return away(h, verdict != X509_V_OK ? X509_verify_cert_error_string(verdict) : "no TLS is spoken there");
}

static void set_timeout_ms(ctl_http *h, int64_t ms) /* 0: for ever */
{
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

    (void)setsockopt(h->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    (void)setsockopt(h->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
}

static void set_timeout(ctl_http *h, bool waits)
{
    set_timeout_ms(h, waits ? 0 : h->timeout_ms);
}

static int dial(ctl_http *h)
{
    int rc;

    if (h->fd >= 0 && dq_mono_us() - h->used_us < KEPT_US)
        return 0;
    hang_up(h);
    rc = h->socket_path ? dial_unix(h) : dial_tcp(h);
    if (rc != 0)
        return rc;
    set_timeout(h, /*waits=*/false);
    return h->has_tls ? shake_hands(h) : 0;
}

static ssize_t put_some(ctl_http *h, const char *p, size_t n)
{
    return h->ssl ? SSL_write(h->ssl, p, (int)DQ_MIN(n, (size_t)1 << 20)) : send(h->fd, p, n, MSG_NOSIGNAL);
}

static int put_all(ctl_http *h, const dq_buf *b)
{
    for (size_t at = 0; at < b->len;) {
        ssize_t n = put_some(h, b->ptr + at, b->len - at);

        if (n < 0 && !h->ssl && errno == EINTR)
            continue;
        if (n <= 0)
            return -1; /* the answer may say why */
        at += (size_t)n;
    }
    return 0;
}

/* More into h->in: 0, -1 at the end or after the time-out. */
static int get_more(ctl_http *h)
{
    char *room = dq_buf_reserve(&h->in, 65536);
    ssize_t n;

    if (!room)
        return -1;
    do
        n = h->ssl ? SSL_read(h->ssl, room, 65536) : recv(h->fd, room, 65536, 0);
    while (n < 0 && !h->ssl && errno == EINTR);
    if (n <= 0)
        return -1;
    h->in.len += (size_t)n;
    return 0;
}

/* ---- the answer ---- */

/* The status line and the fields up to the empty line; *ret_len their bytes. */
static int get_head(ctl_http *h, size_t *ret_len)
{
    for (;;) {
        const char *end = h->in.len ? memmem(h->in.ptr, h->in.len, "\r\n\r\n", 4) : NULL;

        if (end) {
            *ret_len = (size_t)(end + 4 - h->in.ptr);
            return 0;
        }
        if (h->in.len > 65536 || get_more(h) < 0)
            return -1;
    }
}

static dureq_str field(dureq_str head, const char *name)
{
    while (head.len) {
        dureq_str value = dq_str_trim(dq_str_cut(&head, '\n')), key = dq_str_cut(&value, ':');

        if (dq_http_eq_nocase(key, name))
            return dq_str_trim(value);
    }
    return (dureq_str){0};
}

static int get_chunks(ctl_http *h, dq_buf *body)
{
    dq_http_chunks chunks = {0};
    dq_http_fault fault;
    bool is_done = false;

    while (!is_done) {
        ptrdiff_t n;

        if (h->in.len == 0 && get_more(h) < 0)
            return -1;
        n = dq_http_chunks_read(&chunks, dq_buf_str(&h->in), SIZE_MAX, body, &is_done, &fault);
        if (n < 0 || dq_buf_failed(body) || (int64_t)body->len > ANSWER_MAX)
            return -1;
        dq_buf_consume(&h->in, (size_t)n);
    }
    return 0;
}

static int get_body(ctl_http *h, dureq_str length, bool is_chunked, dq_buf *body)
{
    int64_t n;

    if (is_chunked)
        return get_chunks(h, body);
    if (dq_parse_i64(length, 0, ANSWER_MAX, &n) < 0)
        return -1;
    while ((int64_t)h->in.len < n)
        if (get_more(h) < 0)
            return -1;
    dq_buf_append(body, h->in.ptr, (size_t)n);
    dq_buf_consume(&h->in, (size_t)n);
    return dq_buf_failed(body) ? -1 : 0;
}

typedef struct answer_head {
    bool is_chunked, closes;
    char length[24];
} answer_head;

static int get_answer_head(ctl_http *h, answer_head *ret_head, dq_api_response *ret)
{
    size_t len;
    dureq_str head, length;
    int64_t status;

    *ret_head = (answer_head){0};
    do { /* 100 Continue is not asked for, but may come */
        if (get_head(h, &len) < 0)
            return -1;
        head = dureq_str_of(h->in.ptr, len);
        if (len < 12 || memcmp(head.ptr, "HTTP/1.", 7) != 0 || dq_parse_i64(dureq_str_of(head.ptr + 9, 3), 100, 599, &status) < 0)
            return -1;
        if (status < 200)
            dq_buf_consume(&h->in, len);
    } while (status < 200);
    length = field(head, "content-length");
    memcpy(ret_head->length, length.ptr ? length.ptr : "", DQ_MIN(length.len, sizeof ret_head->length - 1));
    ret_head->is_chunked = dq_http_eq_nocase(field(head, "transfer-encoding"), "chunked");
    ret_head->closes = dq_http_eq_nocase(field(head, "connection"), "close");
    ret->status = (int)status;
    ret->content_type = "application/json";
    dq_buf_consume(&h->in, len);
    return 0;
}

static int get_answer(ctl_http *h, dq_api_response *ret)
{
    answer_head head;

    if (get_answer_head(h, &head, ret) < 0 || get_body(h, dureq_str_from(head.length), head.is_chunked, &ret->body) < 0)
        return -1;
    h->used_us = dq_mono_us();
    if (head.closes)
        hang_up(h);
    return 0;
}

/* A chunked answer that may go on for ever, handed on as it comes; then nothing is kept of the connection. */
static void follow_chunks(ctl_http *h, ctl_http_fn fn, void *userdata)
{
    dq_http_chunks chunks = {0};
    dq_http_fault fault;
    bool is_done = false;

    while (!is_done && (h->in.len > 0 || get_more(h) == 0)) {
        DQ_BUF_AUTO part = {0};
        ptrdiff_t n = dq_http_chunks_read(&chunks, dq_buf_str(&h->in), SIZE_MAX, &part, &is_done, &fault);

        if (n < 0 || dq_buf_failed(&part))
            break;
        dq_buf_consume(&h->in, (size_t)n);
        fn(userdata, dq_buf_str(&part));
    }
    hang_up(h);
}

/* The code that stands behind a refusal, for the exit code. */
static int code_of(const dq_api_response *r)
{
    DQ_BUF_AUTO word = {0};
    dq_json doc = {0};
    int code = 0;

    if (r->status < 400)
        return 0;
    if (dq_json_parse_frame(dq_buf_str(&r->body), &doc, NULL) == 0 && dq_json_type_of(&doc, 0) == DQ_JSON_OBJECT) {
        dq_json_ref v = dq_json_member(&doc, 0, "code");

        if (v != DQ_JSON_NONE && dq_json_string(&doc, v, &word) == 0)
            code = dq_api_code_of_word(dq_buf_str(&word));
    }
    dq_json_deinit(&doc);
    if (code)
        return code;
    return r->status == 401 || r->status == 403 ? DUREQ_EPERM
           : r->status == 404                   ? DUREQ_ENOTFOUND
           : r->status == 503                   ? DUREQ_EUNAVAILABLE
                                                : DUREQ_EINVAL;
}

static void put_request(const ctl_http *h, const dq_api_request *r, dq_buf *out)
{
    bool has_v6 = h->host && strchr(h->host, ':');

    dq_buf_append_fmt(out, "%s %s%s%s%s HTTP/1.1\r\nHost: %s%s%s", r->method, h->base, r->path, r->query && *r->query ? "?" : "",
                      r->query ? r->query : "", has_v6 ? "[" : "", h->host, has_v6 ? "]" : "");
    if (h->port)
        dq_buf_append_fmt(out, ":%s", h->port);
    dq_buf_append_text(out, "\r\nUser-Agent: dureqctl\r\n");
    if (h->token)
        dq_buf_append_fmt(out, "Authorization: Bearer %s\r\n", h->token);
    if (r->body.len || strcmp(r->method, "GET") != 0)
        dq_buf_append_fmt(out, "Content-Length: %zu\r\n", r->body.len);
    if (r->body.len)
        dq_buf_append_fmt(out, "Content-Type: %s\r\n", r->content_type ? r->content_type : "application/json");
    dq_buf_append_text(out, "\r\n");
    dq_buf_append_str(out, r->body);
}

int ctl_http_follow(ctl_http *h, const dq_api_request *req, ctl_http_fn fn, void *userdata, dq_api_response *ret)
{
    DQ_BUF_AUTO out = {0};
    answer_head head;
    int rc;

    *ret = (dq_api_response){0};
    hang_up(h);
    rc = dial(h);
    if (rc != 0)
        return rc;
    put_request(h, req, &out);
    if (dq_buf_failed(&out))
        return ctl_fail(CTL_FAILED, "out of memory");
    (void)put_all(h, &out);
    if (get_answer_head(h, &head, ret) < 0)
        return away(h, "no answer that is HTTP came in time");
    if (ret->status >= 400) {
        (void)get_body(h, dureq_str_from(head.length), head.is_chunked, &ret->body);
        hang_up(h);
        ret->code = code_of(ret);
        return 0;
    }
    set_timeout_ms(h, FOLLOW_MS);
    follow_chunks(h, fn, userdata);
    return 0;
}

int ctl_http_ask(ctl_http *h, const dq_api_request *req, dq_api_response *ret)
{
    DQ_BUF_AUTO out = {0};
    int rc = dial(h);

    *ret = (dq_api_response){0};
    if (rc != 0)
        return rc;
    put_request(h, req, &out);
    if (dq_buf_failed(&out))
        return ctl_fail(CTL_FAILED, "out of memory");
    set_timeout(h, req->query && strstr(req->query, "wait="));
    (void)put_all(h, &out);
    if (get_answer(h, ret) < 0) {
        dq_buf_deinit(&ret->body);
        return away(h, "no answer that is HTTP came in time; what was asked for may have been done");
    }
    ret->code = code_of(ret);
    return 0;
}
