/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/url.h"

enum { DEFAULT_PORT = 6379, DB_MAX = 1 << 20, SOCKET_PATH_MAX = 107 };

void dq_redis_url_deinit(dq_redis_url *u)
{
    dq_free(u->host);
    dq_free(u->user);
    dq_free(u->password);
    dq_free(u->tls_ca);
    dq_free(u->tls_cert);
    dq_free(u->tls_key);
    dq_free(u->tls_servername);
    *u = (dq_redis_url){0};
}

/* NULL stays NULL; false when out of memory. */
static bool dup_text(const char *text, char **ret)
{
    *ret = text ? dq_strdup(text) : NULL;
    return *ret || !text;
}

int dq_redis_url_dup(const dq_redis_url *u, dq_redis_url *ret)
{
    dq_redis_url copy = {.kind = u->kind, .port = u->port, .db = u->db, .tls_insecure = u->tls_insecure};
    bool ok = dup_text(u->host, &copy.host) && dup_text(u->user, &copy.user) && dup_text(u->password, &copy.password) &&
              dup_text(u->tls_ca, &copy.tls_ca) && dup_text(u->tls_cert, &copy.tls_cert) && dup_text(u->tls_key, &copy.tls_key) &&
              dup_text(u->tls_servername, &copy.tls_servername);

    if (!ok) {
        dq_redis_url_deinit(&copy);
        return DUREQ_ENOMEM;
    }

    *ret = copy;
    return 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Percent-decoded copy of `text`. `what` names the part in messages; its content never shows (it may be the password). */
static int decode(dureq_str text, const char *what, char **ret, dureq_error *err)
{
    char *out = dq_malloc(text.len + 1);
    size_t n = 0;

    if (!out)
        return dq_fail_nomem(err);
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (c == '%') {
            int high = i + 2 < text.len ? hex_digit(text.ptr[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(text.ptr[i + 2]) : -1;

            if (low < 0) {
                dq_free(out);
                return dq_fail(err, DUREQ_EINVAL, "redis URL: '%%' without two hex digits in the %s", what);
            }
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (c == '\0') {
            dq_free(out);
            return dq_fail(err, DUREQ_EINVAL, "redis URL: NUL byte in the %s", what);
        }
        out[n++] = c;
    }
    out[n] = '\0';
    dq_free(*ret);
    *ret = out;
    return 0;
}

/* "user:password", ":password" or "user". */
static int parse_credentials(dureq_str text, dq_redis_url *u, dureq_error *err)
{
    dureq_str password = text;
    dureq_str user = dq_str_cut(&password, ':');
    int rc;

    if (user.len > 0) {
        rc = decode(user, "user", &u->user, err);
        if (rc < 0)
            return rc;
    }
    return password.ptr ? decode(password, "password", &u->password, err) : 0;
}

static int parse_db(dureq_str text, dq_redis_url *u, dureq_error *err)
{
    int64_t db;

    if (dq_parse_i64(text, 0, DB_MAX, &db) < 0)
        return dq_fail(err, DUREQ_EINVAL, "redis URL: database '" DQ_STR_FMT "' is not a number from 0", DQ_STR_ARG(text));
    u->db = (int)db;
    return 0;
}

static int parse_port(dureq_str text, dq_redis_url *u, dureq_error *err)
{
    int64_t port;

    if (dq_parse_i64(text, 1, 65535, &port) < 0)
        return dq_fail(err, DUREQ_EINVAL, "redis URL: port '" DQ_STR_FMT "' is not a number from 1 to 65535", DQ_STR_ARG(text));
    u->port = (int)port;
    return 0;
}

/* "host", "host:port", "[v6]", "[v6]:port". */
static int parse_host_port(dureq_str text, dq_redis_url *u, dureq_error *err)
{
    dureq_str rest = text;
    dureq_str host;

    u->port = DEFAULT_PORT;
    if (text.len > 0 && text.ptr[0] == '[') {
        rest = dureq_str_of(text.ptr + 1, text.len - 1);
        host = dq_str_cut(&rest, ']');
        if (!rest.ptr || (rest.len > 0 && rest.ptr[0] != ':'))
            return dq_fail(err, DUREQ_EINVAL, "redis URL: '[' of the host without a fitting ']'");
        rest = rest.len > 0 ? dureq_str_of(rest.ptr + 1, rest.len - 1) : (dureq_str){0};
    } else {
        host = dq_str_cut(&rest, ':');
    }
    if (host.len == 0)
        return dq_fail(err, DUREQ_EINVAL, "redis URL: the host is missing");
    for (size_t i = 0; i < host.len; i++)
        if ((unsigned char)host.ptr[i] <= ' ' || host.ptr[i] == 0x7f)
            return dq_fail(err, DUREQ_EINVAL, "redis URL: the host has a blank or control character");
    if (rest.ptr) {
        int rc = parse_port(rest, u, err);

        if (rc < 0)
            return rc;
    }
    return decode(host, "host", &u->host, err);
}

static int parse_tls_param(dureq_str key, dureq_str value, dq_redis_url *u, dureq_error *err)
{
    const struct {
        const char *key;
        char **slot;
    } files[] = {
        {"ca", &u->tls_ca},
        {"cert", &u->tls_cert},
        {"key", &u->tls_key},
        {"servername", &u->tls_servername},
    };

    if (dq_str_eq_text(key, "insecure")) {
        u->tls_insecure = dq_str_eq_text(value, "1");
        if (!u->tls_insecure && !dq_str_eq_text(value, "0"))
            return dq_fail(err, DUREQ_EINVAL, "redis URL: parameter insecure must be 0 or 1");
        return 0;
    }
    for (size_t i = 0; i < DQ_ARRAY_LEN(files); i++) {
        if (!dq_str_eq_text(key, files[i].key))
            continue;
        if (value.len == 0)
            return dq_fail(err, DUREQ_EINVAL, "redis URL: parameter %s is empty", files[i].key);
        return decode(value, files[i].key, files[i].slot, err);
    }
    return dq_fail(err, DUREQ_EINVAL, "redis URL: unknown parameter '" DQ_STR_FMT "'", DQ_STR_ARG(key));
}

static int parse_query(dureq_str query, dq_redis_url *u, dureq_error *err)
{
    while (query.ptr) {
        dureq_str value = dq_str_cut(&query, '&');
        dureq_str key = dq_str_cut(&value, '=');
        int rc;

        if (u->kind == DQ_REDIS_UNIX && dq_str_eq_text(key, "db"))
            rc = parse_db(value, u, err);
        else if (u->kind == DQ_REDIS_TLS)
            rc = parse_tls_param(key, value, u, err);
        else
            rc = dq_fail(err, DUREQ_EINVAL, "redis URL: unknown parameter '" DQ_STR_FMT "'", DQ_STR_ARG(key));
        if (rc < 0)
            return rc;
    }
    if (!u->tls_cert != !u->tls_key)
        return dq_fail(err, DUREQ_EINVAL, "redis URL: parameters cert and key go together");
    return 0;
}

static int parse_scheme(dureq_str *text, dq_redis_url *u, dureq_error *err)
{
    static const struct {
        dureq_str prefix;
        int kind;
    } schemes[] = {
        {{"redis://", 8}, DQ_REDIS_TCP},
        {{"rediss://", 9}, DQ_REDIS_TLS},
        {{"unix://", 7}, DQ_REDIS_UNIX},
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(schemes); i++) {
        if (!dq_str_starts_with(*text, schemes[i].prefix))
            continue;
        u->kind = schemes[i].kind;
        *text = dureq_str_of(text->ptr + schemes[i].prefix.len, text->len - schemes[i].prefix.len);
        return 0;
    }
    return dq_fail(err, DUREQ_EINVAL, "redis URL: must begin with redis://, rediss:// or unix://");
}

static int parse_socket_path(dureq_str path, dq_redis_url *u, dureq_error *err)
{
    int rc;

    if (path.len == 0 || path.ptr[0] != '/')
        return dq_fail(err, DUREQ_EINVAL, "redis URL: the path of the socket must begin with '/'");
    rc = decode(path, "path", &u->host, err);
    if (rc == 0 && strlen(u->host) > SOCKET_PATH_MAX)
        return dq_fail(err, DUREQ_EINVAL, "redis URL: the path of the socket is longer than %d bytes", SOCKET_PATH_MAX);
    return rc;
}

/* "host:port", "host:port/", "host:port/db". */
static int parse_host_and_db(dureq_str text, dq_redis_url *u, dureq_error *err)
{
    dureq_str db = text;
    dureq_str host = dq_str_cut(&db, '/');
    int rc = parse_host_port(host, u, err);

    if (rc < 0)
        return rc;
    return db.len > 0 ? parse_db(db, u, err) : 0;
}

/* Cuts "credentials@" off: the last '@' before the path counts, as an unescaped '@' is common in passwords. A Unix URL's
   credentials end before the first '/'. */
static dureq_str cut_credentials(dureq_str *rest)
{
    size_t end = 0, at = 0;
    bool found = false;

    while (end < rest->len && rest->ptr[end] != '/') {
        if (rest->ptr[end] == '@') {
            at = end;
            found = true;
        }
        end++;
    }
    if (!found)
        return (dureq_str){0};

    dureq_str credentials = dureq_str_of(rest->ptr, at);
    *rest = dureq_str_of(rest->ptr + at + 1, rest->len - at - 1);
    return credentials;
}

static int parse_parts(dureq_str text, dq_redis_url *u, dureq_error *err)
{
    dureq_str credentials, query;
    int rc = parse_scheme(&text, u, err);

    if (rc < 0)
        return rc;

    credentials = cut_credentials(&text);
    rc = parse_credentials(credentials, u, err);
    if (rc < 0)
        return rc;

    query = text;
    text = dq_str_cut(&query, '?');
    rc = u->kind == DQ_REDIS_UNIX ? parse_socket_path(text, u, err) : parse_host_and_db(text, u, err);
    if (rc < 0)
        return rc;
    return parse_query(query, u, err);
}

int dq_redis_url_parse(dureq_str text, dq_redis_url *ret, dureq_error *err)
{
    dq_redis_url u = {0};
    int rc = parse_parts(text, &u, err);

    if (rc < 0) {
        dq_redis_url_deinit(&u);
        return rc;
    }

    *ret = u;
    return 0;
}

/* So that what is shown can be given again. */
static void append_path(const char *path, dq_buf *out)
{
    for (const unsigned char *p = (const unsigned char *)path; *p; p++) {
        if (*p <= ' ' || *p == 0x7f || strchr("%?#'\"\\$`", *p))
            dq_buf_append_fmt(out, "%%%02X", *p);
        else
            dq_buf_append_char(out, (char)*p);
    }
}

void dq_redis_url_describe(const dq_redis_url *u, dq_buf *out)
{
    bool is_v6 = u->host && strchr(u->host, ':');

    if (u->kind == DQ_REDIS_UNIX) {
        dq_buf_append_text(out, "unix://");
        append_path(u->host, out);
        if (u->db)
            dq_buf_append_fmt(out, "?db=%d", u->db);
        return;
    }
    dq_buf_append_fmt(out, "%s://%s%s%s:%d", u->kind == DQ_REDIS_TLS ? "rediss" : "redis", is_v6 ? "[" : "", u->host,
                      is_v6 ? "]" : "", u->port);
    if (u->db)
        dq_buf_append_fmt(out, "/%d", u->db);
}
