/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens: dq_<id>_<secret>. Redis has the SHA-256 of the secret, which has 256 random bits, so that no salt is needed; it is compared in constant
   time. The token itself is shown once, when it is made. */
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>

#include "api/request.h"
#include "api/tokens.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/random.h"
#include "client/tokens.h"

#define ID_BYTES     6
#define SECRET_BYTES 32
#define FRESH_US     INT64_C(2000000)
#define HASH_TEXT    (2 * SHA256_DIGEST_LENGTH + 1)

typedef struct token {
    char id[2 * ID_BYTES + 1], name[64], hash[HASH_TEXT];
    dq_api_role role;
    bool hides_payload;
    int64_t created_at_ms, expires_at_ms; /* 0: never */
} token;

static const char *const roles[] = {[DQ_API_VIEWER] = "viewer", [DQ_API_OPERATOR] = "operator", [DQ_API_ADMIN] = "admin"};

static dq_api_role role_of(dureq_str word)
{
    for (size_t i = DQ_API_VIEWER; i < DQ_ARRAY_LEN(roles); i++)
        if (dq_str_eq_text(word, roles[i]))
            return (dq_api_role)i;
    return DQ_API_ITSELF;
}

static void put_hex(const unsigned char *bytes, size_t n, char *out)
{
    for (size_t i = 0; i < n; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

static void hash_of(dureq_str secret, char out[HASH_TEXT])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];

    (void)SHA256((const unsigned char *)secret.ptr, secret.len, digest);
    put_hex(digest, sizeof digest, out);
}

/* ---- as Redis has them ---- */

static void write_token(dq_json_writer *w, const token *t, bool with_hash)
{
    dq_json_begin_object(w);
    dq_json_key(w, "id");
    dq_json_put_text(w, t->id);
    dq_json_key(w, "name");
    dq_json_put_text(w, t->name);
    dq_json_key(w, "role");
    dq_json_put_text(w, roles[t->role]);
    dq_json_key(w, "payload");
    dq_json_put_bool(w, !t->hides_payload);
    dq_json_key(w, "created_at");
    dq_json_put_rfc3339(w, t->created_at_ms);
    if (t->expires_at_ms) {
        dq_json_key(w, "expires_at");
        dq_json_put_rfc3339(w, t->expires_at_ms);
    }
    if (with_hash) {
        dq_json_key(w, "hash");
        dq_json_put_text(w, t->hash);
    }
    dq_json_end_object(w);
}

static void take_text(const dq_json *doc, const char *name, char *out, size_t size)
{
    dq_json_ref v = dq_json_member(doc, 0, name);
    DQ_BUF_AUTO text = {0};

    if (v != DQ_JSON_NONE && dq_json_string(doc, v, &text) == 0 && text.len < size)
        memcpy(out, text.ptr ? text.ptr : "", text.len + (text.ptr != NULL));
}

/* What cannot be read is no token. */
static bool read_token(dureq_str text, token *ret)
{
    char role[16] = "", created[DQ_RFC3339_TEXT_MAX] = "", expires[DQ_RFC3339_TEXT_MAX] = "";
    dq_json doc = {0};
    bool good;

    *ret = (token){0};
    if (dq_json_parse_frame(text, &doc, NULL) < 0)
        return false;
    good = dq_json_type_of(&doc, 0) == DQ_JSON_OBJECT;
    if (good) {
        dq_json_ref payload = dq_json_member(&doc, 0, "payload");

        take_text(&doc, "id", ret->id, sizeof ret->id);
        take_text(&doc, "name", ret->name, sizeof ret->name);
        take_text(&doc, "hash", ret->hash, sizeof ret->hash);
        take_text(&doc, "role", role, sizeof role);
        take_text(&doc, "created_at", created, sizeof created);
        take_text(&doc, "expires_at", expires, sizeof expires);
        ret->hides_payload = payload == DQ_JSON_NONE || dq_json_type_of(&doc, payload) != DQ_JSON_TRUE;
    }
    dq_json_deinit(&doc);
    ret->role = role_of(dureq_str_from(role));
    (void)dq_parse_rfc3339_ms(dureq_str_from(created), &ret->created_at_ms);
    if (*expires && dq_parse_rfc3339_ms(dureq_str_from(expires), &ret->expires_at_ms) < 0)
        return false; /* of a token that ends nobody may make one that does not */
    return good && ret->role && ret->id[0] && strlen(ret->hash) == HASH_TEXT - 1;
}

