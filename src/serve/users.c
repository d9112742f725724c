/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/users.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "api/passes.h"
#include "base/str.h"

#define SECRET_FIELD "x-dureq-proxy-secret"

typedef struct user_role {
    dureq_str name; /* "*": whoever is not named */
    dq_api_role role;
    bool hides_payload;
} user_role;

struct dq_users {
    char *text;  /* what the names of items point to */
    char *field; /* in lower case */
    bool has_secret;
    unsigned char secret[SHA256_DIGEST_LENGTH]; /* its digest */
    size_t n;
    user_role items[];
};

static bool is_name(dureq_str name)
{
    bool good = name.len > 0 && name.len <= DQ_USER_NAME_MAX;

    for (size_t i = 0; good && i < name.len; i++)
        good = name.ptr[i] > ' ' && name.ptr[i] < 0x7f && name.ptr[i] != ',' && name.ptr[i] != '=';
    return good;
}

static bool read_role(dureq_str text, user_role *ret)
{
    dureq_str rest = text, word = dq_str_trim(dq_str_cut(&rest, '+'));

    ret->role = dq_role_of(word);
    ret->hides_payload = ret->role == DQ_API_VIEWER && !rest.ptr;
    if (rest.ptr && !(ret->role == DQ_API_VIEWER && dq_str_eq_text(dq_str_trim(rest), "payload")))
        return false;
    return ret->role != DQ_API_ITSELF;
}

static const user_role *find(const dq_users *u, dureq_str name)
{
    for (size_t i = 0; i < u->n; i++)
        if (dq_str_eq(u->items[i].name, name))
            return &u->items[i];
    return NULL;
}

static int read_roles(dq_users *u, dureq_error *err)
{
    dureq_str rest = dureq_str_from(u->text);

    while (rest.len) {
        dureq_str one = dq_str_trim(dq_str_cut(&rest, ',')), role = one, name = dq_str_trim(dq_str_cut(&role, '='));
        user_role *r = &u->items[u->n];

        if (one.len == 0)
            continue;
        if (!is_name(name) || !read_role(role, r))
            return dq_fail(err, DUREQ_EINVAL,
                           "proxyUsers takes name=role, the role being viewer, viewer+payload, operator or admin, not '%.*s'",
                           (int)DQ_MIN(one.len, (size_t)60), one.ptr);
        if (find(u, name))
            return dq_fail(err, DUREQ_EINVAL, "proxyUsers names '%.*s' twice", (int)name.len, name.ptr);
        r->name = name;
        u->n++;
    }
    return 0;
}

static int read_field(dq_users *u, const char *field, dureq_error *err)
{
    bool good = true;

    u->field = dq_strdup(field && *field ? field : "x-forwarded-user");
    if (!u->field)
        return dq_fail_nomem(err);
    for (char *p = u->field; *p; p++) {
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p | 0x20);
        good = good && ((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '-');
    }
    if (!good || strcmp(u->field, "authorization") == 0 || strcmp(u->field, "cookie") == 0 || strcmp(u->field, SECRET_FIELD) == 0)
        return dq_fail(err, DUREQ_EINVAL, "proxyUserHeader takes the name of a field such as X-Forwarded-User, not '%.60s'",
                       u->field);
    return 0;
}

static int read_secret(dq_users *u, const char *secret, dureq_error *err)
{
    size_t len = secret ? strlen(secret) : 0;

    if (len == 0)
        return 0;
    if (len < DQ_USER_SECRET_MIN)
        return dq_fail(err, DUREQ_EINVAL, "proxySecret takes at least %d bytes", DQ_USER_SECRET_MIN);
    (void)SHA256((const unsigned char *)secret, len, u->secret);
    u->has_secret = true;
    return 0;
}

int dq_users_create(const dq_users_options *o, dq_users **ret, dureq_error *err)
{
    size_t len = o->roles ? strlen(o->roles) : 0;
    dq_users *u;
    int rc;

    *ret = NULL;
    if (len == 0)
        return 0;
    u = dq_calloc(1, sizeof *u + (len / 2 + 1) * sizeof u->items[0]);
    if (!u)
        return dq_fail_nomem(err);
    u->text = dq_strdup(o->roles);
    rc = u->text ? read_roles(u, err) : dq_fail_nomem(err);
    if (rc == 0)
        rc = read_field(u, o->field, err);
    if (rc == 0)
        rc = read_secret(u, o->secret, err);
    if (rc < 0 || u->n == 0) {
        dq_users_destroy(u);
        return rc;
    }
    *ret = u;
    return 0;
}

void dq_users_destroy(dq_users *u)
{
    if (!u)
        return;
    dq_free(u->text);
    dq_free(u->field);
    dq_free(u);
}

static bool refuse(dq_http_fault *fault, const char *text)
{
    *fault = (dq_http_fault){.status = 403, .text = text};
    return false;
}

/* How often the field is there; *ret is the last. */
static size_t count_fields(const dq_http_head *head, const char *name, dureq_str *ret)
{
    size_t n = 0;

    for (size_t i = 0; i < head->n_fields; i++)
        if (dq_http_eq_nocase(head->fields[i].name, name)) {
            *ret = head->fields[i].value;
            n++;
        }
    return n;
}

static bool is_secret(const dq_users *u, dureq_str given)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];

    (void)SHA256((const unsigned char *)given.ptr, given.len, digest);
    return CRYPTO_memcmp(digest, u->secret, sizeof digest) == 0;
}

bool dq_users_read(const dq_users *u, const dq_http_head *head, bool is_unix, dq_user *ret, dq_http_fault *fault)
{
    dureq_str name = {0}, secret = {0};
    size_t n_names, n_secrets;
    const user_role *r;

    *ret = (dq_user){0};
    if (!u)
        return true;
    n_names = count_fields(head, u->field, &name);
    n_secrets = count_fields(head, SECRET_FIELD, &secret);
    if (n_secrets && !(u->has_secret && n_secrets == 1 && is_secret(u, secret)))
        return refuse(fault, "X-Dureq-Proxy-Secret is not dureqd.proxySecret");
    if (n_names == 0)
        return true;
    if (n_secrets == 0 && !is_unix)
        return refuse(fault,
                      "who names a user must be a proxy that proves itself: by the Unix socket, or by X-Dureq-Proxy-Secret");
    if (n_names > 1)
        return refuse(fault, "the user is named twice: the proxy must take away what its own callers send");
    if (!is_name(name) || dq_str_eq_text(name, "*"))
        return refuse(fault, "the name of a user has 1 to 58 visible ASCII characters, without commas and =");
    r = find(u, name);
    if (!r)
        r = find(u, DQ_STR_LIT("*"));
    if (!r)
        return refuse(fault, "this user is none of dureqd.proxyUsers");
    *ret = (dq_user){.name = name, .role = r->role, .hides_payload = r->hides_payload};
    return true;
}