typedef struct token_list {
    token *items;
    size_t n, cap;
    bool failed;
} token_list;

static void add_token(void *userdata, dureq_str id, dureq_str text)
{
    token_list *l = userdata;

    (void)id;
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 16;
        token *items = dq_realloc(l->items, cap * sizeof *items);

        l->failed = l->failed || !items;
        if (!items)
            return;
        l->items = items;
        l->cap = cap;
    }
    l->n += read_token(text, &l->items[l->n]);
}

static int read_list(dureq_client *client, token_list *ret, dureq_error *err)
{
    int rc = dq_client_tokens(client, add_token, ret, err);

    if (rc == 0 && ret->failed)
        rc = dq_fail_nomem(err);
    if (rc < 0)
        dq_free(ret->items);
    return rc;
}

/* ---- the copy ---- */

struct dq_api_tokens {
    dq_mutex reading; /* one reads, others wait for it */
    dq_mutex mu;      /* guards the rest; within `reading` */
    token_list list;
    int64_t read_us; /* 0: never */
};

dq_api_tokens *dq_api_tokens_create(void)
{
    dq_api_tokens *t = dq_calloc(1, sizeof *t);

    if (!t)
        return NULL;
    dq_mutex_init(&t->reading);
    dq_mutex_init(&t->mu);
    return t;
}

void dq_api_tokens_destroy(dq_api_tokens *t)
{
    if (!t)
        return;
    dq_free(t->list.items);
    dq_mutex_deinit(&t->mu);
    dq_mutex_deinit(&t->reading);
    dq_free(t);
}

static bool is_fresh(dq_api_tokens *t)
{
    dq_mutex_lock(&t->mu);
    bool fresh = t->read_us && dq_mono_us() - t->read_us < FRESH_US;
    dq_mutex_unlock(&t->mu);
    return fresh;
}

int dq_api_tokens_read(dq_api_tokens *t, dureq_client *client, dureq_error *err)
{
    token_list list = {0};
    int rc = 0;

    dq_mutex_lock(&t->reading);
    if (!is_fresh(t)) {
        int64_t now_us = dq_mono_us(); /* what is revoked after this is not seen */

        rc = read_list(client, &list, err);
        if (rc == 0) {
            dq_mutex_lock(&t->mu);
            dq_free(t->list.items);
            t->list = list;
            t->read_us = now_us;
            dq_mutex_unlock(&t->mu);
        }
    }
    dq_mutex_unlock(&t->reading);
    return rc;
}

/* "dq_<id>_<secret>" */
static bool split(dureq_str text, dureq_str *ret_id, dureq_str *ret_secret)
{
    dureq_str rest = text, mark = dq_str_cut(&rest, '_');

    *ret_id = dq_str_cut(&rest, '_');
    *ret_secret = rest;
    return dq_str_eq_text(mark, "dq") && ret_id->len == (size_t)2 * ID_BYTES && rest.len > 0;
}

static bool is_right(const token *t, dureq_str id, const char hash[HASH_TEXT])
{
    return dq_str_eq_text(id, t->id) && CRYPTO_memcmp(hash, t->hash, HASH_TEXT - 1) == 0 &&
           (t->expires_at_ms == 0 || dq_wall_ms() < t->expires_at_ms);
}

dq_api_found dq_api_tokens_find(dq_api_tokens *t, dureq_str text, dq_api_who *ret)
{
    dq_api_found found = DQ_API_UNKNOWN;
    dureq_str id, secret;
    char hash[HASH_TEXT];

    if (!split(text, &id, &secret))
        return DQ_API_UNKNOWN;
    if (!is_fresh(t))
        return DQ_API_STALE;
    hash_of(secret, hash);
    dq_mutex_lock(&t->mu);
    for (size_t i = 0; i < t->list.n; i++) {
        const token *k = &t->list.items[i];

        if (!is_right(k, id, hash))
            continue;
        *ret = (dq_api_who){.role = k->role, .hides_payload = k->hides_payload && k->role == DQ_API_VIEWER};
        memcpy(ret->name, k->name, sizeof ret->name);
        found = DQ_API_KNOWN;
    }
    dq_mutex_unlock(&t->mu);
    return found;
}

/* ---- resources ---- */

static int list_tokens(dq_api_ctx *c, dureq_error *err)
{
    token_list list = {0};
    int rc = read_list(c->client, &list, err);

    if (rc < 0)
        return rc;
    dq_json_begin_array(&c->w);
    for (size_t i = 0; i < list.n; i++)
        write_token(&c->w, &list.items[i], /*with_hash=*/false);
    dq_json_end_array(&c->w);
    dq_free(list.items);
    return 0;
}

static int read_name(const dq_json *doc, token *t, dureq_error *err)
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

static int read_role(const dq_json *doc, token *t, dureq_error *err)
{
    dq_json_ref v = dq_json_member(doc, 0, "role");
    DQ_BUF_AUTO text = {0};

    if (v != DQ_JSON_NONE && dq_json_string(doc, v, &text) == 0)
        t->role = role_of(dq_buf_str(&text));
    return t->role ? 0 : dq_fail(err, DUREQ_EINVAL, "field 'role' takes viewer, operator or admin");
}

static int read_expiry(const dq_json *doc, token *t, dureq_error *err)
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

static int read_spec(const dq_json *doc, token *t, dureq_error *err)
{
    dq_json_ref payload = dq_json_member(doc, 0, "payload");
    int rc = dq_api_body_names(doc, "name role expires_in payload", err);

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
    t->hides_payload = t->role == DQ_API_VIEWER && (payload == DQ_JSON_NONE || dq_json_type_of(doc, payload) != DQ_JSON_TRUE);
    return rc;
}

static int make_secret(token *t, char *text, size_t size, dureq_error *err)
{
    unsigned char id[ID_BYTES], secret[SECRET_BYTES];
    char hex[2 * SECRET_BYTES + 1];
    int rc = dq_random_bytes(id, sizeof id, err);

    if (rc == 0)
        rc = dq_random_bytes(secret, sizeof secret, err);
    if (rc < 0)
        return rc;
    put_hex(id, sizeof id, t->id);
    put_hex(secret, sizeof secret, hex);
    hash_of(dureq_str_from(hex), t->hash);
    (void)snprintf(text, size, "dq_%s_%s", t->id, hex);
    return 0;
}

static int store_token(dq_api_ctx *c, const token *t, dureq_error *err)
{
    DQ_BUF_AUTO text = {0};
    dq_json_writer w = dq_json_writer_of(&text);
    int rc;

    write_token(&w, t, /*with_hash=*/true);
    rc = dq_buf_finish(&text, err);
    return rc < 0 ? rc : dq_client_token_put(c->client, t->id, dq_buf_str(&text), err);
}

static int create_token(dq_api_ctx *c, dureq_error *err)
{
    char text[8 + 2 * (ID_BYTES + SECRET_BYTES)];
    token t = {0};
    dq_json doc = {0};
    int rc = dq_api_body_object(c, &doc, err);

    if (rc < 0)
        return rc;
    rc = read_spec(&doc, &t, err);
    dq_json_deinit(&doc);
    if (rc == 0)
        rc = make_secret(&t, text, sizeof text, err);
    if (rc == 0)
        rc = store_token(c, &t, err);
    if (rc < 0)
        return rc;
    c->res->status = 201;
    write_token(&c->w, &t, /*with_hash=*/false);
    c->res->body.len -= c->res->body.len > 0; /* the brace */
    dq_buf_append_fmt(&c->res->body, ",\"token\":\"%s\"}", text);
    return 0;
}

static int revoke_token(dq_api_ctx *c, dureq_error *err)
{
    bool existed = false;
    int rc = dq_client_token_delete(c->client, c->vars[0], &existed, err);

    if (rc == 0 && !existed)
        rc = dq_fail(err, DUREQ_ENOTFOUND, "no token '%.64s'", c->vars[0]);
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
